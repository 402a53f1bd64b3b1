"""One ranking out of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from bicross.errors import ConfigurationError

K = TypeVar("K", bound=str | int)
Ranking = Sequence[tuple[K, float]]
"""Keys with their scores, best first."""

FUSIONS = ("weighted", "rrf")
FUSED_DEPTH = 100
"""Hits of each search that are fused, at least: fewer would leave out what one of the two has far down."""
_RRF_K = 60


def fuse(
    rankings: Sequence[Ranking[K]], weights: Sequence[float], method: str, floors: Sequence[float | None] | None = None
) -> list[tuple[K, float]]:
    """The keys of all rankings with one score each, best first; equal scores by key.

    Args:
        rankings: What each search found; a key at most once in each.
        weights: One for each ranking.
        method: ``weighted`` or ``rrf``.
        floors: For ``weighted``, as there.

    Raises:
        ConfigurationError: An unknown method.
    """
    check_fusion(method)
    found = [dict(ranking) for ranking in rankings]
    scores = reciprocal_rank_fusion(found, weights) if method == "rrf" else weighted_fusion(found, weights, floors)
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))


def check_fusion(method: str) -> str:
    """Check the name of a method.

    Raises:
        ConfigurationError: It is unknown.
    """
    if method not in FUSIONS:
        raise ConfigurationError(f"fusion is one of {', '.join(map(repr, FUSIONS))}; got {method!r}.")
    return method


def reciprocal_rank_fusion(
    rankings: Sequence[Mapping[K, float]], weights: Sequence[float], k: int = _RRF_K
) -> dict[K, float]:
    """Reciprocal rank fusion (Cormack, Clarke & Büttcher 2009): the sum of weight / (k + rank), ranks from 1.

    Args:
        rankings: Scores by key, best first; the scores themselves count for nothing.
        weights: One for each ranking.
        k: How little the first ranks stand out.

    >>> reciprocal_rank_fusion([{"a": 0.9, "b": 0.8}, {"b": 7.0}], [1.0, 1.0])["b"] == 1 / 62 + 1 / 61
    True
    """
    fused: dict[K, float] = {}
    for ranking, weight in zip(rankings, weights, strict=True):
        for rank, key in enumerate(ranking, start=1):
            fused[key] = fused.get(key, 0.0) + weight / (k + rank)
    return fused


def weighted_fusion(
    rankings: Sequence[Mapping[K, float]], weights: Sequence[float], floors: Sequence[float | None] | None = None
) -> dict[K, float]:
    """The weighted sum of z-scores: how many standard deviations a score is above the mean of its ranking.

    The fused scores of different queries don't compare.

    Args:
        rankings: Scores by key.
        weights: One for each ranking.
        floors: For each ranking what a key scores that it lacks, and that is one more score of it then. None: as its
            last one, which is all that is known where a ranking was cut off.

    >>> weighted_fusion([{"a": 0.9, "b": 0.7}, {"b": 7.0, "c": 5.0}], [0.5, 0.5])
    {'a': 0.0, 'b': 0.0, 'c': -1.0}
    """
    fused: dict[K, float] = {key: 0.0 for found in rankings for key in found}
    absent = [None] * len(rankings) if floors is None else floors
    for scores, weight, floor in zip(rankings, weights, absent, strict=True):
        if not scores:
            continue
        known = [*scores.values()] if floor is None else [*scores.values(), floor]
        mean, spread = float(np.mean(known)), float(np.std(known)) or 1.0
        missing = min(known) if floor is None else floor
        for key in fused:
            fused[key] += weight * (scores.get(key, missing) - mean) / spread
    return fused
