"""Both stages: the bi-encoder fetches candidates from the store, the cross-encoder reorders them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bicross.arguments import check_count, check_share
from bicross.caches import ScoreCache
from bicross.diversity import diversified
from bicross.encoding.tokenizer import check_text
from bicross.encoding.windows import WINDOW_TOKENS
from bicross.errors import ConfigurationError, InputError
from bicross.first_stage import FirstStage
from bicross.progress import Told, announce
from bicross.second_stage import Reranked, SecondStage, span
from bicross.stores import Store
from bicross.stores.grouping import Grouping
from bicross.stores.shards import MANY
from bicross.syncing import Sync
from bicross.types import Encoder, Hit, IndexReport, Observer, Passage, Scorer, SearchResult, SparseEncoder, Windows

Filter = Mapping[str, Any]


class TwoStageRetriever:
    """Indexes passages and searches them in two stages.

    Args:
        bi_encoder: Finds; a `BiEncoder`, anything that satisfies `Encoder`, or the name of a model for
            `BiEncoder.load`, such as "starter".
        store: Holds the passages and their vectors.
        cross_encoder: Reorders; a `CrossEncoder`, anything that satisfies `Scorer`, the name of a model for
            `CrossEncoder.load`, such as "fast", or None for the first stage alone.
        first_stage: "dense": by the bi-encoder's vectors. "bm25": by sparse vectors, BM25 unless another encoder is
            given. "hybrid": by both, fused. A collection filled with one of the latter two serves all three.
        stage1_weight: Weight of the first stage's score in the final one, from 0 (the cross-encoder's alone) to 1 (the
            first stage's order). None: the weight that the cross-encoder carries, 0 where it carries none.
        sparse_encoder: Makes the sparse vectors; anything that satisfies `SparseEncoder`. None: `BM25Encoder` for the
            collection's language, English where it notes none.
        fusion: How a hybrid first stage makes one ranking of two: "weighted", the weighted sum of z-scores, or "rrf",
            reciprocal rank fusion.
        sparse_weight: Share of the sparse search in the fused score, from 0 to 1.
        score_cache: A `bicross.caches.ScoreCache`, or the folder of one: a candidate that was scored for the same query
            once isn't again. `truncated` of a result counts what was scored now.

    Raises:
        ConfigurationError: An argument that makes no sense.
    """

    def __init__(
        self,
        bi_encoder: Encoder | str,
        store: Store,
        cross_encoder: Scorer | str | None = None,
        *,
        first_stage: str = "dense",
        stage1_weight: float | None = None,
        sparse_encoder: SparseEncoder | None = None,
        fusion: str = "weighted",
        sparse_weight: float = 0.5,
        score_cache: ScoreCache | str | os.PathLike[str] | None = None,
    ) -> None:
        self.first_stage = FirstStage(
            bi_encoder,
            store,
            first_stage,
            sparse_encoder=sparse_encoder,
            fusion=fusion,
            sparse_weight=sparse_weight,
        )
        self.bi_encoder = self.first_stage.bi_encoder
        self.store = store
        self.second_stage: SecondStage | None = None
        if cross_encoder is not None:
            self.second_stage = SecondStage(cross_encoder, stage1_weight, score_cache=score_cache)
        if stage1_weight is not None:
            check_share(stage1_weight, "stage1_weight")

    @property
    def cross_encoder(self) -> Scorer | None:
        """What reorders; None for the first stage alone."""
        return self.second_stage.cross_encoder if self.second_stage else None

    @property
    def stage1_weight(self) -> float:
        """Weight of the first stage's score in the final one."""
        return self.second_stage.stage1_weight if self.second_stage else 0.0

    def index(
        self,
        passages: Iterable[Passage],
        source: str = "default",
        *,
        delete_missing: bool = False,
        force: bool = False,
        recreate: bool = False,
        reweight: bool = False,
        optimize: bool = True,
        show_progress: bool | Told | None = None,
    ) -> IndexReport:
        """Bring the store up to date with a source: encode what is new or changed, skip the rest.

        Everything is validated before anything is written. A batch is written while the next one is encoded, and is
        acknowledged by the store before a third one begins: a run that was killed goes on where it stopped when it is
        called again.

        Args:
            passages: All passages of the source. A passage without a source of its own gets this one.
            source: Name of the sync; what `delete_missing` looks at.
            delete_missing: Remove passages of this source, and of no other, that aren't among `passages`.
            force: Delete, or recreate, also where the source is empty or wasn't read wholly.
            recreate: Remove the whole collection first, with the passages of every source.
            reweight: Make all sparse vectors anew, also those of another sparse encoder; the dense ones stay.
            optimize: Build the approximate index at the end. Searches wait meanwhile.
            show_progress: None: on a terminal, once it takes more than two seconds. A callable is told what is being
                done, how many passages are done, and of how many; what it raises ends the run, and what was
                acknowledged by then is there.

        Raises:
            InputTypeError, InputError: Something that can't be indexed; names its position.
            ConfigurationError: `delete_missing` or `recreate` for a source that is empty or wasn't read wholly.
            FingerprintMismatchError, DimensionMismatchError: Other models filled the collection.
            StorageFullError: The disk is nearly full. What was acknowledged is there.
        """
        if reweight and self.first_stage.sparse is None:
            raise ConfigurationError("reweight is for first_stage='bm25' or 'hybrid'; got 'dense'. Leave it out.")
        if not isinstance(source, str) or not source:
            raise ConfigurationError(f"source must be a name, got {source!r}.")
        report = Sync(self.first_stage).index(
            passages,
            source,
            delete_missing=delete_missing,
            force=force,
            recreate=recreate,
            reweight=reweight,
            show_progress=show_progress,
        )
        if optimize and (info := self.store.info()) is not None:
            if (info.count - info.indexed_vectors_count) * info.dimension >= MANY:
                announce(f"building the index over {info.count} passages; searches wait", show_progress)
            self.store.optimize()
        return report

    def add(self, passages: Sequence[Passage], *, show_progress: bool | None = None) -> IndexReport:
        """Write passages that belong to no sync; those with a known id replace the stored ones.

        Only what is new, or has another title or text, is encoded. Nothing is deleted, blank passages are kept, and
        the approximate index isn't built: `store.optimize()` does that after the last call.

        Args:
            passages: What to write; of several with one id, the last.
            show_progress: None: on a terminal, once it takes more than two seconds.

        Raises:
            InputTypeError, InputError: Something that can't be indexed; names its position.
            FingerprintMismatchError, DimensionMismatchError: Another model filled the collection.
            StorageFullError: The disk is nearly full. What was acknowledged is there.
        """
        return Sync(self.first_stage).add(passages, show_progress=show_progress)

    def add_sparse(self, *, reweight: bool = False, show_progress: bool | None = None) -> int:
        """Make the sparse vectors that stored passages lack, from their stored texts; the dense ones stay.

        So a collection that was filled with a dense first stage serves a hybrid one, without its sources.

        Args:
            reweight: Make all sparse vectors anew, also those of another sparse encoder.
            show_progress: None: on a terminal, once it takes more than two seconds.

        Returns:
            How many passages got one.

        Raises:
            ConfigurationError: The first stage is dense.
            FingerprintMismatchError: Another sparse encoder made those that are there.
        """
        if self.first_stage.sparse is None:
            raise ConfigurationError("add_sparse is for first_stage='bm25' or 'hybrid'; got 'dense'.")
        return self.first_stage.sparse.complete(reweight=reweight, show_progress=show_progress)

    def retrieve(
        self,
        query: str,
        top_k: int = 100,
        *,
        filter: Filter | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        observer: Observer | None = None,
    ) -> SearchResult:
        """The first stage alone.

        Args:
            query: What is sought.
            top_k: How many hits at most; with `group_by`, how many documents.
            filter: Haystack's filter dict; ``meta.`` may be left out of field names.
            group_by: As in `search`.
            group_size: As in `search`.
            observer: Opens a tracing span for each stage.

        Raises:
            InputError: The query holds nothing but whitespace.
            FingerprintMismatchError: Another model filled the collection.
        """
        _check_query(query)
        check_count(top_k, "top_k")
        return self._retrieve(query, top_k, 0, filter, Grouping.asked(group_by, group_size), observer)

    def _retrieve(
        self,
        query: str,
        top_k: int,
        candidates: int,
        filter: Filter | None,
        grouping: Grouping | None,
        observer: Observer | None,
    ) -> SearchResult:
        started = time.perf_counter()
        stage = self.first_stage
        stage.verify()
        with span(observer, "encode") as tags:
            sought = stage.encode(query, tags, observed=observer is not None)
        encoded = time.perf_counter()
        with span(observer, "retrieve") as tags:
            if grouping is None:
                hits = stage.find(sought, max(top_k, candidates), filter)
            else:
                hits = stage.find_documents(sought, top_k, candidates, filter, grouping)
            tags.update(collection=self.store.collection, top_k=max(top_k, candidates), hits=len(hits))
        ended = time.perf_counter()
        milliseconds = {"encode": (encoded - started) * 1e3, "retrieve": (ended - encoded) * 1e3, "rerank": 0.0}
        return SearchResult(tuple(hits), 0, milliseconds)

    def rerank(
        self,
        query: str,
        hits: Sequence[Hit],
        top_k: int | None = None,
        *,
        budget_ms: float | None = None,
        windows: Windows = False,
        window_tokens: int = WINDOW_TOKENS,
        observer: Observer | None = None,
    ) -> SearchResult:
        """Reorder hits by the cross-encoder, or by its weighted sum with the first stage.

        Args:
            query: What is sought.
            hits: Candidates, best first.
            top_k: How many to return; None: all.
            budget_ms: Score the best candidates first, in chunks, while time allows; the others keep the first stage's
                order behind the scored ones. **Unit:** milliseconds.
            windows: True: score long passages in overlapping windows; the best one counts. "best": score one window of
                each, the one that holds the most of the query, with the title in front: quick. The window's span is in
                the hit.
            window_tokens: Length of the one window of "best".
            observer: Opens a tracing span for the stage.
        """
        _check_query(query)
        if self.second_stage is None:
            raise ConfigurationError("rerank needs a cross_encoder; this retriever was made without one.")
        if top_k is not None:
            check_count(top_k, "top_k")
        _check_budget(budget_ms)
        started = time.perf_counter()
        reranked = self.second_stage.rerank(
            query,
            hits,
            deadline=_deadline(started, budget_ms),
            windows=windows,
            window_tokens=window_tokens,
            observer=observer,
        )
        milliseconds = {"encode": 0.0, "retrieve": 0.0, "rerank": (time.perf_counter() - started) * 1e3}
        return SearchResult(tuple(reranked.hits[:top_k]), reranked.scored, milliseconds, truncated=reranked.truncated)

    def search(
        self,
        query: str,
        top_k: int = 10,
        *,
        candidates: int = 100,
        filter: Filter | None = None,
        score_threshold: float | None = None,
        budget_ms: float | None = None,
        windows: Windows = False,
        window_tokens: int = WINDOW_TOKENS,
        context: int = 0,
        group_by: str | None = None,
        group_size: int = 1,
        diversity: float = 0.0,
        observer: Observer | None = None,
    ) -> SearchResult:
        """Both stages: fetch candidates, rerank them, return the best.

        Args:
            query: What is sought.
            top_k: How many hits at most; with `group_by`, how many documents.
            candidates: What the first stage hands to the second, in passages; at least `top_k` are fetched.
            filter: Haystack's filter dict; ``meta.`` may be left out of field names.
            score_threshold: Keep hits with at least this final score. Applied after reranking; candidates that weren't
                reranked are left out and counted in the result.
            budget_ms: Time for the whole search; what the first stage leaves of it goes into reranking.
                **Unit:** milliseconds.
            windows, window_tokens: As in `rerank`.
            context: Also return this many passages before and behind each hit in its document.
            group_by: Search documents: only the best passages of each are returned. The name of the field whose value
                the passages of a document share: ``"source_id"``, which splitters write, another field of meta,
                ``"source"`` or ``"title"``. A passage without it is a document of its own. Where the candidates are of
                fewer than `top_k` documents, the best passages of others are added to them.
            group_size: Most passages of a document. The score of a document is that of its best passage.
            diversity: From 0 (the best hits) to 1: how much a hit loses by being like a better one. The hits are then
                chosen from all candidates, and come, by maximal marginal relevance; their scores stay.
            observer: Opens a tracing span for each stage.

        Raises:
            InputError: The query holds nothing but whitespace.
            FilterError: The filter isn't understood.
            FingerprintMismatchError: Another model filled the collection.
        """
        check_count(top_k, "top_k")
        check_count(candidates, "candidates")
        _check_budget(budget_ms)
        if isinstance(context, bool) or not isinstance(context, int) or context < 0:
            raise ConfigurationError(f"context must be a whole number of passages, 0 or more, got {context!r}.")
        _check_query(query)
        grouping = Grouping.asked(group_by, group_size)
        check_share(diversity, "diversity")
        started = time.perf_counter()
        wanted = 0 if self.second_stage is None and not diversity else max(top_k, candidates)
        found = self._retrieve(query, top_k, wanted, filter, grouping, observer)
        milliseconds = dict(found.milliseconds)
        reranked = Reranked(list(found.hits))
        if self.second_stage is None:
            hits = [hit for hit in found if score_threshold is None or hit.score >= score_threshold]
            unscored = 0
        else:
            before = time.perf_counter()
            reranked = self.second_stage.rerank(
                query,
                found.hits,
                deadline=_deadline(started, budget_ms),
                windows=windows,
                window_tokens=window_tokens,
                observer=observer,
            )
            milliseconds["rerank"] = (time.perf_counter() - before) * 1e3
            hits, unscored = reranked.above(score_threshold)
        if diversity:
            hits = diversified(self.store, hits, top_k if grouping is None else len(hits), diversity)
        hits = hits[:top_k] if grouping is None else grouping.collapsed(hits, top_k)
        if context:
            hits = [self._with_context(hit, context) for hit in hits]
        return SearchResult(tuple(hits), reranked.scored, milliseconds, unscored, reranked.truncated)

    def verify(self) -> None:
        """Refuse to search what another model filled; looked at again whenever the collection is another one.

        Raises:
            FingerprintMismatchError, DimensionMismatchError: Another model filled it.
            StoreError: It has no sparse vectors, and the first stage needs them.
        """
        self.first_stage.verify()

    def _with_context(self, hit: Hit, context: int) -> Hit:
        meta = hit.passage.meta
        document, place = meta.get("source_id"), meta.get("split_id")
        if document is None or not isinstance(place, int):
            return hit
        conditions = [
            {"field": "meta.source_id", "operator": "==", "value": document},
            {"field": "meta.split_id", "operator": ">=", "value": place - context},
            {"field": "meta.split_id", "operator": "<=", "value": place + context},
        ]
        around = self.store.scroll({"operator": "AND", "conditions": conditions})
        return replace(hit, context=tuple(sorted(around, key=lambda passage: passage.meta["split_id"])))


def _deadline(started: float, budget_ms: float | None) -> float | None:
    return None if budget_ms is None else started + budget_ms / 1e3


def _check_query(query: str) -> None:
    check_text(query, "query")
    if not query.strip():
        raise InputError(f"A query must hold a word, got {query!r}. Ask for something.")


def _check_budget(budget_ms: float | None) -> None:
    if budget_ms is not None and (isinstance(budget_ms, bool) or not budget_ms >= 0):
        raise ConfigurationError(f"budget_ms must be 0 or more milliseconds, got {budget_ms!r}.")
