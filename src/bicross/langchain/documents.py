"""Passages and hits as LangChain's documents, and back."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

from langchain_core.documents import Document

from bicross.errors import BicrossWarning, InputError, InputTypeError
from bicross.types import Hit, Passage, derive_id


def check_documents(documents: Any, sibling: str) -> list[Document]:
    """Check that this is a sequence of documents.

    Raises:
        InputTypeError: It isn't; the message names the position.
    """
    if not isinstance(documents, Sequence) or isinstance(documents, str | bytes):
        raise InputTypeError(f"Documents come as a sequence, got {type(documents).__name__}. {sibling}")
    for position, document in enumerate(documents):
        if not isinstance(document, Document):
            raise InputTypeError(f"Every item must be a Document; documents[{position}] is {document!r:.80}. {sibling}")
    return list(documents)


def as_many(given: Sequence[Any] | None, texts: list[str], name: str) -> Sequence[Any]:
    """One for each text, Nones where nothing is given.

    Raises:
        InputError: It's another number of them.
    """
    if given is None:
        return [None] * len(texts)
    if len(given) != len(texts):
        raise InputError(f"{name} must be as many as the texts, got {len(given)} for {len(texts)} texts.")
    return given


def warn_of_replaced(passages: list[Passage]) -> None:
    """Count what a later passage of the same call replaces."""
    last = {passage.id: passage for passage in passages}
    if replaced := sum(last[passage.id] != passage for passage in passages):
        warnings.warn(
            f"{replaced} of {len(passages)} documents were replaced by a later one of the same call with the same id. "
            "Equal source and text give one id; give ids to documents that must stay apart.",
            BicrossWarning,
            stacklevel=3,
        )


def to_passage(text: str, metadata: dict[str, Any] | None, id: str | None) -> Passage:
    """What a collection stores of a document; without an id, one made from ``metadata["source"]`` and the text."""
    source = (metadata or {}).get("source")
    source = source if isinstance(source, str) and source else None
    return Passage(text, id=derive_id(source, text) if id is None else id, meta=metadata or {}, source=source)


def to_document(passage: Passage) -> Document:
    """A passage; title and source are in the metadata where they were set."""
    own = {"title": passage.title, "source": passage.source}
    metadata = {name: value for name, value in own.items() if value is not None} | dict(passage.meta)
    return Document(page_content=passage.text, metadata=metadata, id=passage.id)


def hit_document(hit: Hit, *, grouped: bool = False) -> Document:
    """A hit; its scores are in the metadata, and where documents were sought, its place in one."""
    document = to_document(hit.passage)
    place = hit.document_span if grouped else None
    scores: dict[str, Any] = {
        "relevance_score": hit.score,
        "stage1_score": hit.stage1_score,
        "stage1_rank": hit.stage1_rank,
        "rerank_score": hit.rerank_score,
        "span": list(hit.span) if hit.span else None,
        "document_id": hit.document_id if grouped else None,
        "document_span": list(place) if place else None,
        "context": [passage.text for passage in hit.context] or None,
    }
    document.metadata.update({name: value for name, value in scores.items() if value is not None})
    return document
