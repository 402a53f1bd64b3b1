"""Retrievers for Haystack."""

import haystack_integrations.common.bicross  # noqa: F401  # first: it names the remedy where Haystack is missing
from haystack_integrations.components.retrievers.bicross.embedding_retriever import BicrossEmbeddingRetriever
from haystack_integrations.components.retrievers.bicross.retriever import BicrossRetriever

__all__ = ["BicrossEmbeddingRetriever", "BicrossRetriever"]
