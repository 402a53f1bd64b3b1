"""Facets: which values the fields of meta have, and how often, as a filter's choices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

SPLITTERS_OWN = frozenset({"source_id", "split_id", "split_count", "split_idx_start", "split_idx_end", "start_index"})
"""What splitters note of a piece: nothing to choose by."""

Value = str | bool | int


@dataclass(frozen=True, slots=True)
class Facets:
    """The fields of meta that have few values.

    Attributes:
        fields: By field, its values with how many passages have each, the most frequent first.
        passages: How many passages were read.
        complete: Whether these were all.
    """

    fields: Mapping[str, tuple[tuple[Value, int], ...]] = field(default_factory=dict)
    passages: int = 0
    complete: bool = True


def facets_of(metas: Iterable[Mapping[str, Any]], values: int, passages: int) -> Facets:
    """Count the values of fields.

    Args:
        metas: The meta of each passage. Strings, bools and whole numbers are counted, in lists each once.
        values: A field with more values than this is left out, and so is one that says the same of every passage.
        passages: How many metas are read at most.

    >>> facets_of([{"lang": "en", "n": 1}, {"lang": "de", "n": 2}, {"lang": "en", "n": 3}], 2, 10).fields
    {'lang': (('en', 2), ('de', 1))}
    """
    counts: dict[str, Counter[tuple[type, Value]]] = {}
    too_many: set[str] = set()
    read, complete = 0, True
    for meta in metas:
        if read == passages:
            complete = False
            break
        read += 1
        for name, value in meta.items():
            if name in too_many or name in SPLITTERS_OWN:
                continue
            given = value if isinstance(value, list) else [value]
            counter = counts.setdefault(name, Counter())
            # True equals 1 in Python, and doesn't in a filter.
            counter.update({(type(each), each) for each in given if isinstance(each, Value)})
            if len(counter) > values:
                too_many.add(name)
                del counts[name]
    kept = {name: counter for name, counter in sorted(counts.items()) if _parts(counter, read)}
    return Facets({name: _ordered(counter) for name, counter in kept.items()}, read, complete)


def _parts(counter: Counter[tuple[type, Value]], read: int) -> bool:
    return len(counter) > 1 or (len(counter) == 1 and counter.total() < read)


def _ordered(counter: Counter[tuple[type, Value]]) -> tuple[tuple[Value, int], ...]:
    rows = sorted(counter.items(), key=lambda row: (-row[1], str(row[0][1])))
    return tuple((value, count) for (_, value), count in rows)
