"""Which requests are taken on, and where they are computed.

The engine makes one batch of the short requests that wait for a model at the same time; here is only decided how many
may wait, so that an overload is refused at once instead of filling the memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from bicross import pool
from bicross.server.failures import Refusal
from bicross.server.metrics import Metrics
from bicross.server.settings import Limits

Answer = Callable[[bytes], Response]
"""A request's body to its answer; runs in a thread, where it may compute."""

CLIENT_GONE = 499


class Work:
    """The requests that compute or wait.

    Args:
        limits: How many, and how large.
        metrics: Told about them.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.limits = limits
        self.metrics = metrics
        self._requests = 0
        self._bytes = 0
        self._turns = asyncio.Semaphore(pool.COMPUTING_THREADS)

    async def run(self, request: Request, answer: Answer) -> Response:
        """Read a request's body and answer it in a thread, when it is its turn.

        Args:
            request: The request.
            answer: Told the body, empty for a GET request.

        Raises:
            Refusal: Too much is waiting already (429), or the client was too slow (408).
        """
        async with self._place(request):
            try:
                async with asyncio.timeout(self.limits.body_seconds):
                    body = await request.body()
            except TimeoutError:
                raise Refusal(408, f"A body must arrive within {self.limits.body_seconds:g} seconds.") from None
            except ClientDisconnect:
                return self._gone()
            async with self._turns:
                if await request.is_disconnected():
                    return self._gone()
                return await pool.computing(answer, body)

    @asynccontextmanager
    async def _place(self, request: Request) -> AsyncIterator[None]:
        """A place in the queue; the guard has seen that the length is a number."""
        size = int(request.headers.get("content-length", self.limits.body_bytes if request.method == "POST" else 0))
        if self._requests >= self.limits.queue or self._bytes + size > self.limits.queue_bytes:
            raise Refusal(
                429,
                f"The server has as much to do as it takes on: {self._requests} requests, {self._bytes} bytes. "
                f"Try again in {self.limits.retry_seconds} s.",
                code="overloaded",
                headers={"retry-after": str(self.limits.retry_seconds)},
            )
        self._count(1, size)
        try:
            yield
        finally:
            self._count(-1, -size)

    def _count(self, requests: int, size: int) -> None:
        self._requests += requests
        self._bytes += size
        self.metrics.queue.set(self._requests)
        self.metrics.queue_bytes.set(self._bytes)

    def _gone(self) -> Response:
        self.metrics.abandoned.inc()
        return Response(status_code=CLIENT_GONE)
