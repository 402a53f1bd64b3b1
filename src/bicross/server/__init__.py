"""One web app: the models behind OpenAI's and Cohere's endpoints. Needs the extra `serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.server.app import create_app
    from bicross.server.running import serve
    from bicross.server.settings import Limits

_HOMES = {
    "Limits": "bicross.server.settings",
    "create_app": "bicross.server.app",
    "serve": "bicross.server.running",
}

__all__ = ["Limits", "create_app", "serve"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
