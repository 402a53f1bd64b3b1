"""The transport over qdrant-client: a Qdrant server, a cluster, or the client's in-memory imitation of one."""
# ruff: noqa: D102  (the methods are described by Transport and Dialect)

from __future__ import annotations

import contextlib
import json
import threading
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError
from qdrant_client import QdrantClient, models
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from bicross.errors import CollectionNotFoundError, StoreError
from bicross.stores.conditions import Node
from bicross.stores.retry import Verdict, retrying
from bicross.stores.schema import INDEXED_FIELDS, SPARSE, Header
from bicross.stores.transport import Point, Row, Transport, as_lists, translate
from bicross.types import Floats

T = TypeVar("T")
_METADATA = "bicross"
_DISTANCES = {"cosine": models.Distance.COSINE, "dot": models.Distance.DOT}
_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
# The client's local mode crosses vectors and loses points under threads: one lock per client, whatever stores share it.
_local_locks: weakref.WeakKeyDictionary[QdrantClient, threading.RLock] = weakref.WeakKeyDictionary()
_guard = threading.Lock()


def connect(url: str, api_key: str | None, timeout: float) -> QdrantClient:
    """A client of a server; nothing is sent yet. **Unit** of timeout: seconds, per request."""
    with warnings.catch_warnings():
        # A key over plain http comes this far only to this very machine.
        warnings.filterwarnings("ignore", message="Api key is used with an insecure connection")
        return QdrantClient(url=url, api_key=api_key, timeout=max(1, round(timeout)), check_compatibility=False)


def address_of(client: QdrantClient) -> str:
    """Where a client leads, for messages."""
    given = (client.init_options.get(name) for name in ("url", "host", "path", "location"))
    return str(next((value for value in given if value), "localhost"))


class ClientTransport:
    """One collection of a server, or of a client that the caller made."""

    def __init__(
        self, make: Callable[[], QdrantClient], collection: str, *, place: str, owned: bool, timeout: float
    ) -> None:
        self.place = place
        self._make = make
        self._collection = collection
        self._owned = owned
        self._timeout = timeout
        self._lock = threading.Lock()
        self._client: QdrantClient | None = None
        self._header: Header | None = None
        self._answered = False

    def _connected(self) -> QdrantClient:
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def _call(self, action: str, call: Callable[[QdrantClient], T]) -> T:
        """Run one request, again where that may help; every request here may be repeated."""
        client = self._connected()
        try:
            with _local_lock(client):
                result = retrying(lambda: call(client), self._judge, self._timeout)
        except Exception as error:  # whatever a client raises: HTTP, gRPC, local mode
            if self._is_missing(error):
                self._header = None
                raise CollectionNotFoundError(f"{self.place} has no collection {self._collection!r}.") from error
            raise self._failure(action, error) from error
        self._answered = True
        return result

    def _is_missing(self, error: Exception) -> bool:
        if isinstance(error, UnexpectedResponse):
            return error.status_code == 404
        return isinstance(error, ValueError) and str(error) == f"Collection {self._collection} not found"

    def _judge(self, error: Exception) -> Verdict:
        if isinstance(error, ResourceExhaustedResponse):
            return Verdict(True, float(error.retry_after_s))
        if isinstance(error, UnexpectedResponse):
            self._answered = True
            wish = error.headers.get("retry-after", "")
            return Verdict(error.status_code in _PASSING_STATUS, float(wish) if wish.isdecimal() else None)
        if isinstance(error, ResponseHandlingException):
            # A server that never answered isn't waited for: the address is wrong, or it isn't running.
            return Verdict(self._answered and not isinstance(error.source, ValidationError))
        return Verdict(isinstance(error, QdrantException))  # a 429 whose Retry-After is no number

    def _failure(self, action: str, error: Exception) -> StoreError:
        where = f"Qdrant at {self.place} failed to {action} collection {self._collection!r}"
        if isinstance(error, UnexpectedResponse):
            reason = f"status {error.status_code}, {_reason(error)}"
            if error.status_code in (401, 403):
                return StoreError(f"{where}: {reason}. Check api_key.")
            return StoreError(f"{where}: {reason}.")
        source = error.source if isinstance(error, ResponseHandlingException) else error
        if isinstance(source, (ValidationError, json.JSONDecodeError, AssertionError)):
            return StoreError(f"{where}: what answers there doesn't speak Qdrant's protocol. Check the address.")
        if source is not error:
            reason = str(source) or type(source).__name__
            return StoreError(f"{where}: no answer ({reason}). Check that a server runs at this address.")
        return StoreError(f"{where}: {str(error).rstrip('.') or type(error).__name__}.")

    def header(self) -> Header | None:
        if self._header is None:
            with contextlib.suppress(CollectionNotFoundError):
                info = self._call("open", lambda client: client.get_collection(self._collection))
                self._header = _header_of(info, f"collection {self._collection!r} at {self.place}")
        return self._header

    def create(self, header: Header) -> Header:
        def make(client: QdrantClient) -> None:
            if not client.collection_exists(self._collection):
                client.create_collection(
                    self._collection,
                    vectors_config=models.VectorParams(size=header.dimension, distance=_DISTANCES[header.distance]),
                    sparse_vectors_config={SPARSE: models.SparseVectorParams(modifier=models.Modifier.IDF)},
                    metadata={_METADATA: header.to_dict()},
                )
            if not _is_local(client):
                for field in INDEXED_FIELDS:
                    client.create_payload_index(self._collection, field, models.PayloadSchemaType.KEYWORD, wait=True)

        try:
            self._call("create", make)
        except StoreError:
            if self.header() is None:  # else another client was faster
                raise
        return self.header() or header

    def write_header(self, header: Header) -> None:
        metadata = {_METADATA: header.to_dict()}
        self._call("update", lambda client: client.update_collection(self._collection, metadata=metadata))
        self._header = header

    def drop(self) -> None:
        with contextlib.suppress(CollectionNotFoundError):
            self._call("drop", lambda client: client.delete_collection(self._collection))
        self._header = None

    def collections(self) -> Iterator[tuple[str, Transport]]:
        client = self._connected()
        found = self._call("list", lambda client: client.get_collections()).collections
        for name in (item.name for item in found):
            transport = ClientTransport(lambda: client, name, place=self.place, owned=False, timeout=self._timeout)
            yield name, transport

    def sizes(self) -> tuple[int, int | None]:
        info = self._call("describe", lambda client: client.get_collection(self._collection))
        return info.indexed_vectors_count or 0, None

    def upsert(self, points: Sequence[Point], size: int) -> None:  # noqa: ARG002
        batch = [
            models.PointStruct(id=point.id, vector=vector, payload=point.payload)
            for point, vector in zip(points, as_lists(points), strict=True)
        ]
        self._call("write", lambda client: client.upsert(self._collection, batch, wait=True))

    def overwrite(self, payloads: Sequence[tuple[str, dict[str, Any]]], size: int) -> None:  # noqa: ARG002
        operations = [
            models.OverwritePayloadOperation(overwrite_payload=models.SetPayload(points=[point], payload=payload))
            for point, payload in payloads
        ]
        self._call("write", lambda client: client.batch_update_points(self._collection, operations, wait=True))

    def delete(self, ids: Sequence[str]) -> None:
        selector = models.PointIdsList(points=list(ids))
        self._call("write", lambda client: client.delete(self._collection, selector, wait=True))

    def retrieve(self, ids: Sequence[str], fields: Sequence[str] | None, *, vectors: bool = False) -> list[Row]:
        records = self._call(
            "read",
            lambda client: client.retrieve(
                self._collection, list(ids), with_payload=_selection(fields), with_vectors=vectors
            ),
        )
        return [_row(record) for record in records]

    def scroll(self, node: Node | None, fields: Sequence[str] | None, limit: int, start: Any) -> tuple[list[Row], Any]:
        condition = translate(node, ClientDialect())
        records, following = self._call(
            "read",
            lambda client: client.scroll(
                self._collection, condition, limit=limit, offset=start, with_payload=_selection(fields)
            ),
        )
        return [_row(record) for record in records], following

    def count(self, node: Node | None) -> int:
        condition = translate(node, ClientDialect())
        return self._call("count", lambda client: client.count(self._collection, condition, exact=True)).count

    def query(self, vector: Floats, limit: int, ef: int, node: Node | None) -> list[Row]:
        condition = translate(node, ClientDialect())
        response = self._call(
            "search",
            lambda client: client.query_points(
                self._collection,
                query=vector.tolist(),
                query_filter=condition,
                search_params=None if _is_local(client) else models.SearchParams(hnsw_ef=ef),
                limit=limit,
                with_payload=True,
            ),
        )
        return [_row(point) for point in response.points]

    def optimize(self) -> bool:
        return False

    def flush(self) -> None:
        return None

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
            if client is not None and self._owned:
                client.close()


class ClientDialect:
    """Conditions in qdrant-client's classes."""

    def group(
        self, *, must: list[Any] | None = None, should: list[Any] | None = None, must_not: list[Any] | None = None
    ) -> models.Filter:
        return models.Filter(must=must, should=should, must_not=must_not)

    def has_id(self, ids: Iterable[str]) -> models.HasIdCondition:
        return models.HasIdCondition(has_id=list(ids))

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


def _is_local(client: QdrantClient) -> bool:
    options = client.init_options
    return options.get("location") == ":memory:" or options.get("path") is not None


def _local_lock(client: QdrantClient) -> contextlib.AbstractContextManager[Any]:
    if not _is_local(client):
        return contextlib.nullcontext()
    with _guard:
        return _local_locks.setdefault(client, threading.RLock())


def _header_of(info: models.CollectionInfo, where: str) -> Header:
    vectors = info.config.params.vectors
    names = {value: name for name, value in _DISTANCES.items()}
    if not isinstance(vectors, models.VectorParams) or vectors.distance not in names:
        raise StoreError(
            f"bicross reads collections with one unnamed vector compared by cosine or dot product; {where} has "
            f"{vectors!r}. Open another collection."
        )
    metadata = info.config.metadata or {}
    if _METADATA in metadata:
        return Header.from_dict(metadata[_METADATA], where)
    return Header(dimension=vectors.size, distance=names[vectors.distance])


def _selection(fields: Sequence[str] | None) -> bool | list[str]:
    if fields is None:
        return True
    return list(fields) if fields else False


def _row(record: models.Record | models.ScoredPoint) -> Row:
    vector: Any = record.vector or None
    return Row(str(record.id), record.payload or {}, vector, getattr(record, "score", 0.0))


def _reason(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return error.reason_phrase or "no reason given"
