"""What both stages of a query take on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SAMPLE = 64
_TIMED_PAIRS = (1, 10, 30, 100)
_TIMED_QUERIES = 5
_PATIENCE_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Timing:
    """Milliseconds measured on this machine; the line through the medians of the timed calls.

    Attributes:
        first_stage: Encoding a query and searching all vectors by brute force.
        fixed: Of a call of the cross-encoder, whatever the number of pairs.
        per_pair: Of each pair.
        timed: (pairs, median milliseconds) of the calls.
        queries: How many queries were timed.
    """

    first_stage: float
    fixed: float
    per_pair: float
    timed: list[tuple[int, float]]
    queries: int

    def milliseconds(self, depth: int) -> float:
        """A query's time at a rerank depth."""
        return self.first_stage + (self.fixed + self.per_pair * depth if depth else 0.0)

    def affordable(self, budget: float, most: int) -> int | None:
        """How many candidates can be reranked in a budget, at most ``most``; None: the first stage doesn't fit."""
        left = budget - self.first_stage
        if left < 0:
            return None
        return int(min(max((left - self.fixed) / max(self.per_pair, 1e-9), 0.0), most))


def time_stages(
    find: Callable[[str], object],
    score: Callable[[list[tuple[str, str]]], object],
    queries: Sequence[str],
    texts: Sequence[Sequence[str]],
) -> Timing:
    """Time both stages on a few queries, one after the other, as a service that is warm would see them.

    Args:
        find: The first stage: a query's text in, whatever it finds out.
        score: The second stage: pairs in, scores out. Called outside of any cache.
        queries: Texts; the first few are timed.
        texts: The candidates' texts of each query, best first.
    """
    count = min(_TIMED_QUERIES, len(queries))
    most = min(len(row) for row in texts[:count])
    sizes = sorted({min(size, most) for size in _TIMED_PAIRS})
    find(queries[0])  # the first call of a model takes much longer than any other
    score([(queries[0], text) for text in texts[0][: sizes[0]]])
    first = [_milliseconds(lambda query=query: find(query)) for query in queries[:count]]  # type: ignore[misc]
    timed: list[tuple[int, float]] = []
    started = time.perf_counter()
    for size in sizes:
        if timed and time.perf_counter() - started > _PATIENCE_SECONDS:
            break
        calls = [[(queries[i], text) for text in texts[i][:size]] for i in range(count)]
        timed.append((size, float(np.median([_milliseconds(lambda c=c: score(c)) for c in calls]))))  # type: ignore[misc]
    fixed, per_pair = _line(timed)
    return Timing(float(np.median(first)), fixed, per_pair, timed, count)


def seconds_each(call: Callable[[int], object]) -> float:
    """Seconds of one item, by a sample of `SAMPLE`.

    Args:
        call: Computes the first so many of at least `SAMPLE` items; called for one of them first, because a model's
            first call takes much longer than any other.
    """
    call(1)
    return _milliseconds(lambda: call(SAMPLE)) / 1e3 / SAMPLE


def _line(timed: list[tuple[int, float]]) -> tuple[float, float]:
    """Milliseconds of a call and of a pair: the line with the least squares, neither below 0."""
    sizes, spent = np.array(timed, dtype=np.float64).T
    if len(timed) > 1:
        per_pair, fixed = np.polyfit(sizes, spent, 1).tolist()
        if per_pair > 0 and fixed >= 0:
            return fixed, per_pair
    return 0.0, float(spent[-1] / sizes[-1])


def _milliseconds(call: Callable[[], object]) -> float:
    before = time.perf_counter()
    call()
    return (time.perf_counter() - before) * 1e3
