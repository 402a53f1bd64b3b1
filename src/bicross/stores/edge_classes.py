"""Filters, points and vectors in the embedded engine's classes."""
# ruff: noqa: D102  (the methods are described by Dialect)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import qdrant_edge as edge

from bicross.stores.conditions import Node
from bicross.stores.schema import SPARSE
from bicross.stores.transport import Row, sparse_of, translate, unless_sparse
from bicross.types import SparseVector


class EdgeDialect:
    """Conditions in the engine's classes."""

    def group(
        self, *, must: list[Any] | None = None, should: list[Any] | None = None, must_not: list[Any] | None = None
    ) -> edge.Filter:
        return edge.Filter(must=must, should=should, must_not=must_not)

    def has_id(self, ids: Iterable[str]) -> edge.HasIdCondition:
        return edge.HasIdCondition(set(ids))

    def has_vector(self, name: str) -> edge.HasVectorCondition:
        return edge.HasVectorCondition(name)

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


def condition_of(node: Node | None, *, without_sparse: bool) -> Any:
    """A filter, perhaps for points without a sparse vector alone."""
    condition = translate(node, EdgeDialect())
    return unless_sparse(condition, SPARSE, EdgeDialect()) if without_sparse else condition


def wire_sparse(vector: SparseVector) -> edge.SparseVector:
    """A sparse vector."""
    return edge.SparseVector(vector.indices.tolist(), vector.values.tolist())


def selection(fields: Sequence[str] | None) -> bool | list[str]:
    """Which fields of a payload: all for None."""
    if fields is None:
        return True
    return list(fields) if fields else False


def rows_of(records: Iterable[edge.Record]) -> list[Row]:
    """Points that were read without a vector: a sync reads all of a collection so."""
    return [Row(str(record.id), record.payload or {}) for record in records]


def row_of(record: edge.Record | edge.ScoredPoint) -> Row:
    """A point as it was read."""
    vector: Any = record.vector or None
    sparse = None
    if isinstance(vector, dict):
        found = vector.get(SPARSE)
        sparse = None if found is None else sparse_of(found.indices, found.values)
        vector = vector.get("")
    return Row(str(record.id), record.payload or {}, vector, getattr(record, "score", 0.0), sparse)
