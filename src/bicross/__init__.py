"""bicross: a bi-encoder finds, a cross-encoder reorders. Names load on first use (PEP 562)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.bi_encoder import BiEncoder
    from bicross.cross_encoder import CrossEncoder
    from bicross.late_interaction import LateInteractionReranker
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
    "LateInteractionReranker": "bicross.late_interaction",
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
    "LateInteractionReranker",
    "Passage",
    "QdrantStore",
    "Scorer",
    "SearchResult",
    "TwoStageRetriever",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, "__version__")
