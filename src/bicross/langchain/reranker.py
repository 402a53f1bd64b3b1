"""A cross-encoder as LangChain's document compressor, and as its cross-encoder interface."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

from langchain_core.callbacks import Callbacks
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import Field, PrivateAttr

from bicross.cross_encoder import CrossEncoder
from bicross.langchain.documents import check_documents
from bicross.langchain.models import LOADING, ModelFields
from bicross.langchain.threads import in_threads
from bicross.langchain.tracing import child_runs
from bicross.remote.loading import load_cross_encoder
from bicross.second_stage import SecondStage
from bicross.types import Hit, Passage


class CrossFields(ModelFields):
    """A cross-encoder, loaded on first use; `model` also takes a `CrossEncoder` or anything that satisfies `Scorer`."""

    _method: ClassVar[str] = "predict"
    _kind: ClassVar[str] = "cross-encoder"
    _sibling: ClassVar[str] = "A bi-encoder goes into BicrossEmbeddings."
    _options: ClassVar[tuple[str, ...]] = (*LOADING, "activation", "prompt")

    activation: str | None = None
    """"sigmoid", "identity", "softmax" or a class of torch.nn; None: as the checkpoint says."""
    prompt: str | None = None
    """In front of every query, or where the model has a place for an instruction; None: the checkpoint's own."""

    _stage: SecondStage | None = PrivateAttr(default=None)

    @property
    def second_stage(self) -> SecondStage:
        """The engine's second stage with this model; loaded here where it wasn't yet."""
        if self._stage is None:
            self._stage = SecondStage(
                self._load(load_cross_encoder, activation=self.activation, prompt=self.prompt), 0.0
            )
        return self._stage


class BicrossReranker(CrossFields, BaseDocumentCompressor):
    """Reorders documents by a cross-encoder and keeps the best.

    The documents that come back are copies. ``metadata["relevance_score"]`` holds the score (**Unit:** the model's
    ``score_unit``), None where the time budget didn't reach the document; such documents come last, in their order.
    """

    top_n: int | None = Field(default=3, gt=0)
    """How many documents to return; None: all."""
    score_threshold: float | None = None
    """Keep documents with at least this score; those that weren't scored are left out."""
    budget_ms: float | None = Field(default=None, ge=0)
    """Score the first documents first, while time allows. Unit: milliseconds."""
    windows: bool | Literal["best"] = False
    """True: score long documents in overlapping windows; the best one counts. "best": score one window of each, the one
    that holds the most of the query. Its span is in ``metadata["span"]``."""
    title_key: str | None = None
    """Name of the metadata field that the model reads in front of the text."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """Rerank documents.

        Raises:
            InputTypeError, InputError: Something that isn't a document or valid text; names its position.
        """
        given = check_documents(documents, "A retriever returns such a list.")
        if not given:
            return []
        stage = self.second_stage
        deadline = None if self.budget_ms is None else time.perf_counter() + self.budget_ms / 1e3
        candidates = [self._candidate(position, document) for position, document in enumerate(given)]
        reranked = stage.rerank(
            query, candidates, deadline=deadline, windows=self.windows, observer=child_runs(callbacks)
        )
        hits, _ = reranked.above(self.score_threshold)
        return [_scored(given[int(hit.passage.id)], hit) for hit in hits[: self.top_n]]

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> Sequence[Document]:
        """As `compress_documents`, without blocking the event loop."""
        return await in_threads([self.model], self.compress_documents, documents, query, callbacks)

    def _candidate(self, position: int, document: Document) -> Hit:
        title = document.metadata.get(self.title_key) if self.title_key else None
        passage = Passage(document.page_content, id=str(position), title=None if title is None else str(title))
        return Hit(passage, 0.0, stage1_rank=position + 1)


class BicrossCrossEncoder(CrossFields, BaseCrossEncoder):
    """Scores pairs; what langchain-classic's `CrossEncoderReranker` takes as its `model`."""

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """Score (query, text) pairs. **Unit:** the model's ``score_unit``.

        Raises:
            InputTypeError, InputError: Something that isn't a pair of valid texts; names its position.
        """
        model = self.second_stage.cross_encoder
        options: dict[str, Any] = {"show_progress": False} if isinstance(model, CrossEncoder) else {}
        return [float(score) for score in model.predict(text_pairs, **options)]


def _scored(document: Document, hit: Hit) -> Document:
    metadata = {**document.metadata, "relevance_score": hit.rerank_score}
    if hit.span is not None:
        metadata["span"] = list(hit.span)
    return document.model_copy(update={"metadata": metadata})
