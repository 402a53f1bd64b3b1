"""BicrossVectorStore: a collection and the encoder that fills it as LangChain's `VectorStore`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from bicross.errors import BicrossWarning, ConfigurationError, InputError, InputTypeError
from bicross.langchain.documents import check_documents, to_document, to_passage
from bicross.langchain.embeddings import BicrossEmbeddings
from bicross.langchain.vector_store_async import AsyncMethods
from bicross.langchain.wrappers import encoder_of
from bicross.ranking import marginal_relevance, scaled
from bicross.retriever import TwoStageRetriever
from bicross.stores import QdrantStore, Store
from bicross.stores.inputs import check_at_least_one
from bicross.types import Encoder, Hit, Passage

Filter = dict[str, Any]
Scored = list[tuple[Document, float]]


class BicrossVectorStore(AsyncMethods):
    """Documents in a Qdrant collection that knows which model filled it.

    Any string is an id. A document without one gets an id made from ``metadata["source"]`` and its text: adding it
    again changes nothing, and nothing that is unchanged is embedded again. Filters are Haystack's filter dicts.

    Args:
        embedding: LangChain `Embeddings`, a bi-encoder, or the name of one.
        store: Where the documents are; None: in memory, gone on close.
    """

    def __init__(self, embedding: Embeddings | Encoder | str = "starter", store: Store | None = None) -> None:
        self._embeddings = embedding if isinstance(embedding, Embeddings) else BicrossEmbeddings(model=embedding)
        self.store = QdrantStore(path=":memory:") if store is None else store

    @classmethod
    def from_texts(
        cls,
        texts: list[str],
        embedding: Embeddings | Encoder | str,
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: list[str] | None = None,
        store: Store | None = None,
        **where: Any,
    ) -> Self:
        """Make a vector store and add texts.

        Args:
            texts: The texts.
            embedding: As in the constructor.
            metadatas: One each.
            ids: One each.
            store: Where the documents are.
            where: Instead of `store`, the arguments of `QdrantStore`: path, url, collection, …
        """
        if where and store is not None:
            raise ConfigurationError(f"from_texts takes a store or where to open one, got both: {sorted(where)}.")
        made = cls(embedding, QdrantStore(**where) if where else store)
        made.add_texts(texts, metadatas, ids=ids)
        return made

    @property
    def embeddings(self) -> Embeddings:
        """What embeds."""
        return self._embeddings

    @cached_property
    def retriever(self) -> TwoStageRetriever:
        """The engine's first stage over this collection."""
        return TwoStageRetriever(encoder_of(self._embeddings), self.store)

    def add_texts(
        self,
        texts: Iterable[str],
        metadatas: list[dict[str, Any]] | None = None,
        *,
        ids: Sequence[str | None] | None = None,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[str]:
        """Add texts, or replace those with the same id.

        Args:
            texts: Any iterable of strings.
            metadatas: One each; JSON values.
            ids: One each; None for an id made from the content.
            batch_size: Not needed; `langchain_core.indexing.index` passes it.
            kwargs: None.

        Raises:
            InputTypeError, InputError: Something that can't be stored; names its position.
            FingerprintMismatchError: Another model filled the collection.
        """
        del batch_size
        _check_none(kwargs)
        if isinstance(texts, str):
            raise InputTypeError("add_texts takes an iterable of texts, got one string. Put it into a list.")
        given = list(texts)
        if found := next((text for text in given if isinstance(text, Document)), None):
            raise InputTypeError(f"add_texts takes strings, got {found!r:.60}. Use add_documents.")
        rows = zip(given, _as_many(metadatas, given, "metadatas"), _as_many(ids, given, "ids"), strict=True)
        passages = [to_passage(text, metadata, id) for text, metadata, id in rows]
        self.retriever.add(passages, show_progress=False)
        _warn_of_replaced(passages)
        return [passage.id for passage in passages]

    def add_documents(self, documents: list[Document], **kwargs: Any) -> list[str]:
        """Add documents, or replace those with the same id; see `add_texts`."""
        return super().add_documents(check_documents(documents, "Strings go into add_texts."), **kwargs)

    def delete(self, ids: list[str] | None = None, *, filter: Filter | None = None, **kwargs: Any) -> bool:
        """Delete documents by id, or by a filter; without either, all. Unknown ids are fine."""
        _check_none(kwargs)
        if ids is not None and filter is not None:
            raise ConfigurationError("delete takes ids or a filter, got both.")
        chosen = filter if ids is None else ids
        if chosen is None:
            self.store.drop()
        else:
            self.store.delete(chosen)
        return True

    def get_by_ids(self, ids: Sequence[str], /) -> list[Document]:
        """Those of the documents that are there, in the order asked for."""
        return [to_document(passage) for passage in self.store.get(ids)]

    def similarity_search(self, query: str, k: int = 4, filter: Filter | None = None, **kwargs: Any) -> list[Document]:
        """The documents nearest to a query; see `similarity_search_with_score`."""
        return [document for document, _ in self.similarity_search_with_score(query, k, filter=filter, **kwargs)]

    def similarity_search_with_score(
        self,
        query: str,
        k: int = 4,
        filter: Filter | None = None,
        *,
        group_by: str | None = None,
        group_size: int = 1,
        **kwargs: Any,
    ) -> Scored:
        """The documents nearest to a query.

        Args:
            query: What is sought.
            k: How many documents.
            filter: Haystack's filter dict.
            group_by: Search whole texts over their chunks: the metadata field whose value the chunks of one share, for
                LangChain's own splitters ``meta.source``. Only the best chunks of each come back, and `k` counts texts.
            group_size: Most chunks of a text.
            kwargs: None.

        Returns:
            Documents with their scores. **Unit:** cosine or dot product, higher is nearer.
        """
        _check_none(kwargs)
        options: dict[str, Any] = {"filter": filter, "group_by": group_by, "group_size": group_size}
        return _documents(self.retriever.retrieve(query, check_at_least_one(k, "k"), **options))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """The documents nearest to a vector."""
        _check_none(kwargs)
        self.retriever.verify()
        hits = self.store.search(embedding, check_at_least_one(k, "k"), filter)
        return [document for document, _ in _documents(hits)]

    def max_marginal_relevance_search(
        self,
        query: str,
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """Documents near to a query and unlike each other, chosen from the `fetch_k` nearest."""
        vector = self._embeddings.embed_query(query)
        return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter, **kwargs)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, for a vector."""
        _check_none(kwargs)
        k, fetch_k = check_at_least_one(k, "k"), check_at_least_one(fetch_k, "fetch_k")
        self.retriever.verify()
        hits = {hit.passage.id: hit for hit in self.store.search(embedding, max(k, fetch_k), filter)}
        ids, vectors = self.store.vectors(list(hits))
        chosen = marginal_relevance(embedding, vectors, k, lambda_mult)
        return [to_document(hits[ids[position]].passage) for position in chosen]

    def optimize(self) -> bool:
        """Build the approximate index, after a large load; searches are exact, and slower, until then."""
        return self.store.optimize()

    def close(self) -> None:
        """Release the collection."""
        self.store.close()

    @property
    def parts(self) -> list[Any]:
        """What does the work."""
        embeddings = self._embeddings
        return [embeddings.model if isinstance(embeddings, BicrossEmbeddings) else embeddings, self.store]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        info = self.store.info()
        return partial(scaled, distance=info.distance if info else "cosine")


def _documents(hits: Iterable[Hit]) -> Scored:
    return [(to_document(hit.passage), hit.score) for hit in hits]


def _as_many(given: Sequence[Any] | None, texts: list[str], name: str) -> Sequence[Any]:
    if given is None:
        return [None] * len(texts)
    if len(given) != len(texts):
        raise InputError(f"{name} must be as many as the texts, got {len(given)} for {len(texts)} texts.")
    return given


def _warn_of_replaced(passages: list[Passage]) -> None:
    last = {passage.id: passage for passage in passages}
    if replaced := sum(last[passage.id] != passage for passage in passages):
        warnings.warn(
            f"{replaced} of {len(passages)} documents were replaced by a later one of the same call with the same id. "
            "Equal source and text give one id; give ids to documents that must stay apart.",
            BicrossWarning,
            stacklevel=3,
        )


def _check_none(options: dict[str, Any]) -> None:
    if options:
        raise ConfigurationError(f"{min(options)!r} isn't an option of this method. Leave it out.")
