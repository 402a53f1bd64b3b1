"""A vector store whose first stage searches words as well."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import permutations
from types import SimpleNamespace

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from bicross import BiEncoder, ExactStore, QdrantStore, TwoStageRetriever
from bicross.errors import ConfigurationError, FingerprintMismatchError, StoreError
from bicross.langchain import BicrossRetriever, BicrossVectorStore, SparseEmbeddingsEncoder
from bicross.sparse import BM25Encoder

QUERY = "the green bird eats xqvzk near the river"
RARE = "a red house and xqvzk"
# Part numbers of the same letters: a tiny model takes one for the other.
TEXTS = [f"a red house and {''.join(letters)}" for letters in permutations("kqvxz")][::3][:36]


class Lengths:
    """As langchain-qdrant's `SparseEmbeddings`."""

    def embed_documents(self, texts: list[str]) -> list[SimpleNamespace]:
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text: str) -> SimpleNamespace:
        return SimpleNamespace(
            indices=sorted({len(word) for word in text.split()}), values=[1.0] * len({len(w) for w in text.split()})
        )


@pytest.fixture(params=["exact", "edge"])
def place(request: pytest.FixtureRequest) -> Iterator[ExactStore | QdrantStore]:
    with ExactStore() if request.param == "exact" else QdrantStore(path=":memory:") as store:
        yield store


def texts_of(documents) -> list[str]:
    return [document.page_content for document in documents]


def test_a_rare_word_is_found_that_embeddings_miss(place, bi_encoder: BiEncoder) -> None:
    store = BicrossVectorStore.from_texts(TEXTS, bi_encoder, store=place, first_stage="hybrid")
    assert place.count_without_sparse() == 0
    assert RARE in texts_of(store.similarity_search(QUERY, k=5))
    dense = BicrossVectorStore(bi_encoder, place)
    assert RARE not in texts_of(dense.similarity_search(QUERY, k=5))
    lexical = BicrossVectorStore(bi_encoder, place, first_stage="bm25")
    assert texts_of(lexical.similarity_search("xqvzk")) == [RARE]
    assert len({document.id for document in store.similarity_search(QUERY, k=36)}) == 36
    hits = TwoStageRetriever(bi_encoder, place, first_stage="hybrid").retrieve(QUERY, 36)
    found = store.similarity_search_with_score(QUERY, k=36)
    assert [(document.id, score) for document, score in found] == [(hit.passage.id, hit.score) for hit in hits]
    assert asyncio.run(store.asimilarity_search_with_score(QUERY, k=36)) == found
    assert RARE in texts_of(store.as_retriever(search_kwargs={"k": 5}).invoke(QUERY))
    engine = TwoStageRetriever(bi_encoder, place, first_stage="hybrid", sparse_weight=1.0)
    assert RARE in texts_of(BicrossRetriever(retriever=engine, k=5).invoke(QUERY))


def test_adding_is_incremental(place, bi_encoder: BiEncoder, monkeypatch) -> None:
    encoded: list[str] = []

    class Noting(BM25Encoder):
        def encode_document(self, texts):
            encoded.extend(texts)
            return super().encode_document(texts)

    store = BicrossVectorStore(bi_encoder, place, first_stage="hybrid", sparse_encoder=Noting())
    store.add_texts(TEXTS)
    assert sorted(encoded) == sorted(TEXTS)
    encoded.clear()
    store.add_texts([*TEXTS, "a red bird"])
    assert encoded == ["a red bird"]
    assert place.count_without_sparse() == 0


def test_a_collection_without_sparse_vectors_gets_them(place, bi_encoder: BiEncoder) -> None:
    dense = BicrossVectorStore.from_texts(TEXTS, bi_encoder, store=place)
    store = BicrossVectorStore(bi_encoder, place, first_stage="hybrid")
    with pytest.raises(StoreError, match=r"call add_sparse\(\)"):
        store.similarity_search(QUERY)
    vector = store.embeddings.embed_query(QUERY)
    assert store.similarity_search_by_vector(vector) == dense.similarity_search(QUERY)
    assert (store.add_sparse(), store.add_sparse()) == (36, 0)
    assert RARE in texts_of(store.similarity_search(QUERY))
    for refused in (dense, dense.retriever):
        with pytest.raises(ConfigurationError, match="add_sparse is for"):
            refused.add_sparse()


def test_diversity_chooses_among_what_the_first_stage_found(place, bi_encoder: BiEncoder) -> None:
    store = BicrossVectorStore.from_texts(TEXTS, bi_encoder, store=place, first_stage="hybrid")
    varied = store.max_marginal_relevance_search(QUERY, k=5, fetch_k=5)
    assert sorted(texts_of(varied)) == sorted(texts_of(store.similarity_search(QUERY, k=5)))
    assert RARE in texts_of(varied)
    vector = store.embeddings.embed_query(QUERY)
    assert RARE not in texts_of(store.max_marginal_relevance_search_by_vector(vector, k=5, fetch_k=5))


def test_langchains_sparse_embeddings(place) -> None:
    embeddings = DeterministicFakeEmbedding(size=6)
    with pytest.raises(ConfigurationError, match=r"got Lengths\. Wrap .*SparseEmbeddingsEncoder"):
        BicrossVectorStore(embeddings, place, first_stage="hybrid", sparse_encoder=Lengths())  # type: ignore[arg-type]
    encoder = SparseEmbeddingsEncoder(Lengths(), "lengths")
    store = BicrossVectorStore(embeddings, place, first_stage="bm25", sparse_encoder=encoder)
    store.add_texts(["a bb ccc", "a bb", "dddd"])
    assert [(d.page_content, score) for d, score in store.similarity_search_with_score("x yy zzz")] == [
        ("a bb ccc", 3.0),
        ("a bb", 2.0),
    ]
    other = BicrossVectorStore(embeddings, place, first_stage="hybrid")
    with pytest.raises(FingerprintMismatchError, match=r"add_sparse\(reweight=True\)"):
        other.add_texts(["a"])
    assert other.add_sparse(reweight=True) == 3
    assert len(other.similarity_search("dddd", k=3)) == 3


@pytest.mark.parametrize(
    "options",
    [
        {"first_stage": "sparse"},
        {"sparse_encoder": BM25Encoder()},
        {"first_stage": "hybrid", "sparse_encoder": "bm25"},
        {"first_stage": "hybrid", "fusion": "dbsf"},
        {"first_stage": "hybrid", "sparse_weight": -1},
    ],
)
def test_options_that_make_no_sense(bi_encoder: BiEncoder, options: dict) -> None:
    with pytest.raises(ConfigurationError, match=list(options)[-1]):
        BicrossVectorStore(bi_encoder, ExactStore(), **options)


def test_fused_scores_are_no_relevance_scores(bi_encoder: BiEncoder) -> None:
    with BicrossVectorStore.from_texts(TEXTS, bi_encoder, store=ExactStore(), first_stage="hybrid").store as place:
        store = BicrossVectorStore(bi_encoder, place, first_stage="hybrid")
        with pytest.raises(ConfigurationError, match="need first_stage='dense'"):
            store.similarity_search_with_relevance_scores(QUERY)
