"""Documents instead of passages: passages that share a field's value, the best of each."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from bicross.errors import ConfigurationError, FilterError
from bicross.stores.conditions import All, AnyOf, Exactly, Ids, Missing, Node, Not, Strings
from bicross.stores.filters import Filter, field_path
from bicross.stores.inputs import check_at_least_one
from bicross.stores.paths import Path, dig, spelled
from bicross.types import Hit, Passage

Key = str | int
Fetch = Callable[[int, Node | None], list[Hit]]
"""The so many best passages that match a filter, best first."""

_LEAST_FETCHED = 64
_SURPLUS = 4


class Groupable(Protocol):
    """A store, as far as it is asked for documents."""

    def search_groups(
        self, vector: Any, group_by: str, top_k: int, group_size: int, filter: Filter | None
    ) -> list[list[Hit]]:
        """See `Store`."""
        ...


@dataclass(frozen=True, slots=True)
class Grouping:
    """What makes one document of several passages, and how many of them may appear.

    A document is the passages whose field holds the same string or whole number. A passage whose field is missing, null
    or an empty list is a document of its own, under its id. What holds anything else (a list, a fraction, …) belongs to
    no document and is left out: a Qdrant server can't group it.

    Attributes:
        path: Where the field is: ``meta`` and below, ``source`` or ``title``.
        size: Most passages of a document.
    """

    path: Path
    size: int = 1

    @classmethod
    def asked(cls, group_by: Any, group_size: Any) -> Grouping | None:
        """As `of`; None where nothing is asked for.

        Raises:
            ConfigurationError: There is a number, but no field; or as in `of`.
        """
        if group_by is None and group_size != 1:
            raise ConfigurationError(
                f"group_size={group_size!r} needs group_by, got None. Splitters write 'source_id'."
            )
        return None if group_by is None else cls.of(group_by, group_size)

    @classmethod
    def of(cls, group_by: Any, group_size: Any = 1) -> Grouping:
        """Check a field and a number of passages.

        Raises:
            ConfigurationError: The field isn't one of meta, ``source`` or ``title``; the number isn't from 1.
        """
        rule = f"group_by names a field of meta, or 'source' or 'title'; got {group_by!r}. Splitters write 'source_id'."
        try:
            path = field_path(group_by)
        except FilterError as error:
            raise ConfigurationError(rule) from error
        if path[0] not in ("meta", "source", "title"):
            raise ConfigurationError(rule)
        return cls(path, check_at_least_one(group_size, "group_size"))

    def hits_of(self, store: Groupable, vector: Any, top_k: int, filter: Filter | None) -> list[Hit]:
        """What `search_groups` finds, as one list by falling score."""
        groups = store.search_groups(vector, spelled(self.path), top_k, self.size, filter)
        return sorted((hit for group in groups for hit in group), key=_place)

    def key(self, passage: Passage) -> Key | None:
        """The document that a passage belongs to; None where it belongs to none."""
        first, *rest = self.path
        value = dig(passage.meta, tuple(rest)) if first == "meta" else getattr(passage, first)
        if value is None or value == []:
            return passage.id
        return value if isinstance(value, str | int) and not isinstance(value, bool) else None

    def count(self, hits: Iterable[Hit]) -> int:
        """How many documents there are among hits."""
        return len({key for hit in hits if (key := self.key(hit.passage)) is not None})

    def collapsed(self, hits: Iterable[Hit], top_k: int) -> list[Hit]:
        """The hits of the first `top_k` documents, at most `size` of each, in the order given."""
        seen: dict[Key, int] = {}
        kept: list[Hit] = []
        for hit in hits:
            key = self.key(hit.passage)
            if key is None or (key not in seen and len(seen) == top_k) or seen.get(key, 0) == self.size:
                continue
            seen[key] = seen.get(key, 0) + 1
            kept.append(hit)
        return kept

    def of_any(self, keys: Collection[Key]) -> Node:
        """The passages of these documents."""
        strings = tuple(key for key in keys if isinstance(key, str))
        nodes: list[Node] = [Exactly(self.path, key) for key in keys if not isinstance(key, str)]
        if strings:
            nodes += [Strings(self.path, strings), All((Missing(self.path), Ids(strings)))]
        return AnyOf(tuple(nodes))


def best_documents(
    grouping: Grouping, fetch: Fetch, top_k: int, node: Node | None, start: Sequence[Hit] = ()
) -> list[list[Hit]]:
    """The documents with the best passages, found in rounds that each leave out the documents found before.

    Args:
        grouping: What a document is.
        fetch: Finds passages.
        top_k: How many documents.
        node: Only passages that match.
        start: What the engine's own grouping has found: whole documents.

    Returns:
        The documents, the one with the best passage first; of each the best passages, the best one first.
    """
    found: dict[Key, dict[str, Hit]] = {}
    _add(grouping, found, start)
    limit = max(_LEAST_FETCHED, _SURPLUS * top_k * grouping.size)
    partial: set[Key] = set()
    while len(found) < top_k:
        before = set(found)
        hits = fetch(limit, both(node, Not(grouping.of_any(before))) if before else node)
        _add(grouping, found, hits)
        if len(hits) < limit:  # that was all, and so these documents are complete
            break
        partial |= found.keys() - before
        limit *= 2
    best = sorted(found, key=lambda key: min(map(_place, found[key].values())))[:top_k]
    unfilled = [key for key in best if key in partial and len(found[key]) < grouping.size]
    while unfilled:
        hits = fetch(limit, both(node, grouping.of_any(unfilled)))
        _add(grouping, found, hits)
        if len(hits) < limit:
            break
        unfilled = [key for key in unfilled if len(found[key]) < grouping.size]
        limit *= 2
    return _ranked([sorted(found[key].values(), key=_place)[: grouping.size] for key in best])


def joined(hits: list[Hit], others: list[Hit]) -> list[Hit]:
    """Hits, then the others that aren't among them; ranks go on."""
    known = {hit.passage.id for hit in hits}
    more = [hit for hit in others if hit.passage.id not in known]
    return hits + [replace(hit, stage1_rank=rank) for rank, hit in enumerate(more, start=len(hits) + 1)]


def both(node: Node | None, other: Node) -> Node:
    """What satisfies both."""
    return other if node is None else All((node, other))


def _ranked(groups: list[list[Hit]]) -> list[list[Hit]]:
    """Groups whose hits say their rank among all of them."""
    order = sorted((hit for group in groups for hit in group), key=_place)
    ranks = {hit.passage.id: rank for rank, hit in enumerate(order, start=1)}
    return [[replace(hit, stage1_rank=ranks[hit.passage.id]) for hit in group] for group in groups]


def _add(grouping: Grouping, found: dict[Key, dict[str, Hit]], hits: Iterable[Hit]) -> None:
    for hit in hits:
        key = grouping.key(hit.passage)
        if key is not None:
            found.setdefault(key, {})[hit.passage.id] = hit


def _place(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.passage.id
