"""ExactStore: passages in memory, searched by brute force; what the other stores' answers are measured against."""
# ruff: noqa: D102  (the methods are described by Transport)

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bicross.sparse.exact import SparseIndex
from bicross.stores.conditions import Node, matches
from bicross.stores.layouts import NATIVE, Layout
from bicross.stores.schema import Header
from bicross.stores.store import Store
from bicross.stores.transport import Noteless, Point, Row, Search, Transport
from bicross.types import Floats, SparseVector

_SCORED_AT_ONCE = 8192
_NOTHING = SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))


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


class MemoryTransport(Noteless):
    """One collection in Python objects."""

    place = "memory"

    def __init__(self, collection: str) -> None:
        self._collection = collection
        self._lock = threading.RLock()
        self._header: Header | None = None
        self._points: dict[str, Point] = {}
        self._index: tuple[list[str], Floats] | None = None
        self._postings: SparseIndex | None = None
        self._idf = True

    def header(self) -> Header | None:
        return self._header

    def layout(self, *, fresh: bool = False) -> Layout:  # noqa: ARG002
        return NATIVE if self._idf else replace(NATIVE, idf=False)

    def create(self, header: Header) -> Header:
        with self._lock:
            self._header = self._header or header
            return self._header

    def write_header(self, header: Header) -> None:
        self._header = header

    def drop(self) -> None:
        with self._lock:
            self._header, self._points, self._idf = None, {}, True
            self._forget()

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
            self._forget()

    def overwrite(self, payloads: Sequence[tuple[str, dict[str, Any]]], size: int) -> None:  # noqa: ARG002
        with self._lock:
            for point, payload in payloads:
                if point in self._points:
                    self._points[point] = self._points[point]._replace(payload=payload)

    def delete(self, ids: Sequence[str]) -> None:
        with self._lock:
            for point in ids:
                self._points.pop(point, None)
            self._forget()

    def update_sparse(self, vectors: Sequence[tuple[str, SparseVector]], size: int) -> None:  # noqa: ARG002
        with self._lock:
            for point, vector in vectors:
                if point in self._points:
                    self._points[point] = self._points[point]._replace(sparse=vector)
            self._forget()

    def reset_sparse(self, *, idf: bool) -> None:
        with self._lock:
            self._points = {point: each._replace(sparse=None) for point, each in self._points.items()}
            self._idf = idf
            self._forget()

    def _forget(self) -> None:
        self._index = self._postings = None

    def retrieve(self, ids: Sequence[str], fields: Sequence[str] | None, *, vectors: str | None = None) -> list[Row]:
        with self._lock:
            found = [self._points[point] for point in ids if point in self._points]
        if vectors == "sparse":
            return [Row(point.id, _read(point, fields), sparse=point.sparse) for point in found]
        return [Row(point.id, _read(point, fields), point.vector.tolist() if vectors else None) for point in found]

    def scroll(
        self, node: Node | None, fields: Sequence[str] | None, limit: int, start: Any, *, without_sparse: bool = False
    ) -> tuple[list[Row], Any]:
        with self._lock:
            ids = sorted(point for point in self._points if start is None or point >= start)
            found: list[Row] = []
            for point in ids:
                if self._matches(node, self._points[point], without_sparse):
                    if len(found) == limit:
                        return found, point
                    found.append(Row(point, _read(self._points[point], fields)))
        return found, None

    def count(self, node: Node | None, *, without_sparse: bool = False) -> int:
        with self._lock:
            return sum(self._matches(node, point, without_sparse) for point in self._points.values())

    def _matches(self, node: Node | None, point: Point, without_sparse: bool) -> bool:
        return not (without_sparse and point.sparse is not None) and matches(node, point.payload)

    def query(self, searches: Sequence[Search], node: Node | None) -> list[list[Row]]:
        with self._lock:
            return [self._found(search, node) for search in searches] if self._header else [[] for _ in searches]

    def _found(self, search: Search, node: Node | None) -> list[Row]:
        ids, matrix = self._matrix()
        chosen = np.array([matches(node, self._points[point].payload) for point in ids], dtype=bool)
        if isinstance(search.vector, SparseVector):
            if self._postings is None:
                vectors = [self._points[point].sparse or _NOTHING for point in ids]
                self._postings = SparseIndex(vectors, idf=self._idf)
            best, scores = self._postings.search(search.vector, search.limit, allowed=chosen)
            found = list(zip(best.tolist(), scores.tolist(), strict=True))
        else:
            cosine = self._header is not None and self._header.distance == "cosine"
            scores = _scores(matrix, _normalised(search.vector) if cosine else search.vector)
            scores[~chosen] = -np.inf
            order = np.argsort(-scores, kind="stable")[: min(search.limit, int(chosen.sum()))]
            found = [(int(i), float(scores[i])) for i in order]
        return [Row(ids[i], _read(self._points[ids[i]], None), None, score) for i, score in found]

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
