"""From both stages' scores to the findings of a gap report; nothing here calls a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bicross.evaluation import agreement, depth
from bicross.evaluation.advice import advised_depth, advised_weight, notes_on
from bicross.evaluation.agreement import Doubles
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.findings import (
    Agreement,
    Beside,
    Calibration,
    Distribution,
    GapReport,
    Judged,
    Kept,
    QueryFigures,
    RecallPoint,
    Setting,
)
from bicross.evaluation.judging import Judge
from bicross.evaluation.timing import Timing
from bicross.evaluation.worst import worst_queries
from bicross.types import Floats

_RECALL_POINTS = 60
_NAMED_POINTS = (10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Scores:
    """Both stages' scores of every query's pool, in the first stage's order.

    Attributes:
        positions: In the data set's documents. **Shape:** (queries, pool).
        first: The bi-encoder's similarities. **Shape:** as ``positions``.
        cross: The cross-encoder's scores before its activation. **Shape:** as ``positions``.
        final: The weighted sum over the whole pool. **Shape:** as ``positions``.
        teacher: One of the last two.
        candidates: How many columns the orders are compared on.
    """

    positions: npt.NDArray[np.int32]
    first: Floats
    cross: Floats
    final: Doubles
    teacher: Doubles
    candidates: int

    @property
    def compared(self) -> tuple[Floats, Doubles]:
        """The student's and the teacher's scores of the candidates."""
        return self.first[:, : self.candidates], self.teacher[:, : self.candidates]


class Other(NamedTuple):
    """Another scorer's scores of the candidates that the orders are compared on. **Shape:** (queries, candidates)."""

    name: str
    fingerprint: str
    scores: Floats


def findings(
    data: Dataset,
    scores: Scores,
    setting: Setting,
    timing: Timing | None,
    *,
    wanted: int,
    others: Sequence[Other] = (),
) -> GapReport:
    """All findings from the scores alone.

    Args:
        data: The queries that were asked, the documents, and the judgments, if there are any.
        scores: Of both stages.
        setting: What was compared.
        timing: Milliseconds of both stages, where they were measured.
        wanted: The pool that was asked for.
        others: Scorers that are compared with the same teacher.
    """
    seed, weight = setting.seed, setting.stage1_weight
    judge = Judge(data, scores.positions) if data.qrels else None
    points = depth.depth_points(
        scores.first,
        scores.cross,
        weight,
        depth.depths_to(scores.positions.shape[1]),
        timing=timing,
        judge=judge,
        seed=seed,
    )
    by_query = _by_query(data, scores)
    recall, kept = _recall(scores)
    if judge is not None:
        kept["two_stage_ndcg"] = Kept(*(depth.smallest_point(points, share) for share in (0.95, 0.99)))
    judged = None if judge is None else _judged(scores, weight, judge, by_query, seed)
    advised, because = advised_depth(kept, points)
    report = GapReport(
        setting=setting,
        timing=timing,
        agreement=_agreement(by_query, scores.compared[1], seed),
        beside=[_beside(other, scores.compared[1], judge, seed) for other in others],
        recall=recall,
        kept=kept,
        recommended_candidates=advised,
        recommended_because=because,
        depths=points,
        budgets=[] if timing is None else depth.budgets(scores.first, scores.cross, weight, timing, judge),
        judged=judged,
        calibration=_calibration(scores, seed),
        worst=worst_queries(data, scores.positions, scores.first, scores.teacher, by_query),
        per_query=[
            QueryFigures(query_id, **{name: agreement.known(float(row[i])) for name, row in by_query.items()})
            for i, query_id in enumerate(data.queries)
        ],
        notes=[],
    )
    report.notes.extend(notes_on(report, wanted))
    return report


def _by_query(data: Dataset, scores: Scores) -> dict[str, Doubles]:
    """Figures of every query, by name; NaN where one is undefined. **Shape** of each: (queries,)."""
    unknown = np.full(len(data.queries), np.nan)
    return {
        **_measures(*scores.compared),
        "recall_in_candidates": agreement.teacher_recall(scores.first, scores.teacher)[:, scores.candidates - 1],
        "judged_first_stage": unknown,
        "judged_two_stage": unknown,
    }


def _measures(student: Floats, teacher: Doubles) -> dict[str, Doubles]:
    """How near the orders of the same candidates are, by name. **Shape** of each: (queries,)."""
    return {
        "tau": agreement.kendall_tau(student, teacher),
        "spearman": agreement.spearman(student, teacher),
        "ndcg": agreement.ndcg(student, teacher),
        "top1": agreement.overlap(student, teacher, 1),
        "top10": agreement.overlap(student, teacher),
    }


def _beside(other: Other, teacher: Doubles, judge: Judge | None, seed: int) -> Beside:
    near = _agreement(_measures(other.scores, teacher), teacher, seed)
    judged = None if judge is None else Distribution.of(judge(agreement.best_first(other.scores)), seed)
    return Beside(other.name, other.fingerprint, near, judged)


def _agreement(by_query: dict[str, Doubles], teacher: Doubles, seed: int) -> Agreement:
    named = {name: Distribution.of(by_query[name], seed) for name in ("tau", "spearman", "ndcg", "top1", "top10")}
    chance = agreement.ndcg_by_chance(teacher)
    return Agreement(**named, ndcg_by_chance=_mean(chance[~np.isnan(by_query["ndcg"])]))


def _recall(scores: Scores) -> tuple[list[RecallPoint], dict[str, Kept]]:
    """Recall of both top 10s within the bi-encoder's first k, and the smallest k that keep 95 and 99 % of them."""
    curves, kept = {}, {}
    for name, order in (("cross_encoder", scores.cross), ("final", scores.final)):
        rows = agreement.teacher_recall(scores.first, order)
        curves[name] = rows[~np.isnan(rows[:, 0])]
        mean = curves[name].mean(axis=0) if len(curves[name]) else np.zeros(0)
        kept[name] = Kept(*(agreement.smallest_depth(mean, share) for share in (0.95, 0.99)))
    own = agreement.teacher_recall(scores.first, scores.teacher)
    own = own[~np.isnan(own[:, 0])]
    if not all(len(rows) for rows in (*curves.values(), own)):
        return [], kept
    count = own.shape[1]
    ks = {
        *np.geomspace(1, count, _RECALL_POINTS).round().astype(int).tolist(),
        *_NAMED_POINTS,
        scores.candidates,
        count,
    }
    points = [
        RecallPoint(
            k,
            float(curves["cross_encoder"][:, k - 1].mean()),
            float(curves["final"][:, k - 1].mean()),
            float(np.quantile(own[:, k - 1], 0.1)),
        )
        for k in sorted(ks)
        if k <= count
    ]
    return points, kept


def _judged(scores: Scores, weight: float, judge: Judge, by_query: dict[str, Doubles], seed: int) -> Judged:
    """Quality by the judgments of the three orders and over the weight; fills in the figures of each query."""
    count = scores.candidates
    weights = sorted({*depth.WEIGHTS, weight})
    points, values = depth.weight_points(scores.first, scores.cross, weights, count, judge, seed)
    first = judge(depth.final_order(scores.first, scores.cross, 0.0, 0))
    alone, two_stage = values[weights.index(0.0)], values[weights.index(weight)]
    by_query["judged_first_stage"], by_query["judged_two_stage"] = first, two_stage
    advised, because = advised_weight(weights, values, weight, seed)
    return Judged(
        first_stage=Distribution.of(first, seed),
        cross_encoder=Distribution.of(alone, seed),
        two_stage=Distribution.of(two_stage, seed),
        cross_encoder_gain=Distribution.of(alone - first, seed),
        two_stage_gain=Distribution.of(two_stage - first, seed),
        weights=points,
        recommended_weight=advised,
        reason=because,
    )


def _calibration(scores: Scores, seed: int) -> Calibration:
    return Calibration(
        agreement.pooled_spearman(scores.first, scores.teacher),
        Distribution.of(agreement.spearman(scores.first, scores.teacher), seed),
        agreement.reliability(scores.first, scores.teacher),
    )


def _mean(values: Doubles) -> float | None:
    return float(values.mean()) if len(values) else None
