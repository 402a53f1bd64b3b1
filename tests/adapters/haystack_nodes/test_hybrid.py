"""Sparse vectors beside the embeddings, and a first stage that searches both."""

from __future__ import annotations

from itertools import permutations
from pathlib import Path

import pytest
from haystack import Document, Pipeline
from haystack.components.writers import DocumentWriter
from haystack.dataclasses import SparseEmbedding
from haystack.document_stores.types import DuplicatePolicy

from bicross import BiEncoder, TwoStageRetriever
from bicross.errors import BicrossWarning, ConfigurationError, FingerprintMismatchError, StoreError
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
from haystack_integrations.components.retrievers.bicross import BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore

# Part numbers of the same letters: a tiny model takes one for the other.
CODES = ["".join(letters) for letters in permutations("kqvxz")][::3][:36]
QUERY = "the green bird eats xqvzk near the river"


@pytest.fixture
def embedded(bi_folder: Path) -> list[Document]:
    texts = {code: f"a red house and {code}" for code in CODES} | {"last": "a red house and zyzzyvas"}
    documents = [Document(id=name, content=text) for name, text in texts.items()]
    return BicrossDocumentEmbedder(str(bi_folder)).run(documents)["documents"]


@pytest.fixture
def store(embedded: list[Document]) -> BicrossDocumentStore:
    store = BicrossDocumentStore(sparse_language="en")
    writer = DocumentWriter(store, DuplicatePolicy.OVERWRITE)
    for part in (embedded[:20], embedded[20:]):
        writer.run(part)
    return store


def ids(result: dict) -> list[str]:
    return [document.id for document in result["documents"]]


def test_a_rare_word_is_found_that_embeddings_miss(store: BicrossDocumentStore, bi_folder: Path) -> None:
    assert store.store.count_without_sparse() == 0
    node = BicrossRetriever(store, str(bi_folder), None, first_stage="hybrid", top_k=5)
    assert "xqvzk" in ids(node.run(QUERY))
    assert "xqvzk" not in ids(node.run(QUERY, first_stage="dense"))
    assert ids(node.run("zyzzyva", first_stage="bm25")) == ["last"]
    assert ids(BicrossRetriever(store, str(bi_folder), None, top_k=5).run(QUERY, first_stage="hybrid")) == ids(
        node.run(QUERY)
    )
    everything = ids(node.run(QUERY, top_k=37))
    assert len(everything) == len(set(everything)) == 37


def test_ids_and_scores_are_the_cores(
    store: BicrossDocumentStore, bi_folder: Path, bi_encoder: BiEncoder, cross_folder: Path
) -> None:
    options = {"first_stage": "hybrid", "fusion": "rrf", "sparse_weight": 0.0}
    core = TwoStageRetriever(bi_encoder, store.store, **options).search(QUERY, 37)
    found = BicrossRetriever(store, str(bi_folder), None, **options).run(QUERY, top_k=37)
    assert [(d.id, d.score) for d in found["documents"]] == [(hit.passage.id, hit.score) for hit in core]
    dense = BicrossRetriever(store, str(bi_folder), None).run(QUERY)
    assert ids(found)[:10] == ids(dense), "a weight of 0 is one"
    both = BicrossRetriever(store, str(bi_folder), str(cross_folder), first_stage="hybrid", language="en")
    first = both.run(QUERY)["documents"][0]
    assert first.score == first.meta["rerank_score"] != first.meta["retrieval_score"]


def test_a_collection_without_sparse_vectors_gets_them(embedded: list[Document], bi_folder: Path) -> None:
    store = BicrossDocumentStore()
    store.write_documents(embedded)
    node = BicrossRetriever(store, str(bi_folder), None, first_stage="hybrid", top_k=5)
    with pytest.raises(StoreError, match=r"none of the 37 passages .* call add_sparse\(\) of the"):
        node.run(QUERY)
    with pytest.raises(ConfigurationError, match="needs a store with a sparse_language"):
        store.add_sparse()
    store.sparse_language = "en"
    before = {document.id: document.embedding for document in store.filter_documents()}
    assert store.add_sparse() == 37
    assert store.add_sparse() == 0
    assert {document.id: document.embedding for document in store.filter_documents()} == before
    assert "xqvzk" in ids(node.run(QUERY))
    store.sparse_language = None
    with pytest.warns(BicrossWarning, match=r"1 passages were written without .* call add_sparse\(\)"):
        store.write_documents([embedded[0]], DuplicatePolicy.OVERWRITE)


def test_another_language_is_refused_until_it_replaces_all(
    tmp_path: Path, embedded: list[Document], bi_folder: Path
) -> None:
    english = BicrossDocumentStore(tmp_path, sparse_language="en")
    english.write_documents(embedded[:-1])
    english.close()
    plain = BicrossDocumentStore(tmp_path, sparse_language="none")
    with pytest.raises(FingerprintMismatchError, match=r"'bm25-en@.*add_sparse\(reweight=True\)"):
        plain.write_documents(embedded[-1:])
    assert plain.count_documents() == 36
    assert plain.add_sparse(reweight=True) == 36
    plain.write_documents(embedded[-1:])
    lexical = BicrossRetriever(plain, str(bi_folder), None, first_stage="bm25")
    assert (ids(lexical.run("zyzzyva")), ids(lexical.run("zyzzyvas"))) == ([], ["last"])
    with pytest.raises(FingerprintMismatchError, match="this encoder is 'bm25-en@"):
        BicrossRetriever(plain, str(bi_folder), None, first_stage="hybrid", language="en").run(QUERY)
    plain.close()


def test_a_documents_own_sparse_embedding_only_comes_back(store: BicrossDocumentStore) -> None:
    known = store.get_documents_by_id(["last"])[0].embedding
    own = SparseEmbedding([1, 7], [0.25, 0.5])
    store.write_documents([Document(id="own", content="quaggas", embedding=known, sparse_embedding=own)])
    assert store.get_documents_by_id(["own"])[0].sparse_embedding == own
    assert len(store.store.sparse_vectors(["own"])["own"]) == 1


def test_documents_without_content_or_embedding_are_written(bi_folder: Path) -> None:
    store = BicrossDocumentStore(sparse_language="auto")
    bare = [
        Document(id="a", embedding=[0.1] * 32),
        Document(id="b", content="", embedding=[0.2] * 32),
        Document(id="c"),
    ]
    assert store.write_documents([*bare, Document(id="d", content="a quagga", embedding=[0.3] * 32)]) == 4
    assert store.count_documents() == 4
    assert [
        hit.passage.id
        for hit in TwoStageRetriever(BiEncoder.load(bi_folder), store.store, first_stage="bm25").search("quagga")
    ] == ["d"]


@pytest.mark.parametrize(
    "options", [{"first_stage": "sparse"}, {"language": "xx"}, {"fusion": "dbsf"}, {"sparse_weight": 2}]
)
def test_options_that_make_no_sense(options: dict) -> None:
    name = next(iter(options))
    with pytest.raises(ConfigurationError, match=name):
        BicrossRetriever(BicrossDocumentStore(), **options)
    if name == "language":
        with pytest.raises(ConfigurationError, match="'xx'"):
            BicrossDocumentStore(sparse_language="xx")
    if name == "first_stage":
        with pytest.raises(ConfigurationError, match="first_stage is one of"):
            BicrossRetriever(BicrossDocumentStore()).run("cat", **options)


def test_it_is_saved_as_yaml(bi_folder: Path, store: BicrossDocumentStore, tmp_path: Path) -> None:
    pipeline = Pipeline()
    place = BicrossDocumentStore(tmp_path / "store", sparse_language="de")
    pipeline.add_component("search", BicrossRetriever(place, str(bi_folder), None, first_stage="hybrid", fusion="rrf"))
    text = pipeline.dumps()
    again = Pipeline.loads(text)
    assert again.dumps() == text
    node = again.get_component("search")
    assert (node.first_stage, node.fusion, node.document_store.sparse_language) == ("hybrid", "rrf", "de")
    assert again.run({"search": {"query": "Katze"}})["search"]["documents"] == []
    assert not (tmp_path / "store").exists()
