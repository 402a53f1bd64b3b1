"""How far two orders of the same candidates are apart: functions of score matrices, one row a query.

In every matrix the columns are in the student's order, best first: **Shape:** (queries, candidates). Equal scores of
the teacher keep that order, as they do in the retriever. Where a measure is undefined, because one of the two gives
every candidate the same score, or because there are no more candidates than the cut, it is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]

CUT = 10
"""How many of the best count: the top 10."""


def best_first(scores: npt.ArrayLike) -> Positions:
    """Columns by falling score; ties keep the given order. **Shape:** as ``scores``.

    >>> best_first([[1.0, 3.0, 3.0]]).tolist()
    [[1, 2, 0]]
    """
    return np.argsort(-np.asarray(scores, dtype=np.float64), axis=1, kind="stable")


def ordered(student: npt.ArrayLike, teacher: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Whether both give their candidates different scores, query by query. **Shape:** (queries,)."""
    return _spread(student) & _spread(teacher)


def kendall_tau(student: npt.ArrayLike, teacher: npt.ArrayLike) -> Doubles:
    """Kendall's tau-b, which takes account of ties, of every query. **Shape:** (queries,).

    Concordant less discordant pairs, over √((pairs − ties of one) · (pairs − ties of the other)): 1 for equal orders, 0
    for unrelated ones, −1 for reversed ones (Kendall 1945).
    """
    from scipy.stats import kendalltau  # type: ignore[import-untyped]

    return _by_query(student, teacher, lambda s, t: float(kendalltau(s, t, variant="b").statistic))


def spearman(student: npt.ArrayLike, teacher: npt.ArrayLike) -> Doubles:
    """Spearman's rank correlation of every query. **Shape:** (queries,)."""
    from scipy.stats import spearmanr

    return _by_query(student, teacher, lambda s, t: float(spearmanr(s, t).statistic))


def gains(teacher: npt.ArrayLike) -> Doubles:
    """A teacher's scores as gains from 0 to 1: shifted and scaled so that the query's worst candidate is 0, its best 1.

    Logits have no zero, and nDCG needs one. Scaling by query makes the measure the same for every logit scale and
    offset; the price is that an order by chance earns much more than 0, so compare with `ndcg_by_chance`.

    >>> gains([[-2.0, 2.0, 0.0]]).tolist()
    [[0.0, 1.0, 0.5]]
    """
    scores = np.asarray(teacher, dtype=np.float64)
    low, high = scores.min(axis=1, keepdims=True), scores.max(axis=1, keepdims=True)
    return np.asarray((scores - low) / np.where(high > low, high - low, 1.0))


def ndcg(student: npt.ArrayLike, teacher: npt.ArrayLike, cut: int = CUT) -> Doubles:
    """nDCG of the student's order with the teacher's scores as `gains`, of every query. **Shape:** (queries,).

    Linear gains, discount 1 / log2(rank + 1) (Järvelin and Kekäläinen 2002).
    """
    gained = gains(teacher)
    top = np.take_along_axis(gained, best_first(student)[:, :cut], axis=1)
    return np.where(ordered(student, teacher), _ratio(top @ _discounts(top.shape[1]), _ideal(gained, cut)), np.nan)


def ndcg_by_chance(teacher: npt.ArrayLike, cut: int = CUT) -> Doubles:
    """What a random order would score in `ndcg`, in expectation: every rank gains the mean. **Shape:** (queries,)."""
    gained = gains(teacher)
    expected = gained.mean(axis=1) * _discounts(min(cut, gained.shape[1])).sum()
    return np.where(_spread(teacher), _ratio(expected, _ideal(gained, cut)), np.nan)


def overlap(student: npt.ArrayLike, teacher: npt.ArrayLike, cut: int = CUT) -> Doubles:
    """Share of the teacher's best that are among the student's best, of every query. **Shape:** (queries,)."""
    s, t = best_first(student)[:, :cut], best_first(teacher)[:, :cut]
    shared = np.array([len(np.intersect1d(a, b)) for a, b in zip(s, t, strict=True)], dtype=np.float64)
    defined = ordered(student, teacher) & (np.asarray(student).shape[1] > cut)
    return np.where(defined, shared / cut, np.nan)


def teacher_recall(student: npt.ArrayLike, teacher: npt.ArrayLike, top: int = CUT) -> Doubles:
    """Share of the teacher's best ``top`` within the student's first k, for k = 1, 2, …

    Returns:
        Column k − 1 belongs to k. **Shape:** (queries, candidates).
    """
    scores = np.asarray(teacher, dtype=np.float64)
    best = best_first(scores)[:, :top]
    sought = np.zeros_like(scores)
    np.put_along_axis(sought, best, 1.0, axis=1)
    found = np.cumsum(sought, axis=1) / max(best.shape[1], 1)
    return np.where(ordered(student, teacher)[:, None], found, np.nan)


def smallest_depth(curve: npt.ArrayLike, share: float) -> int | None:
    """The smallest k that keeps a share; ``curve[k - 1]`` belongs to k. None where none does.

    >>> smallest_depth([0.5, 0.9, 0.96, 1.0], 0.95)
    3
    """
    kept = np.flatnonzero(np.asarray(curve, dtype=np.float64) >= share - 1e-9)
    return int(kept[0]) + 1 if len(kept) else None


@dataclass(frozen=True, slots=True)
class Bin:
    """Candidates of like similarity, and what the teacher thinks of them.

    Attributes:
        similarity: Mean similarity. **Unit:** the bi-encoder's.
        teacher: Mean teacher's score. **Unit:** the teacher's.
        low, high: 10th and 90th percentile of the teacher's scores.
        count: How many candidates.
    """

    similarity: float
    teacher: float
    low: float
    high: float
    count: int


def reliability(student: npt.ArrayLike, teacher: npt.ArrayLike, bins: int = 10) -> list[Bin]:
    """The reliability curve: candidates of all queries in bins of like similarity, about equally many in each.

    Args:
        student: Similarities, any shape.
        teacher: The teacher's scores, of the same shape.
        bins: How many at most; equal similarities share a bin.
    """
    s, t = np.ravel(np.asarray(student, dtype=np.float64)), np.ravel(np.asarray(teacher, dtype=np.float64))
    edges = np.unique(np.quantile(s, np.linspace(0.0, 1.0, bins + 1)[1:-1]))
    of = np.searchsorted(edges, s, side="left")
    found = []
    for i in np.unique(of):
        here = t[of == i]
        low, high = np.quantile(here, [0.1, 0.9]).tolist()
        found.append(Bin(float(s[of == i].mean()), float(here.mean()), low, high, len(here)))
    return found


def pooled_spearman(student: npt.ArrayLike, teacher: npt.ArrayLike) -> float | None:
    """Spearman's correlation over the candidates of all queries together; None where one of the two is constant."""
    return known(float(spearman(np.reshape(student, (1, -1)), np.reshape(teacher, (1, -1)))[0]))


def _by_query(student: npt.ArrayLike, teacher: npt.ArrayLike, measure: Callable[[Doubles, Doubles], float]) -> Doubles:
    s, t = np.asarray(student, dtype=np.float64), np.asarray(teacher, dtype=np.float64)
    defined = ordered(s, t)
    return np.array([measure(a, b) if fine else np.nan for a, b, fine in zip(s, t, defined, strict=True)])


def _spread(scores: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    return np.asarray(np.ptp(np.asarray(scores, dtype=np.float64), axis=1) > 0)


def _discounts(count: int) -> Doubles:
    return np.asarray(1.0 / np.log2(np.arange(2, count + 2)))


def _ideal(gained: Doubles, cut: int) -> Doubles:
    best = -np.sort(-gained, axis=1)[:, :cut]
    return np.asarray(best @ _discounts(best.shape[1]))


def _ratio(part: Doubles, whole: Doubles) -> Doubles:
    return np.asarray(part / np.where(whole > 0, whole, 1.0))


def known(number: float) -> float | None:
    """A number, or None in the place of NaN."""
    return None if np.isnan(number) else float(number)
