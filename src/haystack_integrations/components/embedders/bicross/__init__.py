"""Embedders for Haystack."""

import haystack_integrations.common.bicross  # noqa: F401  # first: it names the remedy where Haystack is missing
from haystack_integrations.components.embedders.bicross.document_embedder import BicrossDocumentEmbedder
from haystack_integrations.components.embedders.bicross.text_embedder import BicrossTextEmbedder

__all__ = ["BicrossDocumentEmbedder", "BicrossTextEmbedder"]
