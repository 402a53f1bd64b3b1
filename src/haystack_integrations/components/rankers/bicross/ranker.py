"""Reorders Documents by a cross-encoder."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from haystack import Document, component
from haystack.utils import ComponentDevice, Secret

from bicross import pool
from bicross.lifecycle import Closing
from bicross.remote.loading import load_cross_encoder
from bicross.second_stage import SecondStage
from bicross.types import Hit, Passage
from haystack_integrations.common.bicross.conversion import reranked_meta
from haystack_integrations.common.bicross.inputs import (
    Readable,
    check_count,
    check_documents,
    check_milliseconds,
    check_query,
    chosen,
    readable,
)
from haystack_integrations.common.bicross.node import Node, OnFirstUse, load_options
from haystack_integrations.common.bicross.tracing import observer


@component
class BicrossRanker(Node):
    """Reorders Documents by how well they answer the query, as a cross-encoder sees it.

    The first stage's score goes to `meta["retrieval_score"]`, the cross-encoder's to `meta["rerank_score"]`, and the
    text span that decided to `meta["span"]` (start and end in the content, in characters).

    ### Usage example

    ```python
    from haystack import Document
    from haystack_integrations.components.rankers.bicross import BicrossRanker

    documents = [Document(content="Milk"), Document(content="Bread")]
    best = BicrossRanker(top_k=1).run(query="something to drink", documents=documents)["documents"]
    ```
    """

    def __init__(
        self,
        model: str | Path = "starter",
        *,
        device: ComponentDevice | None = None,
        token: Secret | None = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False),  # noqa: B008
        top_k: int = 10,
        prompt: str | None = None,
        query_prefix: str = "",
        query_suffix: str = "",
        document_prefix: str = "",
        document_suffix: str = "",
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        scale_score: bool = True,
        score_threshold: float | None = None,
        budget_ms: float | None = None,
        stage1_weight: float | None = None,
        windows: bool | Literal["best"] = True,
        backend: str = "auto",
        precision: str = "float32",
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        model_options: dict[str, Any] | None = None,
    ) -> None:
        """Make the node; the model is loaded by `warm_up` or the first run.

        :param model: A folder, a name on the model hub, "starter", "fast" (the small one), or a hosted model:
            `https://host/v1#model`.
        :param device: Where the model computes; None: a GPU where there is one.
        :param token: Access token for the hub, resolved when the model is loaded; or the key of a hosted model.
        :param top_k: How many Documents to return at most.
        :param prompt: In front of every query, or where the model has a place for a task's instruction; None: the
            checkpoint's own.
        :param query_prefix: Stands in front of the query, behind the prompt.
        :param query_suffix: Stands behind the query.
        :param document_prefix: Stands in front of every Document's text.
        :param document_suffix: Stands behind every Document's text.
        :param meta_fields_to_embed: Fields of meta whose values are read in front of the content.
        :param embedding_separator: Stands between these values and the content.
        :param scale_score: True: scores from 0 to 1 (the logistic function); False: logits.
        :param score_threshold: Leave out what scores lower, after scoring. **Unit:** that of the scores.
        :param budget_ms: Score the first Documents in chunks while time allows; the others keep their order behind
            them. **Unit:** milliseconds.
        :param stage1_weight: Weight of the Documents' own scores in the final ones, from 0 to 1. None: the weight that
            the model carries. 0 wherever a Document has no score.
        :param windows: True: score long Documents in overlapping windows; the best one counts (MaxP). "best": score
            one window of each, the one that holds the most of the query: quick. False: cut them.
        :param backend: "auto", "torch", "onnx" or "openvino"; see `docs/speed.md`.
        :param precision: What the model computes in: "float32", "bfloat16", "float16", "int8" or "auto".
        :param revision: Branch, tag or commit on the hub.
        :param local_files_only: Don't ask the hub; use its cache.
        :param trust_remote_code: Run the checkpoint's own code. Only for folders that you trust.
        :param model_options: JSON values for transformers: dtype, attn_implementation, device_map,
            quantization_config.
        :raises ConfigurationError: `top_k` or `budget_ms` is out of range.
        """
        self.model = str(model)
        self.device = device
        self.token = token
        self.top_k = check_count(top_k, "top_k")
        self.prompt = prompt
        self.query_prefix = query_prefix
        self.query_suffix = query_suffix
        self.document_prefix = document_prefix
        self.document_suffix = document_suffix
        self.meta_fields_to_embed = meta_fields_to_embed
        self.embedding_separator = embedding_separator
        self.scale_score = scale_score
        self.score_threshold = score_threshold
        self.budget_ms = check_milliseconds(budget_ms)
        self.stage1_weight = stage1_weight
        self.windows = windows
        self.backend = backend
        self.precision = precision
        self.revision = revision
        self.local_files_only = local_files_only
        self.trust_remote_code = trust_remote_code
        self.model_options = model_options
        # The same weights in memory; they differ in the function that turns logits into scores.
        self._scaled = OnFirstUse(lambda: self._load("sigmoid"), _close)
        self._raw = OnFirstUse(lambda: self._load("identity"), _close)
        self._heavy = (self._scaled, self._raw)

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        scale_score: bool | None = None,
        score_threshold: float | None = None,
        budget_ms: float | None = None,
        stage1_weight: float | None = None,
        windows: bool | Literal["best"] | None = None,
    ) -> dict[str, Any]:
        """Reorder Documents. Every option that is given takes the place of the node's own for this run.

        :param query: What is sought.
        :param documents: Candidates, best first. Of several with one id, the one with the best score stays. One
            without content, and without any of `meta_fields_to_embed`, is left out and counted.
        :param top_k: As in the constructor.
        :param scale_score: As in the constructor.
        :param score_threshold: As in the constructor. Documents for which time was too short are left out, too.
        :param budget_ms: As in the constructor.
        :param stage1_weight: As in the constructor.
        :param windows: As in the constructor.
        :returns: `documents`, best first, and `meta` with `model`, `fingerprint`, and the counts `reranked`,
            `truncated`, `skipped` (without text), `unscored` (left out under a threshold for lack of time).
        :raises ConfigurationError: An option that makes no sense.
        :raises InputTypeError: Something that isn't a string or a list of Documents.
        """
        began = time.perf_counter()
        check_query(query, "BicrossRanker", "Pass one query a run.")
        check_documents(documents, "BicrossRanker", "To search a store use BicrossRetriever.")
        limit = check_count(chosen(top_k, self.top_k), "top_k")
        budget = check_milliseconds(chosen(budget_ms, self.budget_ms))
        threshold = chosen(score_threshold, self.score_threshold)
        stage = (self._scaled if chosen(scale_score, self.scale_score) else self._raw).get()
        unique = _unique(documents)
        texts = {document.id: text for document in unique if (text := self._text(document)) is not None}
        candidates = [document for document in unique if document.id in texts]
        reranked = stage.rerank(
            self.query_prefix + query + self.query_suffix,
            [_to_hit(document, texts[document.id].text, rank) for rank, document in enumerate(candidates, start=1)],
            deadline=None if budget is None else began + budget / 1e3,
            windows=chosen(windows, self.windows),
            stage1_weight=_weight(chosen(stage1_weight, self.stage1_weight), candidates),
            observer=observer(query=query, documents=[item.text for item in texts.values()]),
        )
        kept, unscored = reranked.above(threshold)
        by_id = {document.id: document for document in candidates}
        meta = {"model": self.model, "fingerprint": stage.cross_encoder.fingerprint, "reranked": reranked.scored}
        meta |= {"truncated": reranked.truncated, "skipped": len(unique) - len(candidates)}
        return {
            "documents": [_to_document(by_id[hit.passage.id], hit, texts[hit.passage.id]) for hit in kept[:limit]],
            "meta": {**meta, "unscored": unscored},
        }

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(
        self,
        query: str,
        documents: list[Document],
        top_k: int | None = None,
        scale_score: bool | None = None,
        score_threshold: float | None = None,
        budget_ms: float | None = None,
        stage1_weight: float | None = None,
        windows: bool | Literal["best"] | None = None,
    ) -> dict[str, Any]:
        """Reorder Documents off the event loop; see `run`."""
        return await pool.computing(
            self.run, query, documents, top_k, scale_score, score_threshold, budget_ms, stage1_weight, windows
        )

    def _text(self, document: Document) -> Readable | None:
        prefix, suffix = self.document_prefix, self.document_suffix
        return readable(document, self.meta_fields_to_embed, self.embedding_separator, prefix, suffix)

    def _load(self, activation: str) -> SecondStage:
        encoder = load_cross_encoder(
            self.model,
            revision=self.revision,
            activation=activation,
            prompt=self.prompt,
            **load_options(self, self.model),
        )
        return SecondStage(encoder, self.stage1_weight)


def _close(stage: SecondStage) -> None:
    if isinstance(stage.cross_encoder, Closing):
        stage.cross_encoder.close()


def _unique(documents: list[Document]) -> list[Document]:
    """One Document an id: the one with the best score, in the place of the first."""
    best: dict[str, Document] = {}
    for document in documents:
        known = best.get(document.id)
        if known is None or (document.score is not None and (known.score is None or document.score > known.score)):
            best[document.id] = document
    return list(best.values())


def _weight(weight: float | None, documents: list[Document]) -> float | None:
    return weight if all(document.score is not None for document in documents) else 0.0


def _to_hit(document: Document, text: str, rank: int) -> Hit:
    score = document.score
    return Hit(Passage(text, id=document.id), 0.0 if score is None else score, stage1_score=score, stage1_rank=rank)


def _to_document(document: Document, hit: Hit, text: Readable) -> Document:
    score = document.score if hit.rerank_score is None else hit.score
    return replace(document, score=score, meta={**document.meta, **reranked_meta(hit, text.start)})
