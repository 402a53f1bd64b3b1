"""What a probe measures of one list of scores: accuracy, whole groups, chance, AUC, and their intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bicross.evaluation.contrasts import Contrast, orders_right

_TIED = 1e-5
"""Scores that differ by less than this share of the larger one tie: batches of another shape change that much."""
_DRAWS, _BLOCK = 2_000, 100

Interval = tuple[float, float]
Doubles = npt.NDArray[np.float64]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Figures:
    """How one scorer did. A tie counts as what breaking it by lot gives on average.

    Attributes:
        accuracy: Share of comparisons that are right; chance is 0.5.
        interval: Of the accuracy: 95 %, by a bootstrap over groups.
        group_accuracy: Share of groups whose comparisons are all right.
        group_interval: Of the group accuracy.
        chance: The group accuracy of scores drawn by lot, from the size of each group.
        auc: Area under the ROC curve: the chance that a better pair scores higher than a worse one of any group, that
            is, whether one threshold would separate them.
        auc_interval: Of the AUC.
        ties: Comparisons whose scores are equal.
    """

    accuracy: float
    interval: Interval
    group_accuracy: float
    group_interval: Interval
    chance: float
    auc: float
    auc_interval: Interval
    ties: int


def outcomes(better: npt.ArrayLike, worse: npt.ArrayLike) -> Doubles:
    """1 where the better pair scores higher, 0 where the worse one does, 0.5 where they tie. **Shape:** (n,) → (n,).

    >>> outcomes([0.9, 0.1, 0.5], [0.1, 0.9, 0.5000001]).tolist()
    [1.0, 0.0, 0.5]
    """
    a, b = np.asarray(better, dtype=np.float64), np.asarray(worse, dtype=np.float64)
    tied = np.abs(a - b) <= _TIED * np.maximum(np.abs(a), np.abs(b))
    return np.where(tied, 0.5, (a > b).astype(np.float64))


def group_credit(comparisons: Sequence[Contrast], results: Doubles) -> float:
    """The chance that all comparisons of a group are right once ties are broken by lot.

    Args:
        comparisons: Of one group.
        results: What `outcomes` says of them. **Shape:** (len(comparisons),).
    """
    if (results == 0.0).any():
        return 0.0
    tied: dict[int, tuple[set[object], set[object]]] = {}
    for item, result in zip(comparisons, results.tolist(), strict=True):
        if result == 0.5:
            better, worse = tied.setdefault(item.block, (set(), set()))
            better.add(item.better)
            worse.add(item.worse)
    return float(np.prod([orders_right(len(better), len(worse)) for better, worse in tied.values()]))


def weighted_auc(scores: Doubles, is_better: npt.NDArray[np.bool_], weights: Doubles) -> Doubles:
    """Area under the ROC curve under each of many weightings, ties counted half.

    Args:
        scores: **Shape:** (n,).
        is_better: Which should score high. **Shape:** (n,).
        weights: How often each score counts. **Shape:** (weightings, n).

    Returns:
        NaN where a weighting leaves one side empty. **Shape:** (weightings,).

    >>> weighted_auc(np.array([3.0, 2.0, 2.0, 1.0]), np.array([True, True, False, False]), np.ones((1, 4))).tolist()
    [0.875]
    """
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf) > 0)
    ranked, better = weights[:, order], is_better[order]
    worse_here = np.add.reduceat(ranked * ~better, starts, axis=1)
    better_here = np.add.reduceat(ranked * better, starts, axis=1)
    below = np.cumsum(worse_here, axis=1) - worse_here / 2
    total = better_here.sum(axis=1) * worse_here.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray((better_here * below).sum(axis=1) / total)


@dataclass(frozen=True, slots=True)
class Sample:
    """What is compared, ready to be measured; groups are numbered from 0.

    Attributes:
        comparisons: The comparisons.
        better: Position of each one's better pair in a list of scores. **Shape:** (comparisons,).
        worse: The same of the worse pair. **Shape:** (comparisons,).
        groups: Their groups. **Shape:** (comparisons,).
        members: Positions of all pairs of all groups. **Shape:** (members,).
        member_groups: **Shape:** (members,).
        member_better: Which of them should score high. **Shape:** (members,).
    """

    comparisons: Sequence[Contrast]
    better: Numbers
    worse: Numbers
    groups: Numbers
    members: Numbers
    member_groups: Numbers
    member_better: npt.NDArray[np.bool_]

    def figures(self, scores: Doubles, seed: int) -> Figures:
        """Measure scores, one for each pair of the probe. **Shape:** (pairs,)."""
        results = outcomes(scores[self.better], scores[self.worse])
        count = 1 + int(max(self.groups.max(), self.member_groups.max()))
        sizes = np.bincount(self.groups, minlength=count).astype(np.float64)
        right = np.bincount(self.groups, weights=results, minlength=count)
        compared = (sizes > 0).astype(np.float64)
        whole, chance = self._by_group(results, count), self._by_group(np.full(len(results), 0.5), count)
        members = scores[self.members]
        once = np.ones((1, len(members)))
        draws: list[Doubles] = []
        rng = np.random.default_rng(seed)
        for _ in range(_DRAWS // _BLOCK):
            weights = rng.multinomial(count, np.full(count, 1 / count), size=_BLOCK).astype(np.float64)
            with np.errstate(invalid="ignore"):
                accuracy, groups = weights @ right / (weights @ sizes), weights @ whole / (weights @ compared)
            auc = weighted_auc(members, self.member_better, weights[:, self.member_groups])
            draws.append(np.stack([accuracy, groups, auc]))
        low, high = np.nanpercentile(np.concatenate(draws, axis=1), [2.5, 97.5], axis=1)
        bounds = [(float(a), float(b)) for a, b in zip(low, high, strict=True)]
        return Figures(
            accuracy=float(results.mean()),
            interval=bounds[0],
            group_accuracy=float(whole.sum() / compared.sum()),
            group_interval=bounds[1],
            chance=float(chance.sum() / compared.sum()),
            auc=float(weighted_auc(members, self.member_better, once)[0]),
            auc_interval=bounds[2],
            ties=int((results == 0.5).sum()),
        )

    def _by_group(self, results: Doubles, count: int) -> Doubles:
        """The credit of each group, 0 for a group without comparisons. **Shape:** (count,)."""
        credit = np.zeros(count)
        order = np.argsort(self.groups, kind="stable")
        cuts = np.flatnonzero(np.diff(self.groups[order])) + 1
        for inside in np.split(order, cuts):
            credit[self.groups[inside[0]]] = group_credit([self.comparisons[i] for i in inside], results[inside])
        return credit
