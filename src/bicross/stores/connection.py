"""Requests to Qdrant through qdrant-client: one connection, tried again where that helps, errors in plain words."""

from __future__ import annotations

import contextlib
import json
import threading
import warnings
import weakref
from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import ValidationError
from qdrant_client import QdrantClient
from qdrant_client.common.client_exceptions import QdrantException, ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from bicross.errors import CollectionNotFoundError, StoreError
from bicross.retry import Verdict, retrying

T = TypeVar("T")
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


class Connection:
    """A client, made when it is first needed, as one collection's requests see it.

    Attributes:
        place: Where it leads, for messages.
        collection: The collection's name.
    """

    def __init__(
        self, make: Callable[[], QdrantClient], collection: str, *, place: str, owned: bool, timeout: float
    ) -> None:
        self.place = place
        self.collection = collection
        self._make = make
        self._owned = owned
        self._timeout = timeout
        self._lock = threading.Lock()
        self._client: QdrantClient | None = None
        self._answered = False

    def client(self) -> QdrantClient:
        """The client."""
        with self._lock:
            if self._client is None:
                self._client = self._make()
            return self._client

    def sibling(self, collection: str) -> Connection:
        """The same client, for another collection; closing it leaves the client open."""
        client = self.client()
        return Connection(lambda: client, collection, place=self.place, owned=False, timeout=self._timeout)

    def call(self, action: str, request: Callable[[QdrantClient], T]) -> T:
        """Run one request, again where that may help; every request of this package may be repeated.

        Raises:
            CollectionNotFoundError: There is no such collection.
            StoreError: Anything else; the message says what failed to do what, and why.
        """
        client = self.client()
        try:
            with _local_lock(client):
                result = retrying(lambda: request(client), self._judge, self._timeout)
        except Exception as error:  # whatever a client raises: HTTP, gRPC, local mode
            if self._is_missing(error):
                raise CollectionNotFoundError(f"{self.place} has no collection {self.collection!r}.") from error
            raise self._failure(action, error) from error
        self._answered = True
        return result

    def close(self) -> None:
        """Close the client, if this package made it; closing twice is fine."""
        with self._lock:
            client, self._client = self._client, None
            if client is not None and self._owned:
                client.close()

    def _is_missing(self, error: Exception) -> bool:
        if isinstance(error, UnexpectedResponse):
            return error.status_code == 404
        return isinstance(error, ValueError) and str(error) == f"Collection {self.collection} not found"

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
        where = f"Qdrant at {self.place} failed to {action} collection {self.collection!r}"
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


def is_local(client: QdrantClient) -> bool:
    """Whether it is the client's own imitation of a server, which ignores indexes and search parameters."""
    options = client.init_options
    return options.get("location") == ":memory:" or options.get("path") is not None


def _local_lock(client: QdrantClient) -> contextlib.AbstractContextManager[Any]:
    if not is_local(client):
        return contextlib.nullcontext()
    with _guard:
        return _local_locks.setdefault(client, threading.RLock())


def _reason(error: UnexpectedResponse) -> str:
    try:
        return str(error.structured()["status"]["error"])
    except (ValueError, KeyError, TypeError):
        return error.reason_phrase or "no reason given"
