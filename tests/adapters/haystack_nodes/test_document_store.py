from __future__ import annotations

import threading
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pytest
from haystack import Document
from haystack.dataclasses import ByteStream, SparseEmbedding
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy
from haystack.utils import Secret

from bicross import BiEncoder, Passage, QdrantStore, TwoStageRetriever
from bicross.errors import BicrossWarning, ConfigurationError, InputError, InputTypeError
from haystack_integrations.common.bicross.embedding import Embedding
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder, BicrossTextEmbedder
from haystack_integrations.components.retrievers.bicross import BicrossEmbeddingRetriever, BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore
from tiny_models import write_bi_encoder

OVERWRITE = DuplicatePolicy.OVERWRITE


@pytest.fixture
def store() -> BicrossDocumentStore:
    return BicrossDocumentStore()


def only(store: BicrossDocumentStore) -> Document:
    (document,) = store.filter_documents()
    return document


def test_everything_about_a_document_comes_back(store: BicrossDocumentStore) -> None:
    document = Document(
        id="any id: ✓",
        content="text\n",
        blob=ByteStream(b"\x00\xff", meta={"a": 1}, mime_type="image/png"),
        meta={
            "title": "T",
            "when": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
            "days": [date(2026, 1, 2), "2026-01-02"],
            "deep": {"day": date(1999, 12, 31), "n": 1, "f": 0.1, "none": None, "list": [1, "x", True]},
        },
        score=0.5,
        embedding=[3.0, 4.0],
        sparse_embedding=SparseEmbedding([1, 7], [0.25, 0.5]),
    )
    before = document.to_dict()
    assert store.write_documents([document]) == 1
    assert document.to_dict() == before
    assert only(store) == document
    assert store.get_documents_by_id(["any id: ✓", "absent"]) == [document]
    assert isinstance(only(store).meta["days"][1], str)


def test_documents_without_content_or_embedding_come_back(store: BicrossDocumentStore) -> None:
    documents = [
        Document(),
        Document(content="", meta={"b": 1}),
        Document(blob=ByteStream(b"x")),
        Document(id="m", meta={"a": [1]}),
    ]
    assert store.write_documents(documents) == 4
    assert {document.id: document for document in store.filter_documents()} == {d.id: d for d in documents}


def test_an_overwritten_document_may_gain_and_lose_its_embedding(store: BicrossDocumentStore) -> None:
    bare, embedded = Document(id="a", content="1"), Document(id="a", content="2", embedding=[1.0, 0.0])
    for document in (bare, embedded, bare):
        assert store.write_documents([document], OVERWRITE) == 1
        assert only(store) == document
        assert len(store.search([1.0, 0.0])) == (document.embedding is not None)


def test_policies_look_at_ids_with_and_without_embeddings(store: BicrossDocumentStore) -> None:
    store.write_documents([Document(id="a", content="1"), Document(id="b", content="1", embedding=[1.0])])
    again = [Document(id="a", content="2", embedding=[1.0]), Document(id="b", content="2"), Document(id="c")]
    with pytest.raises(DuplicateDocumentError, match="'a' is taken"):
        store.write_documents(again, DuplicatePolicy.FAIL)
    assert store.count_documents() == 2
    assert store.write_documents([*again, again[2]], DuplicatePolicy.SKIP) == 1
    with pytest.raises(DuplicateDocumentError):
        store.write_documents([Document(id="d"), Document(id="d")])
    assert store.write_documents([Document(id="d", content="1"), Document(id="d", content="2")], OVERWRITE) == 1
    assert {d.id: d.content for d in store.filter_documents()} == {"a": "1", "b": "1", "c": None, "d": "2"}


def test_nothing_is_written_where_one_document_cannot_be(store: BicrossDocumentStore) -> None:
    good = Document(content="good", embedding=[1.0, 0.0])
    for bad in (
        Document(content="x", embedding=[1.0]),
        Document(content="x", embedding=[float("nan"), 0.0]),
        Document(content="x", embedding=[1.0, 0.0], meta={"a": object()}),
        Document(content="x", embedding=[1.0, 0.0], meta={"_haystack": 1}),
        Document(content="x", meta={"a": {1: 2}}),
    ):
        with pytest.raises(InputError):
            store.write_documents([good, bad])
        assert store.count_documents() == 0
    assert store.write_documents([]) == 0
    assert store.count_documents() == 0
    for wrong in ("text", ["text"], good, None):
        with pytest.raises(InputTypeError, match="list of Documents"):
            store.write_documents(wrong)  # type: ignore[arg-type]


def test_a_folder_keeps_everything(tmp_path: Path) -> None:
    store = BicrossDocumentStore(tmp_path / "store", collection="docs")
    store.write_documents([Document(id="a", content="x", embedding=[1.0, 0.0]), Document(id="b", content="y")])
    store.close()
    again = BicrossDocumentStore.from_dict(store.to_dict())
    assert sorted(document.id for document in again.filter_documents()) == ["a", "b"]
    again.close()
    assert store.count_documents() == 2, "a closed store opens again"
    store.close()


def test_a_temporary_store_survives_close_as_haystacks_in_memory_store_does(store: BicrossDocumentStore) -> None:
    store.write_documents([Document(content="x")])
    store.close()
    assert store.count_documents() == 1


def test_updates_keep_embeddings_dates_and_syncs(store: BicrossDocumentStore, bi_encoder: BiEncoder) -> None:
    TwoStageRetriever(bi_encoder, store.store).index([Passage("the cat", id="p", title="T")], source="mine")
    day = date(2026, 1, 2)
    known = Embedding([1.0] * 32, bi_encoder.document_fingerprint)
    store.write_documents([Document(id="d", content="x", meta={"day": day, "a": 1}, embedding=known)], OVERWRITE)
    before = {document.id: document.embedding for document in store.filter_documents()}
    everything = {"field": "id", "operator": "in", "value": ["p", "d"]}
    assert store.update_by_filter(everything, {"a": 2, "since": day, "title": "New"}) == 2
    found = {document.id: document for document in store.filter_documents()}
    assert found["d"].meta == {"day": day, "a": 2, "since": day, "title": "New"}
    assert {id: document.embedding for id, document in found.items()} == before
    assert (store.store.stamps(["p"])["p"].sync, store.store.get(["p"])[0].title) == ("mine", "New")
    assert store.update_by_filter(everything, {"day": "later"}) == 2
    assert store.get_documents_by_id(["d"])[0].meta["day"] == "later"


def test_a_collection_that_the_core_filled_is_read(store: BicrossDocumentStore, bi_encoder: BiEncoder) -> None:
    core = TwoStageRetriever(bi_encoder, store.store)
    core.index([Passage("the cat", id="p", title="T", meta={"a": 1})], source="mine")
    document = only(store)
    assert (document.id, document.content, document.meta) == ("p", "the cat", {"a": 1, "title": "T", "source": "mine"})
    assert isinstance(document.embedding, Embedding)
    assert document.embedding.fingerprint == bi_encoder.document_fingerprint
    store.write_documents([document], OVERWRITE)
    assert store.store.get(["p"])[0].full_text == "T the cat"


def test_unknown_embeddings_in_a_known_collection_are_warned_about(
    store: BicrossDocumentStore, bi_encoder: BiEncoder
) -> None:
    TwoStageRetriever(bi_encoder, store.store).index([Passage("the cat")])
    with pytest.warns(BicrossWarning, match="which model made them"):
        store.write_documents([Document(content="x", embedding=[0.5] * 32)])


def test_a_title_in_the_meta_is_the_passages(store: BicrossDocumentStore) -> None:
    store.write_documents([Document(id="a", content="x", meta={"title": "T"}, embedding=[1.0]), Document(content="y")])
    assert store.store.get(["a"])[0].full_text == "T x"


@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_lengths_come_back(similarity: str) -> None:
    store = BicrossDocumentStore(similarity=similarity)  # type: ignore[arg-type]
    vectors = np.random.default_rng(0).normal(size=(20, 16))
    vectors[0] = 0
    store.write_documents([Document(id=str(i), content="x", embedding=row.tolist()) for i, row in enumerate(vectors)])
    for document in store.filter_documents():
        np.testing.assert_allclose(document.embedding, vectors[int(document.id)], rtol=1e-6)
    expected = vectors @ vectors[3]
    found = BicrossEmbeddingRetriever(store).run(vectors[3].tolist(), top_k=1)["documents"][0]
    if similarity == "dot":
        assert (found.id, found.score) == (str(np.argmax(expected)), pytest.approx(expected.max(), rel=1e-5))
    else:
        assert (found.id, found.score) == ("3", pytest.approx(1.0, abs=1e-6))


def test_many_threads_write_each_document_once(store: BicrossDocumentStore) -> None:
    documents = [Document(id=str(i), content="x", embedding=[float(i), 1.0]) for i in range(50)]
    written: list[int] = []

    def write() -> None:
        written.append(store.write_documents(documents, DuplicatePolicy.SKIP))

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sum(written), store.count_documents()) == (50, 50)


def test_the_constructor_checks_and_touches_nothing(tmp_path: Path) -> None:
    BicrossDocumentStore(tmp_path / "none").close()
    assert not (tmp_path / "none").exists()
    with pytest.raises(ConfigurationError, match="path or a url"):
        BicrossDocumentStore("x", url="http://localhost:1")
    with pytest.raises(ConfigurationError, match="api_key"):
        BicrossDocumentStore("x", api_key=Secret.from_token("t"))


def test_optimize_builds_the_index(tmp_path: Path) -> None:
    store = BicrossDocumentStore(tmp_path)
    assert store.optimize() is False
    assert isinstance(store.store, QdrantStore)
    store.close()


def test_a_new_collection_compares_as_the_model_does(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "model", normalize=False, similarity="dot")
    store = BicrossDocumentStore()
    store.write_documents(BicrossDocumentEmbedder(folder).run([Document(content="the cat")])["documents"])
    info = store.store.info()
    assert info is not None
    assert info.distance == "dot"
    (found,) = BicrossRetriever(store, folder, None).run("the cat")["documents"]
    (nearest,) = BicrossEmbeddingRetriever(store).run(BicrossTextEmbedder(folder).run("the cat")["embedding"])[
        "documents"
    ]
    assert found.score == pytest.approx(nearest.score)
    assert found.score > 1.5
