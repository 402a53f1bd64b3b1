"""LangChain's own interfaces as the engine's: other packages' embeddings and rerankers in both stages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings

from bicross.arrays import ranked
from bicross.errors import InputError
from bicross.langchain.embeddings import BicrossEmbeddings
from bicross.types import Encoder, Floats, Ranked

_NAMES = ("model", "model_name", "model_id", "deployment")


def encoder_of(embeddings: Embeddings) -> Encoder:
    """The encoder behind embeddings: the bi-encoder itself where nothing was changed about it."""
    if isinstance(embeddings, BicrossEmbeddings) and embeddings.plain:
        return embeddings.encoder
    return EmbeddingsEncoder(embeddings)


class EmbeddingsEncoder:
    """Any LangChain `Embeddings` as an `Encoder`.

    Args:
        embeddings: What embeds.
        fingerprint: What a collection remembers of the model. None: the name of the class and of its model, which
            changes with the model's name, but not with its weights.
    """

    def __init__(self, embeddings: Embeddings, fingerprint: str | None = None) -> None:
        self.embeddings = embeddings
        self.name = name_of(embeddings)
        self._fingerprint = fingerprint

    @property
    def similarity_name(self) -> str:
        """How vectors are compared."""
        encoder = self.embeddings.encoder if isinstance(self.embeddings, BicrossEmbeddings) else None
        return getattr(encoder, "similarity_name", "cosine")

    @property
    def document_fingerprint(self) -> str:
        """What a collection remembers of the model."""
        if self._fingerprint is None and isinstance(self.embeddings, BicrossEmbeddings):
            return self.embeddings.document_fingerprint
        return self._fingerprint or f"langchain:{self.name}"

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        """**Shape:** (dimension,) for a string, else (len(texts), dimension)."""
        if isinstance(texts, str):
            return np.asarray(self.embeddings.embed_query(texts), dtype=np.float32)
        return _matrix([self.embeddings.embed_query(text) for text in texts])

    def encode_document(self, texts: str | Sequence[str], /) -> Floats:
        """**Shape:** (dimension,) for a string, else (len(texts), dimension)."""
        if isinstance(texts, str):
            return np.asarray(self.embeddings.embed_documents([texts])[0], dtype=np.float32)
        return _matrix(self.embeddings.embed_documents(list(texts)))


class RerankerScorer:
    """A LangChain cross-encoder or document compressor as a `Scorer`.

    A compressor must return every document, with its score in ``metadata["relevance_score"]``: set its ``top_n`` to
    what the first stage hands over.

    Args:
        reranker: What scores.
        fingerprint: Changes whenever a score would. None: the name of the class and of its model.
    """

    def __init__(self, reranker: BaseCrossEncoder | BaseDocumentCompressor, fingerprint: str | None = None) -> None:
        self.reranker = reranker
        self.name = name_of(reranker)
        self.fingerprint = fingerprint or f"langchain:{self.name}"

    def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
        """Score (query, text) pairs. **Shape:** (len(pairs),).

        Raises:
            InputError: The compressor left a document or its score out.
        """
        if isinstance(self.reranker, BaseCrossEncoder):
            return np.asarray(self.reranker.score([(query, text) for query, text in pairs]), dtype=np.float32)
        scores = np.full(len(pairs), np.nan, dtype=np.float32)
        for query in dict.fromkeys(query for query, _ in pairs):
            places = [i for i, (asked, _) in enumerate(pairs) if asked == query]
            documents = [Document(pairs[i][1], metadata={"place": i}) for i in places]
            for document in self.reranker.compress_documents(documents, query):
                scores[document.metadata["place"]] = document.metadata.get("relevance_score", np.nan)
        if missing := int(np.isnan(scores).sum()):
            raise InputError(
                f"A reranker must score every text, got no score for {missing} of {len(pairs)} from {self.name}. "
                "Raise its top_n, and take one that writes metadata['relevance_score']."
            )
        return scores

    def rank(self, query: str, texts: Sequence[str], /) -> list[Ranked]:
        """Score and sort texts, best first."""
        return ranked(self.predict([(query, text) for text in texts]))


def _matrix(rows: Any) -> Floats:
    matrix = np.asarray(rows, dtype=np.float32)
    return matrix if matrix.ndim == 2 else matrix.reshape(len(rows), -1 if matrix.size else 0)


def name_of(model: Any) -> str:
    """The name of a model's class, and of the model where it tells."""
    names = (getattr(model, name, None) for name in _NAMES)
    found = next((name for name in names if isinstance(name, str) and name), None)
    return f"{type(model).__name__}:{found}" if found else type(model).__name__
