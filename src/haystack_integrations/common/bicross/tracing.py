"""The engine's stages as child spans in Haystack's tracer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from haystack.tracing.tracer import tracer

from bicross.types import Observer


def observer(**content: Any) -> Observer:
    """Opens ``bicross.encode``, ``bicross.retrieve`` and ``bicross.rerank`` below the node's own span.

    :param content: Texts. They become tags where Haystack's content tracing is on, and nowhere else.
    """

    def observe(name: str) -> AbstractContextManager[dict[str, Any]]:
        return _span(f"bicross.{name}", content)

    return observe


@contextmanager
def _span(operation: str, content: dict[str, Any]) -> Iterator[dict[str, Any]]:
    tags: dict[str, Any] = {}
    with tracer.trace(operation, parent_span=tracer.current_span()) as span:
        for name, value in content.items():
            span.set_content_tag(f"{operation}.{name}", value)
        try:
            yield tags
        finally:
            span.set_tags({f"{operation}.{name}": value for name, value in tags.items() if value is not None})
