"""The document store for Haystack."""

import haystack_integrations.common.bicross  # noqa: F401  # first: it names the remedy where Haystack is missing
from haystack_integrations.document_stores.bicross.document_store import BicrossDocumentStore
from haystack_integrations.document_stores.bicross.errors import haystack_errors

__all__ = ["BicrossDocumentStore", "haystack_errors"]
