"""One web app: the models behind OpenAI's and Cohere's endpoints, and a search page. Needs the extra `serve`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.server.app import create_app
    from bicross.server.running import serve
    from bicross.server.search_app import create_search_app
    from bicross.server.settings import Limits
    from bicross.server.setups import Setup

_HOMES = {
    "Limits": "bicross.server.settings",
    "Setup": "bicross.server.setups",
    "create_app": "bicross.server.app",
    "create_search_app": "bicross.server.search_app",
    "serve": "bicross.server.running",
}

__all__ = ["Limits", "Setup", "create_app", "create_search_app", "serve"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
