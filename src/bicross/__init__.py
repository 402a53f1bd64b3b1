"""bicross: a bi-encoder finds, a cross-encoder reorders. Names load on first use (PEP 562)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bicross.bi_encoder import BiEncoder
    from bicross.cross_encoder import CrossEncoder
    from bicross.retriever import TwoStageRetriever
    from bicross.stores import ExactStore, QdrantStore
    from bicross.types import Encoder, Hit, IndexReport, Passage, Scorer, SearchResult

_HOMES = {
    "BiEncoder": "bicross.bi_encoder",
    "CrossEncoder": "bicross.cross_encoder",
    "Encoder": "bicross.types",
    "ExactStore": "bicross.stores",
    "Hit": "bicross.types",
    "IndexReport": "bicross.types",
    "Passage": "bicross.types",
    "QdrantStore": "bicross.stores",
    "Scorer": "bicross.types",
    "SearchResult": "bicross.types",
    "TwoStageRetriever": "bicross.retriever",
}

__version__ = "0.1.0"
__all__ = [
    "BiEncoder",
    "CrossEncoder",
    "Encoder",
    "ExactStore",
    "Hit",
    "IndexReport",
    "Passage",
    "QdrantStore",
    "Scorer",
    "SearchResult",
    "TwoStageRetriever",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'bicross' has no attribute {name!r}")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
