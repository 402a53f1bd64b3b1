"""The second stage: candidates in, the cross-encoder's order out, as deep as time allows."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.arguments import check_share
from bicross.caches import ScoreCache, check_kept_scores, check_scores
from bicross.cross_encoder import CrossEncoder, counted_raw_scores, raw_fingerprint
from bicross.encoding.windows import WINDOW_TOKENS, check_windows
from bicross.errors import ConfigurationError
from bicross.ranking import Pace, order, pair_costs, weighted_sum
from bicross.types import Floats, Hit, Observer, Scorer, Windows

Spans = list[tuple[int, int] | None]


@dataclass(frozen=True, slots=True)
class Reranked:
    """The outcome of a second stage.

    Attributes:
        hits: The candidates in their final order, the ones that weren't scored last.
        scored: How many were scored.
        truncated: How many of these were longer than the cross-encoder reads, and were cut.
    """

    hits: list[Hit]
    scored: int = 0
    truncated: int = 0

    def above(self, threshold: float | None) -> tuple[list[Hit], int]:
        """The hits with at least this final score, and how many are left out because they weren't scored.

        Args:
            threshold: **Unit:** that of the cross-encoder's scores. None: all hits, scored or not.
        """
        if threshold is None:
            return self.hits, 0
        judged = [hit for hit in self.hits if hit.rerank_score is not None]
        return [hit for hit in judged if hit.score >= threshold], len(self.hits) - len(judged)


class SecondStage:
    """Reorders candidates; needs no store.

    Args:
        cross_encoder: A `CrossEncoder`, anything that satisfies `Scorer`, or the name of a model for
            `CrossEncoder.load`, such as "fast".
        stage1_weight: Weight of the first stage's score in the final one, from 0 (the cross-encoder's alone) to 1 (the
            first stage's order). None: the weight that the cross-encoder carries, 0 where it carries none.
        score_cache: A `ScoreCache`, or the folder of one: a pair that was scored once, by any process, isn't again.

    Raises:
        ConfigurationError: A weight outside its range, or a cross-encoder with several labels.
    """

    def __init__(
        self,
        cross_encoder: Scorer | str,
        stage1_weight: float | None = None,
        *,
        score_cache: ScoreCache | str | os.PathLike[str] | None = None,
    ) -> None:
        if isinstance(cross_encoder, str):
            cross_encoder = CrossEncoder.load(cross_encoder)
        labels = getattr(cross_encoder, "labels", 1)
        if labels != 1:
            raise ConfigurationError(f"A cross-encoder that reranks needs one label, got {labels}.")
        self.cross_encoder: Scorer = cross_encoder
        weight = getattr(cross_encoder, "stage1_weight", 0.0) if stage1_weight is None else stage1_weight
        self.stage1_weight = check_share(weight, "stage1_weight")
        if isinstance(score_cache, str | os.PathLike):
            score_cache = ScoreCache(os.fspath(score_cache))
        self.score_cache = score_cache
        self._witnessed = False
        self._pace = Pace()

    def rerank(
        self,
        query: str,
        hits: Sequence[Hit],
        *,
        deadline: float | None = None,
        windows: Windows = False,
        window_tokens: int = WINDOW_TOKENS,
        stage1_weight: float | None = None,
        observer: Observer | None = None,
    ) -> Reranked:
        """Score candidates, best first, and sort them.

        Args:
            query: What is sought.
            hits: Candidates in the first stage's order.
            deadline: Score in chunks until then; None: score all. **Unit:** seconds of `time.perf_counter`.
            windows: True: score long passages in overlapping windows; the best one counts. "best": score one window of
                each, the one that holds the most of the query, with the title in front. Its span is in the hit.
            window_tokens: Length of the one window of "best".
            stage1_weight: For this call instead of the stage's own.
            observer: Opens a tracing span.
        """
        weight = self.stage1_weight if stage1_weight is None else check_share(stage1_weight, "stage1_weight")
        check_windows(windows, window_tokens)
        hits = [_unscored(hit) for hit in hits]
        with span(observer, "rerank") as tags:
            cross, spans, truncated = self._score_in_time(query, hits, deadline, windows, window_tokens)
            if observer is not None:  # a fingerprint takes a look at every weight, once
                tags.update(model=getattr(self.cross_encoder, "name", None), fingerprint=self.cross_encoder.fingerprint)
                tags.update(candidates=len(hits), reranked=len(cross), truncated=truncated)
        count = len(cross)
        if count == 0:
            return Reranked(list(hits))
        first = [0.0 if hit.stage1_score is None else hit.stage1_score for hit in hits[:count]]
        final = final_scores(self.cross_encoder, cross, first, weight)
        shown = final_scores(self.cross_encoder, cross, first, 0.0)
        scored = [
            replace(hit, score=float(final[i]), rerank_score=float(shown[i]), span=spans[i])
            for i, hit in enumerate(hits[:count])
        ]
        return Reranked(order(scored + list(hits[count:])), count, truncated)

    def _score_in_time(
        self, query: str, hits: Sequence[Hit], deadline: float | None, windows: Windows, window_tokens: int
    ) -> tuple[Floats, Spans, int]:
        """Scores of the first hits, as many as time allows; the spans of their windows; how many were cut."""
        texts = [hit.passage.full_text for hit in hits]
        spans: Spans = [None] * len(hits)
        if windows == "best":
            texts, spans = self._one_window(query, hits, window_tokens)
        scores = self._known(query, texts, windows)
        limit = math.inf if windows is True else getattr(self.cross_encoder, "max_length", math.inf)
        costs = np.where(np.isnan(scores), pair_costs(query, texts, limit), 0.0)
        done = truncated = 0
        while done < len(hits):
            size = len(hits) - done
            if deadline is not None:
                size = self._pace.affordable(costs[done:], (deadline - time.perf_counter()) * 1e3)
            if size == 0:
                break
            new = [i for i in range(done, done + size) if np.isnan(scores[i])]
            done += size
            if not new:
                continue
            before = time.perf_counter()
            if windows is True:
                scores[new], found = self._all_windows(query, [hits[i] for i in new])
                for i, found_span in zip(new, found, strict=True):
                    spans[i] = found_span
            else:
                scores[new], cut = self._score([(query, texts[i]) for i in new])
                truncated += cut
            self._pace.learn(costs[new], (time.perf_counter() - before) * 1e3)
        return scores[:done], spans[:done], truncated

    def _known(self, query: str, texts: list[str], windows: Windows) -> Floats:
        """Scores from the cache, NaN where there is none; the best of many windows isn't kept there."""
        if self.score_cache is None or windows is True:
            return np.full(len(texts), np.nan, dtype=np.float32)
        if not self._witnessed:
            check_kept_scores(self.score_cache, self.cross_encoder)
            self._witnessed = True
        return self.score_cache.find(raw_fingerprint(self.cross_encoder), [(query, text) for text in texts])

    def _score(self, pairs: list[tuple[str, str]]) -> tuple[Floats, int]:
        """Scores before the activation, where the cross-encoder lets it be held back; how many pairs were cut."""
        cross = self.cross_encoder
        truncated = 0

        def score(asked: Sequence[tuple[str, str]]) -> Floats:
            nonlocal truncated
            scores, cut = counted_raw_scores(cross, asked)
            truncated += cut
            return check_scores(scores, asked)

        if self.score_cache is None:
            return score(pairs), truncated
        return self.score_cache.score(raw_fingerprint(cross), pairs, score), truncated

    def _all_windows(self, query: str, hits: Sequence[Hit]) -> tuple[Floats, Spans]:
        """Score and span, in the passage's text, of each hit's best window."""
        cross = self.cross_encoder
        options: dict[str, Any] = {"windows": True, "activation": "identity", "show_progress": False}
        texts = [hit.passage.full_text for hit in hits]
        ranked = cross.rank(query, texts, **options) if isinstance(cross, CrossEncoder) else cross.rank(query, texts)
        by_index = sorted(ranked, key=lambda item: item.index)
        spans = [_text_span(hit, item.span) for hit, item in zip(hits, by_index, strict=True)]
        scores = np.array([item.score for item in by_index], np.float32)
        return check_scores(scores, [(query, text) for text in texts]), spans

    def _one_window(self, query: str, hits: Sequence[Hit], tokens: int) -> tuple[list[str], Spans]:
        """Title and most promising window of each hit, and the window's span in the passage's text."""
        if not isinstance(self.cross_encoder, CrossEncoder):
            raise ConfigurationError(
                f"windows='best' counts the tokens of a CrossEncoder, got {self.cross_encoder!r}. Use windows=True."
            )
        spans = self.cross_encoder.windows_of(query, [hit.passage.text for hit in hits], tokens)
        cut = [
            replace(hit.passage, text=hit.passage.text[start:end]).full_text
            for hit, (start, end) in zip(hits, spans, strict=True)
        ]
        return cut, list(spans)


def final_scores(cross_encoder: Scorer, cross: npt.ArrayLike, first: npt.ArrayLike, weight: float) -> Floats:
    """What the candidates of one query are ordered by.

    Args:
        cross_encoder: Whose activation is applied at the end, where it is a `CrossEncoder`.
        cross: Its scores before the activation. **Shape:** (candidates,).
        first: The first stage's scores. **Shape:** (candidates,).
        weight: Of the first stage, from 0 to 1.

    Returns:
        **Shape:** (candidates,). **Unit:** the cross-encoder's ``score_unit``.
    """
    scores = weighted_sum(cross, first, weight).astype(np.float32)
    return cross_encoder.activated(scores) if isinstance(cross_encoder, CrossEncoder) else scores


def span(observer: Observer | None, name: str) -> AbstractContextManager[dict[str, Any]]:
    """A tracing span, or nothing where nobody observes."""
    return nullcontext({}) if observer is None else observer(name)


def _unscored(hit: Hit) -> Hit:
    """A hit without what an earlier second stage said of it."""
    if hit.rerank_score is None and hit.span is None:
        return hit
    return replace(hit, score=hit.score if hit.stage1_score is None else hit.stage1_score, rerank_score=None, span=None)


def _text_span(hit: Hit, found: tuple[int, int] | None) -> tuple[int, int] | None:
    """A window's span in title and text, as a span in the text."""
    if found is None:
        return None
    offset = len(hit.passage.full_text) - len(hit.passage.text)
    return max(found[0] - offset, 0), max(found[1] - offset, 0)
