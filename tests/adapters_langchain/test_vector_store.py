from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores.utils import maximal_marginal_relevance

from bicross import BiEncoder, ExactStore, Passage, QdrantStore, TwoStageRetriever
from bicross.errors import (
    BicrossWarning,
    ConfigurationError,
    FilterError,
    FingerprintMismatchError,
    InputError,
    InputTypeError,
)
from bicross.langchain import BicrossEmbeddings, BicrossVectorStore, EmbeddingsEncoder
from bicross.ranking import marginal_relevance
from tiny_models import write_bi_encoder

TEXTS = ["the cat sleeps", "a red bird", "the old river\n", "a small house"]


@pytest.fixture(params=["exact", "edge"])
def store(request: pytest.FixtureRequest, bi_encoder: BiEncoder) -> Iterator[BicrossVectorStore]:
    place = ExactStore() if request.param == "exact" else None
    made = BicrossVectorStore(BicrossEmbeddings(model=bi_encoder), place)
    yield made
    made.close()


def test_adding_again_changes_and_embeds_nothing(store: BicrossVectorStore, monkeypatch) -> None:
    first = store.add_texts(TEXTS)
    assert len(set(first)) == len(TEXTS)
    monkeypatch.setattr(BiEncoder, "encode_document", None)
    assert store.add_texts(TEXTS) == first
    assert store.add_documents([Document(page_content=text) for text in TEXTS]) == first
    assert store.store.count() == len(TEXTS)


def test_the_source_tells_equal_texts_apart(store: BicrossVectorStore) -> None:
    metadatas = [{"source": "a"}, {"source": "b"}, {"source": 3}]
    ids = store.add_texts(["the cat"] * 3, metadatas)
    assert len({*ids}) == 3
    assert [document.metadata for document in store.get_by_ids(ids[:2])] == [{"source": "a"}, {"source": "b"}]
    only = {"field": "source", "operator": "==", "value": "a"}
    assert [document.id for document in store.similarity_search("cat", filter=only)] == ids[:1]


def test_documents_that_replace_each_other_are_counted(store: BicrossVectorStore) -> None:
    with pytest.warns(BicrossWarning, match="1 of 3 documents were replaced"):
        store.add_texts(["the cat", "the dog", "the cat"], [{"page": 1}, {}, {"page": 2}])
    assert store.store.count() == 2
    with warnings.catch_warnings(action="error"):
        store.add_texts(["the bird", "the bird"])


def test_any_string_is_an_id_and_some_may_be_missing(store: BicrossVectorStore) -> None:
    documents = [Document(page_content="the cat", id="ä/1 2"), Document(page_content="the dog")]
    ids = store.add_documents(documents)
    assert ids[0] == "ä/1 2"
    assert [document.id for document in store.get_by_ids(ids)] == ids
    assert documents[1].id is None
    assert store.add_texts(["the cat"], ids=["foo"]) == ["foo"]


def test_a_generator_is_stored_whole(store: BicrossVectorStore) -> None:
    assert len(store.add_texts(text for text in TEXTS)) == 4
    assert {document.page_content for document in store.similarity_search("cat", k=9)} == set(TEXTS)


def test_texts_and_metadata_come_back_as_they_were(store: BicrossVectorStore) -> None:
    metadata = {"a": [1, {"b": None}], "title": "T", "relevance": 0.1}
    [id] = store.add_texts(["a\n\nb "], [metadata])
    assert store.get_by_ids([id]) == [Document(page_content="a\n\nb ", metadata=metadata, id=id)]
    [id] = store.add_texts([""], [{"day": date(2026, 1, 2)}])
    assert store.get_by_ids([id])[0].metadata == {"day": "2026-01-02"}


def test_scores_are_the_engines(store: BicrossVectorStore, bi_encoder: BiEncoder) -> None:
    store.add_texts(TEXTS)
    hits = TwoStageRetriever(bi_encoder, store.store).retrieve("a bird", 3)
    found = store.similarity_search_with_score("a bird", k=3)
    assert [(document.id, score) for document, score in found] == [(hit.passage.id, hit.score) for hit in hits]
    assert {type(score) for _, score in found} == {float}
    by_vector = store.similarity_search_by_vector(store.embeddings.embed_query("a bird"), k=3)
    assert by_vector == [document for document, _ in found] == store.similarity_search("a bird", k=3)


def test_relevance_scores_are_from_0_to_1(store: BicrossVectorStore) -> None:
    store.add_texts(TEXTS)
    found = store.similarity_search_with_relevance_scores("the cat sleeps", k=4)
    assert found[0][1] == pytest.approx(1.0, abs=1e-6)
    assert all(0.0 <= score <= 1.0 for _, score in found)
    threshold = (found[1][1] + found[0][1]) / 2
    options = {"score_threshold": threshold, "k": 4}
    kept = store.as_retriever(search_type="similarity_score_threshold", search_kwargs=options).invoke("the cat sleeps")
    assert [document.page_content for document in kept] == ["the cat sleeps"]


def test_diversity_is_langchains(store: BicrossVectorStore) -> None:
    rng = np.random.default_rng(0)
    for weight in (0.0, 0.3, 0.5, 1.0):
        query, rows = rng.normal(size=8), rng.normal(size=(20, 8))
        expected = maximal_marginal_relevance(query, list(rows), weight, 6)
        assert marginal_relevance(query, rows, 6, weight) == expected
    assert store.max_marginal_relevance_search("a bird") == []
    store.add_texts([*TEXTS, "a red bird ."])
    nearest = store.similarity_search("a red bird", k=5)
    assert store.max_marginal_relevance_search("a red bird", k=5, lambda_mult=1.0) == nearest
    diverse = store.max_marginal_relevance_search("a red bird", k=2, fetch_k=5, lambda_mult=0.0)
    assert diverse[0] == nearest[0]
    assert diverse[1].page_content not in ("a red bird", "a red bird .")
    only = {"field": "text", "operator": "==", "value": TEXTS[0]}
    mmr = store.as_retriever(search_type="mmr", search_kwargs={"k": 2, "filter": only})
    assert [document.page_content for document in mmr.invoke("a bird")] == TEXTS[:1]


def test_deleting(store: BicrossVectorStore) -> None:
    ids = store.add_texts(TEXTS, [{"n": n} for n in range(4)])
    assert store.delete([ids[0], "unknown"]) is True
    assert store.delete(filter={"field": "n", "operator": "==", "value": 1}) is True
    assert sorted(store.store.ids()) == sorted(ids[2:])
    with pytest.raises(ConfigurationError, match="ids or a filter"):
        store.delete(ids, filter={"field": "n", "operator": "==", "value": 1})
    store.delete()
    assert store.similarity_search("cat") == []
    assert store.add_texts(TEXTS) == [*ids]


def test_asynchronous_twins_give_the_same(store: BicrossVectorStore) -> None:
    async def all_of_them() -> list[object]:
        ids = await store.aadd_texts(TEXTS)
        assert await store.aadd_documents([Document(page_content=TEXTS[0])]) == ids[:1]
        vector = await store.embeddings.aembed_query("a bird")
        return [
            await store.aget_by_ids(ids),
            await store.asimilarity_search("a bird", 2),
            await store.asimilarity_search_with_score("a bird", k=2),
            await store.asimilarity_search_by_vector(vector, 2),
            await store.amax_marginal_relevance_search("a bird", k=2),
            await store.amax_marginal_relevance_search_by_vector(vector, k=2),
            await store.asimilarity_search_with_relevance_scores("a bird", k=2),
            await store.as_retriever(search_kwargs={"k": 2}).ainvoke("a bird"),
            await store.adelete(ids[:1]),
        ]

    found = asyncio.run(all_of_them())
    ids = [document.id for document in found[0]]  # type: ignore[attr-defined]
    assert store.store.count() == 3
    store.add_texts(TEXTS)
    vector = store.embeddings.embed_query("a bird")
    assert found == [
        store.get_by_ids(ids),
        store.similarity_search("a bird", 2),
        store.similarity_search_with_score("a bird", k=2),
        store.similarity_search_by_vector(vector, 2),
        store.max_marginal_relevance_search("a bird", k=2),
        store.max_marginal_relevance_search_by_vector(vector, k=2),
        store.similarity_search_with_relevance_scores("a bird", k=2),
        store.as_retriever(search_kwargs={"k": 2}).invoke("a bird"),
        True,
    ]


def test_from_texts_and_documents(bi_encoder: BiEncoder, tmp_path: Path) -> None:
    made = BicrossVectorStore.from_texts(TEXTS, bi_encoder, ids=list("abcd"), path=tmp_path, collection="c")
    assert made.store.info().name == "c"  # type: ignore[union-attr]
    made.close()
    with QdrantStore(path=tmp_path, collection="c") as store:
        documents = [Document(page_content="a new one", id="e")]
        made = BicrossVectorStore.from_documents(documents, BicrossEmbeddings(model=bi_encoder), store=store)
        assert sorted(store.ids()) == list("abcde")
        again = asyncio.run(BicrossVectorStore.afrom_texts(["x"], bi_encoder, ids=["f"], store=store))
        assert again.store is store
        with pytest.raises(ConfigurationError, match="got both"):
            BicrossVectorStore.from_texts(["x"], bi_encoder, store=store, path=tmp_path)


def test_a_collection_of_another_model_is_refused(store: BicrossVectorStore, tmp_path: Path) -> None:
    store.add_texts(TEXTS)
    other = BicrossVectorStore(BicrossEmbeddings(model=str(write_bi_encoder(tmp_path / "other", seed=9))), store.store)
    vector = other.embeddings.embed_query("a bird")
    for call in (
        lambda: other.similarity_search("a bird"),
        lambda: other.similarity_search_by_vector(vector),
        lambda: other.max_marginal_relevance_search("a bird"),
        lambda: other.add_texts(["a bird"]),
    ):
        with pytest.raises(FingerprintMismatchError):
            call()


def test_other_packages_embeddings(bi_encoder: BiEncoder) -> None:
    with ExactStore() as store:
        fake = BicrossVectorStore(DeterministicFakeEmbedding(size=6), store)
        fake.add_texts(TEXTS)
        assert fake.similarity_search(TEXTS[1], k=1)[0].page_content == TEXTS[1]
        info = store.info()
        assert info is not None
        assert (info.model, info.fingerprint) == ("DeterministicFakeEmbedding", "langchain:DeterministicFakeEmbedding")
    encoder = EmbeddingsEncoder(DeterministicFakeEmbedding(size=6), fingerprint="mine")
    assert encoder.document_fingerprint == "mine"
    assert encoder.encode_query(TEXTS).shape == encoder.encode_document(TEXTS).shape == (4, 6)
    assert encoder.encode_query("a").shape == encoder.encode_document("a").shape == (6,)
    assert encoder.encode_document([]).shape == (0, 0)


def test_a_collection_that_the_engine_filled(bi_encoder: BiEncoder) -> None:
    with ExactStore() as store:
        TwoStageRetriever(bi_encoder, store).index([Passage("the cat", "c", "Cats", {"n": 1})], source="zoo")
        found = BicrossVectorStore(bi_encoder, store).similarity_search("the cat")
        assert found == [Document(page_content="the cat", metadata={"title": "Cats", "source": "zoo", "n": 1}, id="c")]


def test_wrong_arguments_are_refused(store: BicrossVectorStore) -> None:
    with pytest.raises(InputTypeError, match="Use add_documents"):
        store.add_texts([Document(page_content="x")])  # type: ignore[list-item]
    with pytest.raises(InputTypeError, match="Put it into a list"):
        store.add_texts("x")
    with pytest.raises(InputTypeError, match=r"documents\[0\].*add_texts"):
        store.add_documents(["x"])  # type: ignore[list-item]
    with pytest.raises(InputTypeError, match="passages\\[1\\]"):
        store.add_texts(["x", None])  # type: ignore[list-item]
    with pytest.raises(InputError, match="ids must be as many as the texts, got 1 for 2"):
        store.add_texts(["x", "y"], ids=["1"])
    with pytest.raises(InputError, match="metadatas must be as many"):
        store.add_texts(["x"], [{}, {}])
    with pytest.raises(InputTypeError, match="Meta holds JSON values"):
        store.add_texts(["x"], [{"a": object()}])
    with pytest.raises(ConfigurationError, match="k is a whole number from 1; got 0"):
        store.similarity_search("x", k=0)
    with pytest.raises(ConfigurationError, match="'limit' isn't an option"):
        store.similarity_search("x", limit=3)
    with pytest.raises(FilterError):
        store.similarity_search("x", filter={"lang": "en"})
    assert store.add_texts([]) == store.add_documents([]) == []
    assert store.store.info() is None
