"""The embedded transport: Qdrant's engine in this process, one shard per collection folder."""
# ruff: noqa: D102  (the methods are described by Transport and Dialect)

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from bicross.errors import ClosedError
from bicross.stores.conditions import Node
from bicross.stores.folder import SIDECAR
from bicross.stores.inputs import COLLECTION_NAME
from bicross.stores.layouts import NATIVE, Layout
from bicross.stores.schema import SPARSE, Header
from bicross.stores.shards import Registry, SharedShard, engine_errors
from bicross.stores.transport import Point, Row, Transport, address, as_lists, translate
from bicross.types import Floats

_DISTANCES = {"cosine": edge.Distance.Cosine, "dot": edge.Distance.Dot}


class EdgeEngine:
    """Shards of qdrant-edge."""

    def load(self, path: Path, header: Header) -> edge.EdgeShard:
        return edge.EdgeShard.load(str(path), _config(header))

    def make(self, path: Path, header: Header) -> edge.EdgeShard:
        shard = edge.EdgeShard.create(str(path), _config(header))
        for field in NATIVE.indexed:
            shard.update(edge.UpdateOperation.create_field_index(address(field), edge.PayloadSchemaType.Keyword))
        shard.flush()
        return shard

    def count(self, shard: edge.EdgeShard) -> int:
        return shard.count(edge.CountRequest())


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
        return NATIVE

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
            edge.Point(point.id, vector, point.payload) for point, vector in zip(points, as_lists(points), strict=True)
        ]
        self._shared().write([edge.UpdateOperation.upsert_points(batch)], size)

    def overwrite(self, payloads: Sequence[tuple[str, dict[str, Any]]], size: int) -> None:
        overwrite = edge.UpdateOperation.overwrite_payload
        self._shared().write((overwrite([point], payload) for point, payload in payloads), size)

    def delete(self, ids: Sequence[str]) -> None:
        self._shared().write([edge.UpdateOperation.delete_points(list(ids))], 64 * len(ids))

    def retrieve(self, ids: Sequence[str], fields: Sequence[str] | None, *, vectors: bool = False) -> list[Row]:
        with self._reading() as shard:
            records = shard.retrieve(list(ids), _selection(fields), vectors)
        return [_row(record) for record in records]

    def scroll(self, node: Node | None, fields: Sequence[str] | None, limit: int, start: Any) -> tuple[list[Row], Any]:
        request = edge.ScrollRequest(
            offset=start, limit=limit, filter=translate(node, EdgeDialect()), with_payload=_selection(fields)
        )
        with self._reading() as shard:
            records, following = shard.scroll(request)
        return [_row(record) for record in records], following

    def count(self, node: Node | None) -> int:
        with self._reading() as shard:
            return shard.count(edge.CountRequest(exact=True, filter=translate(node, EdgeDialect())))

    def query(self, vector: Floats, limit: int, ef: int, node: Node | None) -> list[Row]:
        request = edge.QueryRequest(
            limit=limit,
            query=edge.Query.Nearest(vector.tolist()),
            filter=translate(node, EdgeDialect()),
            params=edge.SearchParams(hnsw_ef=ef),
            with_payload=True,
        )
        with self._reading() as shard:
            return [_row(point) for point in shard.query(request)]

    def query_groups(self, *_: Any) -> None:
        return None

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
        shared = self._shared()
        with engine_errors(shared.folder.path, "read"):
            yield shared.shard


class EdgeDialect:
    """Conditions in the engine's classes."""

    def group(
        self, *, must: list[Any] | None = None, should: list[Any] | None = None, must_not: list[Any] | None = None
    ) -> edge.Filter:
        return edge.Filter(must=must, should=should, must_not=must_not)

    def has_id(self, ids: Iterable[str]) -> edge.HasIdCondition:
        return edge.HasIdCondition(set(ids))

    def is_empty(self, key: str) -> edge.IsEmptyCondition:
        return edge.IsEmptyCondition(key)

    def strings(self, key: str, values: Sequence[str]) -> edge.FieldCondition:
        return edge.FieldCondition(key, match=edge.MatchAny(list(values)))

    def exactly(self, key: str, value: bool | int) -> edge.FieldCondition:
        # qdrant-edge-py 0.9 takes a Python bool for an integer, but numpy's for what it is.
        exact: Any = np.bool_(value) if isinstance(value, bool) else value
        return edge.FieldCondition(key, match=edge.MatchValue(exact))

    def numbers(self, key: str, bounds: Mapping[str, float]) -> edge.FieldCondition:
        return edge.FieldCondition(key, range=edge.RangeFloat(**bounds))

    def dates(self, key: str, bounds: Mapping[str, datetime]) -> edge.FieldCondition:
        texts = {name: bound.isoformat() for name, bound in bounds.items()}
        return edge.FieldCondition(key, range=edge.RangeDateTime(**texts))


def _config(header: Header) -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors={"": edge.EdgeVectorParams(size=header.dimension, distance=_DISTANCES[header.distance])},
        sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
    )


def _selection(fields: Sequence[str] | None) -> bool | list[str]:
    if fields is None:
        return True
    return list(fields) if fields else False


def _row(record: edge.Record | edge.ScoredPoint) -> Row:
    vector: Any = record.vector or None
    return Row(str(record.id), record.payload or {}, vector, getattr(record, "score", 0.0))
