"""Sparse encoders: texts as weighted terms, for the first stage's second leg. Names load on first use (PEP 562)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.sparse.bm25 import BM25Encoder
    from bicross.sparse.splade import SpladeEncoder
    from bicross.sparse.wrappers import SparseCallable
    from bicross.types import SparseEncoder, SparseVector

_HOMES = {
    "BM25Encoder": "bicross.sparse.bm25",
    "SparseCallable": "bicross.sparse.wrappers",
    "SparseEncoder": "bicross.types",
    "SparseVector": "bicross.types",
    "SpladeEncoder": "bicross.sparse.splade",
}

__all__ = ["BM25Encoder", "SparseCallable", "SparseEncoder", "SparseVector", "SpladeEncoder"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
