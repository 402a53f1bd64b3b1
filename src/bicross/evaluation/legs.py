"""The first stages over a data set by brute force: dense, sparse, and both, fused."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bicross.fusion import FUSED_DEPTH, fuse
from bicross.progress import progress
from bicross.ranking import exact_top_k
from bicross.sparse.exact import Positions, SparseIndex
from bicross.types import Encoder, Floats, SparseEncoder, SparseVector

_ALL = slice(None)


class DenseLeg:
    """A search by the vectors' dot product; ties in the documents' order.

    Args:
        encoder: What makes them.
        queries: Their vectors, of unit length where the encoder compares by cosine. **Shape:** (queries, dimension).
        documents: As ``queries``. **Shape:** (documents, dimension).
    """

    def __init__(self, encoder: Encoder, queries: Floats, documents: Floats) -> None:
        self._encoder = encoder
        self._queries = queries
        self._documents = documents
        self._longest = float(np.linalg.norm(documents, axis=1).max())

    def encode(self, query: str) -> object:
        """A query's vector, made anew."""
        return self._encoder.encode_query(query)

    def find(self, k: int, rows: slice, show_progress: bool | None) -> tuple[Positions, Floats]:  # noqa: ARG002
        """As `ExactSearch.find`."""
        return exact_top_k(self._queries[rows], self._documents, k, longest=self._longest)


class SparseLeg:
    """A search among the documents that share a term with the query; ties in the documents' order.

    Args:
        encoder: What makes the sparse vectors.
        queries: Their vectors.
        index: The documents'.
    """

    def __init__(self, encoder: SparseEncoder, queries: Sequence[SparseVector], index: SparseIndex) -> None:
        self._encoder = encoder
        self._queries = queries
        self._index = index

    def encode(self, query: str) -> object:
        """A query's vector, made anew."""
        return self._encoder.encode_query([query])[0]

    def find(self, k: int, rows: slice, show_progress: bool | None) -> tuple[Positions, Floats]:
        """As `ExactSearch.find`."""
        vectors = self._queries[rows]
        positions, scores = _nothing(len(vectors), min(k, len(self._index)))
        with progress("searching", len(vectors), show_progress) as advance:
            for row, vector in enumerate(vectors):
                found, values = self._index.search(vector, k)
                positions[row, : len(found)], scores[row, : len(found)] = found, values
                advance(1)
        return positions, scores


class ExactSearch:
    """A first stage, with the vectors of a data set's queries and documents at hand.

    Args:
        dense: None: not by dense vectors.
        sparse: None: not by sparse ones. One of the two there must be.
        fusion: How one ranking is made of both.
        sparse_weight: Share of the sparse search in it, from 0 to 1.
    """

    def __init__(self, dense: DenseLeg | None, sparse: SparseLeg | None, fusion: str, sparse_weight: float) -> None:
        self._dense = dense
        self._sparse = sparse
        self._fusion = fusion
        self._sparse_weight = sparse_weight

    def encode(self, query: str) -> None:
        """Encode a query anew, as often as the stage must; the time of that is all that is wanted."""
        for leg in (self._dense, self._sparse):
            if leg is not None:
                leg.encode(query)

    def find(self, k: int, rows: slice = _ALL, *, show_progress: bool | None = None) -> tuple[Positions, Floats]:
        """The queries' best documents.

        Args:
            k: How many at most.
            rows: Which queries; all by default.
            show_progress: None: on a terminal, once it takes more than two seconds.

        Returns:
            Positions in the documents, and scores; −1 and −∞ where fewer were found. **Shape:** both (queries, at most
            min(k, documents)).
        """
        if self._dense is not None and self._sparse is not None:
            depth = max(k, FUSED_DEPTH)
            legs = [leg.find(depth, rows, show_progress) for leg in (self._dense, self._sparse)]
            return _fused(legs, (1 - self._sparse_weight, self._sparse_weight), self._fusion, k)
        leg = self._dense or self._sparse
        assert leg is not None
        return leg.find(k, rows, show_progress)


def _fused(
    legs: Sequence[tuple[Positions, Floats]], weights: Sequence[float], fusion: str, k: int
) -> tuple[Positions, Floats]:
    """One ranking for each query out of a dense and a sparse one; equal scores in the documents' order."""
    rows = []
    for row in range(len(legs[0][0])):
        rankings = [_ranking(positions[row], scores[row]) for positions, scores in legs]
        # Where the sparse search found all that shares a term, the others score 0.
        complete = len(rankings[1]) < legs[1][0].shape[1]
        rows.append(fuse(rankings, weights, fusion, (None, 0.0 if complete else None))[:k])
    positions, scores = _nothing(len(rows), max(map(len, rows), default=0))
    for row, ranking in enumerate(rows):
        for column, (place, score) in enumerate(ranking):
            positions[row, column], scores[row, column] = place, score
    return positions, scores


def _nothing(queries: int, count: int) -> tuple[Positions, Floats]:
    return np.full((queries, count), -1, dtype=np.int32), np.full((queries, count), -np.inf, dtype=np.float32)


def _ranking(positions: Positions, scores: Floats) -> list[tuple[int, float]]:
    found = positions >= 0
    return list(zip(positions[found].tolist(), scores[found].tolist(), strict=True))
