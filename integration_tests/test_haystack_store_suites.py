"""Haystack's own suites for document stores, all families, on the embedded store and over the client."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from haystack import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.testing import document_store as sync_suites
from haystack.testing import document_store_async as async_suites

from haystack_integrations.document_stores.bicross import BicrossDocumentStore


class SameDocuments:
    """Haystack's comparison, but for embeddings: they come back as float32; and the order, which no store promises."""

    @staticmethod
    def assert_documents_are_equal(received: list[Document], expected: list[Document]) -> None:
        left = {document.id: document.to_dict(flatten=False) for document in received}
        right = {document.id: document.to_dict(flatten=False) for document in expected}
        assert len(received) == len(expected)
        assert left.keys() == right.keys()
        for key, fields in right.items():
            vector, written = left[key].pop("embedding"), fields.pop("embedding")
            assert vector == (None if written is None else pytest.approx(written, rel=1e-6))
            assert left[key] == fields


@pytest.fixture
def document_store() -> Iterator[BicrossDocumentStore]:
    store = BicrossDocumentStore(path=":memory:")
    yield store
    store.close()


class TestSync(
    SameDocuments,
    sync_suites.DocumentStoreBaseExtendedTests,
    sync_suites.CountDocumentsByFilterTest,
    sync_suites.CountUniqueMetadataByFilterTest,
    sync_suites.GetMetadataFieldsInfoTest,
    sync_suites.GetMetadataFieldMinMaxTest,
    sync_suites.GetMetadataFieldUniqueValuesTest,
):
    @pytest.fixture
    def document_store(self) -> Iterator[BicrossDocumentStore]:
        store = BicrossDocumentStore(path=":memory:")
        yield store
        store.close()

    def test_write_documents(self, document_store: BicrossDocumentStore) -> None:
        """Without a policy, a taken id is an error."""
        document = Document(content="test doc")
        assert document_store.write_documents([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            document_store.write_documents([document], DuplicatePolicy.NONE)
        self.assert_documents_are_equal(document_store.filter_documents(), [document])


class TestAsync(
    SameDocuments,
    async_suites.CountDocumentsAsyncTest,
    async_suites.WriteDocumentsAsyncTest,
    async_suites.DeleteDocumentsAsyncTest,
    async_suites.FilterDocumentsAsyncTest,
    async_suites.DeleteAllAsyncTest,
    async_suites.DeleteByFilterAsyncTest,
    async_suites.UpdateByFilterAsyncTest,
    async_suites.CountDocumentsByFilterAsyncTest,
    async_suites.CountUniqueMetadataByFilterAsyncTest,
    async_suites.GetMetadataFieldsInfoAsyncTest,
    async_suites.GetMetadataFieldMinMaxAsyncTest,
    async_suites.GetMetadataFieldUniqueValuesAsyncTest,
):
    @pytest.mark.asyncio
    async def test_write_documents_async(self, document_store: BicrossDocumentStore) -> None:
        """Without a policy, a taken id is an error."""
        document = Document(content="test doc")
        assert await document_store.write_documents_async([document]) == 1
        with pytest.raises(DuplicateDocumentError):
            await document_store.write_documents_async([document], DuplicatePolicy.NONE)
        self.assert_documents_are_equal(await document_store.filter_documents_async(), [document])


def test_no_family_of_the_suites_is_left_out() -> None:
    for module, mine in ((sync_suites, TestSync), (async_suites, TestAsync)):
        families = {
            value
            for name, value in vars(module).items()
            if name.endswith("Test") and value.__module__ == module.__name__
        }
        assert {family for family in families if not issubclass(mine, family)} == set()
