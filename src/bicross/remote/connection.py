"""Requests to one endpoint: so many at a time, tried again where that may help, and never with the key in a message."""

from __future__ import annotations

import json
import math
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx

from bicross.errors import AnswerError, AuthenticationError, ClosedError, ConfigurationError, RemoteError
from bicross.lifecycle import Closing
from bicross.loopback import is_loopback
from bicross.remote.address import Calls
from bicross.remote.keys import Key
from bicross.retry import Verdict, retrying

T = TypeVar("T")

_PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_CONNECT_SECONDS = 5.0
_MOST_BYTES = 256 << 20
_SHOWN = 200


class _PassingError(RemoteError):
    """A failure that may pass. `wait` is what the endpoint asked for. **Unit:** seconds."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Connection(Closing):
    """The way to an endpoint. Thread-safe; opened by the first request.

    Args:
        base_url: What the paths are appended to.
        key: Sent as ``Authorization: Bearer …``.
        calls: How it is called.
        client: Sends the requests, for proxies or certificates of your own; None: one that this object makes and
            closes.
    """

    def __init__(self, base_url: str, key: Key, calls: Calls, client: httpx.Client | None = None) -> None:
        self.base_url = base_url
        self.calls = calls
        self._key = key
        self._given = client
        self._lock = threading.Lock()
        self._open: tuple[httpx.Client, ThreadPoolExecutor] | None = None
        self._closed = False

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Send JSON, and give back the JSON that is answered.

        Raises:
            AuthenticationError: The key was refused.
            AnswerError: Something that isn't JSON was answered.
            ClosedError: After `close`.
            RemoteError: The endpoint refused, or failed for as long as was tried.
        """
        send = partial(self._once, f"{self.base_url}{path}", json.dumps(body, ensure_ascii=False).encode())
        try:
            return retrying(send, _judge, self.calls.retry_seconds)
        except httpx.TransportError as error:
            raise RemoteError(
                f"{self.base_url} gave no answer ({type(error).__name__}), tried for {self.calls.retry_seconds:g} s. "
                "Is it running, and is timeout long enough?"
            ) from error

    def each(self, call: Callable[[T], Any], items: Sequence[T]) -> Iterator[Any]:
        """Results of a call that posts, in the items' order, so many at the same time as `Calls` allows.

        The first error ends it; what hasn't begun by then never does.

        Raises:
            ClosedError: Another thread closed the connection meanwhile.
        """
        _, threads = self._opened()
        futures: list[Future[Any]] = [threads.submit(call, item) for item in items]
        try:
            for future in futures:
                yield future.result()
        except CancelledError:
            raise self._was_closed() from None
        finally:
            for future in futures:
                future.cancel()

    def close(self) -> None:
        """Close the connections; twice is harmless."""
        with self._lock:
            self._closed = True
            opened, self._open = self._open, None
        if opened is not None:
            client, threads = opened
            threads.shutdown(cancel_futures=True)
            if client is not self._given:
                client.close()

    def _opened(self) -> tuple[httpx.Client, ThreadPoolExecutor]:
        with self._lock:
            if self._closed:
                raise self._was_closed()
            if self._open is None:
                # Redirects aren't followed: the key would go where the answer says.
                client = self._given or httpx.Client(
                    timeout=httpx.Timeout(self.calls.timeout, connect=min(_CONNECT_SECONDS, self.calls.timeout)),
                    limits=httpx.Limits(max_connections=self.calls.concurrency),
                )
                self._open = client, ThreadPoolExecutor(self.calls.concurrency, thread_name_prefix="bicross-remote")
            return self._open

    def _was_closed(self) -> ClosedError:
        return ClosedError(f"The connection to {self.base_url} was closed. Make a new one.")

    def _once(self, url: str, content: bytes) -> Any:
        client, _ = self._opened()
        deadline = time.monotonic() + self.calls.timeout
        headers = {"content-type": "application/json", "accept": "application/json"}
        key = self._key.value()
        if key is not None:
            self._check_encrypted()
            headers["authorization"] = f"Bearer {key}"
        with client.stream("POST", url, content=content, headers=headers) as response:
            text = _read(response, deadline)
        if response.status_code in (401, 403):  # what it says may hold a part of the key
            raise AuthenticationError(
                f"{self.base_url} answered {response.status_code}: it "
                f"{'asks for a key' if key is None else 'refuses the key'} (from {self._key!r})."
            )
        if not response.is_success:
            raise self._refusal(response, text, key)
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            kind = response.headers.get("content-type", "unknown")
            raise AnswerError(
                f"{url} must answer JSON, got {kind!r:.60} that begins {_excerpt(text, key)!r}. Is {self.base_url!r} "
                "the endpoint's base?"
            ) from error

    def _refusal(self, response: httpx.Response, text: bytes, key: str | None) -> RemoteError:
        status = response.status_code
        message = f"{self.base_url} answered {status}: {_excerpt(text, key)}"
        if status in _PASSING_STATUS:
            return _PassingError(message, _wish(response))
        if response.has_redirect_location:
            return RemoteError(f"{self.base_url} answered {status}: it is elsewhere. Name its new address.")
        if status == 413:
            message += " Lower batch_size."
        return RemoteError(message)

    def _check_encrypted(self) -> None:
        parts = urlsplit(self.base_url)
        host = parts.hostname or ""
        if parts.scheme == "http" and not is_loopback(host) and not self.calls.allow_http:
            raise ConfigurationError(
                f"A key goes to another machine by https alone, got {self.base_url!r}. Use https, or allow_http=True "
                "in a network that you trust."
            )


def _judge(error: Exception) -> Verdict:
    if isinstance(error, _PassingError):
        # Whoever was told to come back in a second doesn't come back in the same moment as all others.
        wait = None if error.wait is None else error.wait * random.uniform(1.0, 1.25)  # noqa: S311
        return Verdict(True, wait)
    return Verdict(isinstance(error, httpx.TransportError))


def _read(response: httpx.Response, deadline: float) -> bytes:
    """The body, as long as it comes in time: the client's own timeout counts from one piece to the next.

    Raises:
        httpx.ReadTimeout: It takes too long.
        AnswerError: It has no end, or is compressed in another way than it says.
    """
    pieces = []
    size = 0
    try:
        for piece in response.iter_bytes():
            pieces.append(piece)
            size += len(piece)
            if size > _MOST_BYTES:
                raise AnswerError(f"An answer has {_MOST_BYTES} bytes at most; more came. Lower batch_size.")
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout("the answer took too long", request=response.request)
    except httpx.DecodingError as error:
        encoding = response.headers.get("content-encoding", "none")
        raise AnswerError(f"An answer must be compressed as it says ({encoding:.60}), got: {error}.") from error
    return b"".join(pieces)


def _wish(response: httpx.Response) -> float | None:
    """What ``Retry-After`` asks for, in seconds or as a date. **Unit:** seconds."""
    value = response.headers.get("retry-after", "")
    with suppress(ValueError):
        seconds = float(value)
        return max(seconds, 0.0) if math.isfinite(seconds) else None
    with suppress(ValueError):
        date = parsedate_to_datetime(value)
        return max((date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    return None


def _excerpt(text: bytes, key: str | None) -> str:
    """The beginning of an answer, or the message in it; without the key, should it echo it."""
    words = text[:8_000].decode("utf-8", "replace")
    with suppress(ValueError, TypeError, KeyError, RecursionError):
        found = json.loads(words)
        error = found.get("error", found) if isinstance(found, dict) else found
        words = str(error["message"] if isinstance(error, dict) and "message" in error else error)
    if key is not None:
        words = words.replace(key, "***")
    return " ".join(words.split())[:_SHOWN]
