"""What both retrievers check."""

from __future__ import annotations

from typing import Any

from haystack.document_stores.types import FilterPolicy

from bicross.errors import ConfigurationError
from haystack_integrations.document_stores.bicross import BicrossDocumentStore


def check_document_store(document_store: Any, node: str) -> BicrossDocumentStore:
    """Check that the node can search this store.

    :raises ConfigurationError: It can't; the message names the nodes that can.
    """
    if not isinstance(document_store, BicrossDocumentStore):
        raise ConfigurationError(
            f"{node} searches a BicrossDocumentStore; got a {type(document_store).__name__}. For another store use "
            "BicrossTextEmbedder, that store's own embedding retriever, and BicrossRanker."
        )
    return document_store


def policy_of(filter_policy: str | FilterPolicy) -> FilterPolicy:
    """A filter policy by its name."""
    return filter_policy if isinstance(filter_policy, FilterPolicy) else FilterPolicy.from_str(filter_policy)
