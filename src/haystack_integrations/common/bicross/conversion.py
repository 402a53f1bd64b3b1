"""Haystack's Documents as the engine's passages, and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from haystack import Document

from bicross.stores import Store
from bicross.types import Floats, Hit, Passage
from haystack_integrations.common.bicross.embedding import Embedding
from haystack_integrations.common.bicross.extras import EXTRAS, dates_of, extras_of, restored


def to_passage(document: Document, *, complete: bool = False) -> Passage:
    """A Document as a passage; a string under ``title`` in its meta is the passage's title.

    :param document: The Document.
    :param complete: Also keep what a passage has no place for, hidden in its meta.
    """
    title = document.meta.get("title")
    extras = extras_of(document) if complete else {}
    return Passage(
        text=document.content or "",
        id=document.id,
        title=title if isinstance(title, str) and title else None,
        meta={**document.meta, EXTRAS: extras} if extras else document.meta,
    )


def to_document(
    passage: Passage,
    *,
    score: float | None = None,
    vector: Floats | None = None,
    made_by: Embedding | None = None,
    meta: dict[str, Any] | None = None,
) -> Document:
    """A passage as a Document; its title and source are in the meta.

    :param passage: The passage.
    :param score: The score it was found with; None: the one that the Document was written with.
    :param vector: Its stored vector. **Shape:** (dimension,).
    :param made_by: The vector's origin.
    :param meta: More meta.
    """
    fields = restored(passage.meta, vector)
    for name, value in (("title", passage.title), ("source", passage.source)):
        if value is not None:
            fields["meta"].setdefault(name, value)
    fields["meta"] |= meta or {}
    if made_by is not None and "embedding" in fields:
        fields["embedding"] = Embedding.like(fields["embedding"], made_by)
    if score is not None:
        fields["score"] = score
    content = None if fields.pop("no_content") else passage.text
    return Document(id=passage.id, content=content, **fields)


def reranked_meta(hit: Hit, start: int = 0) -> dict[str, Any]:
    """What a hit's meta says about both stages.

    :param hit: The hit.
    :param start: Where the content begins in the text that was scored. **Unit:** characters.
    """
    meta: dict[str, Any] = {}
    if hit.stage1_score is not None:
        meta["retrieval_score"] = hit.stage1_score
    if hit.rerank_score is not None:
        meta["rerank_score"] = hit.rerank_score
    if hit.span is not None:
        meta["span"] = [max(end - start, 0) for end in hit.span]
    return meta


def place_meta(hit: Hit) -> dict[str, Any]:
    """Which characters of which document a hit is, as far as its splitter noted it."""
    span = hit.document_span
    return {"document_id": hit.document_id} | ({} if span is None else {"document_span": list(span)})


def hits_to_documents(
    hits: Sequence[Hit], vectors_from: Store | None = None, *, both_stages: bool = True, grouped: bool = False
) -> list[Document]:
    """Hits as Documents, in the same order.

    :param hits: The hits.
    :param vectors_from: The store that gives their embeddings, where these are wanted.
    :param both_stages: Whether the meta says what each stage thought.
    :param grouped: Whether it says which characters of which document each hit is.
    """
    vectors: dict[str, Floats] = {}
    if vectors_from is not None:
        ids, rows = vectors_from.vectors([hit.passage.id for hit in hits])
        vectors = dict(zip(ids, rows, strict=True))
    return [
        to_document(
            hit.passage,
            score=hit.score,
            vector=vectors.get(hit.passage.id),
            meta=(reranked_meta(hit) if both_stages else {}) | (place_meta(hit) if grouped else {}),
        )
        for hit in hits
    ]


def with_meta(passage: Passage, meta: dict[str, Any]) -> Passage:
    """A passage with some fields of meta set; dates among them come back as dates."""
    kept = [path for path in passage.meta.get(EXTRAS, {}).get("dates", ()) if path[0] not in meta]
    extras = {**passage.meta.get(EXTRAS, {}), "dates": kept + dates_of(meta)}
    extras = {name: value for name, value in extras.items() if name != "dates" or value}
    fields = {name: value for name, value in passage.meta.items() if name != EXTRAS} | meta
    title = meta.get("title", passage.title)
    return replace(
        passage,
        meta={**fields, EXTRAS: extras} if extras else fields,
        title=title if isinstance(title, str) and title else None,
    )
