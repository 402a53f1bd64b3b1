"""BicrossVectorStore: a collection and the encoder that fills it as LangChain's `VectorStore`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Any, Self

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from bicross.arguments import check_share
from bicross.errors import ConfigurationError, InputTypeError
from bicross.first_stage import check_kind
from bicross.fusion import check_fusion
from bicross.langchain.documents import as_many, check_documents, to_document, to_passage, warn_of_replaced
from bicross.langchain.embeddings import BicrossEmbeddings
from bicross.langchain.sparse import SparseEmbeddingsEncoder, check_sparse_encoder
from bicross.langchain.vector_store_async import AsyncMethods
from bicross.langchain.wrappers import encoder_of
from bicross.ranking import marginal_relevance, scaled
from bicross.retriever import TwoStageRetriever
from bicross.stores import QdrantStore, Store
from bicross.stores.inputs import check_at_least_one
from bicross.types import Encoder, Hit, SparseEncoder

Filter = dict[str, Any]
Scored = list[tuple[Document, float]]


class BicrossVectorStore(AsyncMethods):
    """Documents in a Qdrant collection that knows which model filled it.

    Any string is an id. A document without one gets an id made from ``metadata["source"]`` and its text: adding it
    again changes nothing, and nothing that is unchanged is embedded again. Filters are Haystack's filter dicts.

    Args:
        embedding: LangChain `Embeddings`, a bi-encoder, or the name of one.
        store: Where the documents are; None: in memory, gone on close.
        first_stage: "dense": finds by embeddings. "bm25": by words. "hybrid": by both, fused.
        sparse_encoder: Weighs the words; None: BM25 for the collection's language, English where it notes none.
            LangChain's own sparse embeddings go into `SparseEmbeddingsEncoder`.
        fusion: How "hybrid" makes one ranking of two: "weighted", the weighted sum of z-scores, or "rrf".
        sparse_weight: Share of the words in the fused score, from 0 to 1.

    Raises:
        ConfigurationError: An option that makes no sense.
    """

    def __init__(
        self,
        embedding: Embeddings | Encoder | str = "starter",
        store: Store | None = None,
        *,
        first_stage: str = "dense",
        sparse_encoder: SparseEncoder | None = None,
        fusion: str = "weighted",
        sparse_weight: float = 0.5,
    ) -> None:
        self._embeddings = embedding if isinstance(embedding, Embeddings) else BicrossEmbeddings(model=embedding)
        self.first_stage = check_kind(first_stage)
        self._stage: dict[str, Any] = {
            "sparse_encoder": check_sparse_encoder(sparse_encoder, first_stage),
            "fusion": check_fusion(fusion),
            "sparse_weight": check_share(sparse_weight, "sparse_weight"),
        }
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
        first_stage: str = "dense",
        sparse_encoder: SparseEncoder | None = None,
        fusion: str = "weighted",
        sparse_weight: float = 0.5,
        **where: Any,
    ) -> Self:
        """Make a vector store and add texts.

        Args:
            texts: The texts.
            embedding: As in the constructor.
            metadatas: One each.
            ids: One each.
            store: Where the documents are.
            first_stage, sparse_encoder, fusion, sparse_weight: As in the constructor.
            where: Instead of `store`, the arguments of `QdrantStore`: path, url, collection, …
        """
        if where and store is not None:
            raise ConfigurationError(f"from_texts takes a store or where to open one, got both: {sorted(where)}.")
        made = cls(
            embedding,
            QdrantStore(**where) if where else store,
            first_stage=first_stage,
            sparse_encoder=sparse_encoder,
            fusion=fusion,
            sparse_weight=sparse_weight,
        )
        made.add_texts(texts, metadatas, ids=ids)
        return made

    @property
    def embeddings(self) -> Embeddings:
        """What embeds."""
        return self._embeddings

    @cached_property
    def retriever(self) -> TwoStageRetriever:
        """The engine's first stage over this collection."""
        return TwoStageRetriever(encoder_of(self._embeddings), self.store, first_stage=self.first_stage, **self._stage)

    @cached_property
    def _dense(self) -> TwoStageRetriever:
        """The same by embeddings alone, for what starts from one."""
        if self.first_stage == "dense":
            return self.retriever
        return TwoStageRetriever(self.retriever.bi_encoder, self.store)

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
        rows = zip(given, as_many(metadatas, given, "metadatas"), as_many(ids, given, "ids"), strict=True)
        passages = [to_passage(text, metadata, id) for text, metadata, id in rows]
        self.retriever.add(passages, show_progress=False)
        warn_of_replaced(passages)
        return [passage.id for passage in passages]

    def add_sparse(self, *, reweight: bool = False) -> int:
        """Make the sparse vectors that stored documents lack, such as those added with a dense first stage.

        Args:
            reweight: Make all of them anew, also those of another sparse encoder.

        Returns:
            How many were made. Nothing is embedded.

        Raises:
            ConfigurationError: The first stage is dense.
            FingerprintMismatchError: Another sparse encoder made those that are there.
        """
        return self.retriever.add_sparse(reweight=reweight, show_progress=False)

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
            Documents with their scores, best first. **Unit:** cosine or dot product; BM25's, or the fused score, where
            the first stage is "bm25" or "hybrid".
        """
        _check_none(kwargs)
        options: dict[str, Any] = {"filter": filter, "group_by": group_by, "group_size": group_size}
        return _documents(self.retriever.retrieve(query, check_at_least_one(k, "k"), **options))

    def similarity_search_by_vector(
        self, embedding: list[float], k: int = 4, filter: Filter | None = None, **kwargs: Any
    ) -> list[Document]:
        """The documents nearest to a vector, whatever the first stage."""
        _check_none(kwargs)
        self._dense.verify()
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
        """Documents near to a query and unlike each other, chosen from the first stage's best `fetch_k`."""
        vector = self._embeddings.embed_query(query)
        if self.first_stage == "dense":
            return self.max_marginal_relevance_search_by_vector(vector, k, fetch_k, lambda_mult, filter, **kwargs)
        _check_none(kwargs)
        k, fetch_k = check_at_least_one(k, "k"), check_at_least_one(fetch_k, "fetch_k")
        self._dense.verify()
        return self._diverse(vector, self.retriever.retrieve(query, max(k, fetch_k), filter=filter), k, lambda_mult)

    def max_marginal_relevance_search_by_vector(
        self,
        embedding: list[float],
        k: int = 4,
        fetch_k: int = 20,
        lambda_mult: float = 0.5,
        filter: Filter | None = None,
        **kwargs: Any,
    ) -> list[Document]:
        """As `max_marginal_relevance_search`, for a vector: chosen from the documents nearest to it."""
        _check_none(kwargs)
        k, fetch_k = check_at_least_one(k, "k"), check_at_least_one(fetch_k, "fetch_k")
        self._dense.verify()
        return self._diverse(embedding, self.store.search(embedding, max(k, fetch_k), filter), k, lambda_mult)

    def _diverse(self, embedding: list[float], found: Iterable[Hit], k: int, lambda_mult: float) -> list[Document]:
        hits = {hit.passage.id: hit for hit in found}
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
        embeddings, sparse = self._embeddings, self._stage["sparse_encoder"]
        hosted = [sparse.embeddings] if isinstance(sparse, SparseEmbeddingsEncoder) else []
        return [embeddings.model if isinstance(embeddings, BicrossEmbeddings) else embeddings, self.store, *hosted]

    def _select_relevance_score_fn(self) -> Callable[[float], float]:
        if self.first_stage != "dense":
            raise ConfigurationError(
                f"Relevance scores need first_stage='dense'; got {self.first_stage!r}, whose scores have no common "
                "scale. Put a cross-encoder behind it: BicrossRetriever with a score_threshold."
            )
        info = self.store.info()
        return partial(scaled, distance=info.distance if info else "cosine")


def _documents(hits: Iterable[Hit]) -> Scored:
    return [(to_document(hit.passage), hit.score) for hit in hits]


def _check_none(options: dict[str, Any]) -> None:
    if options:
        raise ConfigurationError(f"{min(options)!r} isn't an option of this method. Leave it out.")
