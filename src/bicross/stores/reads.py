"""Everything that reads passages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from bicross.stores import inputs
from bicross.stores.binding import check_understood
from bicross.stores.conditions import Missing, Node
from bicross.stores.facets import Facets, facets_of
from bicross.stores.filters import Filter, parse
from bicross.stores.grouping import Grouping, best_documents, both
from bicross.stores.layouts import Layout
from bicross.stores.opened import Opened
from bicross.stores.reading import READ_BATCH, nearest, nearest_groups, pages, retrieve
from bicross.stores.sparse_checks import check_slot, check_sparse
from bicross.stores.stamps import Stamp
from bicross.stores.transport import Row, Transport
from bicross.types import Floats, Hit, Passage, SparseVector


class Reads(Opened):
    """A collection that can be read and searched; `Store` adds writing."""

    def layout(self) -> Layout:
        """How the collection's points are laid out; where there is none, how they would be."""
        return self._ready().layout()

    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]:
        """What a sync compares, for those of the ids that the collection holds."""
        transport, layout = self._readable()
        asked = {layout.point_id(item): item for item in inputs.check_ids(ids)}
        rows = retrieve(transport, list(asked), layout.stamp_fields)
        return {asked[row.id]: layout.stamp(row.id, row.payload) for row in rows if row.id in asked}

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """Those of the passages that the collection holds, in the order asked for."""
        transport, layout = self._readable()
        asked = [layout.point_id(item) for item in inputs.check_ids(ids)]
        rows = retrieve(transport, asked, None)
        found = {row.id: layout.passage(row.id, row.payload, self.place) for row in rows}
        return [found[point] for point in asked if point in found]

    def vectors(self, ids: Sequence[str]) -> tuple[list[str], Floats]:
        """The stored vectors of those passages that the collection holds, in the order asked for.

        Returns:
            The ids found, and their vectors, L2-normalised in a cosine collection. **Shape:** (found, dimension).
        """
        transport, layout = self._readable()
        asked = {layout.point_id(item): item for item in inputs.check_ids(ids)}
        rows = {row.id: row.vector for row in retrieve(transport, list(asked), (), vectors="dense")}
        found = [point for point in asked if rows.get(point) is not None]
        header = transport.header()
        matrix = np.array([rows[point] for point in found], dtype=np.float32)
        return [asked[point] for point in found], matrix.reshape(len(found), header.dimension if header else 0)

    def count(self, filter: Filter | None = None) -> int:
        """Number of passages, or of those that match a filter."""
        transport, node = self._ready(), parse(filter)
        if node is not None:
            transport, _ = self._readable()
        return 0 if transport.header() is None else transport.count(node)

    def facets(self, filter: Filter | None = None, *, values: int = 50, passages: int = 20_000) -> Facets:
        """The fields of meta with few values, and how often each value occurs: what a filter can choose by.

        Read from the passages, so that no engine needs an index on the fields.

        Args:
            filter: Only passages that match.
            values: A field with more values than this is left out.
            passages: How many are read at most; the result says whether these were all.

        Raises:
            FilterError: The filter isn't understood.
        """
        values = inputs.check_at_least_one(values, "values")
        passages = inputs.check_at_least_one(passages, "passages")
        return facets_of((passage.meta for passage in self.scroll(filter)), values, passages)

    def scroll(self, filter: Filter | None = None, batch_size: int = READ_BATCH) -> Iterator[Passage]:
        """All passages, or those that match a filter, in no particular order, fetched batch by batch.

        A passage written or removed meanwhile may or may not appear.
        """
        self._ready()
        node, batch = parse(filter), inputs.check_at_least_one(batch_size, "batch_size")
        _, layout = self._readable()
        return (layout.passage(row.id, row.payload, self.place) for row in pages(self._ready, node, None, batch))

    def ids(self, filter: Filter | None = None) -> Iterator[str]:
        """The ids of all passages, or of those that match a filter, in no particular order."""
        self._ready()
        node = parse(filter)
        _, layout = self._readable()
        rows = pages(self._ready, node, layout.id_fields, READ_BATCH)
        return (found for row in rows if (found := layout.passage_id(row.id, row.payload)) is not None)

    def search(self, vector: Any, top_k: int = 10, filter: Filter | None = None) -> list[Hit]:
        """The passages nearest to a vector.

        Args:
            vector: The query. **Shape:** (dimension,).
            top_k: How many hits.
            filter: Only passages that match.

        Returns:
            Hits by falling score, equal scores by id, so that a smaller ``top_k`` gives a prefix of a larger one.
            **Unit** of the score: cosine similarity or dot product. Empty where there is no collection.

        Raises:
            InputError: The vector isn't finite.
            DimensionMismatchError: It has another length than the collection's.
            FilterError: The filter isn't understood.
            StoreError: The collection's layout isn't understood.
        """
        return self._search([vector], top_k, filter)[0]

    def _search(self, queries: Sequence[Any], top_k: int, filter: Filter | None) -> list[list[Hit]]:
        """Hits for each query, dense or sparse, in one round trip."""
        self._ready()
        node = parse(filter)
        checked = [
            check_sparse(query, "query") if isinstance(query, SparseVector) else inputs.check_query(query)
            for query in queries
        ]
        top_k = inputs.check_at_least_one(top_k, "top_k")
        transport = self._comparable(checked)
        if transport is None:
            return [[] for _ in queries]
        return [self._hits(rows) for rows in nearest(transport, checked, top_k, self._hnsw_ef, node)]

    def search_groups(
        self,
        vector: Any,
        group_by: str = "source_id",
        top_k: int = 10,
        group_size: int = 1,
        filter: Filter | None = None,
    ) -> list[list[Hit]]:
        """The documents whose best passages are nearest to a vector; a Qdrant server groups by itself.

        Args:
            vector: The query. **Shape:** (dimension,).
            group_by: The field whose value the passages of a document share: ``source_id``, which splitters write,
                another field of meta, ``source`` or ``title``. Passages without it are documents of their own; those
                where it holds neither a string nor a whole number are left out.
            top_k: How many documents.
            group_size: Most passages of a document.
            filter: Only passages that match.

        Returns:
            One list a document, the best passage of each first; documents by their best passage. Equal scores by id.

        Raises:
            ConfigurationError: There is no such field.
            InputError, DimensionMismatchError, FilterError, StoreError: As in `search`.
        """
        self._ready()
        node, grouping = parse(filter), Grouping.of(group_by, group_size)
        query, top_k = inputs.check_query(vector), inputs.check_at_least_one(top_k, "top_k")
        transport = self._comparable([query])
        if transport is None:
            return []
        ef, path, size = self._hnsw_ef, grouping.path, grouping.size

        def fetch(limit: int, matching: Node | None) -> list[Hit]:
            return self._hits(nearest(transport, [query], limit, ef, matching)[0])

        rows = nearest_groups(transport, query, path, top_k, size, ef, node)
        start = [] if rows is None else self._hits(rows) + fetch(top_k * size, both(node, Missing(path)))
        return best_documents(grouping, fetch, top_k, node, start)

    def _comparable(self, queries: Sequence[Floats | SparseVector]) -> Transport | None:
        """The transport, if there is a collection; it holds vectors that these can be compared with."""
        transport, layout = self._readable()
        header = transport.header()
        if header is None:
            return None
        for query in queries:
            if isinstance(query, SparseVector):
                check_slot(layout, self._collection)
            else:
                inputs.check_dimension(len(query), header.dimension, self._collection)
        return transport

    def _hits(self, rows: Iterable[Row]) -> list[Hit]:
        layout = self.layout()
        return [
            Hit(layout.passage(row.id, row.payload, self.place), row.score, stage1_score=row.score, stage1_rank=rank)
            for rank, row in enumerate(rows, start=1)
        ]

    def _readable(self) -> tuple[Transport, Layout]:
        """The transport and its layout, if that is understood."""
        transport = self._ready()
        return transport, check_understood(transport.layout())
