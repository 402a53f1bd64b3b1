"""Measure whatever retrieves on queries with graded judgments."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bicross.arguments import check_count
from bicross.bi_encoder import BiEncoder
from bicross.errors import BicrossWarning, ConfigurationError, InputError
from bicross.evaluation.datasets import Dataset, Source, load_dataset
from bicross.evaluation.measures import DEFAULT_MEASURES, calculate, deepest_cutoff, parse_measures
from bicross.evaluation.results import Evaluation, Measured, percentiles
from bicross.evaluation.retrievers import as_function, read_answer
from bicross.evaluation.runs import Run, read_run
from bicross.evaluation.searching import (
    Depths,
    Ranking,
    Searched,
    search_function,
    search_retriever,
    search_stages,
)
from bicross.evaluation.stages import Stages
from bicross.evaluation.statistics import paired_test
from bicross.evaluation.thresholds import recommend_threshold
from bicross.retriever import TwoStageRetriever


def evaluate(
    retriever: Any,
    data: Source,
    *,
    split: str = "test",
    measures: Sequence[str] = DEFAULT_MEASURES,
    queries: int | None = None,
    seed: int = 0,
    exclude_self: bool = False,
    candidates: int = 100,
    first_stage: str = "dense",
    stage1_weight: float | None = None,
    cache_dir: str | Path | None = None,
    compare: Evaluation | Run | str | Path | None = None,
    timed: int = 0,
    show_progress: bool | None = None,
) -> Evaluation:
    """Measure a retriever on a data set, per query and on average.

    Args:
        retriever: One of:

            - `Stages`: models over the data set itself, by exact search, with vectors and scores from its caches;
            - a `BiEncoder`: the same with the first stage alone;
            - a `TwoStageRetriever`, whose store holds the data set's documents under their ids;
            - a function from a query to ids and scores (best first), to ids, or to a mapping from id to score;
            - a Haystack pipeline (see `from_haystack`) or a LangChain retriever (see `from_langchain`);
            - a TREC run file, or a mapping from query id to scores by document id.
        data: See `load_dataset`.
        split: Name of the qrels file, for folders.
        measures: Names of the ir-measures library.
        queries: Ask a seeded sample of so many queries; None: all.
        seed: Of the sample.
        exclude_self: Drop the document that has the query's own id, before anything is cut off.
        candidates: What the first stage hands to the second. Runs are at least as long as the deepest cut-off; what is
            behind the candidates keeps the first stage's order.
        first_stage: "dense", "bm25" or "hybrid"; for `Stages` and a `BiEncoder`.
        stage1_weight: For `Stages`: weight of the first stage's score in the final one; None: the cross-encoder's own.
        cache_dir: For a `BiEncoder`: folder of the vectors. `Stages` has its own.
        compare: A run to test the last stage against: an `Evaluation`, a run file, or a mapping.
        timed: For `Stages`: time so many single queries, one after the other and without the caches: ``encode`` (dense,
            sparse, or both, as the first stage does), ``retrieve`` (its exact search, fusion included), ``rerank``.
            Other retrievers are timed anyway.
        show_progress: None: on a terminal, once it takes more than two seconds.

    Raises:
        ConfigurationError: An argument that makes no sense, or an unknown measure.
        InputError: The data set's judgments and queries have no ids in common, or nothing at all was retrieved, or
            none of what was retrieved is in the data set.
        ReadError: A file is missing or broken; names the line.

    >>> documents = {"d1": "a cat", "d2": "a dog"}
    >>> toy = {"documents": documents, "queries": {"q1": "feline"}, "qrels": {"q1": {"d1": 1}}}
    >>> before = evaluate(lambda query: ["d2", "d1"], toy, measures=["RR@10"])
    >>> after = evaluate(lambda query: ["d1", "d2"], toy, measures=["RR@10"], compare=before)
    >>> before["RR@10"], after["RR@10"], after.comparison["RR@10"].difference
    (0.5, 1.0, 0.5)
    """
    parsed = parse_measures(measures)
    check_count(candidates, "candidates")
    loaded = load_dataset(data, split)
    if queries is not None:
        loaded = loaded.sample(queries, seed=seed)
    other = _compared(compare, loaded)  # before the search: a file that can't be read costs nothing then
    depths = Depths(candidates, max(candidates, deepest_cutoff(parsed)), exclude_self, timed, show_progress)
    searched = _search(retriever, loaded, depths, first_stage, stage1_weight, cache_dir)
    _check_found(searched.runs, loaded)
    ids = tuple(loaded.qrels)
    stages = {stage: Measured(run, ids, calculate(parsed, loaded.qrels, run)) for stage, run in searched.runs.items()}
    final = list(stages.values())[-1]
    comparison = {}
    if other is not None:
        theirs = calculate(parsed, loaded.qrels, other)
        comparison = {name: paired_test(theirs[name], final.values[name]) for name in parsed}
    return Evaluation(
        data=loaded.name,
        stages=stages,
        milliseconds=percentiles(searched.milliseconds),
        threshold=recommend_threshold(final.run, loaded.qrels, searched.unit) if searched.unit else None,
        compared_with=_name_of(compare),
        comparison=comparison,
        left_out=loaded.left_out,
    )


def _search(
    retriever: Any,
    data: Dataset,
    depths: Depths,
    first_stage: str,
    stage1_weight: float | None,
    cache_dir: str | Path | None,
) -> Searched:
    if cache_dir is not None and not isinstance(retriever, BiEncoder):
        raise ConfigurationError("cache_dir goes with a BiEncoder. Pass it to Stages, or leave it out.")
    if isinstance(retriever, BiEncoder):
        with Stages(retriever, cache_dir=cache_dir) as stages:
            return search_stages(stages, data, depths, first_stage, stage1_weight)
    if isinstance(retriever, Stages):
        return search_stages(retriever, data, depths, first_stage, stage1_weight)
    if first_stage != "dense" or stage1_weight is not None or depths.timed:
        raise ConfigurationError(
            "first_stage, stage1_weight and timed go with Stages or a BiEncoder; another retriever brings its own. "
            f"Leave them out for {type(retriever).__name__}."
        )
    if isinstance(retriever, TwoStageRetriever):
        return search_retriever(retriever, data, depths)
    if isinstance(retriever, str | Path | Mapping):
        run = _read(retriever)
        if depths.exclude_self:
            run = {q: {d: score for d, score in found.items() if d != q} for q, found in run.items()}
        return Searched({"retriever": {q: run[q] for q in data.queries if q in run}}, unit="score")
    return search_function(as_function(retriever), data, depths)


def _read(run: Run | str | Path) -> dict[str, Ranking]:
    """A run file, or a mapping whose documents are sorted by score."""
    if isinstance(run, str | Path):
        return read_run(run)
    sorted_run: dict[str, Ranking] = {}
    for query_id, found in run.items():
        ids, scores = read_answer(found)
        sorted_run[query_id] = dict(zip(ids, scores or [1.0 / rank for rank in range(1, len(ids) + 1)], strict=True))
    return sorted_run


def _compared(compare: Evaluation | Run | str | Path | None, data: Dataset) -> dict[str, Ranking] | None:
    if compare is None:
        return None
    if isinstance(compare, Evaluation):
        missing = len(data.queries.keys() - set(compare.final.query_ids))
        if missing:
            raise ConfigurationError(
                f"Two runs are compared over the same queries; {missing} of the {len(data.queries)} queries of "
                f"{data.name!r} aren't in the other evaluation. Measure both on the same sample (queries, seed)."
            )
        return {query_id: dict(found) for query_id, found in compare.final.run.items()}
    run = _read(compare)
    if not run.keys() & data.queries.keys():
        raise InputError(
            f"A run to compare with must answer the data set's queries; {_name_of(compare)} holds none of "
            f"{data.name!r}. Check which files belong together."
        )
    if missing := len(data.queries.keys() - run.keys()):
        warnings.warn(
            f"{missing} of the {len(data.queries)} queries of {data.name!r} aren't in {_name_of(compare)}, and count "
            "as if it had found nothing for them. If it was never asked, measure both on one sample (queries, seed).",
            BicrossWarning,
            stacklevel=3,
        )
    return run


def _name_of(compare: Evaluation | Run | str | Path | None) -> str | None:
    if compare is None:
        return None
    return Path(compare).name if isinstance(compare, str | Path) else "the other run"


def _check_found(runs: Mapping[str, Mapping[str, Ranking]], data: Dataset) -> None:
    """A run that is empty, or whose ids are of another kind, is a mistake and no measurement."""
    run = next(iter(runs.values()))
    found = [document_id for ranking in run.values() for document_id in ranking]
    if not found:
        raise InputError(
            f"The retriever found nothing for any of the {len(data.queries)} queries of {data.name!r}. Is its index "
            "filled, and are the run's query ids those of the data set?"
        )
    if not any(document_id in data.documents for document_id in found):
        raise InputError(
            f"A retriever answers with the data set's document ids; got {found[0]!r}, while the documents of "
            f"{data.name!r} are {next(iter(data.documents))!r} and others. For Haystack and LangChain name the field "
            "that holds them: evaluate(from_haystack(pipeline, id_key=…), …), evaluate(from_langchain(retriever, "
            "id_key=…), …)."
        )
