"""The hashes that tell whether a passage changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from bicross.stores.inputs import clean_passage
from bicross.types import Passage

_quoted = json.JSONEncoder(ensure_ascii=False).encode
sorted_json = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode
"""A passage's meta as the text that is hashed; the encoders are made once, which `json.dumps` does at every call."""


class Stamp(NamedTuple):
    """What a sync compares to tell whether a passage has to be written again.

    Attributes:
        content_hash: Hash of title and text: where it differs, the passage is encoded again.
        meta_hash: Hash of meta and source: where it alone differs, the payload is written without encoding.
        sync: Name of the sync that wrote the passage, None where none did.
    """

    content_hash: str
    meta_hash: str
    sync: str | None = None


def stamp_of(passage: Passage, sync: str | None = None, where: str | None = None) -> Stamp:
    """The stamp that a store records when it writes this passage.

    Raises:
        InputError: The passage can't be stored; ``where`` names it.
    """
    return stamp_and_length(passage, sync, where)[0]


def stamp_and_length(passage: Passage, sync: str | None, where: str | None = None) -> tuple[Stamp, int]:
    """The stamp, and the length of what it was made of. **Unit:** characters.

    Raises:
        InputError: The passage can't be stored; ``where`` names it.
    """
    cleaned = clean_passage(passage, where or f"passage {passage.id!r}")
    meta = sorted_json(cleaned) if cleaned else "{}"
    stamp = Stamp(stamp_hash(passage.title, passage.text), stamp_hash(passage.source, meta), sync)
    given = (passage.id, passage.text, passage.title or "", passage.source or "", meta)
    return stamp, sum(map(len, given))


def stamp_in(payload: Mapping[str, Any]) -> Stamp:
    """The stamp that a payload carries; one that matches nothing where another program wrote it."""
    return Stamp(payload.get("hash", ""), payload.get("meta_hash", ""), payload.get("sync"))


def stamp_hash(first: str | None, second: str) -> str:
    """Of title and text, or of the source and of meta as `sorted_json`."""
    # JSON keeps the parts apart (None, "" and a shifted border give different texts); 128 bits are plenty here.
    parts = f"[{'null' if first is None else _quoted(first)}, {_quoted(second)}]"
    return hashlib.sha256(parts.encode()).hexdigest()[:32]
