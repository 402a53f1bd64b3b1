"""What a store does with sparse vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from bicross.errors import CollectionNotFoundError
from bicross.stores import inputs
from bicross.stores.batches import batches
from bicross.stores.binding import check_writable
from bicross.stores.filters import Filter
from bicross.stores.reading import READ_BATCH, existing, pages, retrieve
from bicross.stores.reads import Reads
from bicross.stores.schema import SparseRecord
from bicross.stores.sparse_checks import SPARSE_BYTES_PER_ENTRY, check_slot, check_sparse, check_sparse_rows
from bicross.types import Hit, Passage, SparseVector


class SparseSide(Reads):
    """A collection whose passages may have a sparse vector beside the dense one."""

    def search_sparse(self, vector: SparseVector, top_k: int = 10, filter: Filter | None = None) -> list[Hit]:
        """The passages that share entries with a sparse query, by the dot product.

        Where the collection's sparse vector has Qdrant's IDF modifier, as this package's own have for BM25, each entry
        of the query is first multiplied by ``ln((N − n + 0.5) / (n + 0.5) + 1)``: N passages with a sparse vector, n
        of them with this entry, whatever the filter. A passage without a shared entry isn't a hit.

        Args:
            vector: The query.
            top_k: How many hits.
            filter: Only passages that match.

        Returns:
            Hits by falling score, equal scores by id. Empty where there is no collection.

        Raises:
            InputError: The vector can't be searched for.
            FilterError: The filter isn't understood.
            StoreError: The collection has no sparse vector, or its layout isn't understood.
        """
        return self._search([check_sparse(vector, "query")], top_k, filter)[0]

    def search_both(
        self, vector: Any, sparse: SparseVector, top_k: int = 10, filter: Filter | None = None
    ) -> tuple[list[Hit], list[Hit]]:
        """`search` and `search_sparse` in one round trip.

        Args:
            vector: The dense query. **Shape:** (dimension,).
            sparse: The sparse query.
            top_k: How many hits of each.
            filter: Only passages that match.

        Returns:
            The hits of the dense vector, and those of the sparse one.

        Raises:
            BicrossError: As `search` and `search_sparse`.
        """
        dense, lexical = self._search([vector, check_sparse(sparse, "query")], top_k, filter)
        return dense, lexical

    def sparse_vectors(self, ids: Sequence[str]) -> dict[str, SparseVector]:
        """The sparse vectors of those passages that the collection holds and that have one, by id."""
        transport, layout = self._readable()
        if layout.sparse is None:
            return {}
        asked = {layout.point_id(item): item for item in inputs.check_ids(ids)}
        rows = retrieve(transport, list(asked), (), vectors="sparse")
        return {asked[row.id]: row.sparse for row in rows if row.sparse is not None}

    def count_without_sparse(self) -> int:
        """Number of passages that have no sparse vector."""
        transport, layout = self._readable()
        if transport.header() is None:
            return 0
        return transport.count(None, without_sparse=layout.sparse is not None)

    def scroll_without_sparse(self, batch_size: int = READ_BATCH) -> Iterator[Passage]:
        """The passages that have no sparse vector, fetched batch by batch; they may get one meanwhile."""
        transport, layout = self._readable()
        if transport.header() is not None:
            check_slot(layout, self._collection)
        rows = pages(self._ready, None, None, batch_size, without_sparse=True)
        return (layout.passage(row.id, row.payload, self.place) for row in rows)

    def update_sparse(self, ids: Sequence[str], vectors: Sequence[SparseVector]) -> int:
        """Replace the sparse vectors of stored passages, and nothing else of them; of duplicates, the last counts.

        Args:
            ids: Whose.
            vectors: One each.

        Returns:
            How many were replaced: those that the collection holds.

        Raises:
            InputError: A vector can't be stored; the message names its position.
            StoreError: Another program filled the collection, and it isn't adopted; or it has no sparse vector.
        """
        transport = self._ready()
        asked = inputs.check_ids(ids)
        checked = check_sparse_rows(vectors, len(asked), "ids")
        layout = transport.layout()
        if transport.header() is None:
            return 0
        check_writable(transport, self._collection)
        check_slot(layout, self._collection)
        last = {layout.point_id(item): checked[position] for position, item in enumerate(asked)}
        found = existing(transport, list(last))
        sizes = [64 + SPARSE_BYTES_PER_ENTRY * len(last[point]) for point in found]
        for start, end in batches(sizes):
            transport.update_sparse([(point, last[point]) for point in found[start:end]], sum(sizes[start:end]))
        return len(found)

    def begin_sparse(self, record: SparseRecord) -> None:
        """Remove the sparse vectors of all passages, and note what makes the new ones.

        Killed in between, the collection says that this is to be done again.

        Raises:
            CollectionNotFoundError: There is no collection.
            StoreError: Another program filled it, and it isn't adopted; or it has no sparse vector.
        """
        self.record_sparse(replace(record, state="reset"))
        self._ready().reset_sparse(idf=record.idf)
        self.record_sparse(record)

    def record_sparse(self, record: SparseRecord) -> None:
        """Note what makes the collection's sparse vectors, which it has none of or which are this encoder's.

        Raises:
            CollectionNotFoundError: There is no collection.
            StoreError: Another program filled it, and it isn't adopted.
        """
        transport = self._ready()
        header = transport.header()
        if header is None:
            raise CollectionNotFoundError(f"{self.place} has no collection {self._collection!r}.")
        check_writable(transport, self._collection)
        check_slot(transport.layout(), self._collection)
        transport.write_header(replace(header, sparse=record))
