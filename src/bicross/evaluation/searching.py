"""Asking a retriever every query of a data set, stage by stage."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from bicross.arguments import check_share
from bicross.errors import TruncationWarning
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.legs import ExactSearch
from bicross.evaluation.retrievers import read_answer
from bicross.evaluation.stages import Positions, Stages
from bicross.progress import progress
from bicross.retriever import TwoStageRetriever
from bicross.second_stage import SecondStage, final_scores
from bicross.types import Encoder, Floats, Hit, Scorer

Ranking = dict[str, float]


@dataclass(frozen=True, slots=True)
class Depths:
    """How a data set is searched.

    Attributes:
        candidates: What the first stage hands to the second.
        depth: Results of a run; those behind the candidates keep the first stage's order.
        exclude_self: Drop the document with the query's own id, before anything is cut off.
        timed: Queries that are asked once more, alone and without caches, to take the time.
        show_progress: None: on a terminal, once it takes more than two seconds.
    """

    candidates: int
    depth: int
    exclude_self: bool = False
    timed: int = 0
    show_progress: bool | None = None


@dataclass(frozen=True, slots=True)
class Searched:
    """What came back.

    Attributes:
        runs: By stage: ``first_stage`` and ``two_stage``, or ``retriever`` where its stages can't be told apart.
        milliseconds: Times of single queries, by stage.
        unit: Of the last run's scores; None where there are no scores, and ranks stand for them.
    """

    runs: dict[str, dict[str, Ranking]]
    milliseconds: dict[str, list[float]] = field(default_factory=dict)
    unit: str | None = None


def search_stages(
    stages: Stages, data: Dataset, depths: Depths, first_stage: str = "dense", stage1_weight: float | None = None
) -> Searched:
    """Every query by exact search, then by the cross-encoder; vectors and scores come from the caches."""
    show = depths.show_progress
    if stage1_weight is not None:
        check_share(stage1_weight, "stage1_weight")
    own = int(depths.exclude_self)
    search = stages.search(data, first_stage, show_progress=show)
    positions, scores = search.find(depths.depth + own, show_progress=show)
    if own:
        positions, scores = _without_own(data, positions, scores)
    ids = list(data.documents)
    first = {q: _ranking(ids, positions[row], scores[row]) for row, q in enumerate(data.queries)}
    runs = {"first_stage": first}
    unit = _first_unit(first_stage, stages.bi_encoder)
    cross = stages.cross_encoder
    times = _time_stages(search, cross, data, first, depths) if depths.timed else {}
    del search  # the documents' vectors needn't stay while all pairs are scored
    if cross is not None:
        second = SecondStage(cross, stage1_weight)
        logits = stages.cross_scores(data, positions[:, : depths.candidates], show_progress=show)
        runs["two_stage"] = {
            query_id: _reranked(
                ranking, final_scores(cross, row, list(ranking.values())[: len(row)], second.stage1_weight)
            )
            for (query_id, ranking), row in zip(first.items(), map(_present, logits), strict=True)
        }
        unit = getattr(cross, "score_unit", "score")
    return Searched(runs, times, unit)


def _first_unit(kind: str, encoder: Encoder) -> str | None:
    """Unit of the first stage's scores; None for fused ones, which don't compare between queries."""
    return {"dense": getattr(encoder, "similarity_name", "cosine"), "hybrid": None}.get(kind, kind)


def _without_own(data: Dataset, positions: Positions, scores: Floats) -> tuple[Positions, Floats]:
    """Rows one shorter: without the query's own document, else without the last."""
    places = {document_id: place for place, document_id in enumerate(data.documents)}
    own = np.array([places.get(query_id, -2) for query_id in data.queries])
    drop = positions == own[:, None]
    drop[~drop.any(axis=1), -1] = True
    shape = (len(positions), positions.shape[1] - 1)
    return positions[~drop].reshape(shape), scores[~drop].reshape(shape)


def _present(row: Floats) -> Floats:
    return row[~np.isnan(row)]


def _ranking(ids: Sequence[str], positions: Any, scores: Any) -> Ranking:
    return {ids[p]: s for p, s in zip(positions.tolist(), scores.tolist(), strict=True) if p >= 0}


def _reranked(ranking: Ranking, final: Floats) -> Ranking:
    """The scored documents in their new order; behind them the rest, with scores below theirs."""
    ids = list(ranking)
    order = np.argsort(-final, kind="stable").tolist()
    scored = {ids[place]: float(final[place]) for place in order}
    least = min(scored.values(), default=0.0)
    return scored | {document_id: least - rank for rank, document_id in enumerate(ids[len(final) :], start=1)}


def _time_stages(
    search: ExactSearch, cross: Scorer | None, data: Dataset, first: Mapping[str, Ranking], depths: Depths
) -> dict[str, list[float]]:
    """Milliseconds of single queries, without the caches, by the stages of `search_retriever`."""
    names = ["encode", "retrieve"] if cross is None else ["encode", "retrieve", "rerank"]
    times: dict[str, list[float]] = {name: [] for name in names}
    queries = list(data.queries.items())
    count = min(depths.timed, len(queries))
    with progress("timing", count, depths.show_progress) as advance, warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # counted where the scores that count are computed
        # The first call of a model takes longer than any other.
        for number, row in enumerate([0, *range(count)]):
            query_id, text = queries[row]
            pairs = [(text, data.documents[d]) for d in list(first[query_id])[: depths.candidates]]
            marks = [time.perf_counter()]
            search.encode(text)
            marks.append(time.perf_counter())
            search.find(depths.depth + depths.exclude_self, slice(row, row + 1), show_progress=False)
            marks.append(time.perf_counter())
            if cross is not None and pairs:
                cross.predict(pairs)
            marks.append(time.perf_counter())
            if number:
                for name, spent in zip(names, np.diff(marks).tolist(), strict=False):
                    times[name].append(spent * 1e3)
                advance(1)
    return times


def search_retriever(retriever: TwoStageRetriever, data: Dataset, depths: Depths) -> Searched:
    """Every query, one after the other, against the retriever's own store."""
    second = retriever.second_stage
    first: dict[str, Ranking] = {}
    final: dict[str, Ranking] = {}
    names = ["encode", "retrieve"] if second is None else ["encode", "retrieve", "rerank"]
    times: dict[str, list[float]] = {name: [] for name in names}
    retriever.search(next(iter(data.queries.values())), 1, candidates=2)  # a model's first call takes longer
    with progress("searching", len(data.queries), depths.show_progress) as advance:
        for query_id, text in data.queries.items():
            found = retriever.retrieve(text, depths.depth + depths.exclude_self)
            hits = [hit for hit in found if not (depths.exclude_self and hit.passage.id == query_id)][: depths.depth]
            first[query_id] = {hit.passage.id: hit.score for hit in hits}
            spent = dict(found.milliseconds)
            if second is not None:
                reranked = retriever.rerank(text, hits[: depths.candidates])
                final[query_id] = _behind(reranked.hits, hits[depths.candidates :])
                spent["rerank"] = reranked.milliseconds["rerank"]
            for name in names:
                times[name].append(spent[name])
            advance(1)
    if second is None:
        return Searched({"first_stage": first}, times, _first_unit(retriever.first_stage.kind, retriever.bi_encoder))
    unit = getattr(second.cross_encoder, "score_unit", "score")
    return Searched({"first_stage": first, "two_stage": final}, times, unit)


def _behind(scored: Sequence[Hit], rest: Sequence[Hit]) -> Ranking:
    least = min((hit.score for hit in scored), default=0.0)
    tail = {hit.passage.id: least - rank for rank, hit in enumerate(rest, start=1)}
    return {hit.passage.id: hit.score for hit in scored} | tail


def search_function(function: Callable[[str], Any], data: Dataset, depths: Depths) -> Searched:
    """Every query, one after the other, by a function from a query to ids and scores."""
    run: dict[str, Ranking] = {}
    times: list[float] = []
    scored = True
    with progress("searching", len(data.queries), depths.show_progress) as advance:
        for query_id, text in data.queries.items():
            started = time.perf_counter()
            answer = function(text)
            times.append((time.perf_counter() - started) * 1e3)
            ids, scores = read_answer(answer)
            scored = scored and scores is not None
            values = [1.0 / rank for rank in range(1, len(ids) + 1)] if scores is None else scores
            run[query_id] = {
                document_id: value
                for document_id, value in zip(ids, values, strict=True)
                if not (depths.exclude_self and document_id == query_id)
            }
            advance(1)
    return Searched({"retriever": run}, {"total": times}, "score" if scored else None)
