"""LangChain's interfaces over the engine. Names load on first use (PEP 562)."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from bicross.errors import MissingExtraError
from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.langchain.embeddings import BicrossEmbeddings
    from bicross.langchain.reranker import BicrossCrossEncoder, BicrossReranker
    from bicross.langchain.retriever import BicrossRetriever
    from bicross.langchain.sparse import SparseEmbeddingsEncoder
    from bicross.langchain.vector_store import BicrossVectorStore
    from bicross.langchain.wrappers import EmbeddingsEncoder, RerankerScorer

if find_spec("langchain_core") is None:
    raise MissingExtraError('bicross.langchain needs langchain-core: pip install "bicross[langchain]"')

_HOMES = {
    "BicrossCrossEncoder": "bicross.langchain.reranker",
    "BicrossEmbeddings": "bicross.langchain.embeddings",
    "BicrossReranker": "bicross.langchain.reranker",
    "BicrossRetriever": "bicross.langchain.retriever",
    "BicrossVectorStore": "bicross.langchain.vector_store",
    "EmbeddingsEncoder": "bicross.langchain.wrappers",
    "RerankerScorer": "bicross.langchain.wrappers",
    "SparseEmbeddingsEncoder": "bicross.langchain.sparse",
}

__all__ = [
    "BicrossCrossEncoder",
    "BicrossEmbeddings",
    "BicrossReranker",
    "BicrossRetriever",
    "BicrossVectorStore",
    "EmbeddingsEncoder",
    "RerankerScorer",
    "SparseEmbeddingsEncoder",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
