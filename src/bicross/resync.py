"""A note of what a sync came to, so that the next one of the very same passages compares nothing.

The note is a digest of all that was passed. The store takes it back before anything is written to the collection, so
where it is there, the collection holds what the sync left in it.
"""

from __future__ import annotations

import hashlib
import json
import marshal
from collections.abc import Sequence
from typing import Any

from bicross.stores import Store
from bicross.types import IndexReport

_TOGETHER = 1_024
_MARSHAL = 2
"""The last version whose bytes depend on nothing but the values."""


def digest_of(passages: Any, source: str, *, delete_missing: bool) -> str | None:
    """Of passages and how they are synced; None where they can't be read twice, or not as plain values.

    Two digests may differ though the passages are equal (the order of a meta's fields); then they are compared.
    """
    skipped = getattr(passages, "skipped", ())
    if not isinstance(passages, Sequence) or any(getattr(each, "failed", True) for each in skipped):
        return None
    hashed = hashlib.sha256(json.dumps([source, delete_missing, len(skipped)]).encode())
    for start in range(0, len(passages), _TOGETHER):
        try:
            part = passages[start : start + _TOGETHER]
            rows = [(each.id, each.text, each.title, each.source, each.meta) for each in part]
            hashed.update(marshal.dumps(rows, _MARSHAL))
        except (AttributeError, TypeError, ValueError):  # no passage, or a meta with dates or numpy's numbers
            return None
    return hashed.hexdigest()


def recall(store: Store, source: str, digest: str) -> IndexReport | None:
    """The report of a sync that has nothing to do; None where the collection isn't known to be as it left it."""
    try:
        noted = json.loads(store.noted(source) or "null")
        same, count = noted["digest"] == digest, noted["count"]
        report = IndexReport(unchanged=noted["unchanged"], skipped=noted["skipped"], duplicates=noted["duplicates"])
    except (KeyError, TypeError, ValueError):  # none, or a damaged one
        return None
    return report if same and count == store.count() else None


def remember(store: Store, source: str, digest: str, report: IndexReport, held: int, writes: int) -> None:
    """Note what a sync came to, unless somebody has written meanwhile.

    Args:
        store: What was synced.
        source: The name of the sync.
        digest: Of what was passed.
        report: What the sync did.
        held: How many of the passages the store holds.
        writes: What the store counted when it was last compared with the passages, and held them all.
    """
    noted = {"digest": digest, "count": store.count(), "unchanged": held}
    noted |= {"skipped": report.skipped, "duplicates": report.duplicates}
    store.note(source, json.dumps(noted), writes)
