"""What Prometheus reads at ``/metrics``."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.process_collector import ProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """The counters of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter("bicross_requests", "Answered requests.", ("path", "status"), registry=self.registry)
        self.seconds = Histogram(
            "bicross_request_seconds",
            "From a request's head to the end of its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.texts = Counter(
            "bicross_texts", "Texts that were embedded, or pairs that were scored.", ("kind",), registry=self.registry
        )
        self.truncated = Counter(
            "bicross_truncated_texts", "Those of them that a model cut.", ("kind",), registry=self.registry
        )
        self.queue = Gauge("bicross_queue_requests", "Requests that compute or wait.", registry=self.registry)
        self.queue_bytes = Gauge("bicross_queue_bytes", "Bytes of their bodies.", registry=self.registry)
        self.abandoned = Counter(
            "bicross_abandoned_requests", "Requests whose client had gone before their turn.", registry=self.registry
        )
        ProcessCollector(registry=self.registry)

    async def page(self, request: Request) -> Response:  # noqa: ARG002  # starlette's signature
        """The endpoint ``/metrics``."""
        return Response(generate_latest(self.registry), headers={"content-type": CONTENT_TYPE_LATEST})


class Measured:
    """Counts and times the requests of an app.

    Args:
        app: What answers.
        metrics: Where to.
        paths: The paths that have a label of their own; strangers' paths are counted as one.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self.app = app
        self.metrics = metrics
        self.paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self.paths else "other"
        began = time.perf_counter()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self.metrics.requests.labels(path, str(status)).inc()
            self.metrics.seconds.labels(path).observe(time.perf_counter() - began)
