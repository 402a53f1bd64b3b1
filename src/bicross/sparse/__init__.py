"""Sparse encoders: texts as weighted terms, for the first stage's second leg. Names load on first use (PEP 562)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.sparse.bm25 import BM25Encoder
    from bicross.types import SparseEncoder, SparseVector

_HOMES = {
    "BM25Encoder": "bicross.sparse.bm25",
    "SparseEncoder": "bicross.types",
    "SparseVector": "bicross.types",
}

__all__ = ["BM25Encoder", "SparseEncoder", "SparseVector"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
