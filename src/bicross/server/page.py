"""The page and its files: read once, at the start."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from importlib import resources
from pathlib import PurePath
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

_KINDS = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_FOLDER = resources.files("bicross.server") / "static"
_FILES = {
    "/" if file.name == "index.html" else f"/static/{file.name}": (file, _KINDS[suffix])
    for file in _FOLDER.iterdir()
    if (suffix := PurePath(file.name).suffix) in _KINDS
}

PATHS = tuple(_FILES)
"""They hold no secret: a browser loads them before it has a token."""


def page_routes() -> list[BaseRoute]:
    """The routes of the page."""
    return [Route(path, _served(file.read_bytes(), kind)) for path, (file, kind) in _FILES.items()]


def _served(content: bytes, kind: str) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def answer(request: Request) -> Response:  # noqa: ARG001  # starlette's signature
        return Response(content, headers={"cache-control": "no-cache"}, media_type=kind)

    return answer
