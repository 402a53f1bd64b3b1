"""LangChain's sparse embeddings (langchain-qdrant's interface) as the engine's sparse encoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from bicross.errors import ConfigurationError
from bicross.langchain.wrappers import name_of
from bicross.sparse.encoder import TextEncoder
from bicross.sparse.wrappers import sparse_vectors
from bicross.types import SparseEncoder, SparseVector


class SparseEmbeddings(Protocol):
    """What langchain-qdrant's `SparseEmbeddings` offers: results with ``indices`` and ``values``."""

    def embed_documents(self, texts: list[str]) -> Sequence[Any]:
        """One result for each text."""
        ...

    def embed_query(self, text: str) -> Any:
        """One result."""
        ...


class SparseEmbeddingsEncoder(TextEncoder):
    """Sparse embeddings such as `FastEmbedSparse` as a `SparseEncoder`.

    Args:
        embeddings: What embeds.
        fingerprint: What a collection remembers of the model. None: the name of the class and of its model, which
            changes with the model's name, but not with its weights.
        idf: Whether the store weighs a query's entries by inverse document frequency, as ``Qdrant/bm25`` asks for.
    """

    def __init__(self, embeddings: SparseEmbeddings, fingerprint: str | None = None, *, idf: bool = False) -> None:
        self.embeddings = embeddings
        self.idf = idf
        self._fingerprint = fingerprint or f"langchain:{name_of(embeddings)}"

    @property
    def fingerprint(self) -> str:
        """What a collection remembers of the model."""
        return self._fingerprint

    def _encode(self, texts: list[str], query: bool) -> list[SparseVector]:
        if query:
            found: Sequence[Any] = [self.embeddings.embed_query(text) for text in texts]
        else:
            found = self.embeddings.embed_documents(texts) if texts else []
        return sparse_vectors(found, len(texts), name_of(self.embeddings))


def check_sparse_encoder(given: Any, first_stage: str) -> SparseEncoder | None:
    """Check that this is a sparse encoder or None, and that the first stage has a use for it.

    Raises:
        ConfigurationError: It isn't, or it hasn't.
    """
    if given is not None and first_stage == "dense":
        raise ConfigurationError(f"sparse_encoder is for first_stage='hybrid' or 'bm25'; got {given!r} with 'dense'.")
    if hasattr(given, "embed_documents"):
        raise ConfigurationError(
            f"sparse_encoder is a SparseEncoder; got {type(given).__name__}. Wrap LangChain's sparse embeddings: "
            "SparseEmbeddingsEncoder(embeddings), with idf=True where they leave the IDF to Qdrant, as Qdrant/bm25."
        )
    if not (given is None or isinstance(given, SparseEncoder)):
        raise ConfigurationError(f"sparse_encoder is a SparseEncoder; got {given!r}. BM25Encoder is one.")
    return given
