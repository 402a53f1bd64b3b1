"""Haystack's sparse embedders as the engine's sparse encoder."""

from __future__ import annotations

from typing import Any, Self

from haystack import Document, default_from_dict, default_to_dict
from haystack.core.serialization import component_to_dict

from bicross.sparse.encoder import TextEncoder
from bicross.sparse.wrappers import sparse_vectors
from bicross.types import SparseVector


class SparseEmbedders(TextEncoder):
    """A pair of Haystack's sparse embedders, for texts and for documents, as a `SparseEncoder`.

    :param text_embedder: Its `run(text=…)` returns `{"sparse_embedding": …}`.
    :param document_embedder: Its `run(documents=…)` returns documents with a `sparse_embedding`.
    :param fingerprint: A name that changes whenever the vectors would: a collection refuses another one's.
    :param idf: Whether the store weighs a query's entries by inverse document frequency, as BM25 asks for.
    """

    def __init__(self, text_embedder: Any, document_embedder: Any, *, fingerprint: str, idf: bool = False) -> None:
        self.text_embedder = text_embedder
        self.document_embedder = document_embedder
        self.idf = idf
        self._fingerprint = fingerprint

    @property
    def fingerprint(self) -> str:
        """The name that was given."""
        return self._fingerprint

    def to_dict(self) -> dict[str, Any]:
        """The pair as its class and arguments, each embedder as Haystack saves it."""
        names = ("text_embedder", "document_embedder")
        embedders = {name: component_to_dict(getattr(self, name), name) for name in names}
        return default_to_dict(self, **embedders, fingerprint=self.fingerprint, idf=self.idf)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The pair that `to_dict` wrote down."""
        return default_from_dict(cls, data)

    def _encode(self, texts: list[str], query: bool) -> list[SparseVector]:
        for embedder in (self.text_embedder, self.document_embedder):
            if hasattr(embedder, "warm_up"):
                embedder.warm_up()
        if query:
            found = [self.text_embedder.run(text=text)["sparse_embedding"] for text in texts]
        else:
            # An id for each, so that equal texts stay apart.
            documents = [Document(id=str(place), content=text) for place, text in enumerate(texts)]
            embedded = self.document_embedder.run(documents=documents)["documents"] if texts else []
            by_id = {document.id: document.sparse_embedding for document in embedded}
            found = [by_id.get(document.id) for document in documents]
        return sparse_vectors(found, len(texts), type(self.text_embedder if query else self.document_embedder).__name__)
