"""How rows are read through a transport: in batches, and the nearest ones in an order that never changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from bicross.errors import CollectionNotFoundError
from bicross.stores.conditions import Node
from bicross.stores.paths import Path
from bicross.stores.transport import Row, Search, Transport
from bicross.types import Floats, SparseVector

READ_BATCH = 1000
_TIE_MARGIN = 8
_MAX_TIES = 16_384


def retrieve(
    transport: Transport, points: Sequence[str], fields: Sequence[str] | None, *, vectors: str | None = None
) -> list[Row]:
    """Those of the points that exist; none where there is no collection."""
    rows: list[Row] = []
    if transport.header() is not None:
        for start in range(0, len(points), READ_BATCH):
            rows += transport.retrieve(points[start : start + READ_BATCH], fields, vectors=vectors)
    return rows


def existing(transport: Transport, points: Sequence[str]) -> list[str]:
    """Those of the points that exist, in the order given."""
    found = {row.id for row in retrieve(transport, points, ())}
    return [point for point in points if point in found]


def pages(
    ready: Callable[[], Transport],
    node: Node | None,
    fields: Sequence[str] | None,
    batch: int,
    *,
    without_sparse: bool = False,
) -> Iterator[Row]:
    """All rows that match, fetched batch by batch; `ready` is asked for the transport before each."""
    start = None
    while (transport := ready()).header() is not None:
        rows, start = transport.scroll(node, fields, batch, start, without_sparse=without_sparse)
        yield from rows
        if start is None:
            return


def nearest(
    transport: Transport, queries: Sequence[Floats | SparseVector], top_k: int, ef: int, node: Node | None
) -> list[list[Row]]:
    """For each query the top_k best rows; equal scores by the passage's id, so that short lists are prefixes."""
    limits = dict.fromkeys(range(len(queries)), top_k + _TIE_MARGIN)
    found: list[list[Row]] = [[] for _ in queries]
    while limits:  # all in one round trip, then again those with a tie at their cut
        searches = [_search(queries[place], limit, ef) for place, limit in limits.items()]
        try:
            answers = transport.query(searches, node)
        except CollectionNotFoundError:
            return [[] for _ in queries]
        passage_id = transport.layout().passage_id
        for (place, limit), rows in zip(list(limits.items()), answers, strict=True):
            rows.sort(key=lambda row: (-row.score, str(passage_id(row.id, row.payload))))
            tie_at_the_cut = len(rows) == limit and rows[top_k - 1].score == rows[-1].score
            found[place] = rows[:top_k]
            if tie_at_the_cut and limit < top_k + _MAX_TIES:
                limits[place] = min(limit * 4, top_k + _MAX_TIES)
            else:
                del limits[place]
    return found


def nearest_groups(
    transport: Transport, query: Floats, path: Path, top_k: int, group_size: int, ef: int, node: Node | None
) -> list[Row] | None:
    """The rows of the top_k best groups, and a few more; None where the engine has no grouping of its own.

    Groups, and rows of a group, that score like the last one asked for are among them.
    """
    limit, size = top_k + _TIE_MARGIN, group_size + _TIE_MARGIN // 4
    while True:
        try:
            groups = transport.query_groups(query, path, limit, size, max(ef, limit * size), node)
        except CollectionNotFoundError:
            return []
        if groups is None:
            return None
        best = sorted((group[0].score for group in groups), reverse=True)
        tie_at_the_cut = len(groups) == limit and best[top_k - 1] == best[-1]
        tie_within = any(len(group) == size and group[group_size - 1].score == group[-1].score for group in groups)
        if not (tie_at_the_cut or tie_within) or max(limit, size) >= _MAX_TIES:
            return [row for group in groups for row in group]
        limit, size = limit * 4 if tie_at_the_cut else limit, size * 4 if tie_within else size


def _search(query: Floats | SparseVector, limit: int, ef: int) -> Search:
    return Search(query, limit) if isinstance(query, SparseVector) else Search(query, limit, max(ef, limit))
