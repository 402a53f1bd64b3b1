"""Both stages: the bi-encoder fetches candidates from the store, the cross-encoder reorders them."""

from __future__ import annotations

import time
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bicross.adopting import verify_unrecorded
from bicross.bi_encoder import BiEncoder
from bicross.encoding.tokenizer import check_text
from bicross.errors import ConfigurationError, InputError, TruncationWarning
from bicross.indexing import carry_out, compare, prepare, prepare_added
from bicross.progress import announce
from bicross.second_stage import Reranked, SecondStage, check_weight, span
from bicross.stores import Store
from bicross.stores.grouping import Grouping, joined
from bicross.stores.schema import DISTANCES, Header
from bicross.types import Encoder, Floats, Hit, IndexReport, Observer, Passage, Scorer, SearchResult

Filter = Mapping[str, Any]

_ANNOUNCED = 20_000
"""Passages that aren't in the approximate index yet, above which building it takes seconds."""


class TwoStageRetriever:
    """Indexes passages and searches them in two stages.

    Args:
        bi_encoder: Finds; a `BiEncoder` or anything that satisfies `Encoder`.
        store: Holds the passages and their vectors.
        cross_encoder: Reorders; a `CrossEncoder`, anything that satisfies `Scorer`, or None for the first stage alone.
        first_stage: "dense".
        stage1_weight: Weight of the first stage's score in the final one, from 0 (the cross-encoder's alone) to 1 (the
            first stage's order). None: the weight that the cross-encoder carries, 0 where it carries none.

    Raises:
        ConfigurationError: An argument that makes no sense.
    """

    def __init__(
        self,
        bi_encoder: Encoder,
        store: Store,
        cross_encoder: Scorer | None = None,
        *,
        first_stage: str = "dense",
        stage1_weight: float | None = None,
    ) -> None:
        if first_stage != "dense":
            raise ConfigurationError(f"first_stage must be 'dense', got {first_stage!r}.")
        self.bi_encoder = bi_encoder
        self.store = store
        self.second_stage = SecondStage(cross_encoder, stage1_weight) if cross_encoder is not None else None
        if stage1_weight is not None:
            check_weight(stage1_weight)
        self._dimension: int | None = getattr(bi_encoder, "dimension", None)
        self._verified: Header | None = None

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
        optimize: bool = True,
        show_progress: bool | None = None,
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
            optimize: Build the approximate index at the end. Searches wait meanwhile.
            show_progress: None: on a terminal, once it takes more than two seconds.

        Raises:
            InputTypeError, InputError: Something that can't be indexed; names its position.
            ConfigurationError: `delete_missing` for a source that is empty or wasn't read wholly.
            FingerprintMismatchError, DimensionMismatchError: Another model filled the collection.
            StorageFullError: The disk is nearly full. What was acknowledged is there.
        """
        if not isinstance(source, str) or not source:
            raise ConfigurationError(f"source must be a name, got {source!r}.")
        incoming = prepare(passages, source, delete_missing=delete_missing, force=force)
        if recreate:
            self._drop(incoming.passages, source, force)
        if incoming.passages or self.store.info() is not None:
            self._bind()
        plan = compare(self.store, incoming, source, delete_missing=delete_missing)
        report = carry_out(self.store, self.bi_encoder, plan, source, show_progress)
        if optimize and (info := self.store.info()) is not None:
            if info.count - info.indexed_vectors_count > _ANNOUNCED:
                announce(f"building the index over {info.count} passages; searches wait", show_progress)
            self.store.optimize()
        return replace(report, skipped=incoming.blank + incoming.unread, duplicates=incoming.duplicates)

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
        incoming = prepare_added(passages)
        if not incoming.passages:
            return IndexReport()
        self._bind()
        plan = compare(self.store, incoming, None, delete_missing=False)
        report = carry_out(self.store, self.bi_encoder, plan, None, show_progress)
        return replace(report, duplicates=incoming.duplicates)

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
        _check_count(top_k, "top_k")
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
        self.verify()
        with span(observer, "encode") as tags:
            vector = self._encode_query(query, tags, observer is not None)
        encoded = time.perf_counter()
        with span(observer, "retrieve") as tags:
            hits = self._nearest(vector, top_k, candidates, filter, grouping)
            tags.update(collection=self.store.collection, top_k=max(top_k, candidates), hits=len(hits))
        ended = time.perf_counter()
        milliseconds = {"encode": (encoded - started) * 1e3, "retrieve": (ended - encoded) * 1e3, "rerank": 0.0}
        return SearchResult(tuple(hits), 0, milliseconds)

    def _nearest(
        self, vector: Floats, top_k: int, candidates: int, filter: Filter | None, grouping: Grouping | None
    ) -> list[Hit]:
        """The nearest passages; where they are of fewer than `top_k` documents, the best ones of others behind them."""
        if grouping is None:
            return self.store.search(vector, top_k=max(top_k, candidates), filter=filter)
        hits: list[Hit] = []
        if candidates:
            hits = self.store.search(vector, top_k=candidates, filter=filter)
            if len(hits) < candidates or grouping.count(hits) >= top_k:
                return hits
        return joined(hits, grouping.hits_of(self.store, vector, top_k, filter))

    def rerank(
        self,
        query: str,
        hits: Sequence[Hit],
        top_k: int | None = None,
        *,
        budget_ms: float | None = None,
        windows: bool = False,
        observer: Observer | None = None,
    ) -> SearchResult:
        """Reorder hits by the cross-encoder, or by its weighted sum with the first stage.

        Args:
            query: What is sought.
            hits: Candidates, best first.
            top_k: How many to return; None: all.
            budget_ms: Score the best candidates first, in chunks, while time allows; the others keep the first stage's
                order behind the scored ones. **Unit:** milliseconds.
            windows: Score long passages in overlapping windows; the best one counts, and its span is in the hit.
            observer: Opens a tracing span for the stage.
        """
        _check_query(query)
        if self.second_stage is None:
            raise ConfigurationError("rerank needs a cross_encoder; this retriever was made without one.")
        if top_k is not None:
            _check_count(top_k, "top_k")
        _check_budget(budget_ms)
        started = time.perf_counter()
        reranked = self.second_stage.rerank(
            query, hits, deadline=_deadline(started, budget_ms), windows=windows, observer=observer
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
        windows: bool = False,
        context: int = 0,
        group_by: str | None = None,
        group_size: int = 1,
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
            windows: As in `rerank`.
            context: Also return this many passages before and behind each hit in its document.
            group_by: Search documents: only the best passages of each are returned. The name of the field whose value
                the passages of a document share: ``"source_id"``, which splitters write, another field of meta,
                ``"source"`` or ``"title"``. A passage without it is a document of its own. Where the candidates are of
                fewer than `top_k` documents, the best passages of others are added to them.
            group_size: Most passages of a document. The score of a document is that of its best passage.
            observer: Opens a tracing span for each stage.

        Raises:
            InputError: The query holds nothing but whitespace.
            FilterError: The filter isn't understood.
            FingerprintMismatchError: Another model filled the collection.
        """
        _check_count(top_k, "top_k")
        _check_count(candidates, "candidates")
        _check_budget(budget_ms)
        if isinstance(context, bool) or not isinstance(context, int) or context < 0:
            raise ConfigurationError(f"context must be a whole number of passages, 0 or more, got {context!r}.")
        _check_query(query)
        grouping = Grouping.asked(group_by, group_size)
        started = time.perf_counter()
        wanted = 0 if self.second_stage is None else max(top_k, candidates)
        found = self._retrieve(query, top_k, wanted, filter, grouping, observer)
        milliseconds = dict(found.milliseconds)
        reranked = Reranked(list(found.hits))
        if self.second_stage is None:
            hits = [hit for hit in found if score_threshold is None or hit.score >= score_threshold]
            unscored = 0
        else:
            before = time.perf_counter()
            reranked = self.second_stage.rerank(
                query, found.hits, deadline=_deadline(started, budget_ms), windows=windows, observer=observer
            )
            milliseconds["rerank"] = (time.perf_counter() - before) * 1e3
            hits, unscored = reranked.above(score_threshold)
        hits = hits[:top_k] if grouping is None else grouping.collapsed(hits, top_k)
        if context:
            hits = [self._with_context(hit, context) for hit in hits]
        return SearchResult(tuple(hits), reranked.scored, milliseconds, unscored, reranked.truncated)

    def _checked_dimension(self) -> int:
        """The bi-encoder's dimension, once it is known that a store can compare its vectors.

        Raises:
            ConfigurationError: Its similarity is one that no store has.
        """
        name = getattr(self.bi_encoder, "similarity_name", "cosine")
        if name not in DISTANCES:
            raise ConfigurationError(
                f"A store compares by {' or '.join(DISTANCES)}, got {self.bi_encoder!r}, which compares by {name!r}. "
                "Use another bi-encoder."
            )
        if self._dimension is None:
            self._dimension = int(self.bi_encoder.encode_document("dimension").shape[-1])
        return self._dimension

    def _drop(self, incoming: Collection[str], source: str, force: bool) -> None:
        """Remove the collection, once there is something to put in its place and a model that can."""
        if not incoming and not force:
            raise ConfigurationError(
                f"recreate needs passages to put in the place of the collection, got none of {source!r}. Check the "
                "source, or pass force=True to empty the collection."
            )
        self._checked_dimension()
        self.bi_encoder.encode_document("does it work?")
        self.store.drop()

    def _bind(self) -> None:
        encoder = self.bi_encoder
        self.store.bind(
            dimension=self._checked_dimension(),
            fingerprint=encoder.document_fingerprint,
            model=getattr(encoder, "name", None),
            revision=getattr(encoder, "revision", None),
            distance=getattr(encoder, "similarity_name", "cosine"),
        )

    def verify(self) -> None:
        """Refuse to search what another model filled; looked at again whenever the collection is another one.

        Raises:
            FingerprintMismatchError, DimensionMismatchError: Another model filled it.
        """
        header = self.store.header()
        if header is None or header == self._verified:
            return
        if header.fingerprint is None:
            verify_unrecorded(self.store, self.bi_encoder)
        else:
            self._bind()
        self._verified = header

    def _encode_query(self, query: str, tags: dict[str, Any], observed: bool) -> Floats:
        encoder = self.bi_encoder
        if not isinstance(encoder, BiEncoder):
            return encoder.encode_query(query)
        vector, cut = encoder.encode_query(query, return_truncation=True)
        if observed:  # a fingerprint takes a look at every weight, once
            tags.update(model=encoder.name, fingerprint=encoder.query_fingerprint, truncated=int(cut))
        if cut:
            warnings.warn(
                f"The query was longer than the {encoder.max_length} tokens that the bi-encoder reads, and was cut.",
                TruncationWarning,
                stacklevel=4,
            )
        return vector

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


def _check_count(value: Any, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be a positive whole number, got {value!r}.")


def _check_budget(budget_ms: float | None) -> None:
    if budget_ms is not None and (isinstance(budget_ms, bool) or not budget_ms >= 0):
        raise ConfigurationError(f"budget_ms must be 0 or more milliseconds, got {budget_ms!r}.")
