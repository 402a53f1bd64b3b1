"""The asynchronous half of a vector store: each method is its synchronous twin, on the engine's threads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Self, TypeVar

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from bicross import pool
from bicross.langchain.threads import in_threads

T = TypeVar("T")


class AsyncMethods(VectorStore):
    """Runs what a subclass can do without blocking the event loop."""

    @property
    @abstractmethod
    def parts(self) -> list[Any]:
        """What does the work; tells which threads wait for it."""

    @classmethod
    async def afrom_texts(cls, *arguments: Any, **options: Any) -> Self:
        """As `from_texts`."""
        return await pool.waiting(cls.from_texts, *arguments, **options)

    async def aadd_texts(self, *arguments: Any, **options: Any) -> list[str]:
        """As `add_texts`."""
        return await self._apart(self.add_texts, *arguments, **options)

    async def aadd_documents(self, documents: list[Document], **options: Any) -> list[str]:
        """As `add_documents`."""
        return await self._apart(self.add_documents, documents, **options)

    async def adelete(self, ids: list[str] | None = None, **options: Any) -> bool | None:
        """As `delete`."""
        return await self._apart(self.delete, ids, **options)

    async def aget_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """As `get_by_ids`."""
        return await self._apart(self.get_by_ids, ids)

    async def asimilarity_search(self, query: str, k: int = 4, **options: Any) -> list[Document]:
        """As `similarity_search`."""
        return await self._apart(self.similarity_search, query, k, **options)

    async def asimilarity_search_with_score(self, *arguments: Any, **options: Any) -> list[tuple[Document, float]]:
        """As `similarity_search_with_score`."""
        return await self._apart(self.similarity_search_with_score, *arguments, **options)

    async def asimilarity_search_by_vector(self, embedding: list[float], k: int = 4, **options: Any) -> list[Document]:
        """As `similarity_search_by_vector`."""
        return await self._apart(self.similarity_search_by_vector, embedding, k, **options)

    async def amax_marginal_relevance_search(self, *arguments: Any, **options: Any) -> list[Document]:
        """As `max_marginal_relevance_search`."""
        return await self._apart(self.max_marginal_relevance_search, *arguments, **options)

    async def amax_marginal_relevance_search_by_vector(self, *arguments: Any, **options: Any) -> list[Document]:
        """As `max_marginal_relevance_search_by_vector`."""
        return await self._apart(self.max_marginal_relevance_search_by_vector, *arguments, **options)

    async def _apart(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        return await in_threads(self.parts, call, *arguments, **options)
