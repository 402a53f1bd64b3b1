"""The collection behind the document store: opened by its first use, bound to the model whose embeddings it holds."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Self

from haystack import Document, default_from_dict, default_to_dict
from haystack.utils import Secret

from bicross.errors import BicrossWarning, ConfigurationError, FingerprintMismatchError
from bicross.sparse_sync import SparseSync
from bicross.stores import QdrantStore
from bicross.stores.schema import Header
from bicross.types import SparseEncoder
from haystack_integrations.common.bicross.embedding import Embedding, origin
from haystack_integrations.common.bicross.inputs import check_language
from haystack_integrations.common.bicross.node import HUB_TOKEN, OnFirstUse, arguments
from haystack_integrations.common.bicross.sparse_encoders import (
    bm25,
    check_sparse_encoder,
    let_go,
    load_sparse_encoder,
    saved_sparse_encoder,
)

_WITHOUT_VECTORS = ".no-vectors"


class BoundCollection:
    """Two collections of the engine, for Documents with and without embeddings, opened and closed together."""

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        url: str | None = None,
        collection: str = "default",
        similarity: Literal["cosine", "dot"] | None = None,
        api_key: Secret | None = None,
        timeout: float = 60.0,
        hnsw_ef: int = 1024,
        text_key: str | None = None,
        title_key: str | None = None,
        meta_key: str | None = None,
        vector_name: str | None = None,
        sparse_language: str | None = None,
        sparse_encoder: SparseEncoder | str | Path | dict[str, Any] | None = None,
    ) -> None:
        """Make the store; it is opened by its first use.

        :param path: Folder of the embedded collection. One process at a time may have it open. ":memory:", and neither
            path nor url: a temporary folder, gone with this object.
        :param url: Address of a Qdrant server, with http:// or https://.
        :param collection: Name of the collection.
        :param similarity: How a new collection compares embeddings; None: as the model that made them, else "cosine".
        :param api_key: The server's key; resolved when the store is opened.
        :param timeout: How long a request, and trying it again, may take. **Unit:** seconds.
        :param hnsw_ef: How many candidates the approximate index looks at; more is slower and misses less.
        :param text_key: Field of the payload that holds the text, in a server's collection that another program filled.
            The layouts of qdrant-haystack and langchain-qdrant are recognised without it. Such a collection is
            read-only until it is adopted: `bicross info --adopt`.
        :param title_key: Field that holds the title there.
        :param meta_key: Field that holds the meta there; with text_key alone, it is every other field.
        :param vector_name: Which dense vector, where that collection has several.
        :param sparse_language: Also keep BM25's sparse vectors of title and content, for a retriever's first_stage
            "bm25" or "hybrid": a code of the language, "auto" or "none" (no stemming). None: no sparse vectors, unless
            a sparse_encoder makes them.
        :param sparse_encoder: What makes the sparse vectors, in place of BM25 for a language: anything that satisfies
            `bicross.sparse.SparseEncoder`, such as `BM25Encoder`; a SPLADE checkpoint's folder or name on the model
            hub, loaded by the first use; or the settings of either, as a saved pipeline holds them:
            `{"bm25": {…}}`, `{"splade": {…}}`. Haystack's sparse embedders go into `SparseEmbedders`. A retriever over
            this store searches with the same one.
        :raises ConfigurationError: Both path and url, a key without a url, a language that isn't known, something that
            is no sparse encoder, or both of these.
        """
        if path is not None and url is not None:
            raise ConfigurationError("A document store has a path or a url; got both. Leave one out.")
        if api_key is not None and url is None:
            raise ConfigurationError("api_key belongs to url; got none. Leave it out.")
        self.path = None if path is None else str(path)
        self.url = url
        self.collection = collection
        self.similarity: Literal["cosine", "dot"] | None = similarity
        self.api_key = api_key
        self.timeout = timeout
        self.hnsw_ef = hnsw_ef
        self.text_key = text_key
        self.title_key = title_key
        self.meta_key = meta_key
        self.vector_name = vector_name
        self.sparse_language = check_language(sparse_language)
        self.sparse_encoder = check_sparse_encoder(sparse_encoder, "sparse_language", sparse_language)
        self._stores = OnFirstUse(self._open, _close)
        self._sparse_encoder = OnFirstUse(self._load_sparse_encoder, let_go)
        self._writing = threading.Lock()
        self._verified: dict[str, Header] = {}

    @property
    def store(self) -> QdrantStore:
        """The engine's store of the Documents with embeddings, for use without Haystack."""
        return self._stores.get()[0]

    @property
    def loaded_sparse_encoder(self) -> SparseEncoder | None:
        """The `sparse_encoder`, loaded where it was named; None where none was given."""
        return None if self.sparse_encoder is None else self._sparse_encoder.get()

    def _load_sparse_encoder(self) -> SparseEncoder | None:
        if self.sparse_encoder is None:
            return bm25(self.sparse_language)
        return load_sparse_encoder(self.sparse_encoder, token=HUB_TOKEN.resolve_value())

    def _sparse(self) -> SparseSync | None:
        """What keeps the sparse vectors; None where none are asked for."""
        if self.sparse_language is None and self.sparse_encoder is None:
            return None
        return SparseSync(self.store, self._sparse_encoder.get())

    @property
    def remote(self) -> bool:
        """Whether a call waits for a server."""
        return self.url is not None

    def to_dict(self) -> dict[str, Any]:
        """The store as its class and arguments; the key as the name of its variable.

        :raises ConfigurationError: Its sparse encoder is one that can't be saved.
        """
        saved = {"sparse_encoder": saved_sparse_encoder(self.sparse_encoder)}
        return default_to_dict(self, **arguments(self) | saved)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The store that `to_dict` wrote down."""
        return default_from_dict(cls, data)

    def close(self) -> None:
        """Release the collection; the next use opens it again. A temporary one stays as long as this object."""
        self._sparse_encoder.close()
        if self.url is not None or self.path not in (None, ":memory:"):
            self._stores.close()

    def _open(self) -> tuple[QdrantStore, QdrantStore]:
        place: dict[str, Any] = {"path": self.path or ":memory:"}
        if self.url is not None:
            place = {"url": self.url, "api_key": self.api_key.resolve_value() if self.api_key else None}
        place |= {"timeout": self.timeout, "hnsw_ef": self.hnsw_ef}
        keys = {name: getattr(self, name) for name in ("text_key", "title_key", "meta_key", "vector_name")}
        with_vectors = QdrantStore(collection=self.collection, **place, **keys)
        return with_vectors, QdrantStore(collection=self.collection + _WITHOUT_VECTORS, **place)

    def _bind(self, documents: list[Document], dimension: int) -> None:
        """Create the collection for the model that made the embeddings, or check that it is that model's."""
        found = {made_by.fingerprint: made_by for made_by in (origin(document.embedding) for document in documents)}
        for made_by in found.values():
            header = self.store.header()
            known = self.similarity or made_by.similarity or (header.distance if header else None)
            self._bind_to(made_by, dimension, known or "cosine")
        header = self.store.header()
        if None in found and header is not None and header.fingerprint is not None:
            warnings.warn(
                f"Embeddings that don't say which model made them go into collection {self.collection!r}, which holds "
                f"those of {header.model!r}. Searches are right only if it was the same model.",
                BicrossWarning,
                stacklevel=4,
            )

    def _bind_to(self, made_by: Embedding, dimension: int, distance: str) -> None:
        self.store.bind(
            dimension=dimension,
            fingerprint=made_by.fingerprint,
            model=made_by.model,
            revision=made_by.revision,
            distance=distance,
        )

    def _origin(self) -> Embedding:
        """The model that the collection is bound to."""
        header = self.store.header()
        if header is None:
            return Embedding()
        return Embedding((), header.fingerprint, header.model, header.revision, header.distance)

    def _verify(self, query_embedding: Sequence[float]) -> None:
        """Refuse a query that another model embedded than the Documents; asked once for each state of the two."""
        made_by, header = origin(query_embedding), self.store.header()
        if made_by.fingerprint is None or header is None or header.fingerprint is None:
            return
        if self._verified.get(made_by.fingerprint) == header:
            return
        try:
            self._bind_to(made_by, len(query_embedding), header.distance)
        except FingerprintMismatchError as error:
            raise FingerprintMismatchError(
                f"{error} If it is the same model, and the documents were embedded with a prefix of their own, give "
                "the query's embedder a prefix, too ('' is one)."
            ) from error
        self._verified[made_by.fingerprint] = header


def _close(stores: tuple[QdrantStore, QdrantStore]) -> None:
    for store in stores:
        store.close()
