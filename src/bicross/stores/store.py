"""What every store can do, whichever engine holds the points."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np

from bicross.errors import (
    ClosedError,
    CollectionNotFoundError,
    ConfigurationError,
    FilterError,
    ForkedProcessError,
)
from bicross.stores import inputs
from bicross.stores.batches import JSON_BYTES_PER_NUMBER, batches, payloads_of, size_of
from bicross.stores.binding import check_binding
from bicross.stores.conditions import Node
from bicross.stores.filters import Filter, parse
from bicross.stores.schema import (
    DISTANCES,
    CollectionInfo,
    Header,
    Stamp,
    passage_of,
    point_id,
    stamp_in,
)
from bicross.stores.transport import Point, Row, Transport
from bicross.types import Floats, Hit, Passage

_READ_BATCH = 1000
_TIE_MARGIN = 8
_MAX_TIES = 16_384
_STAMP_FIELDS = ("id", "hash", "meta_hash", "sync")


class Store:
    """Passages with their vectors in one collection; the base of `QdrantStore` and `ExactStore`.

    Thread-safe. Vectors of a ``cosine`` collection are kept, and come back, L2-normalised. A write that returned
    survives the process being killed at any moment; `flush` makes it survive a power failure, too.
    """

    def __init__(self, transport: Transport, collection: str, hnsw_ef: int) -> None:
        self._transport = transport
        self._collection = collection
        self._hnsw_ef = inputs.check_at_least_one(hnsw_ef, "hnsw_ef")
        self._process: int | None = None
        self._closed = False
        self._finalizer = weakref.finalize(self, transport.close)

    @property
    def collection(self) -> str:
        """The collection's name."""
        return self._collection

    @property
    def place(self) -> str:
        """Where the collection is: a folder or an address, without any secret."""
        return self._transport.place

    # --- the collection -------------------------------------------------------------------------------------------

    def info(self) -> CollectionInfo | None:
        """The collection as it is now; None where there is none."""
        return _describe(self._ready(), self._collection)

    def collections(self) -> list[CollectionInfo]:
        """All collections at this store's place, by name."""
        found = (_describe(transport, name) for name, transport in self._ready().collections())
        return sorted((info for info in found if info is not None), key=lambda info: info.name)

    def bind(
        self,
        *,
        dimension: int,
        fingerprint: str | None = None,
        model: str | None = None,
        revision: str | None = None,
        distance: str = "cosine",
    ) -> None:
        """Create the collection for an encoder, or check that the existing one is that encoder's.

        Args:
            dimension: Length of the encoder's vectors.
            fingerprint: Its document fingerprint; None leaves the model unchecked.
            model: Its name or folder, recorded in a new collection.
            revision: Its revision, recorded in a new collection.
            distance: ``cosine`` or ``dot``.

        Raises:
            FingerprintMismatchError: Another model, or nobody knows which, filled the collection.
            DimensionMismatchError: It holds vectors of another length.
            StoreError: It compares vectors by another distance.
        """
        if distance not in DISTANCES:
            raise ConfigurationError(f"distance is one of {', '.join(DISTANCES)}; got {distance!r}.")
        dimension = inputs.check_at_least_one(dimension, "dimension")
        wanted = Header(dimension, distance, fingerprint, model, revision)
        transport = self._ready()
        stored = transport.header() or transport.create(wanted)
        unclaimed = stored.fingerprint is None and fingerprint is not None
        if unclaimed and (stored.dimension, stored.distance) == (dimension, distance) and transport.count(None) == 0:
            stored = replace(stored, fingerprint=fingerprint, model=model, revision=revision)
            transport.write_header(stored)
        check_binding(self._collection, stored, wanted)

    def drop(self) -> None:
        """Remove the collection with everything in it. Without a collection, nothing happens."""
        self._ready().drop()

    # --- writing --------------------------------------------------------------------------------------------------

    def upsert(self, passages: Sequence[Passage], vectors: Any, *, sync: str | None = None) -> None:
        """Write passages with their vectors, replacing those with the same id; of duplicates in a call, the last.

        Everything is validated before anything is written. The first upsert creates the collection where `bind`
        didn't, without a fingerprint.

        Args:
            passages: What to store. Dates in meta become ISO strings.
            vectors: One each. **Shape:** (len(passages), dimension).
            sync: Name of the sync that these passages belong to.

        Raises:
            InputError: A passage or vector can't be stored; the message names its position.
            DimensionMismatchError: The collection holds vectors of another length.
            StorageFullError: The disk is nearly full.
        """
        transport = self._ready()
        checked = inputs.check_passages(passages)
        matrix = inputs.check_matrix(vectors, len(checked))
        payloads = payloads_of(checked, sync)
        if not checked:
            return
        header = transport.header()
        if header is not None:
            inputs.check_dimension(matrix.shape[1], header.dimension, self._collection)
        row_bytes = matrix.shape[1] * JSON_BYTES_PER_NUMBER
        last = {passage.id: position for position, passage in enumerate(checked)}
        sizes = [size_of(payloads[position], row_bytes, position) for position in last.values()]
        if header is None:
            transport.create(Header(matrix.shape[1]))
        positions = list(last.values())
        for start, end in batches(sizes):
            points = [Point(point_id(checked[i].id), payloads[i], matrix[i]) for i in positions[start:end]]
            transport.upsert(points, sum(sizes[start:end]))

    def set_payload(self, passages: Sequence[Passage], *, sync: str | None = None) -> int:
        """Replace everything about stored passages but their vectors.

        Returns:
            How many were replaced: those that the collection holds.

        Raises:
            InputError: A passage can't be stored; the message names its position.
        """
        transport = self._ready()
        checked = inputs.check_passages(passages)
        payloads = payloads_of(checked, sync)
        if transport.header() is None:
            return 0
        last = {point_id(passage.id): position for position, passage in enumerate(checked)}
        found = self._existing(list(last))
        sizes = [size_of(payloads[last[point]], 0, last[point]) for point in found]
        for start, end in batches(sizes):
            transport.overwrite([(point, payloads[last[point]]) for point in found[start:end]], sum(sizes[start:end]))
        return len(found)

    def delete(self, ids_or_filter: Sequence[str] | Filter) -> int:
        """Remove passages by id or by filter.

        Returns:
            How many were removed.

        Raises:
            FilterError: The filter isn't understood, or is empty.
        """
        transport = self._ready()
        if isinstance(ids_or_filter, Mapping):
            node = parse(ids_or_filter)
            if node is None:
                raise FilterError(f"delete takes ids or a filter; got {ids_or_filter!r}. To remove all, use drop().")
            # By id even here: the removed are counted, and no filter gets into the engine's write-ahead log.
            points = [row.id for row in self._rows(node, (), _READ_BATCH)]
        else:
            asked = inputs.check_ids(ids_or_filter)
            points = self._existing(list(dict.fromkeys(map(point_id, asked))))
        for start in range(0, len(points), _READ_BATCH):
            transport.delete(points[start : start + _READ_BATCH])
        return len(points)

    # --- reading --------------------------------------------------------------------------------------------------

    def stamps(self, ids: Sequence[str]) -> dict[str, Stamp]:
        """What a sync compares, for those of the ids that the collection holds."""
        rows = self._retrieve([point_id(item) for item in inputs.check_ids(ids)], _STAMP_FIELDS)
        return {row.payload["id"]: stamp_in(row.payload) for row in rows if "id" in row.payload}

    def get(self, ids: Sequence[str]) -> list[Passage]:
        """Those of the passages that the collection holds, in the order asked for."""
        asked = [point_id(item) for item in inputs.check_ids(ids)]
        found = {row.id: passage_of(row.payload, self.place) for row in self._retrieve(asked, None)}
        return [found[point] for point in asked if point in found]

    def vectors(self, ids: Sequence[str]) -> tuple[list[str], Floats]:
        """The stored vectors of those passages that the collection holds, in the order asked for.

        Returns:
            The ids found, and their vectors, L2-normalised in a cosine collection. **Shape:** (found, dimension).
        """
        asked = {point_id(item): item for item in inputs.check_ids(ids)}
        rows = {row.id: row.vector for row in self._retrieve(list(asked), (), vectors=True)}
        found = [point for point in asked if rows.get(point) is not None]
        header = self._ready().header()
        matrix = np.array([rows[point] for point in found], dtype=np.float32)
        return [asked[point] for point in found], matrix.reshape(len(found), header.dimension if header else 0)

    def count(self, filter: Filter | None = None) -> int:
        """Number of passages, or of those that match a filter."""
        transport, node = self._ready(), parse(filter)
        return 0 if transport.header() is None else transport.count(node)

    def scroll(self, filter: Filter | None = None, batch_size: int = _READ_BATCH) -> Iterator[Passage]:
        """All passages, or those that match a filter, in no particular order, fetched batch by batch.

        A passage written or removed meanwhile may or may not appear.
        """
        self._ready()
        rows = self._rows(parse(filter), None, inputs.check_at_least_one(batch_size, "batch_size"))
        return (passage_of(row.payload, self.place) for row in rows)

    def ids(self, filter: Filter | None = None) -> Iterator[str]:
        """The ids of all passages, or of those that match a filter, in no particular order."""
        self._ready()
        rows = self._rows(parse(filter), ("id",), _READ_BATCH)
        return (str(row.payload["id"]) for row in rows if "id" in row.payload)

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
        """
        transport, node = self._ready(), parse(filter)
        query, top_k = inputs.check_query(vector), inputs.check_at_least_one(top_k, "top_k")
        header = transport.header()
        if header is None:
            return []
        inputs.check_dimension(len(query), header.dimension, self._collection)
        rows = self._nearest(query, top_k, node)[:top_k]
        return [
            Hit(passage_of(row.payload, self.place), row.score, stage1_score=row.score, stage1_rank=rank)
            for rank, row in enumerate(rows, start=1)
        ]

    # --- life -----------------------------------------------------------------------------------------------------

    def optimize(self) -> bool:
        """Build the approximate index (HNSW) over what was written; searches are exact, and slower, until then.

        Takes seconds to minutes and holds other threads up. A server does this by itself.

        Returns:
            Whether there was anything to do; False for small collections, which are searched exactly.
        """
        transport = self._ready()
        return transport.header() is not None and transport.optimize()

    def flush(self) -> None:
        """Force everything acknowledged so far to the disk, so that it survives a power failure."""
        transport = self._ready()
        if transport.header() is not None:
            transport.flush()

    def close(self) -> None:
        """Release the collection. Closing twice is fine."""
        self._closed = True
        self._finalizer()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ready(self) -> Transport:
        """The transport, if this process may use it."""
        # First of all, because a lock that another thread held at the fork stays locked for ever in the child.
        process = os.getpid()
        if self._process is None:
            self._process = process
        elif self._process != process:
            raise ForkedProcessError(
                f"{self!r} was opened in process {self._process}; this is its forked child {process}, where the engine "
                "would hang. Open a store in the child, or start it with 'spawn'."
            )
        if self._closed:
            raise ClosedError(f"{self!r} is closed. Open a new store.")
        return self._transport

    def _existing(self, points: list[str]) -> list[str]:
        found = {row.id for row in self._retrieve(points, ())}
        return [point for point in points if point in found]

    def _retrieve(self, points: list[str], fields: Sequence[str] | None, *, vectors: bool = False) -> list[Row]:
        transport = self._ready()
        rows: list[Row] = []
        if transport.header() is not None:
            for start in range(0, len(points), _READ_BATCH):
                rows += transport.retrieve(points[start : start + _READ_BATCH], fields, vectors=vectors)
        return rows

    def _rows(self, node: Node | None, fields: Sequence[str] | None, batch: int) -> Iterator[Row]:
        start = None
        while self._ready().header() is not None:
            rows, start = self._transport.scroll(node, fields, batch, start)
            yield from rows
            if start is None:
                return

    def _nearest(self, query: Floats, top_k: int, node: Node | None) -> list[Row]:
        """At least the top_k best rows, and all that share the last one's score, in the fixed order."""
        limit = top_k + _TIE_MARGIN
        while True:
            try:
                rows = self._transport.query(query, limit, max(self._hnsw_ef, limit), node)
            except CollectionNotFoundError:
                return []
            rows.sort(key=lambda row: (-row.score, str(row.payload.get("id"))))
            tie_at_the_cut = len(rows) == limit and rows[top_k - 1].score == rows[-1].score
            if not tie_at_the_cut or limit >= top_k + _MAX_TIES:
                return rows
            limit = min(limit * 4, top_k + _MAX_TIES)


def _describe(transport: Transport, name: str) -> CollectionInfo | None:
    header = transport.header()
    if header is None:
        return None
    indexed, size = transport.sizes()
    return CollectionInfo(
        name=name, count=transport.count(None), indexed_vectors_count=indexed, size_bytes=size, **header.to_dict()
    )
