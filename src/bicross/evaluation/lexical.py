"""The sparse and the hybrid first stage over a data set, by brute force."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bicross.evaluation.datasets import Dataset
from bicross.fusion import fuse
from bicross.progress import progress
from bicross.sparse.bm25 import BM25Encoder
from bicross.sparse.exact import SparseIndex
from bicross.types import Floats, SparseEncoder


def sparse_candidates(
    data: Dataset, encoder: SparseEncoder | None, k: int, *, show_progress: bool | None = None
) -> tuple[npt.NDArray[np.int32], Floats]:
    """Every query's best documents among those that share a term with it; ties in the documents' order.

    Args:
        data: The queries and documents.
        encoder: None: `BM25Encoder` for English. BM25's mean length is measured on the data set where it isn't set.
        k: How many at most.
        show_progress: None: on a terminal, once it takes more than two seconds.

    Returns:
        Positions in ``data.documents``, and scores; −1 and −∞ where fewer documents share a term. **Shape:** both
        (queries, min(k, documents)).
    """
    texts, queries = list(data.documents.values()), list(data.queries.values())
    encoder = BM25Encoder() if encoder is None else encoder
    if isinstance(encoder, BM25Encoder) and encoder.mean_length is None:
        encoder = encoder.with_mean_length(encoder.measure(texts))
    index = SparseIndex(encoder.encode_document(texts), idf=encoder.idf)
    shape = (len(queries), min(k, len(texts)))
    positions = np.full(shape, -1, dtype=np.int32)
    scores = np.full(shape, -np.inf, dtype=np.float32)
    with progress("searching", len(queries), show_progress) as advance:
        for row, vector in enumerate(encoder.encode_query(queries)):
            found, values = index.search(vector, k)
            positions[row, : len(found)], scores[row, : len(found)] = found, values
            advance(1)
    return positions, scores


def fused_candidates(
    legs: Sequence[tuple[npt.NDArray[np.int32], Floats]],
    weights: Sequence[float],
    fusion: str,
    k: int,
    *,
    floors: Sequence[float | None],
) -> tuple[npt.NDArray[np.int32], Floats]:
    """One ranking for each query out of several; equal scores in the documents' order.

    Args:
        legs: Positions and scores of every search, as `sparse_candidates` gives them. **Shape:** (queries, depth).
        weights: One for each search.
        fusion: See `bicross.fusion.fuse`.
        k: How many at most.
        floors: What a document scores in each search that a search which looked at all of them left out.

    Returns:
        As `sparse_candidates`. **Shape:** both (queries, min(k, the most that any query has)).
    """
    rows = []
    for row in range(len(legs[0][0])):
        rankings = [_ranking(positions[row], scores[row]) for positions, scores in legs]
        cut_off = [len(ranking) == legs[place][0].shape[1] for place, ranking in enumerate(rankings)]
        known = [None if cut else floor for cut, floor in zip(cut_off, floors, strict=True)]
        rows.append(fuse(rankings, weights, fusion, known)[:k])
    shape = (len(rows), max(map(len, rows), default=0))
    positions, scores = np.full(shape, -1, dtype=np.int32), np.full(shape, -np.inf, dtype=np.float32)
    for row, ranking in enumerate(rows):
        for column, (place, score) in enumerate(ranking):
            positions[row, column], scores[row, column] = place, score
    return positions, scores


def _ranking(positions: npt.NDArray[np.int32], scores: Floats) -> list[tuple[int, float]]:
    found = positions >= 0
    return list(zip(positions[found].tolist(), scores[found].tolist(), strict=True))
