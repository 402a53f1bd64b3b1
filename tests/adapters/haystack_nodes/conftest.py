"""A small corpus, a store that holds it, and a tracer that remembers."""

from __future__ import annotations

import os

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "false")  # before Haystack is imported: it would write to $HOME

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from haystack import Document
from haystack.tracing import Span, Tracer, disable_tracing, enable_tracing

from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
from haystack_integrations.document_stores.bicross import BicrossDocumentStore

NAMES = ["cat", "dog", "bird", "fish", "tree", "house", "river", "stone", "train", "water", "fire", "wind"]


@pytest.fixture
def documents() -> list[Document]:
    return [
        Document(id=name, content=f"the {name} is near the old {NAMES[i - 1]}", meta={"place": i, "even": i % 2 == 0})
        for i, name in enumerate(NAMES)
    ]


@pytest.fixture
def filled(documents: list[Document], bi_folder: Path) -> Iterator[BicrossDocumentStore]:
    store = BicrossDocumentStore()
    store.write_documents(BicrossDocumentEmbedder(str(bi_folder)).run(documents)["documents"])
    yield store
    store.close()


class RememberingSpan(Span):
    def __init__(self, name: str, parent: Span | None) -> None:
        self.name, self.parent, self.tags = name, parent, {}

    def set_tag(self, key: str, value: Any) -> None:
        self.tags[key] = value


class RememberingTracer(Tracer):
    def __init__(self) -> None:
        self.spans: list[RememberingSpan] = []

    @contextmanager
    def trace(self, operation_name: str, tags: dict | None = None, parent_span: Span | None = None) -> Iterator[Span]:
        span = RememberingSpan(operation_name, parent_span)
        span.set_tags(tags or {})
        self.spans.append(span)
        yield span

    def current_span(self) -> Span | None:
        return self.spans[-1] if self.spans else None


@pytest.fixture
def tracer() -> Iterator[RememberingTracer]:
    made = RememberingTracer()
    enable_tracing(made)
    yield made
    disable_tracing()
