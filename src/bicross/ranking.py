"""The order of hits: weighted sums of two stages, diversity, scores from 0 to 1, and what a time budget allows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bicross.arrays import unit_rows
from bicross.types import Floats, Hit

_TOKEN_CHARACTERS = 4
_SCORED_AT_ONCE = 2**25
"""Scores in memory together, in float32: 128 MiB."""


def weighted_sum(cross: npt.ArrayLike, first: npt.ArrayLike, weight: float) -> npt.NDArray[np.float64]:
    """Both stages' scores of one query's candidates as one score, on the cross-encoder's scale.

    The first stage's scores b are shifted and scaled to the mean and spread of the cross-encoder's scores c over the
    same candidates: (1 − w)·c + w·(mean(c) + std(c)·(b − mean(b)) / std(b)). The order is that of a weighted sum of
    z-scores; the unit stays the cross-encoder's.

    Args:
        cross: The cross-encoder's logits. **Shape:** (candidates,).
        first: The first stage's scores. **Shape:** (candidates,).
        weight: w, from 0 (the cross-encoder alone) to 1 (the first stage's order).

    >>> weighted_sum([4.0, 0.0], [0.1, 0.3], 0.25).tolist()
    [3.0, 1.0]
    """
    c, b = np.asarray(cross, dtype=np.float64), np.asarray(first, dtype=np.float64)
    if weight == 0.0 or len(c) == 0:
        return c
    spread = b.std()
    z = (b - b.mean()) / spread if spread > 0 else np.zeros_like(b)
    return np.asarray((1 - weight) * c + weight * (c.mean() + c.std() * z))


def exact_top_k(
    queries: Floats, documents: Floats, top_k: int, *, longest: float | None = None
) -> tuple[npt.NDArray[np.int32], Floats]:
    """The documents with the largest dot products; ties in the documents' order.

    Args:
        queries: **Shape:** (queries, dimension).
        documents: **Shape:** (documents, dimension).
        top_k: How many.
        longest: Length of the longest document's vector, where it is known: to find it takes longer than one query.

    Returns:
        Positions and scores, best first. **Shape:** both (queries, min(top_k, documents)).

    >>> positions, scores = exact_top_k(np.eye(2)[:1], np.array([[0.5, 0.0], [1.0, 0.0], [0.5, 1.0]]), 3)
    >>> positions.tolist(), scores.tolist()
    ([[1, 0, 2]], [[1.0, 0.5, 0.5]])
    """
    count = min(top_k, len(documents))
    positions = np.zeros((len(queries), count), dtype=np.int32)
    scores = np.zeros((len(queries), count), dtype=np.float32)
    if count == 0:
        return positions, scores
    longest = float(np.linalg.norm(documents, axis=1).max()) if longest is None else longest
    block = max(_SCORED_AT_ONCE // len(documents), 1)
    for start in range(0, len(queries), block):
        part = queries[start : start + block] @ documents.T
        least = np.partition(part, -count, axis=1)[:, -count]
        for row, (query, found) in enumerate(zip(queries[start : start + block], part, strict=True), start=start):
            # A float32 sum depends on a row's place in the matrix, so whatever is near the cut is summed anew in
            # float64 and rounded: equal rows score equally, whatever the blocks and the number of threads.
            slack = 1e-5 * longest * float(np.linalg.norm(query))
            near = np.flatnonzero(found >= least[row - start] - slack)
            exact = (documents[near].astype(np.float64) @ query.astype(np.float64)).astype(np.float32)
            best = np.argsort(-exact, kind="stable")[:count]
            positions[row], scores[row] = near[best], exact[best]
    return positions, scores


def weighted_sums(first: npt.ArrayLike, cross: npt.ArrayLike, weight: float) -> npt.NDArray[np.float64]:
    """The final scores of several queries' candidates, as `weighted_sum` gives them for one.

    Args:
        first: The first stage's scores. **Shape:** (queries, candidates).
        cross: The cross-encoder's logits. **Shape:** as ``first``.
        weight: Share of the first stage, from 0 (the cross-encoder alone) to 1 (the first stage's order).

    Returns:
        **Shape:** as ``first``. **Unit:** that of ``cross``.
    """
    rows = zip(np.asarray(cross), np.asarray(first), strict=True)
    return np.array([weighted_sum(c, b, weight) for c, b in rows], dtype=np.float64).reshape(np.shape(first))


def order(hits: list[Hit]) -> list[Hit]:
    """Reranked hits by score, then the others; ties, and the others, keep the given order, the first stage's."""
    return sorted(hits, key=lambda hit: (hit.rerank_score is None, -hit.score if hit.rerank_score is not None else 0.0))


def marginal_relevance(query: npt.ArrayLike, documents: npt.ArrayLike, top_k: int, weight: float) -> list[int]:
    """Choose documents that are near to the query and far from each other, one after the other.

    Maximal marginal relevance (Carbonell & Goldstein 1998): each step takes the document with the greatest
    w·cos(document, query) − (1 − w)·max cos(document, chosen).

    Args:
        query: **Shape:** (dimension,).
        documents: **Shape:** (n, dimension).
        top_k: How many to choose at most.
        weight: w, from 0 (as diverse as possible) to 1 (by nearness to the query alone).

    Returns:
        Positions of the chosen, in the order of choice; of equals, the first. The first one is the nearest.

    >>> marginal_relevance([1.0, 0.0], [[1.0, 0.1], [1.0, 0.11], [0.9, -0.5]], 2, 0.5)
    [0, 2]
    """
    rows = np.asarray(documents, dtype=np.float64)
    if len(rows) == 0:
        return []
    sought = np.asarray(query, dtype=np.float64)
    relevance = unit_rows(rows) @ (sought / max(float(np.linalg.norm(sought)), 1e-12))
    return diverse(relevance, rows, top_k, weight)


def diverse(relevance: npt.ArrayLike, documents: npt.ArrayLike, top_k: int, weight: float) -> list[int]:
    """`marginal_relevance` with any measure of relevance in the place of the cosine with the query.

    Args:
        relevance: **Shape:** (n,).
        documents: **Shape:** (n, dimension).
        top_k: How many to choose at most.
        weight: Of the relevance, from 0 to 1.

    >>> diverse([1.0, 0.9, 0.2], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]], 3, 0.5)
    [0, 2, 1]
    """
    relevance = np.asarray(relevance, dtype=np.float64)
    rows = unit_rows(np.asarray(documents, dtype=np.float64))
    if len(rows) == 0:
        return []
    chosen = [int(np.argmax(relevance))]
    nearest = rows @ rows[chosen[0]]
    while len(chosen) < min(top_k, len(rows)):
        value = weight * relevance - (1 - weight) * nearest
        value[chosen] = -np.inf
        chosen.append(int(np.argmax(value)))
        nearest = np.maximum(nearest, rows @ rows[chosen[-1]])
    return chosen


def scaled(score: float, distance: str) -> float:
    """A first-stage score as a number from 0 to 1, in the same order.

    Args:
        score: **Unit:** that of `distance`.
        distance: "cosine": (1 + s) / 2. "dot": the logistic function of s / 100, as Haystack scales it.

    >>> scaled(0.5, "cosine"), scaled(0.0, "dot")
    (0.75, 0.5)
    """
    if distance == "cosine":
        return min(max((1.0 + score) / 2.0, 0.0), 1.0)
    return 0.5 * (1.0 + math.tanh(score / 200.0))


@dataclass
class Pace:
    """How long scoring takes here, learnt from what was scored."""

    milliseconds_per_token: float | None = None

    def affordable(self, costs: npt.NDArray[np.float64], remaining: float) -> int:
        """How many of the next pairs fit the remaining time.

        Args:
            costs: Tokens of each pair, estimated.
            remaining: **Unit:** milliseconds.
        """
        if remaining <= 0 or len(costs) == 0:
            return 0
        if self.milliseconds_per_token is None:
            return min(2, len(costs))
        # A part of the time stays in reserve, and what it leaves over is spent in the next round.
        spent = np.cumsum(costs) * self.milliseconds_per_token
        return int(np.searchsorted(spent, remaining * 0.8, side="right"))

    def learn(self, costs: npt.NDArray[np.float64], milliseconds: float) -> None:
        """Take note of what a round took; recent rounds count as much as all before."""
        measured = milliseconds / max(float(costs.sum()), 1.0)
        before = self.milliseconds_per_token
        self.milliseconds_per_token = measured if before is None else (before + measured) / 2


def pair_costs(query: str, texts: list[str], max_tokens: float) -> npt.NDArray[np.float64]:
    """Estimated tokens of each pair, cut at the model's limit. **Shape:** (len(texts),)."""
    tokens = np.array([(len(query) + len(text)) / _TOKEN_CHARACTERS + 3 for text in texts])
    return np.asarray(np.minimum(tokens, max_tokens))
