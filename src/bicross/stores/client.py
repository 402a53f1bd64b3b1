"""The transport over qdrant-client: a Qdrant server, a cluster, or the client's in-memory imitation of one."""
# ruff: noqa: D102  (the methods are described by Transport and Dialect)

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from qdrant_client import QdrantClient, models

from bicross.errors import BicrossWarning, CollectionNotFoundError, StoreError
from bicross.stores.client_classes import (
    ClientDialect,
    answers,
    row_of,
    selection,
    vectors_of,
    wire_id,
    wire_sparse,
)
from bicross.stores.conditions import Missing, Node
from bicross.stores.connection import Connection, is_local
from bicross.stores.detection import PEEKED, RECORD, Keys, VectorShape, record_of, understand
from bicross.stores.layouts import NATIVE, Layout
from bicross.stores.paths import Path
from bicross.stores.schema import SPARSE, Header
from bicross.stores.transport import (
    Noteless,
    Point,
    Row,
    Search,
    Transport,
    address,
    as_lists,
    translate,
    unless_sparse,
)
from bicross.types import Floats, SparseVector

T = TypeVar("T")
_DISTANCES = {"cosine": models.Distance.COSINE, "dot": models.Distance.DOT}


class ClientTransport(Noteless):
    """One collection of a server, or of a client that the caller made."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self.place = connection.place
        self._collection = connection.collection
        self._connection = connection
        self._keys = keys
        self._known: tuple[Header, Layout] | None = None
        self._peeked = 0

    def _call(self, action: str, request: Callable[[QdrantClient], T]) -> T:
        try:
            return self._connection.call(action, request)
        except CollectionNotFoundError:
            self._known = None
            raise

    def _open(self) -> tuple[Header, Layout] | None:
        if self._known is None:
            with contextlib.suppress(CollectionNotFoundError):
                info = self._call("open", lambda client: client.get_collection(self._collection))
                known = self._understood(info)
                if known[1].adopted or self._peeked:  # an empty one may be filled in another layout at any time
                    self._known = known
                return known
        return self._known

    def _understood(self, info: models.CollectionInfo) -> tuple[Header, Layout]:
        params = info.config.params
        vectors = {"": params.vectors} if isinstance(params.vectors, models.VectorParams) else params.vectors or {}
        return understand(
            f"collection {self._collection!r} at {self.place}",
            vectors={
                name: VectorShape(one.size, one.distance.value, one.multivector_config is not None)
                for name, one in vectors.items()
            },
            sparse={name: one.modifier == models.Modifier.IDF for name, one in (params.sparse_vectors or {}).items()},
            metadata=info.config.metadata or {},
            peek=self._peek,
            keys=self._keys,
        )

    def _described(self) -> models.CollectionInfo:
        return self._call("describe", lambda client: client.get_collection(self._collection))

    def _peek(self) -> list[tuple[str, Mapping[str, Any]]]:
        records, _ = self._call("read", lambda client: client.scroll(self._collection, limit=PEEKED, with_payload=True))
        self._peeked = len(records)
        return [(str(record.id), record.payload or {}) for record in records]

    def header(self) -> Header | None:
        known = self._open()
        return known[0] if known else None

    def layout(self, *, fresh: bool = False) -> Layout:
        if fresh and self._known is not None and not self._known[1].adopted:
            self._known = None
        known = self._open()
        return known[1] if known else self._keys.applied(NATIVE)

    def create(self, header: Header) -> Header:
        layout = self._keys.applied(NATIVE)
        vector = models.VectorParams(size=header.dimension, distance=_DISTANCES[header.distance])

        def make(client: QdrantClient) -> None:
            if not client.collection_exists(self._collection):
                client.create_collection(
                    self._collection,
                    vectors_config={layout.vector: vector} if layout.vector else vector,
                    sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                    metadata={RECORD: record_of(header, layout)},
                )
            self._index(client, layout)

        try:
            self._call("create", make)
        except StoreError:
            if self.header() is None:  # else another client was faster
                raise
        return self.header() or header

    def _index(self, client: QdrantClient, layout: Layout) -> None:
        if not is_local(client):
            for path in layout.indexed:
                client.create_payload_index(
                    self._collection, address(path), models.PayloadSchemaType.KEYWORD, wait=True
                )

    def write_header(self, header: Header) -> None:
        layout = replace(self.layout(), adopted=True)
        metadata = {RECORD: record_of(header, layout)}
        self._call("update", lambda client: client.update_collection(self._collection, metadata=metadata))
        written = self._call("open", lambda client: client.get_collection(self._collection)).config.metadata or {}
        if written.get(RECORD) != metadata[RECORD]:
            raise StoreError(
                f"A collection's metadata says which model filled it; the server at {self.place} kept "
                f"{written.get(RECORD)!r} instead. Upgrade it to a Qdrant release that has collection metadata."
            )
        self._call("update", lambda client: self._index(client, layout))
        self._known = header, layout

    def drop(self) -> None:
        with contextlib.suppress(CollectionNotFoundError):
            self._call("drop", lambda client: client.delete_collection(self._collection))
        self._known = None

    def collections(self) -> Iterator[tuple[str, Transport]]:
        found = self._call("list", lambda client: client.get_collections()).collections
        for name in (item.name for item in found):
            keys = self._keys if name == self._collection else Keys()
            transport = ClientTransport(self._connection.sibling(name), keys)
            try:
                info = transport._described()
            except CollectionNotFoundError:
                continue  # dropped since it was listed
            try:
                transport._known = transport._understood(info)
            except StoreError as error:
                warnings.warn(f"Left out: {error}", BicrossWarning, stacklevel=2)
                continue
            yield name, transport

    def sizes(self) -> tuple[int, int | None]:
        return self._described().indexed_vectors_count or 0, None

    def upsert(self, points: Sequence[Point], size: int) -> None:  # noqa: ARG002
        layout = self.layout()
        batch = [
            models.PointStruct(id=wire_id(point.id), vector=vectors_of(point, vector, layout), payload=point.payload)
            for point, vector in zip(points, as_lists(points), strict=True)
        ]
        self._call("write", lambda client: client.upsert(self._collection, batch, wait=True))

    def overwrite(self, payloads: Sequence[tuple[str, dict[str, Any]]], size: int) -> None:  # noqa: ARG002
        operations = [
            models.OverwritePayloadOperation(
                overwrite_payload=models.SetPayload(points=[wire_id(point)], payload=payload)
            )
            for point, payload in payloads
        ]
        self._call("write", lambda client: client.batch_update_points(self._collection, operations, wait=True))

    def delete(self, ids: Sequence[str]) -> None:
        selector = models.PointIdsList(points=list(map(wire_id, ids)))
        self._call("write", lambda client: client.delete(self._collection, selector, wait=True))

    def update_sparse(self, vectors: Sequence[tuple[str, SparseVector]], size: int) -> None:  # noqa: ARG002
        name = self._slot()
        batch = [
            models.PointVectors(id=wire_id(point), vector={name: wire_sparse(vector)}) for point, vector in vectors
        ]
        self._call("write", lambda client: client.update_vectors(self._collection, batch, wait=True))

    def reset_sparse(self, *, idf: bool) -> None:
        name = self._slot()
        modifier = models.Modifier.IDF if idf else models.Modifier.NONE
        if idf != self.layout().idf:
            config = {name: models.SparseVectorParams(modifier=modifier)}
            self._call(
                "update", lambda client: client.update_collection(self._collection, sparse_vectors_config=config)
            )
            self._known = None
            if self.layout().idf != idf:
                raise StoreError(
                    f"Sparse vector {name!r} of collection {self._collection!r} needs the modifier {modifier.value!r}; "
                    f"the server at {self.place} kept the other one. Index again with recreate=True."
                )
        everything = models.Filter()
        self._call("write", lambda client: client.delete_vectors(self._collection, [name], everything, wait=True))

    def _slot(self) -> str:
        name = self.layout().sparse
        if name is None:
            raise StoreError(f"Collection {self._collection!r} at {self.place} has no sparse vector.")
        return name

    def retrieve(self, ids: Sequence[str], fields: Sequence[str] | None, *, vectors: str | None = None) -> list[Row]:
        layout = self.layout()
        name = {None: None, "dense": layout.vector, "sparse": layout.sparse}[vectors]
        wanted: bool | list[str] = [name] if name else name is not None
        records = self._call(
            "read",
            lambda client: client.retrieve(
                self._collection, list(map(wire_id, ids)), with_payload=selection(fields), with_vectors=wanted
            ),
        )
        return [row_of(record, layout) for record in records]

    def scroll(
        self, node: Node | None, fields: Sequence[str] | None, limit: int, start: Any, *, without_sparse: bool = False
    ) -> tuple[list[Row], Any]:
        condition = self._condition(node, without_sparse=without_sparse)
        records, following = self._call(
            "read",
            lambda client: client.scroll(
                self._collection, condition, limit=limit, offset=start, with_payload=selection(fields)
            ),
        )
        return [row_of(record) for record in records], following

    def count(self, node: Node | None, *, without_sparse: bool = False) -> int:
        condition = self._condition(node, without_sparse=without_sparse)
        return self._call("count", lambda client: client.count(self._collection, condition, exact=True)).count

    def query(self, searches: Sequence[Search], node: Node | None) -> list[list[Row]]:
        condition = self._condition(node)
        asked = [self._asked(search, condition) for search in searches]
        responses = self._call("search", lambda client: answers(client, self._collection, asked))
        return [[row_of(point) for point in response.points] for response in responses]

    def query_groups(
        self, vector: Floats, path: Path, limit: int, size: int, ef: int, node: Node | None
    ) -> list[list[Row]]:
        condition, layout = self._condition(node), self.layout()
        place = layout.located(Missing(path))
        result = self._call(
            "search",
            lambda client: client.query_points_groups(
                self._collection,
                address(place.path if isinstance(place, Missing) else path),
                query=vector.tolist(),
                using=layout.vector or None,
                query_filter=condition,
                search_params=None if is_local(client) else models.SearchParams(hnsw_ef=ef),
                limit=limit,
                group_size=size,
                with_payload=True,
            ),
        )
        return [[row_of(point) for point in group.hits] for group in result.groups]

    def _asked(self, search: Search, condition: models.Filter | None) -> models.QueryRequest:
        vector = search.vector
        sparse = isinstance(vector, SparseVector)
        return models.QueryRequest(
            query=wire_sparse(vector) if isinstance(vector, SparseVector) else vector.tolist(),
            using=self._slot() if sparse else self.layout().vector or None,
            filter=condition,
            params=models.SearchParams(hnsw_ef=search.ef) if search.ef else None,
            limit=search.limit,
            with_payload=True,
        )

    def _condition(self, node: Node | None, *, without_sparse: bool = False) -> models.Filter | None:
        layout, dialect = self.layout(), ClientDialect()
        found = None if node is None else translate(layout.located(node), dialect, layout.point_id)
        filter: models.Filter | None = unless_sparse(found, self._slot(), dialect) if without_sparse else found
        return filter

    def optimize(self) -> bool:
        return False

    def flush(self) -> None:
        return None

    def close(self) -> None:
        self._connection.close()
