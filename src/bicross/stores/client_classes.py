"""Filters, points and vectors in qdrant-client's classes."""
# ruff: noqa: D102  (the methods are described by Dialect)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from qdrant_client import QdrantClient, models

from bicross.stores.connection import is_local
from bicross.stores.layouts import NATIVE, Layout
from bicross.stores.transport import Point, Row, sparse_of
from bicross.types import SparseVector


class ClientDialect:
    """Conditions in qdrant-client's classes."""

    def group(
        self, *, must: list[Any] | None = None, should: list[Any] | None = None, must_not: list[Any] | None = None
    ) -> models.Filter:
        return models.Filter(must=must, should=should, must_not=must_not)

    def has_id(self, ids: Iterable[str]) -> models.HasIdCondition:
        return models.HasIdCondition(has_id=list(map(wire_id, ids)))

    def has_vector(self, name: str) -> models.HasVectorCondition:
        return models.HasVectorCondition(has_vector=name)

    def is_empty(self, key: str) -> models.IsEmptyCondition:
        return models.IsEmptyCondition(is_empty=models.PayloadField(key=key))

    def strings(self, key: str, values: Sequence[str]) -> models.FieldCondition:
        return models.FieldCondition(key=key, match=models.MatchAny(any=list(values)))

    def exactly(self, key: str, value: bool | int) -> models.FieldCondition:
        return models.FieldCondition(key=key, match=models.MatchValue(value=value))

    def numbers(self, key: str, bounds: Mapping[str, float]) -> models.FieldCondition:
        return models.FieldCondition(key=key, range=models.Range(**bounds))

    def dates(self, key: str, bounds: Mapping[str, datetime]) -> models.FieldCondition:
        return models.FieldCondition(key=key, range=models.DatetimeRange(**bounds))


def selection(fields: Sequence[str] | None) -> bool | list[str]:
    """Which fields of a payload: all for None."""
    if fields is None:
        return True
    return list(fields) if fields else False


def wire_id(point: str) -> int | str:
    """A point's id: whole numbers are numbers to Qdrant."""
    return int(point) if point.isdecimal() else point


def row_of(record: models.Record | models.ScoredPoint, layout: Layout = NATIVE) -> Row:
    """A point as it was read."""
    vector: Any = record.vector or None
    sparse = None
    if isinstance(vector, dict):
        found = vector.get(layout.sparse)
        sparse = None if found is None else sparse_of(found.indices, found.values)
        vector = vector.get(layout.vector)
    return Row(str(record.id), record.payload or {}, vector, getattr(record, "score", 0.0), sparse)


def vectors_of(point: Point, vector: list[float], layout: Layout) -> Any:
    """A point's vectors as the client takes them."""
    if point.sparse is not None:
        return {layout.vector: vector, layout.sparse: wire_sparse(point.sparse)}
    return {layout.vector: vector} if layout.vector else vector


def wire_sparse(vector: SparseVector) -> models.SparseVector:
    """A sparse vector."""
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


def answers(client: QdrantClient, collection: str, asked: Sequence[models.QueryRequest]) -> list[models.QueryResponse]:
    """The answers of one request, whether it asks for one thing or several."""
    if is_local(client):
        asked = [one.model_copy(update={"params": None}) for one in asked]
    if len(asked) > 1:
        return client.query_batch_points(collection, asked)
    one = asked[0]
    return [
        client.query_points(
            collection,
            query=one.query,
            using=one.using,
            query_filter=one.filter,
            search_params=one.params,
            limit=one.limit or 0,
            with_payload=True,
        )
    ]
