"""From which score on a first hit is worth showing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bicross.evaluation.datasets import Qrels
from bicross.evaluation.runs import Run

_FEWEST = 10
_SIGNIFICANT = 0.05


@dataclass(frozen=True, slots=True)
class Threshold:
    """A least score for the first hit, below which "nothing relevant here" is the better answer.

    It maximises Youden's J (1950): the share of the relevant first hits that it keeps, minus the share of the others
    that it keeps. The figures are those of the queries it was chosen on. A first hit that nobody judged counts as not
    relevant, so where judgments are few the threshold errs on the high side.

    Attributes:
        score: Keep a first hit with at least this final score. **Unit:** ``unit``.
        unit: Of the retriever's final score.
        precision: Share of relevant first hits among those kept.
        recall: Share of the relevant first hits that are kept.
        rejected: Share of the other first hits that are dropped.
        without: Precision without a threshold: the share of relevant first hits among all.
        auc: Chance that a relevant first hit has a higher score than another; 0.5 tells nothing.
        queries: How many have a first hit.
    """

    score: float
    unit: str
    precision: float
    recall: float
    rejected: float
    without: float
    auc: float
    queries: int

    def __str__(self) -> str:
        return (
            f"score_threshold {self.score:.4g} ({self.unit}): of the first hits that reach it {self.precision:.0%} are "
            f"relevant ({self.without:.0%} of all are); it keeps {self.recall:.0%} of the relevant ones and drops "
            f"{self.rejected:.0%} of the others"
        )


def recommend_threshold(run: Run, qrels: Qrels, unit: str) -> Threshold | None:
    """The threshold, or None where it can't be told.

    It can't where fewer than 10 first hits are relevant, or fewer than 10 aren't, or where relevant ones don't score
    higher (one-sided Mann–Whitney test, p < 0.05).
    """
    tops = [_top(run.get(query_id, {}), grades) for query_id, grades in qrels.items()]
    rows = [top for top in tops if top is not None]
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    relevant = np.array([grade for _, grade in rows], dtype=bool)
    right, wrong = scores[relevant], scores[~relevant]
    if min(len(right), len(wrong)) < _FEWEST:
        return None
    from scipy.stats import mannwhitneyu  # type: ignore[import-untyped]

    test = mannwhitneyu(right, wrong, alternative="greater")
    if test.pvalue >= _SIGNIFICANT:
        return None
    levels = np.unique(scores)
    kept_right = 1.0 - np.searchsorted(np.sort(right), levels) / len(right)
    kept_wrong = 1.0 - np.searchsorted(np.sort(wrong), levels) / len(wrong)
    best = int(np.argmax(kept_right - kept_wrong))
    kept = scores >= levels[best]
    return Threshold(
        score=float(levels[best]),
        unit=unit,
        precision=float(relevant[kept].mean()),
        recall=float(kept_right[best]),
        rejected=float(1.0 - kept_wrong[best]),
        without=float(relevant.mean()),
        auc=float(test.statistic / (len(right) * len(wrong))),
        queries=len(rows),
    )


def _top(ranking: Mapping[str, float], grades: Mapping[str, int]) -> tuple[float, bool] | None:
    for document_id, score in ranking.items():
        return score, grades.get(document_id, 0) > 0
    return None
