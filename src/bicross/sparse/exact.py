"""Sparse search by brute force: what a store's answers are measured against."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bicross.types import Floats, SparseVector

Positions = npt.NDArray[np.int32]


def inverse_document_frequency(holders: npt.ArrayLike, documents: int) -> npt.NDArray[np.float64]:
    """How much a term tells: ``ln(1 + (N - n + 0.5) / (n + 0.5))``, Lucene's and Qdrant's form, never negative.

    Args:
        holders: Documents that hold each term.
        documents: Documents that hold any term: Qdrant doesn't count points whose sparse vector is empty or missing.

    >>> inverse_document_frequency([1, 4], 4).round(4).tolist()
    [1.204, 0.1054]
    """
    count = np.asarray(holders, np.float64)
    return np.log1p((documents - count + 0.5) / (count + 0.5))


class SparseIndex:
    """Documents' sparse vectors as inverted lists in memory.

    Args:
        vectors: One for each document; an empty one is never found.
        idf: Whether a query's entries are weighted by inverse document frequency, as Qdrant's IDF modifier does.
    """

    def __init__(self, vectors: Sequence[SparseVector], *, idf: bool) -> None:
        self._count = len(vectors)
        lengths = np.array([len(vector) for vector in vectors], np.int64)
        empty = [np.zeros(0, np.uint32)]
        indices = np.concatenate([vector.indices for vector in vectors] or empty)
        order = np.argsort(indices, kind="stable")
        values = np.concatenate([vector.values for vector in vectors] or [np.zeros(0, np.float32)])
        self._documents = np.repeat(np.arange(self._count, dtype=np.int32), lengths)[order]
        self._values = values[order]
        self._terms, starts = np.unique(indices[order], return_index=True)
        self._ends = np.append(starts, len(indices))
        holders = np.diff(self._ends)
        self._weights = inverse_document_frequency(holders, int((lengths > 0).sum())) if idf else np.ones(len(holders))

    def __len__(self) -> int:
        return self._count

    def search(
        self, query: SparseVector, top_k: int, *, allowed: npt.NDArray[np.bool_] | None = None
    ) -> tuple[Positions, Floats]:
        """Positions and scores of the best documents that share an entry with the query, best first.

        Equal scores are in the documents' order.

        Args:
            query: Its vector.
            top_k: Most documents.
            allowed: Which documents may be found. **Shape:** (documents,).

        Returns:
            Both of **shape** (at most top_k,). **Unit** of the scores: dot product.
        """
        scores = np.zeros(self._count, np.float64)
        shared = np.zeros(self._count, np.bool_)
        places = np.searchsorted(self._terms, query.indices)
        for place, term, value in zip(places.tolist(), query.indices, query.values, strict=True):
            if place < len(self._terms) and self._terms[place] == term:
                entries = slice(self._ends[place], self._ends[place + 1])
                documents = self._documents[entries]
                scores[documents] += float(value) * self._weights[place] * self._values[entries]
                shared[documents] = True
        if allowed is not None:
            shared &= allowed
        found = np.flatnonzero(shared)
        best = _best(scores[found], top_k)
        return found[best].astype(np.int32), scores[found[best]].astype(np.float32)


def _best(scores: npt.NDArray[np.float64], top_k: int) -> npt.NDArray[np.intp]:
    """Positions of the highest scores, highest first, equal ones in their order."""
    if top_k < len(scores):
        least = np.partition(scores, len(scores) - top_k)[len(scores) - top_k] if top_k > 0 else np.inf
        near = np.flatnonzero(scores >= least)
    else:
        near = np.arange(len(scores))
    return near[np.argsort(-scores[near], kind="stable")][: max(top_k, 0)]
