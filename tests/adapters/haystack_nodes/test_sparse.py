"""Haystack's sparse embedders in the engine."""

from __future__ import annotations

from dataclasses import replace

import pytest
from haystack import Document
from haystack.dataclasses import SparseEmbedding

from bicross.errors import InputError
from bicross.sparse import SparseEncoder
from haystack_integrations.common.bicross.sparse import SparseEmbedders


class TextLengths:
    warm = False

    def warm_up(self) -> None:
        self.warm = True

    def run(self, text: str) -> dict[str, SparseEmbedding]:
        assert self.warm
        return {"sparse_embedding": SparseEmbedding([len(text)], [2.0])}


class DocumentLengths:
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        vectors = [SparseEmbedding([9, len(document.content or "")], [0.5, 1.0]) for document in documents]
        found = [
            replace(document, sparse_embedding=vector) for document, vector in zip(documents, vectors, strict=True)
        ]
        return {"documents": found[::-1]}


def test_a_pair_of_embedders_is_an_encoder() -> None:
    encoder = SparseEmbedders(TextLengths(), DocumentLengths(), fingerprint="lengths", idf=True)
    assert isinstance(encoder, SparseEncoder)
    assert (encoder.fingerprint, encoder.idf) == ("lengths", True)
    vectors = encoder.encode_document(["four", "seven", "four"])
    assert [vector.indices.tolist() for vector in vectors] == [[4, 9], [5, 9], [4, 9]]
    assert encoder.encode_query("four").indices.tolist() == [4]
    assert encoder.encode_document([]) == []


def test_a_document_without_a_vector_is_named() -> None:
    class Nothing:
        def run(self, documents: list[Document]) -> dict[str, list[Document]]:
            return {"documents": documents}

    with pytest.raises(InputError, match="for the text at position 0, from Nothing"):
        SparseEmbedders(TextLengths(), Nothing(), fingerprint="x").encode_document(["a"])
