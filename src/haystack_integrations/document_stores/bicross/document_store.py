"""Haystack's document store over the engine's `QdrantStore`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from haystack import Document
from haystack.document_stores.types import DuplicatePolicy

from bicross import pool
from haystack_integrations.document_stores.bicross.synchronous import SynchronousStore

P = ParamSpec("P")
T = TypeVar("T")


class BicrossDocumentStore(SynchronousStore):
    """Documents in a Qdrant collection: embedded in this process, or on a server.

    The collection remembers the model whose embeddings came first and refuses those of another one. Documents without
    an embedding are kept, filtered and counted like the others (in a second collection), and are found by no search.

    ### Usage example

    ```python
    from haystack import Document
    from haystack_integrations.document_stores.bicross import BicrossDocumentStore

    document_store = BicrossDocumentStore(path=".bicross")
    document_store.write_documents([Document(content="Milk")])
    ```

    The methods ending in `_async` are their namesakes, off the event loop.
    """

    async def off_loop(self, call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
        """Run a call that uses this store: among 64 threads that wait for a server, or as many as there are cores."""
        run = pool.waiting if self.remote else pool.computing
        return await run(call, *arguments, **options)

    async def count_documents_async(self) -> int:
        """See `count_documents`."""
        return await self.off_loop(self.count_documents)

    async def close_async(self) -> None:
        """See `close`."""
        await self.off_loop(self.close)

    async def count_documents_by_filter_async(self, filters: dict[str, Any]) -> int:
        """See `count_documents_by_filter`."""
        return await self.off_loop(self.count_documents_by_filter, filters)

    async def filter_documents_async(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """See `filter_documents`."""
        return await self.off_loop(self.filter_documents, filters)

    async def search_async(
        self,
        query_embedding: Sequence[float],
        top_k: int = 10,
        filters: dict[str, Any] | None = None,
        score_threshold: float | None = None,
        return_embedding: bool = False,
        group_by: str | None = None,
        group_size: int = 1,
    ) -> list[Document]:
        """See `search`."""
        return await self.off_loop(
            self.search, query_embedding, top_k, filters, score_threshold, return_embedding, group_by, group_size
        )

    async def get_documents_by_id_async(self, document_ids: list[str]) -> list[Document]:
        """See `get_documents_by_id`."""
        return await self.off_loop(self.get_documents_by_id, document_ids)

    async def get_metadata_fields_info_async(self) -> dict[str, dict[str, str]]:
        """See `get_metadata_fields_info`."""
        return await self.off_loop(self.get_metadata_fields_info)

    async def get_metadata_field_min_max_async(self, metadata_field: str) -> dict[str, Any]:
        """See `get_metadata_field_min_max`."""
        return await self.off_loop(self.get_metadata_field_min_max, metadata_field)

    async def count_unique_metadata_by_filter_async(
        self, filters: dict[str, Any], metadata_fields: list[str]
    ) -> dict[str, int]:
        """See `count_unique_metadata_by_filter`."""
        return await self.off_loop(self.count_unique_metadata_by_filter, filters, metadata_fields)

    async def get_metadata_field_unique_values_async(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """See `get_metadata_field_unique_values`."""
        return await self.off_loop(
            self.get_metadata_field_unique_values, metadata_field, search_term, from_, size, filters
        )

    async def write_documents_async(
        self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE
    ) -> int:
        """See `write_documents`."""
        return await self.off_loop(self.write_documents, documents, policy)

    async def delete_documents_async(self, document_ids: list[str]) -> None:
        """See `delete_documents`."""
        await self.off_loop(self.delete_documents, document_ids)

    async def delete_all_documents_async(self, recreate_index: bool = False) -> None:
        """See `delete_all_documents`."""
        await self.off_loop(self.delete_all_documents, recreate_index)

    async def delete_by_filter_async(self, filters: dict[str, Any]) -> int:
        """See `delete_by_filter`."""
        return await self.off_loop(self.delete_by_filter, filters)

    async def update_by_filter_async(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """See `update_by_filter`."""
        return await self.off_loop(self.update_by_filter, filters, meta)
