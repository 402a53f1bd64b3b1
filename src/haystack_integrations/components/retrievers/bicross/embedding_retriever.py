"""The first stage alone: a query's embedding in, the nearest Documents out."""

from __future__ import annotations

from typing import Any

from haystack import Document, component
from haystack.document_stores.types import FilterPolicy, apply_filter_policy

from bicross.errors import InputTypeError
from haystack_integrations.common.bicross.inputs import check_count, chosen
from haystack_integrations.common.bicross.node import Node
from haystack_integrations.common.bicross.tracing import observer
from haystack_integrations.components.retrievers.bicross.checks import check_document_store, policy_of
from haystack_integrations.document_stores.bicross import BicrossDocumentStore


@component
class BicrossEmbeddingRetriever(Node):
    """Finds the Documents nearest to an embedding.

    ### Usage example

    ```python
    from haystack_integrations.components.retrievers.bicross import BicrossEmbeddingRetriever
    from haystack_integrations.document_stores.bicross import BicrossDocumentStore

    retriever = BicrossEmbeddingRetriever(BicrossDocumentStore(path=".bicross"), top_k=5)
    ```
    """

    def __init__(
        self,
        document_store: BicrossDocumentStore,
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        score_threshold: float | None = None,
        group_by: str | None = None,
        group_size: int = 1,
        return_embedding: bool = False,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
    ) -> None:
        """Make the node.

        :param document_store: Where to search.
        :param filters: Haystack's filter dict.
        :param top_k: How many Documents to return at most.
        :param score_threshold: Leave out what scores lower. **Unit:** the store's similarity.
        :param group_by: As in BicrossRetriever.
        :param group_size: As in BicrossRetriever.
        :param return_embedding: Give the Documents their embeddings. Copying them on costs more than the search.
        :param filter_policy: Whether a run's filters take the place of the node's ("replace") or join them ("merge").
        :raises ConfigurationError: `top_k` is out of range, or `document_store` of another kind.
        """
        self.document_store = check_document_store(document_store, "BicrossEmbeddingRetriever")
        self.filters = filters
        self.top_k = check_count(top_k, "top_k")
        self.score_threshold = score_threshold
        self.group_by = group_by
        self.group_size = check_count(group_size, "group_size")
        self.return_embedding = return_embedding
        self.filter_policy = policy_of(filter_policy)

    @component.output_types(documents=list[Document])
    def run(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
        return_embedding: bool | None = None,
        group_by: str | None = None,
        group_size: int | None = None,
    ) -> dict[str, Any]:
        """Search. Every option that is given takes the place of the node's own for this run.

        :param query_embedding: The query's embedding.
        :param filters: Joined with the node's own as `filter_policy` says.
        :param top_k: As in the constructor.
        :param score_threshold: As in the constructor.
        :param return_embedding: As in the constructor.
        :param group_by: As in the constructor.
        :param group_size: As in the constructor.
        :returns: `documents`, nearest first.
        :raises FilterError: The filter isn't understood.
        :raises FingerprintMismatchError: The embedding was made by another model than the store's.
        """
        if isinstance(query_embedding, str):
            raise InputTypeError(
                f"BicrossEmbeddingRetriever takes an embedding; got the string {query_embedding[:40]!r}. For a query's "
                "text use BicrossRetriever, or BicrossTextEmbedder in front."
            )
        with observer()("retrieve") as tags:
            documents = self.document_store.search(
                query_embedding,
                top_k=chosen(top_k, self.top_k),
                filters=apply_filter_policy(self.filter_policy, self.filters, filters),
                score_threshold=chosen(score_threshold, self.score_threshold),
                return_embedding=chosen(return_embedding, self.return_embedding),
                group_by=chosen(group_by, self.group_by),
                group_size=chosen(group_size, self.group_size),
            )
            tags.update(collection=self.document_store.collection, hits=len(documents))
        return {"documents": documents}

    @component.output_types(documents=list[Document])
    async def run_async(
        self,
        query_embedding: list[float],
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        score_threshold: float | None = None,
        return_embedding: bool | None = None,
        group_by: str | None = None,
        group_size: int | None = None,
    ) -> dict[str, Any]:
        """Search off the event loop; see `run`."""
        return await self.document_store.off_loop(
            self.run, query_embedding, filters, top_k, score_threshold, return_embedding, group_by, group_size
        )

    def close(self) -> None:
        """Close the document store, as Haystack's own nodes do; the next use opens it again."""
        self.document_store.close()
