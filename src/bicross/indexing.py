"""Indexing as a sync: what a source holds is compared with what the store has of it; only the difference is done."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from bicross.bi_encoder import BiEncoder
from bicross.errors import ConfigurationError, InputTypeError, TruncationWarning
from bicross.progress import progress
from bicross.stores import Store
from bicross.stores.inputs import check_passages
from bicross.stores.schema import stamp_of
from bicross.types import Encoder, IndexReport, Passage, derive_id

T = TypeVar("T")

_ACKNOWLEDGED = 512
"""Passages that are encoded and written together: what a kill costs at most."""
_COMPARED = 4_096


@dataclass
class Plan:
    """What a sync has to do.

    Attributes:
        new: Passages that the store doesn't have.
        changed: Passages whose title or text differs.
        moved: Passages whose meta, source or owner alone differs: their vector stays.
        unchanged: How many are there already.
        missing: Ids that the source no longer holds.
    """

    new: list[Passage] = field(default_factory=list)
    changed: list[Passage] = field(default_factory=list)
    moved: list[Passage] = field(default_factory=list)
    unchanged: int = 0
    missing: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Incoming:
    """A source's passages, ready to be compared."""

    passages: list[Passage]
    blank: int
    duplicates: int
    unread: int


def prepare(passages: Iterable[Passage], source: str, *, delete_missing: bool, force: bool) -> Incoming:
    """Validate what comes in, before anything is encoded or written.

    Raises:
        InputTypeError, InputError: Something that can't be indexed; names its position.
        ConfigurationError: `delete_missing` for a source that is empty or wasn't read wholly.
    """
    unread = len(getattr(passages, "skipped", ()))
    if isinstance(passages, str | bytes | Passage) or not isinstance(passages, Iterable):
        raise InputTypeError(f"index takes a sequence of Passages, got {type(passages).__name__}. Wrap it in a list.")
    given = list(passages)
    for position, passage in enumerate(given):
        if not isinstance(passage, Passage):
            raise InputTypeError(
                f"index takes Passages, got {type(passage).__name__} at position {position}. "
                "Make one with bicross.Passage(text)."
            )
    check_passages(given)
    owned = [_owned(passage, source) for passage in given if passage.full_text.strip()]
    unique = {passage.id: passage for passage in owned}
    if delete_missing and not force and (unread or not unique):
        reason = f"{unread} of its files could not be read" if unread else "it holds no passage now"
        raise ConfigurationError(
            f"delete_missing needs a source that was read wholly, got {source!r}, and {reason}: what they held would "
            "be deleted. Mend the source, or pass force=True."
        )
    return Incoming(list(unique.values()), len(given) - len(owned), len(owned) - len(unique), unread)


def compare(store: Store, incoming: Sequence[Passage], source: str, *, delete_missing: bool) -> Plan:
    """Tell what differs from what the store holds."""
    plan = Plan()
    for part in _parts(incoming, _COMPARED):
        stored = store.stamps([passage.id for passage in part])
        for passage in part:
            old, now = stored.get(passage.id), stamp_of(passage, source)
            if old is None:
                plan.new.append(passage)
            elif old.content_hash != now.content_hash:
                plan.changed.append(passage)
            elif old != now:
                plan.moved.append(passage)
            else:
                plan.unchanged += 1
    if delete_missing:
        kept = {passage.id for passage in incoming}
        mine = store.ids({"field": "sync", "operator": "==", "value": source})
        plan.missing = [id for id in mine if id not in kept]
    return plan


def carry_out(store: Store, bi_encoder: Encoder, plan: Plan, source: str, show_progress: bool | None) -> IndexReport:
    """Encode and write what differs, in acknowledged batches; delete what is gone, last."""
    # Sorted once over the whole work, so that every batch holds texts of one length.
    work = sorted(plan.new + plan.changed, key=lambda passage: (len(passage.full_text), passage.id))
    truncated = 0
    with progress("indexing", len(work), show_progress) as advance:
        for part in _parts(work, _ACKNOWLEDGED):
            texts = [passage.full_text for passage in part]
            if isinstance(bi_encoder, BiEncoder):
                vectors, cut = bi_encoder.encode_document(texts, return_truncation=True, show_progress=False)
                truncated += int(np.count_nonzero(cut))
            else:
                vectors = bi_encoder.encode_document(texts)
            store.upsert(part, vectors, sync=source)
            store.flush()
            advance(len(part))
    for part in _parts(plan.moved, _COMPARED):
        store.set_payload(part, sync=source)
    for gone in _parts(plan.missing, _COMPARED):
        store.delete(gone)
    store.flush()
    if truncated:
        warnings.warn(
            f"{truncated} of {len(work)} passages were longer than the bi-encoder reads; the rest of them can't be "
            "found. Split them: bicross.readers.split.",
            TruncationWarning,
            stacklevel=3,
        )
    return IndexReport(
        new=len(plan.new),
        changed=len(plan.changed) + len(plan.moved),
        unchanged=plan.unchanged,
        deleted=len(plan.missing),
        truncated=truncated,
        encoded=len(work),
    )


def _owned(passage: Passage, source: str) -> Passage:
    """The passage with the sync as its source, where it names none; an id made from its source follows."""
    if passage.source is not None:
        return passage
    derived = passage.id == derive_id(None, passage.text)
    return replace(passage, source=source, id=derive_id(source, passage.text) if derived else passage.id)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
