"""ExactStore: passages in memory, searched by brute force; what the other stores' answers are measured against."""
# ruff: noqa: D102  (the methods are described by Transport)

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from bicross.stores.conditions import Node, matches
from bicross.stores.layouts import NATIVE, Layout
from bicross.stores.schema import Header
from bicross.stores.store import Store
from bicross.stores.transport import Point, Row, Transport
from bicross.types import Floats

_SCORED_AT_ONCE = 8192


class ExactStore(Store):
    """An in-memory store without approximation, with the interface and the rules of `QdrantStore`.

    For tests, small corpora and as the oracle. Nothing is written to disk.

    Args:
        collection: A name, for messages.
    """

    def __init__(self, collection: str = "default") -> None:
        super().__init__(MemoryTransport(collection), collection, hnsw_ef=1)

    def __repr__(self) -> str:
        return f"ExactStore(collection={self._collection!r})"


class MemoryTransport:
    """One collection in Python objects."""

    place = "memory"

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._lock = threading.RLock()
        self._header: Header | None = None
        self._points: dict[str, Point] = {}
        self._index: tuple[list[str], Floats] | None = None

    def header(self) -> Header | None:
        return self._header

    def layout(self, *, fresh: bool = False) -> Layout:  # noqa: ARG002
        return NATIVE

    def create(self, header: Header) -> Header:
        with self._lock:
            self._header = self._header or header
            return self._header

    def write_header(self, header: Header) -> None:
        self._header = header

    def drop(self) -> None:
        with self._lock:
            self._header, self._points, self._index = None, {}, None

    def collections(self) -> Iterator[tuple[str, Transport]]:
        yield self._collection, self

    def sizes(self) -> tuple[int, int | None]:
        return 0, None

    def upsert(self, points: Sequence[Point], size: int) -> None:  # noqa: ARG002
        with self._lock:
            cosine = self._header is not None and self._header.distance == "cosine"
            for point in points:
                vector = _normalised(point.vector) if cosine else point.vector.copy()
                self._points[point.id] = point._replace(vector=vector)
            self._index = None

    def overwrite(self, payloads: Sequence[tuple[str, dict[str, Any]]], size: int) -> None:  # noqa: ARG002
        with self._lock:
            for point, payload in payloads:
                if point in self._points:
                    self._points[point] = self._points[point]._replace(payload=payload)

    def delete(self, ids: Sequence[str]) -> None:
        with self._lock:
            for point in ids:
                self._points.pop(point, None)
            self._index = None

    def retrieve(self, ids: Sequence[str], fields: Sequence[str] | None, *, vectors: bool = False) -> list[Row]:
        with self._lock:
            found = [self._points[point] for point in ids if point in self._points]
        return [Row(point.id, _read(point, fields), point.vector.tolist() if vectors else None) for point in found]

    def scroll(self, node: Node | None, fields: Sequence[str] | None, limit: int, start: Any) -> tuple[list[Row], Any]:
        with self._lock:
            ids = sorted(point for point in self._points if start is None or point >= start)
            found: list[Row] = []
            for point in ids:
                if matches(node, self._points[point].payload):
                    if len(found) == limit:
                        return found, point
                    found.append(Row(point, _read(self._points[point], fields)))
        return found, None

    def count(self, node: Node | None) -> int:
        with self._lock:
            return sum(matches(node, point.payload) for point in self._points.values())

    def query(self, vector: Floats, limit: int, ef: int, node: Node | None) -> list[Row]:  # noqa: ARG002
        with self._lock:
            if self._header is None:
                return []
            ids, matrix = self._matrix()
            chosen = np.array([matches(node, self._points[point].payload) for point in ids], dtype=bool)
            scores = _scores(matrix, _normalised(vector) if self._header.distance == "cosine" else vector)
            scores[~chosen] = -np.inf
            best = np.argsort(-scores, kind="stable")[: min(limit, int(chosen.sum()))]
            return [Row(ids[i], _read(self._points[ids[i]], None), None, float(scores[i])) for i in best]

    def query_groups(self, *_: Any) -> None:
        return None

    def optimize(self) -> bool:
        return False

    def flush(self) -> None:
        return None

    def close(self) -> None:
        return None

    def _matrix(self) -> tuple[list[str], Floats]:
        """All ids and vectors. **Shape:** (number of points, dimension)."""
        if self._index is None:
            dimension = self._header.dimension if self._header else 0
            rows = [point.vector for point in self._points.values()]
            self._index = list(self._points), np.array(rows, dtype=np.float32).reshape(len(rows), dimension)
        return self._index


def _normalised(vector: Floats) -> Floats:
    """A vector of length 1; a zero vector stays one. **Shape:** (dimension,)."""
    exact = vector.astype(np.float64)
    length = np.linalg.norm(exact)
    return (exact / length).astype(np.float32) if length else vector.copy()


def _scores(matrix: Floats, query: Floats) -> Floats:
    """Dot products. **Shape:** (n, dimension), (dimension,) → (n,)."""
    # In float64 and rounded, because float32 sums depend on a row's place in the matrix: equal rows must score equally.
    exact = query.astype(np.float64)
    parts = [matrix[i : i + _SCORED_AT_ONCE].astype(np.float64) @ exact for i in range(0, len(matrix), _SCORED_AT_ONCE)]
    return np.concatenate([np.zeros(0), *parts]).astype(np.float32)


def _read(point: Point, fields: Sequence[str] | None) -> dict[str, Any]:
    names = point.payload if fields is None else [name for name in fields if name in point.payload]
    return {name: copy.deepcopy(point.payload[name]) for name in names}
