"""The page and its two files: read once, at the start."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from importlib import resources
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/static/page.css": ("page.css", "text/css; charset=utf-8"),
    "/static/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/static/icon.svg": ("icon.svg", "image/svg+xml"),
}

PATHS = tuple(_FILES)
"""They hold no secret: a browser loads them before it has a token."""


def page_routes() -> list[BaseRoute]:
    """The routes of the page."""
    folder = resources.files("bicross.server") / "static"
    return [Route(path, _served((folder / name).read_bytes(), kind)) for path, (name, kind) in _FILES.items()]


def _served(content: bytes, kind: str) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def answer(request: Request) -> Response:  # noqa: ARG001  # starlette's signature
        return Response(content, headers={"cache-control": "no-cache"}, media_type=kind)

    return answer
