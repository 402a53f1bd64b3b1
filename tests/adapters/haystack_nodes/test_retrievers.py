from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from haystack import Document
from haystack.components.preprocessors import DocumentSplitter
from haystack.components.retrievers import (
    MultiQueryEmbeddingRetriever,
    MultiQueryTextRetriever,
    MultiRetriever,
    TextEmbeddingRetriever,
)
from haystack.document_stores.in_memory import InMemoryDocumentStore
from haystack.document_stores.types import FilterPolicy
from haystack.errors import FilterError

from adapters.haystack_nodes.conftest import NAMES
from bicross import BiEncoder, CrossEncoder, ExactStore, Passage, QdrantStore, TwoStageRetriever
from bicross.errors import BicrossWarning, ConfigurationError, DimensionMismatchError, FingerprintMismatchError
from bicross.errors import FilterError as CoreFilterError
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder, BicrossTextEmbedder
from haystack_integrations.components.retrievers.bicross import BicrossEmbeddingRetriever, BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore
from tiny_models import write_bi_encoder

EVEN = {"field": "meta.even", "operator": "==", "value": True}
LOW = {"field": "meta.place", "operator": "<", "value": 6}


@pytest.fixture
def both(filled: BicrossDocumentStore, bi_folder: Path, cross_folder: Path) -> BicrossRetriever:
    return BicrossRetriever(filled, str(bi_folder), str(cross_folder))


def test_instructions_of_a_task(filled: BicrossDocumentStore, bi_folder: Path, cross_folder: Path) -> None:
    prompts = {"query_prompt": "find the ", "ranker_prompt": "every old "}
    node = BicrossRetriever(filled, bi_folder, cross_folder, top_k=3, **prompts)
    found = node.run("cat")["documents"]
    with (
        BiEncoder.load(bi_folder, query_prompt="find the ") as finds,
        CrossEncoder.load(cross_folder, prompt="every old ") as orders,
    ):
        pairs = [("cat", document.content) for document in found]
        np.testing.assert_allclose([d.meta["rerank_score"] for d in found], orders.predict(pairs), atol=1e-6)
        cosines = finds.encode_document([text for _, text in pairs]) @ finds.encode_query("cat")
        np.testing.assert_allclose([d.meta["retrieval_score"] for d in found], cosines, atol=1e-5)
    restored = BicrossRetriever.from_dict(node.to_dict())
    assert (restored.query_prompt, restored.ranker_prompt) == ("find the ", "every old ")


def test_documents_that_were_embedded_behind_a_prompt(bi_folder: Path) -> None:
    store = BicrossDocumentStore(":memory:")
    embedder = BicrossDocumentEmbedder(bi_folder, prefix="old ")
    store.write_documents(embedder.run([Document(content="the cat sits"), Document(content="a dog")])["documents"])
    found = BicrossRetriever(store, bi_folder, None, document_prompt="old ").run("cat")["documents"]
    with BiEncoder.load(bi_folder) as encoder:
        expected = encoder.encode_document([each.content for each in found], prompt="old ") @ encoder.encode_query(
            "cat"
        )
    np.testing.assert_allclose([each.score for each in found], expected, atol=1e-5)
    with pytest.raises(FingerprintMismatchError):
        BicrossRetriever(store, bi_folder, None).run("cat")


@pytest.fixture
def first(filled: BicrossDocumentStore) -> BicrossEmbeddingRetriever:
    return BicrossEmbeddingRetriever(filled)


@pytest.fixture
def vector(bi_folder: Path) -> list[float]:
    return BicrossTextEmbedder(str(bi_folder)).run("the cat")["embedding"]


@pytest.mark.parametrize("ranked", [False, True])
def test_ids_and_scores_are_the_cores(
    filled: BicrossDocumentStore,
    documents: list[Document],
    bi_encoder: BiEncoder,
    cross_encoder: CrossEncoder,
    bi_folder: Path,
    cross_folder: Path,
    ranked: bool,
) -> None:
    core = TwoStageRetriever(bi_encoder, ExactStore(), cross_encoder if ranked else None)
    core.index([Passage(document.content, id=document.id) for document in documents])
    node = BicrossRetriever(filled, str(bi_folder), str(cross_folder) if ranked else None)
    for query in ("the cat", "old river", "a red bird flies"):
        found, expected = node.run(query, top_k=8, candidates=9)["documents"], core.search(query, 8, candidates=9)
        assert [document.id for document in found] == [hit.passage.id for hit in expected]
        np.testing.assert_allclose([d.score for d in found], [hit.score for hit in expected], atol=1e-6)
        stage1 = [document.meta["retrieval_score"] for document in found]
        np.testing.assert_allclose(stage1, [hit.stage1_score for hit in expected], atol=1e-6)


def test_the_first_stage_alone_finds_the_nearest(
    first: BicrossEmbeddingRetriever, vector: list[float], documents: list[Document], bi_encoder: BiEncoder
) -> None:
    similarities = bi_encoder.similarity(
        np.array(vector, np.float32), bi_encoder.encode_document([d.content for d in documents])
    )[0]
    found = first.run(vector)["documents"]
    assert [document.id for document in found] == [documents[i].id for i in np.argsort(-similarities)[:10]]
    assert (found[0].embedding, found[0].meta.keys()) == (None, {"place", "even"})


def test_run_time_values_take_the_place_of_the_nodes(
    filled: BicrossDocumentStore, vector: list[float], bi_folder: Path, cross_folder: Path
) -> None:
    node = BicrossEmbeddingRetriever(filled, top_k=3, score_threshold=2.0, return_embedding=True)
    assert node.run(vector)["documents"] == []
    found = node.run(vector, score_threshold=0.0, top_k=2)["documents"]
    assert (len(found), len(found[0].embedding)) == (2, 32)
    assert node.run(vector, score_threshold=0.0, return_embedding=False)["documents"][0].embedding is None
    both = BicrossRetriever(
        filled, str(bi_folder), str(cross_folder), score_threshold=1e9, windows=True, budget_ms=60_000, top_k=3
    )
    assert both.run("the cat")["documents"] == []
    assert len(both.run("the cat", score_threshold=0.0)["documents"]) == 3
    assert "span" in both.run("the cat", score_threshold=0.0)["documents"][0].meta
    assert "span" not in both.run("the cat", score_threshold=0.0, windows=False)["documents"][0].meta
    nothing = both.run("the cat", budget_ms=0.0, score_threshold=0.0)
    assert (nothing["documents"], nothing["meta"]["reranked"], nothing["meta"]["unscored"]) == ([], 0, 12)
    assert len(both.run("the cat", score_threshold=0.0, return_embedding=True)["documents"][0].embedding) == 32


def test_pieces_are_grouped_by_their_document(bi_folder: Path, cross_folder: Path) -> None:
    """With Haystack's own splitter: at most so many pieces of a Document, with the characters of it that they are."""
    whole = [
        Document(id="cats", content=" ".join(f"The cat {name}." for name in NAMES)),
        Document(id="dogs", content=" ".join(f"The dog {name}." for name in NAMES)),
        Document(id="sun", content="The sun."),
    ]
    splitter = DocumentSplitter(split_by="period", split_length=2)
    pieces = splitter.run(whole)["documents"]
    assert len(pieces) == 13
    store = BicrossDocumentStore()
    store.write_documents(BicrossDocumentEmbedder(str(bi_folder)).run(pieces)["documents"])
    both = BicrossRetriever(store, str(bi_folder), str(cross_folder), group_by="source_id")
    first = BicrossEmbeddingRetriever(store, group_by="source_id")
    vector = BicrossTextEmbedder(str(bi_folder)).run("the cat")["embedding"]
    texts = {document.id: document.content for document in whole}
    for run in (both.run, lambda *_, **options: first.run(vector, **options)):
        best = run("the cat")["documents"]
        assert sorted(d.meta["document_id"] for d in best) == ["cats", "dogs", "sun"]
        assert [d.score for d in best] == sorted((d.score for d in best), reverse=True)
        everything = run("the cat", group_size=99)["documents"]
        assert next(d.id for d in everything if d.meta["document_id"] == "cats") in {d.id for d in best}
        assert len(everything) == 13
        for piece in everything:
            start, end = piece.meta["document_span"]
            assert texts[piece.meta["document_id"]][start:end] == piece.content
        two = run("the cat", top_k=1, group_size=2)["documents"]
        assert [d.id for d in two] == [d.id for d in everything if d.meta["document_id"] == two[0].meta["document_id"]][
            :2
        ]
        assert len(run("the cat", top_k=13, group_by="split_id")["documents"]) == 6
    with pytest.raises(ConfigurationError, match="group_by names a field"):
        first.run(vector, group_by="content")
    with pytest.raises(ConfigurationError, match="group_size=2 needs group_by"):
        BicrossEmbeddingRetriever(store, group_size=2).run(vector)
    with pytest.raises(ValueError, match="group_size is a whole number"):
        BicrossRetriever(store, group_size=0)


def test_diverse_documents_come_from_all_candidates(
    bi_folder: Path, cross_folder: Path, bi_encoder: BiEncoder, cross_encoder: CrossEncoder
) -> None:
    texts = ["the old cat sleeps near the river."] * 4 + [f"the {name} is near the {name} {name}" for name in NAMES[:6]]
    documents = [Document(id=str(place), content=text) for place, text in enumerate(texts)]
    store = BicrossDocumentStore()
    store.write_documents(BicrossDocumentEmbedder(str(bi_folder)).run(documents)["documents"])
    query = "old cat sleeps near the river"
    for ranker, scorer in ((None, None), (str(cross_folder), cross_encoder)):
        core = TwoStageRetriever(bi_encoder, store.store, scorer)

        def ids(diversity: float, core: TwoStageRetriever = core) -> list[str]:
            return [hit.passage.id for hit in core.search(query, 3, candidates=9, diversity=diversity)]

        assert len({tuple(ids(diversity)) for diversity in (0.0, 0.5, 0.95)}) > 1
        node = BicrossRetriever(store, str(bi_folder), ranker, top_k=3, candidates=9, diversity=0.95)
        assert [d.id for d in node.run(query)["documents"]] == ids(0.95)
        assert len({d.content for d in node.run(query)["documents"]}) == 3
        assert [d.id for d in node.run(query, diversity=0.5)["documents"]] == ids(0.5)
        assert [d.id for d in node.run(query, diversity=0.0)["documents"]] == ids(0.0), "0.0 is a value"
        plain = BicrossRetriever(store, str(bi_folder), ranker, top_k=3, candidates=9)
        assert [d.id for d in plain.run(query)["documents"]] == ids(0.0)
        assert [d.id for d in asyncio.run(plain.run_async(query, diversity=0.95))["documents"]] == ids(0.95)
    for bad in (-0.1, 1.1, True, "much", float("nan")):
        with pytest.raises(ConfigurationError, match="diversity must be a number from 0 to 1"):
            BicrossRetriever(store, diversity=bad)
        with pytest.raises(ConfigurationError, match="diversity must be a number from 0 to 1"):
            plain.run(query, diversity=bad)


@pytest.mark.parametrize(("policy", "wanted"), [("replace", {0, 1, 2, 3, 4, 5}), (FilterPolicy.MERGE, {0, 2, 4})])
def test_the_filter_policy(
    filled: BicrossDocumentStore, vector: list[float], bi_folder: Path, policy: Any, wanted: set[int]
) -> None:
    first = BicrossEmbeddingRetriever(filled, filters=EVEN, filter_policy=policy)
    both = BicrossRetriever(filled, str(bi_folder), None, filters=EVEN, filter_policy=policy)
    for found in (first.run(vector, filters=LOW), both.run("the cat", filters=LOW)):
        assert {document.meta["place"] for document in found["documents"]} == wanted
    assert all(document.meta["even"] for document in both.run("the cat")["documents"])


@pytest.mark.filterwarnings("ignore::haystack.utils.experimental.ExperimentalWarning")
def test_they_satisfy_the_protocols_of_haystacks_combinators(
    both: BicrossRetriever, first: BicrossEmbeddingRetriever, bi_folder: Path
) -> None:
    queries = ["the cat", "the river"]
    many = MultiQueryTextRetriever(retriever=both).run(queries=queries, retriever_kwargs={"top_k": 3})
    assert {document.id for document in many["documents"]} >= {both.run("the cat", top_k=1)["documents"][0].id}
    embedder = BicrossTextEmbedder(str(bi_folder))
    one = TextEmbeddingRetriever(retriever=first, text_embedder=embedder)
    assert (
        one.run(query="the cat", top_k=4)["documents"]
        == first.run(embedder.run("the cat")["embedding"], top_k=4)["documents"]
    )
    mixed = MultiRetriever(retrievers={"both": both, "first": one}).run(query="the cat", top_k=3)
    assert len(mixed["documents"]) >= 3
    spread = MultiQueryEmbeddingRetriever(retriever=first, query_embedder=embedder).run(queries=queries)
    assert len(spread["documents"]) >= 10


def test_another_model_of_the_same_size_is_refused(
    filled: BicrossDocumentStore, cross_folder: Path, tmp_path: Path, documents: list[Document]
) -> None:
    other = str(write_bi_encoder(tmp_path / "other", seed=9))
    remedy = "Re-index with recreate=True or open another collection"
    with pytest.raises(FingerprintMismatchError, match=remedy):
        BicrossRetriever(filled, other, str(cross_folder)).run("the cat")
    embedding = BicrossTextEmbedder(other).run("the cat")["embedding"]
    with pytest.raises(FingerprintMismatchError, match="prefix"):
        BicrossEmbeddingRetriever(filled).run(embedding)
    news = BicrossDocumentEmbedder(other).run([Document(content="the sun")])["documents"]
    with pytest.raises(FingerprintMismatchError, match=remedy):
        filled.write_documents(news)
    assert filled.count_documents() == 12
    filled.delete_all_documents(recreate_index=True)
    filled.write_documents(news)
    assert [d.content for d in BicrossEmbeddingRetriever(filled).run(embedding)["documents"]] == ["the sun"]


def test_embeddings_of_another_length_are_refused(first: BicrossEmbeddingRetriever) -> None:
    with pytest.raises(DimensionMismatchError, match="32-d"):
        first.run([0.1, 0.2])


def test_documents_with_a_prefix_of_their_own_are_searched_with_one(bi_folder: Path) -> None:
    store = BicrossDocumentStore()
    store.write_documents(
        BicrossDocumentEmbedder(str(bi_folder), prefix="old ").run([Document(content="the cat")])["documents"]
    )
    node = BicrossEmbeddingRetriever(store)
    with pytest.raises(FingerprintMismatchError):
        node.run(BicrossTextEmbedder(str(bi_folder)).run("the cat")["embedding"])
    assert node.run(BicrossTextEmbedder(str(bi_folder), prefix="").run("the cat")["embedding"])["documents"]


def test_embeddings_of_unknown_origin_are_searched_with_a_warning(bi_encoder: BiEncoder, bi_folder: Path) -> None:
    store = BicrossDocumentStore()
    store.write_documents([Document(content="the cat", embedding=bi_encoder.encode_document("the cat").tolist())])
    node = BicrossRetriever(store, str(bi_folder), None)
    with pytest.warns(BicrossWarning, match="which model filled it"):
        assert node.run("the cat")["documents"][0].content == "the cat"


def test_an_empty_store_gives_nothing(bi_folder: Path, vector: list[float]) -> None:
    store = BicrossDocumentStore()
    assert BicrossRetriever(store, str(bi_folder), None).run("the cat")["documents"] == []
    assert BicrossEmbeddingRetriever(store).run(vector)["documents"] == []


def test_documents_without_embeddings_are_never_found(filled: BicrossDocumentStore, vector: list[float]) -> None:
    filled.write_documents([Document(id="bare", content="the cat the cat")])
    assert filled.count_documents() == 13
    assert "bare" not in {d.id for d in BicrossEmbeddingRetriever(filled).run(vector, top_k=13)["documents"]}


def test_bad_input(both: BicrossRetriever, first: BicrossEmbeddingRetriever, vector: list[float]) -> None:
    unknown = {"field": "meta.place", "operator": "~", "value": 1}
    for run in (lambda: both.run("the cat", filters=unknown), lambda: first.run(vector, filters=unknown)):
        with pytest.raises(FilterError, match="operator"):
            run()
        with pytest.raises(CoreFilterError, match="'~'"):
            run()
    with pytest.raises(ConfigurationError, match="top_k"):
        both.run("the cat", top_k=0)
    with pytest.raises(ValueError, match="top_k"):
        first.run(vector, top_k=0)
    with pytest.raises(ValueError, match="candidates"):
        both.run("the cat", candidates=0)
    with pytest.raises(TypeError, match="use BicrossEmbeddingRetriever"):
        both.run(vector)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="use BicrossRetriever"):
        first.run("the cat")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must hold a word"):
        both.run("  ")
    with pytest.raises(ConfigurationError, match="BicrossTextEmbedder"):
        BicrossRetriever(InMemoryDocumentStore())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="BicrossRanker"):
        BicrossEmbeddingRetriever(InMemoryDocumentStore())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="FilterPolicy"):
        BicrossEmbeddingRetriever(first.document_store, filter_policy="both")


def test_64_calls_at_once_wait_for_a_server_side_by_side(
    monkeypatch: pytest.MonkeyPatch, bi_folder: Path, cross_folder: Path
) -> None:
    """Each call waits until all have arrived; the event loop's own executor would never get there."""
    store = BicrossDocumentStore(url="http://127.0.0.1:1")
    all_there = threading.Barrier(64)

    def search(*_: Any, **__: Any) -> list[Any]:
        all_there.wait(timeout=30)
        return []

    monkeypatch.setattr(QdrantStore, "info", lambda _: None)
    monkeypatch.setattr(QdrantStore, "header", lambda _: None)
    monkeypatch.setattr(QdrantStore, "search", search)
    monkeypatch.setattr(QdrantStore, "count", lambda *_: len(search()))
    first = BicrossEmbeddingRetriever(store)
    both = BicrossRetriever(store, str(bi_folder), str(cross_folder))

    async def at_once(call: Callable[[], Awaitable[Any]]) -> list[Any]:
        return await asyncio.gather(*(call() for _ in range(64)))

    assert len(asyncio.run(at_once(lambda: first.run_async([0.1] * 32)))) == 64
    assert len(asyncio.run(at_once(lambda: both.run_async("the cat")))) == 64
    assert asyncio.run(at_once(store.count_documents_async)) == [0] * 64
