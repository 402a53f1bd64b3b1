"""Measures by their names in ir-measures, over rankings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.errors import ConfigurationError, MissingExtraError
from bicross.evaluation.datasets import Qrels
from bicross.evaluation.runs import Run, falling

Values = npt.NDArray[np.float64]

DEFAULT_MEASURES = ("nDCG@10", "RR@10", "R@100", "AP@100", "Judged@10")


def parse_measures(names: Sequence[str]) -> dict[str, Any]:
    """ir-measures' measure behind each name.

    Raises:
        ConfigurationError: A name that isn't known, a cut-off below 1, or a measure that can't be computed here.
        MissingExtraError: ir-measures isn't installed.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError(
            "Measuring needs the package ir-measures. Install it: pip install 'bicross[evaluation]'"
        ) from error
    if isinstance(names, str) or not names:
        raise ConfigurationError(f"measures must be a list of names such as 'nDCG@10', got {names!r}.")
    parsed = {}
    for name in names:
        try:
            measure = ir_measures.parse_measure(name)
            if measure.params.get("cutoff", 1) < 1:  # below 1, trec_eval's code crashes the process
                raise ValueError("a cut-off is 1 or more")
            # Some are known but need a package or a program that isn't there: better now than after the search.
            list(ir_measures.iter_calc([measure], {"q": {"d": 1}}, {"q": {"d": 1.0}}))
        except Exception as error:
            raise ConfigurationError(
                f"A measure is one that ir-measures can compute here, such as {', '.join(DEFAULT_MEASURES)}, P@5 or "
                f"Success@1; got {name!r}: {error!s:.200}."
            ) from error
        parsed[name] = measure
    return parsed


def deepest_cutoff(measures: Mapping[str, Any]) -> int:
    """How many results the measures look at; 1 where none of them says. A measure without a cut-off sees all."""
    return max((int(measure.params.get("cutoff", 1)) for measure in measures.values()), default=1)


def calculate(measures: Mapping[str, Any], qrels: Qrels, run: Run) -> dict[str, Values]:
    """Each measure's value for every judged query, in the judgments' order; 0 for a query without results.

    Equal scores are measured as trec_eval does it, the larger document id first, so that figures are those of every
    other tool and no retriever gains by the order of the corpus.
    """
    import ir_measures

    # By ranks, because the programs behind ir-measures don't all treat equal scores alike.
    ranked = {
        query_id: {document_id: -float(rank) for rank, document_id in enumerate(_measured_order(run[query_id]))}
        for query_id in qrels
        if run.get(query_id)
    }
    rows = {query_id: row for row, query_id in enumerate(qrels)}
    values = {name: np.zeros(len(qrels)) for name in measures}
    named: dict[Any, list[str]] = {}
    for name, measure in measures.items():
        named.setdefault(measure, []).append(name)
    for metric in ir_measures.iter_calc(list(named), qrels, ranked):
        for name in named[metric.measure]:
            values[name][rows[metric.query_id]] = metric.value
    return values


def _measured_order(ranking: Mapping[str, float]) -> list[str]:
    """Document ids as trec_eval would sort them; as they come where the scores don't fall from rank to rank."""
    if not falling(ranking):
        return list(ranking)
    scores = {document_id: np.float32(score) for document_id, score in ranking.items()}
    return sorted(sorted(scores, reverse=True), key=scores.__getitem__, reverse=True)
