"""The app: routes, guards, and a place for more routes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from bicross.errors import BicrossError
from bicross.server.failures import failed, invalid, refused
from bicross.server.guard import Guard
from bicross.server.metrics import Measured, Metrics
from bicross.server.models import Kind, ModelAPI
from bicross.server.settings import LOOPBACK_HOSTS, Limits, check_hosts, check_token
from bicross.server.shield import Shield
from bicross.server.work import Work
from bicross.types import Encoder, Scorer

RERANK_PATHS = ("/rerank", "/v1/rerank", "/v2/rerank")
"""Clients of Jina, vLLM and Cohere each expect another one."""


def create_app(
    bi_encoder: Encoder | None = None,
    cross_encoder: Scorer | None = None,
    *,
    names: dict[Kind, str] | None = None,
    limits: Limits | None = None,
    token: str | None = None,
    allowed_hosts: Sequence[str] = LOOPBACK_HOSTS,
    routes: Callable[[Work], Sequence[BaseRoute]] | None = None,
    open_paths: Collection[str] = (),
    on_close: Sequence[Callable[[], object]] = (),
) -> Starlette:
    """The web app.

    Args:
        bi_encoder: Behind ``/v1/embeddings``; None: answers 404.
        cross_encoder: Behind ``/rerank``; None: answers 404.
        names: What clients call the models, by kind: "embedding", "rerank". Default: the end of the models' names.
        limits: What is taken from clients at most.
        token: What clients must send as ``Authorization: Bearer …``; None: nothing.
        allowed_hosts: Values of the header Host that are answered, ``*`` for all: a web page of another name that
            points at this machine is refused.
        routes: More routes, made from the app's `Work`: their handlers return ``await work.run(request, answer)``
            where they compute, so that they share the queue and its limits.
        open_paths: Paths of these that need no token.
        on_close: Called when the server stops, after the last answer.

    Raises:
        ConfigurationError: The token, or an allowed host, can't serve.
    """
    limits = limits or Limits()
    metrics = Metrics()
    work = Work(limits, metrics)
    models = ModelAPI(bi_encoder, cross_encoder, work, names)
    all_routes: list[BaseRoute] = [
        Route("/health", _health),
        Route("/metrics", metrics.page),
        Route("/v1/models", models.models),
        Route("/v1/embeddings", models.embeddings, methods=["POST"]),
        *(Route(path, models.rerank, methods=["POST"]) for path in RERANK_PATHS),
        *(routes(work) if routes else ()),
    ]
    paths = frozenset(route.path for route in all_routes if isinstance(route, Route))
    token = None if token is None else check_token(token)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        for close in on_close:
            close()

    return Starlette(
        routes=all_routes,
        lifespan=lifespan,
        middleware=[
            Middleware(Measured, metrics=metrics, paths=paths),
            Middleware(TrustedHostMiddleware, allowed_hosts=check_hosts(allowed_hosts), www_redirect=False),
            Middleware(Shield),
            Middleware(
                Guard, token=token, body_bytes=limits.body_bytes, open_paths=frozenset({"/health", *open_paths})
            ),
            Middleware(RequestBodyLimitMiddleware, max_body_size=limits.body_bytes),
        ],
        exception_handlers={
            HTTPException: refused,
            ValidationError: invalid,
            BicrossError: failed,
            Exception: failed,
        },
    )


async def _health(request: Request) -> Response:  # noqa: ARG001  # starlette's signature
    return JSONResponse({"status": "ok"})
