"""LangChain's sparse embeddings in the engine."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from bicross.errors import InputError
from bicross.langchain import SparseEmbeddingsEncoder
from bicross.sparse import SparseEncoder


class Lengths:
    """As langchain-qdrant's `SparseEmbeddings`."""

    model_name = "lengths"

    def embed_documents(self, texts: list[str]) -> list[SimpleNamespace]:
        return [SimpleNamespace(indices=[9, len(text)], values=[0.5, 1.0]) for text in texts]

    def embed_query(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(indices=[len(text)], values=[2.0])


def test_sparse_embeddings_are_an_encoder() -> None:
    encoder = SparseEmbeddingsEncoder(Lengths(), idf=True)
    assert isinstance(encoder, SparseEncoder)
    assert (encoder.fingerprint, encoder.idf) == ("langchain:Lengths:lengths", True)
    assert SparseEmbeddingsEncoder(Lengths(), "mine").fingerprint == "mine"
    first, second = encoder.encode_document(["four", "seven"])
    assert (first.indices.tolist(), first.values.tolist()) == ([4, 9], [1.0, 0.5])
    assert second.indices.tolist() == [5, 9]
    assert encoder.encode_query("four").values.tolist() == [2.0]
    assert encoder.encode_document([]) == []


def test_broken_results_are_named() -> None:
    class Fewer(Lengths):
        def embed_documents(self, texts: list[str]) -> list[SimpleNamespace]:
            return super().embed_documents(texts)[1:]

    class Twice(Lengths):
        def embed_query(self, text: str) -> SimpleNamespace:
            return SimpleNamespace(indices=[1, 1], values=[1.0, 1.0])

    with pytest.raises(InputError, match="got 1 for 2 texts from Fewer:lengths"):
        SparseEmbeddingsEncoder(Fewer()).encode_document(["a", "b"])
    with pytest.raises(InputError, match="the index 1 more than once for the text at position 0, from Twice:lengths"):
        SparseEmbeddingsEncoder(Twice()).encode_query(["a"])
