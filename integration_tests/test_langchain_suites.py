"""LangChain's own test suites, none of their tests overridden."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.retrievers import BaseRetriever
from langchain_core.vectorstores import VectorStore
from langchain_tests.integration_tests import (
    EmbeddingsIntegrationTests,
    RetrieversIntegrationTests,
    VectorStoreIntegrationTests,
)
from langchain_tests.unit_tests import EmbeddingsUnitTests

from bicross import BiEncoder, CrossEncoder, ExactStore, Passage, QdrantStore, TwoStageRetriever
from bicross.langchain import BicrossEmbeddings, BicrossRetriever, BicrossVectorStore
from tiny_models import write_cross_encoder


@pytest.fixture(scope="module")
def cross_encoder(tmp_path_factory: pytest.TempPathFactory) -> CrossEncoder:
    return CrossEncoder.load(write_cross_encoder(tmp_path_factory.mktemp("cross") / "model"))


class TestEmbeddingsUnit(EmbeddingsUnitTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return BicrossEmbeddings


class TestEmbeddings(EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return BicrossEmbeddings


class TestRetriever(RetrieversIntegrationTests):
    @pytest.fixture(autouse=True)
    def engine(self, cross_encoder: CrossEncoder) -> Iterator[None]:
        with QdrantStore(path=":memory:") as store:
            self.made = TwoStageRetriever(BiEncoder.load(), store, cross_encoder)
            self.made.index([Passage(f"the {name} is near") for name in ("cat", "dog", "bird", "fish")])
            yield

    @property
    def retriever_constructor(self) -> type[BaseRetriever]:
        return BicrossRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"retriever": self.made}

    @property
    def retriever_query_example(self) -> str:
        return "a bird"


class TestVectorStoreEmbedded(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self, tmp_path: Path) -> Iterator[VectorStore]:  # type: ignore[override]
        with QdrantStore(path=tmp_path) as store:
            yield BicrossVectorStore(self.get_embeddings(), store)


class TestVectorStoreExact(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:  # type: ignore[override]
        with ExactStore() as store:
            yield BicrossVectorStore(self.get_embeddings(), store)


class TestVectorStoreHybrid(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:  # type: ignore[override]
        with QdrantStore(path=":memory:") as store:
            yield BicrossVectorStore(self.get_embeddings(), store, first_stage="hybrid")


class TestVectorStoreThroughAClient(VectorStoreIntegrationTests):
    @pytest.fixture
    def vectorstore(self) -> Iterator[VectorStore]:  # type: ignore[override]
        from qdrant_client import QdrantClient

        with QdrantStore(client=QdrantClient(":memory:")) as store:
            yield BicrossVectorStore(self.get_embeddings(), store)
