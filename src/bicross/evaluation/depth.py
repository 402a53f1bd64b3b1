"""Quality over rerank depth: what each depth gives, what it costs here, and what the first stage's weight does.

Score matrices have their columns in the first stage's order: **Shape:** (queries, candidates).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from bicross.evaluation.agreement import CUT, Doubles, Positions, best_first, ndcg
from bicross.evaluation.timing import Timing
from bicross.ranking import weighted_sums

BUDGETS = (50.0, 150.0, 500.0)
"""**Unit:** milliseconds of a query."""
WEIGHTS = tuple(round(0.05 * step, 2) for step in range(21))
"""The weights of the first stage that are tried, 0 to 1."""
_DEPTHS = (10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 750, 1000)

Judge = Callable[[Positions], Doubles]
"""Columns of each query's best documents, best first, to the quality of each query."""


@dataclass(frozen=True, slots=True)
class DepthPoint:
    """The final order's quality where so many candidates are reranked.

    Attributes:
        depth: Candidates that were reranked; 0: the first stage alone.
        milliseconds: Of a query, both stages; None where time wasn't measured.
        agreement: nDCG@10 with the scores of the deepest final order as gains; None where these are constant.
        ndcg, low, high: nDCG@10 by the judgments, with its 95 % bootstrap interval; None without judgments.
        behind_best: Lower end of the 95 % interval of what the best depth gains over this one, query by query: above
            0, this depth is surely worse. None without judgments.
    """

    depth: int
    milliseconds: float | None
    agreement: float | None
    ndcg: float | None = None
    low: float | None = None
    high: float | None = None
    behind_best: float | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """What a time budget for a query buys here.

    Attributes:
        milliseconds: The budget.
        depth: How many candidates can be reranked in it; None: not even the first stage fits.
        agreement, ndcg: Quality at that depth, as in `DepthPoint`.
    """

    milliseconds: float
    depth: int | None
    agreement: float | None
    ndcg: float | None


@dataclass(frozen=True, slots=True)
class WeightPoint:
    """nDCG@10 by the judgments at a weight of the first stage, with its 95 % bootstrap interval."""

    weight: float
    ndcg: float
    low: float
    high: float


def final_order(first: npt.ArrayLike, cross: npt.ArrayLike, weight: float, depth: int) -> Positions:
    """Columns in the retriever's final order where the first ``depth`` are reranked; the others stay behind them."""
    b, c = np.asarray(first, dtype=np.float64), np.asarray(cross, dtype=np.float64)
    count = b.shape[1]
    head = best_first(weighted_sums(b[:, :depth], c[:, :depth], weight)) if depth else np.zeros((len(b), 0), np.int64)
    tail = np.broadcast_to(np.arange(min(depth, count), count), (len(b), max(count - depth, 0)))
    return np.concatenate([head, tail], axis=1)


def depths_to(pool: int) -> list[int]:
    """The depths of the curve: 0, round ones, and the pool itself.

    >>> depths_to(40)
    [0, 10, 20, 30, 40]
    """
    return [0, *(depth for depth in _DEPTHS if depth < pool), pool]


def agreement_with_deepest(order: Positions, deepest: npt.ArrayLike) -> float | None:
    """nDCG@10 of an order with the deepest final scores as gains, mean over the queries where it is defined.

    Args:
        order: Columns, best first. **Shape:** (queries, candidates).
        deepest: The final scores with all candidates reranked. **Shape:** (queries, candidates).
    """
    places = np.empty(order.shape, dtype=np.float64)
    np.put_along_axis(places, order, -np.arange(order.shape[1], dtype=np.float64)[None, :], axis=1)
    values = ndcg(places, deepest)
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else None


def depth_points(
    first: npt.ArrayLike,
    cross: npt.ArrayLike,
    weight: float,
    depths: Sequence[int],
    *,
    timing: Timing | None,
    judge: Judge | None,
    seed: int,
) -> list[DepthPoint]:
    """The final order's quality at each depth."""
    from bicross.evaluation.statistics import bootstrap_interval

    deepest = weighted_sums(first, cross, weight)
    orders = [final_order(first, cross, weight, depth) for depth in depths]
    spent = [None if timing is None else timing.milliseconds(depth) for depth in depths]
    near = [agreement_with_deepest(order, deepest) for order in orders]
    points = [DepthPoint(*row) for row in zip(depths, spent, near, strict=True)]
    if judge is None:
        return points
    judged = [judge(order[:, :CUT]) for order in orders]
    best = max(judged, key=lambda values: float(values.mean()))
    for i, values in enumerate(judged):
        low, high = bootstrap_interval(values, seed=seed)
        behind, _ = bootstrap_interval(best - values, seed=seed)
        points[i] = replace(points[i], ndcg=float(values.mean()), low=low, high=high, behind_best=behind)
    return points


def weight_points(
    first: npt.ArrayLike, cross: npt.ArrayLike, weights: Sequence[float], depth: int, judge: Judge, seed: int
) -> tuple[list[WeightPoint], Doubles]:
    """Quality by the judgments at each weight, and the values of each query. **Shape:** (weights, queries)."""
    from bicross.evaluation.statistics import bootstrap_interval

    values = np.array([judge(final_order(first, cross, weight, depth)[:, :CUT]) for weight in weights])
    points = [
        WeightPoint(weight, float(row.mean()), *bootstrap_interval(row, seed=seed))
        for weight, row in zip(weights, values, strict=True)
    ]
    return points, values


def smallest_point(points: Sequence[DepthPoint], share: float, *, sure: bool = False) -> int | None:
    """The smallest rerank depth of the curve that keeps a share of its best judged quality.

    Args:
        points: The curve; depth 0 doesn't count.
        share: From 0 to 1.
        sure: Leave out depths that are surely worse than the best, whatever share they keep.
    """
    judged = [(point, point.ndcg) for point in points if point.depth and point.ndcg is not None]
    least = share * max((ndcg for _, ndcg in judged), default=0.0)
    if least <= 0:
        return None
    kept = (point for point, ndcg in judged if ndcg >= least - 1e-9)
    return next((point.depth for point in kept if not sure or (point.behind_best or 0.0) <= 0), None)


def budgets(
    first: npt.ArrayLike, cross: npt.ArrayLike, weight: float, timing: Timing, judge: Judge | None
) -> list[Budget]:
    """What each time budget buys: the depth that fits, and the quality at exactly that depth."""
    deepest = weighted_sums(first, cross, weight)
    bought = []
    for milliseconds in BUDGETS:
        depth = timing.affordable(milliseconds, np.shape(first)[1])
        if depth is None:
            bought.append(Budget(milliseconds, None, None, None))
            continue
        order = final_order(first, cross, weight, depth)
        judged = None if judge is None else float(judge(order[:, :CUT]).mean())
        bought.append(Budget(milliseconds, depth, agreement_with_deepest(order, deepest), judged))
    return bought
