"""The app with the search page, its API, and the models behind it."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Route

from bicross.errors import ConfigurationError
from bicross.server.answers import AnswerAPI, Chat
from bicross.server.app import create_app
from bicross.server.indexing_api import IndexingAPI
from bicross.server.jobs import Jobs
from bicross.server.openapi import openapi
from bicross.server.page import PATHS, page_routes
from bicross.server.search_api import SearchAPI
from bicross.server.settings import LOOPBACK_HOSTS, Limits
from bicross.server.setups import Setup
from bicross.server.work import Work

UPLOAD_BYTES = 20 << 20


def create_search_app(
    setups: Sequence[Setup],
    *,
    jobs: Jobs | None = None,
    chat: Chat | None = None,
    limits: Limits | None = None,
    token: str | None = None,
    allowed_hosts: Sequence[str] = LOOPBACK_HOSTS,
) -> Starlette:
    """The app of `bicross.server.create_app`, with a search page at ``/`` and its API below ``/api``.

    Args:
        setups: Pairs of models on collections; the first one is the default, and its models are behind
            ``/v1/embeddings`` and ``/rerank``.
        jobs: Indexes what is sent; closed with the app. None: one is made.
        chat: Writes answers from passages; None: none are written.
        limits: What is taken from clients at most; None: as for models alone, and files of 20 MiB.
        token, allowed_hosts: As in `create_app`; the page and the API's description need no token.

    Raises:
        ConfigurationError: No setup, or two of one name.
    """
    chosen = list(setups)
    names = [setup.name for setup in chosen]
    if not chosen or len(set(names)) < len(names):
        raise ConfigurationError(f"A search app needs setups with different names, got {names!r}.")
    indexing = jobs or Jobs(chosen)

    def routes(work: Work) -> list[BaseRoute]:
        search, files = SearchAPI(chosen, work, chat), IndexingAPI(indexing, work)
        return [
            *page_routes(),
            Route("/openapi.json", openapi),
            Route("/api/search", search.search, methods=["POST"]),
            Route("/api/info", search.info),
            Route("/api/index", files.index, methods=["GET", "POST"]),
            Route("/api/index/{id}", files.job, methods=["GET", "DELETE"]),
            Route("/api/answer", AnswerAPI(chosen, work, chat).answer, methods=["POST"]),
        ]

    return create_app(
        chosen[0].bi_encoder,
        chosen[0].cross_encoder,
        limits=limits or Limits(body_bytes=UPLOAD_BYTES),
        token=token,
        allowed_hosts=allowed_hosts,
        routes=routes,
        open_paths={*PATHS, "/openapi.json"},
        on_close=[indexing.close],
    )
