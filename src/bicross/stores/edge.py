"""The embedded transport: Qdrant's engine in this process, one shard per collection folder."""
# ruff: noqa: D102  (the methods are described by Transport and Dialect)

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import qdrant_edge as edge

from bicross.errors import ClosedError
from bicross.stores.conditions import Node
from bicross.stores.edge_classes import EdgeDialect, condition_of, row_of, rows_of, selection, wire_sparse
from bicross.stores.folder import SIDECAR
from bicross.stores.inputs import COLLECTION_NAME
from bicross.stores.layouts import NATIVE, Layout
from bicross.stores.schema import SPARSE, Header
from bicross.stores.shards import Registry, SharedShard
from bicross.stores.transport import (
    Point,
    Row,
    Search,
    Transport,
    address,
    as_lists,
    translate,
)
from bicross.types import SparseVector

_DISTANCES = {"cosine": edge.Distance.Cosine, "dot": edge.Distance.Dot}


class EdgeEngine:
    """Shards of qdrant-edge."""

    def load(self, path: Path, header: Header) -> edge.EdgeShard:
        if header.sparse is not None and header.sparse.state == "reset":
            return edge.EdgeShard.load(str(path))  # killed while the sparse slot was replaced: it may be either
        return edge.EdgeShard.load(str(path), _config(header))

    def make(self, path: Path, header: Header) -> edge.EdgeShard:
        shard = edge.EdgeShard.create(str(path), _config(header))
        for field in NATIVE.indexed:
            shard.update(edge.UpdateOperation.create_field_index(address(field), edge.PayloadSchemaType.Keyword))
        shard.flush()
        return shard

    def count(self, shard: edge.EdgeShard) -> int:
        return shard.count(edge.CountRequest())

    def unindexed(self, shard: edge.EdgeShard) -> int:
        return max(self.count(shard) - shard.info().indexed_vectors_count, 0)


_registry = Registry(EdgeEngine())
os.register_at_fork(after_in_child=_registry.forget)


class EdgeTransport:
    """One collection under a folder; None as the folder = a temporary one, deleted on close."""

    def __init__(self, root: Path | None, collection: str) -> None:
        self._root = root
        self._collection = collection
        self._temporary = root is None
        self._lock = threading.Lock()
        self._held: SharedShard | None = None
        self._process: int | None = None
        self._closed = False

    @property
    def place(self) -> str:
        return ":memory:" if self._temporary else str(self._root)

    def _shared(self) -> SharedShard:
        held = self._held
        if held is None:
            with self._lock:
                if self._closed:
                    raise ClosedError(f"The store of collection {self._collection!r} was closed meanwhile.")
                if self._held is None:
                    self._process = os.getpid()
                    self._root = self._root or Path(tempfile.mkdtemp(prefix="bicross-"))
                    self._held = _registry.acquire(self._root / self._collection)
                held = self._held
        return held

    def header(self) -> Header | None:
        return self._shared().open()

    def layout(self, *, fresh: bool = False) -> Layout:  # noqa: ARG002
        header = self._shared().header
        return NATIVE if header is None or header.sparse is None else replace(NATIVE, idf=header.sparse.idf)

    def create(self, header: Header) -> Header:
        return self._shared().create(header)

    def write_header(self, header: Header) -> None:
        self._shared().write_header(header)

    def drop(self) -> None:
        self._shared().drop()

    def collections(self) -> Iterator[tuple[str, Transport]]:
        root = self._shared().folder.path.parent
        for sidecar in sorted(root.glob(f"*/{SIDECAR}")):
            name = sidecar.parent.name
            if COLLECTION_NAME.fullmatch(name):
                transport = EdgeTransport(root, name)
                try:
                    yield name, transport
                finally:
                    transport.close()

    def sizes(self) -> tuple[int, int | None]:
        with self._reading() as shard:
            indexed = shard.info().indexed_vectors_count
        return indexed, self._shared().folder.size()

    def upsert(self, points: Sequence[Point], size: int) -> None:
        batch = [
            edge.Point(
                point.id,
                vector if point.sparse is None else {"": vector, SPARSE: wire_sparse(point.sparse)},
                point.payload,
            )
            for point, vector in zip(points, as_lists(points), strict=True)
        ]
        self._shared().write([edge.UpdateOperation.upsert_points(batch)], size)

    def overwrite(self, payloads: Sequence[tuple[str, dict[str, Any]]], size: int) -> None:
        overwrite = edge.UpdateOperation.overwrite_payload
        self._shared().write((overwrite([point], payload) for point, payload in payloads), size)

    def delete(self, ids: Sequence[str]) -> None:
        self._shared().write([edge.UpdateOperation.delete_points(list(ids))], 64 * len(ids))

    def update_sparse(self, vectors: Sequence[tuple[str, SparseVector]], size: int) -> None:
        batch = [edge.PointVectors(point, {SPARSE: wire_sparse(vector)}) for point, vector in vectors]
        self._shared().write([edge.UpdateOperation.update_vectors(batch)], size)

    def reset_sparse(self, *, idf: bool) -> None:
        weighing = edge.Modifier.Idf if idf else None
        self._shared().write(
            [
                edge.UpdateOperation.delete_vector_name(SPARSE),
                edge.UpdateOperation.create_sparse_vector(SPARSE, modifier=weighing),
            ],
            0,
        )
        self.flush()

    def retrieve(self, ids: Sequence[str], fields: Sequence[str] | None, *, vectors: str | None = None) -> list[Row]:
        wanted = [SPARSE if vectors == "sparse" else ""] if vectors else False
        with self._reading() as shard:
            records = shard.retrieve(list(ids), selection(fields), wanted)
        return [row_of(record) for record in records] if vectors else rows_of(records)

    def scroll(
        self, node: Node | None, fields: Sequence[str] | None, limit: int, start: Any, *, without_sparse: bool = False
    ) -> tuple[list[Row], Any]:
        condition = condition_of(node, without_sparse=without_sparse)
        request = edge.ScrollRequest(offset=start, limit=limit, filter=condition, with_payload=selection(fields))
        with self._reading() as shard:
            records, following = shard.scroll(request)
        return rows_of(records), following

    def count(self, node: Node | None, *, without_sparse: bool = False) -> int:
        condition = condition_of(node, without_sparse=without_sparse)
        with self._reading() as shard:
            return shard.count(edge.CountRequest(exact=True, filter=condition))

    def query(self, searches: Sequence[Search], node: Node | None) -> list[list[Row]]:
        condition = translate(node, EdgeDialect())
        requests = [
            edge.QueryRequest(
                limit=search.limit,
                query=edge.Query.Nearest(wire_sparse(search.vector), using=SPARSE)
                if isinstance(search.vector, SparseVector)
                else edge.Query.Nearest(search.vector.tolist()),
                filter=condition,
                params=edge.SearchParams(hnsw_ef=search.ef) if search.ef else None,
                with_payload=True,
            )
            for search in searches
        ]
        # One after the other: the engine's batch call holds up other threads, as its single one doesn't.
        with self._reading() as shard:
            return [[row_of(point) for point in shard.query(request)] for request in requests]

    def query_groups(self, *_: Any) -> None:
        return None

    def writes(self) -> int:
        return self._shared().writes()

    def noted(self, name: str) -> str | None:
        return self._shared().noted(name)

    def note(self, name: str, value: str, writes: int) -> None:
        self._shared().note(name, value, writes)

    def optimize(self) -> bool:
        return self._shared().optimize()

    def flush(self) -> None:
        self._shared().flush()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            held, self._held = self._held, None
            if held is None or self._process != os.getpid():
                return
            try:
                _registry.release(held)
            finally:
                if self._temporary and self._root is not None:
                    shutil.rmtree(self._root, ignore_errors=True)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[edge.EdgeShard]:
        with self._shared().reading() as shard:
            yield shard


def _config(header: Header) -> edge.EdgeConfig:
    weighing = edge.Modifier.Idf if header.sparse is None or header.sparse.idf else None
    return edge.EdgeConfig(
        vectors={"": edge.EdgeVectorParams(size=header.dimension, distance=_DISTANCES[header.distance])},
        sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(modifier=weighing)},
    )
