from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents import Document
from langchain_core.runnables import ConfigurableField
from pydantic import ValidationError

from bicross import BiEncoder, CrossEncoder, ExactStore, Passage, TwoStageRetriever
from bicross.errors import ConfigurationError, FilterError, InputError
from bicross.langchain import BicrossEmbeddings, BicrossReranker, BicrossRetriever, BicrossVectorStore
from bicross.types import Floats

NAMES = ["cat", "dog", "bird", "fish", "tree", "house", "river", "stone"]
QUERY = "a red bird flies"


@pytest.fixture(scope="module")
def engine(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> Iterator[TwoStageRetriever]:
    with ExactStore() as store:
        made = TwoStageRetriever(bi_encoder, store, cross_encoder)
        places = enumerate(NAMES)
        made.index([Passage(f"the {n} is old", n, f"the {n}", {"place": i}, "names.txt") for i, n in places])
        yield made


class Recorder(BaseCallbackHandler):
    """Notes the child runs."""

    def __init__(self) -> None:
        self.root: Any = None
        self.started: list[tuple[str, Any, Any]] = []
        self.ended: list[Any] = []
        self.failed: list[BaseException] = []

    def on_retriever_start(self, serialized: Any, query: str, *, run_id: Any, **kwargs: Any) -> None:
        self.root = run_id

    def on_chain_start(self, serialized: Any, inputs: Any, *, parent_run_id: Any = None, **kwargs: Any) -> None:
        self.started.append((kwargs["name"], inputs, parent_run_id))

    def on_chain_end(self, outputs: Any, **kwargs: Any) -> None:
        self.ended.append(outputs)

    def on_chain_error(self, error: BaseException, **kwargs: Any) -> None:
        self.failed.append(error)


def ids(documents: list[Document]) -> list[str | None]:
    return [document.id for document in documents]


def test_documents_are_the_engines_hits(engine: TwoStageRetriever) -> None:
    hits = engine.search(QUERY, 4)
    found = BicrossRetriever(retriever=engine).invoke(QUERY)
    assert ids(found) == [hit.passage.id for hit in hits]
    first, hit = found[0], hits[0]
    assert first.page_content == hit.passage.text
    assert first.metadata == {
        "title": hit.passage.title,
        "source": "names.txt",
        "place": hit.passage.meta["place"],
        "relevance_score": hit.score,
        "stage1_score": hit.stage1_score,
        "stage1_rank": hit.stage1_rank,
        "rerank_score": hit.rerank_score,
    }


def test_options_of_a_call_come_before_search_kwargs_and_fields(engine: TwoStageRetriever) -> None:
    only = {"field": "place", "operator": "<", "value": 6}
    retriever = BicrossRetriever(retriever=engine, k=2, filter=only, search_kwargs={"k": 5, "windows": True})
    assert len(retriever.invoke(QUERY)) == 5
    assert len(retriever.invoke(QUERY, k=3)) == 3
    assert len(retriever.invoke(QUERY, k=8)) == 6
    assert len(retriever.invoke(QUERY, k=8, filter={})) == 8
    assert "span" in retriever.invoke(QUERY)[0].metadata
    assert "span" not in retriever.invoke(QUERY, windows=False)[0].metadata
    assert len(retriever.invoke(QUERY, score_threshold=0.0)) == 5
    unscored = retriever.invoke(QUERY, budget_ms=0)
    assert all("rerank_score" not in document.metadata for document in unscored)
    assert [document.metadata["stage1_rank"] for document in unscored] == [1, 2, 3, 4, 5]


def test_ainvoke_takes_what_invoke_takes(engine: TwoStageRetriever) -> None:
    retriever = BicrossRetriever(retriever=engine)
    options = {"k": 3, "candidates": 5, "windows": True, "filter": {"field": "place", "operator": ">", "value": 1}}
    assert asyncio.run(retriever.ainvoke(QUERY, **options)) == retriever.invoke(QUERY, **options)


def test_wrong_arguments_are_refused(engine: TwoStageRetriever) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        BicrossRetriever(retriever=engine, top_k=3)
    with pytest.raises(ValidationError, match="greater than 0"):
        BicrossRetriever(retriever=engine, k=0)
    with pytest.raises(ValidationError, match="got 'limit'"):
        BicrossRetriever(retriever=engine, search_kwargs={"limit": 3})
    retriever = BicrossRetriever(retriever=engine)
    for call in (retriever.invoke, lambda *a, **k: asyncio.run(retriever.ainvoke(*a, **k))):
        with pytest.raises(ConfigurationError, match="k is a whole number from 1; got 0"):
            call(QUERY, k=0)
        with pytest.raises(ConfigurationError, match="got 'top_k'"):
            call(QUERY, top_k=3)
    with pytest.raises(FilterError, match="operator is one of"):
        retriever.invoke(QUERY, filter={"field": "place", "operator": "~", "value": 1})
    with pytest.raises(InputError, match="must hold a word"):
        retriever.invoke(" ")


def test_each_stage_is_a_child_run_without_texts(engine: TwoStageRetriever, bi_encoder: BiEncoder) -> None:
    recorder = Recorder()
    BicrossRetriever(retriever=engine, candidates=5).invoke(QUERY, {"callbacks": [recorder]})
    assert [name for name, _, _ in recorder.started] == ["encode", "retrieve", "rerank"]
    assert {parent for _, _, parent in recorder.started} == {recorder.root}
    encode, retrieve, rerank = recorder.ended
    assert encode["fingerprint"] == bi_encoder.query_fingerprint
    assert encode["truncated"] == 0
    assert retrieve["hits"] == 5
    assert rerank["reranked"] == rerank["candidates"] == 5
    assert "bird" not in repr((recorder.started, recorder.ended))


def test_child_runs_are_opened_from_another_thread_too(engine: TwoStageRetriever) -> None:
    recorder = Recorder()
    asyncio.run(BicrossRetriever(retriever=engine).ainvoke(QUERY, {"callbacks": [recorder]}))
    assert [name for name, _, _ in recorder.started] == ["encode", "retrieve", "rerank"]
    assert {parent for _, _, parent in recorder.started} == {recorder.root}


def test_a_stage_that_fails_ends_its_run(engine: TwoStageRetriever) -> None:
    recorder = Recorder()
    with pytest.raises(FilterError):
        BicrossRetriever(retriever=engine).invoke(QUERY, {"callbacks": [recorder]}, filter={"field": "a"})
    assert [type(error) for error in recorder.failed] == [FilterError]


def test_a_compressor_is_traced_too(cross_encoder: CrossEncoder) -> None:
    recorder = Recorder()
    document = Document(page_content="the cat")
    BicrossReranker(model=cross_encoder).compress_documents([document], QUERY, callbacks=[recorder])
    assert [name for name, _, _ in recorder.started] == ["rerank"]
    assert recorder.ended[0]["fingerprint"] == cross_encoder.fingerprint


def test_langsmith_learns_what_retrieves(engine: TwoStageRetriever, bi_encoder: BiEncoder) -> None:
    assert BicrossRetriever(retriever=engine)._get_ls_params() == {
        "ls_retriever_name": "bicross",
        "ls_vector_store_provider": "ExactStore",
        "ls_embedding_provider": "BiEncoder",
        "ls_embedding_model": bi_encoder.name,
    }


def test_fields_can_be_configured_at_run_time(engine: TwoStageRetriever) -> None:
    retriever = BicrossRetriever(retriever=engine).configurable_fields(k=ConfigurableField(id="k"))
    assert len(retriever.invoke(QUERY, {"configurable": {"k": 2}})) == 2
    assert [len(found) for found in BicrossRetriever(retriever=engine).batch([QUERY, "the cat"], k=2)] == [2, 2]


def test_context_is_text(bi_encoder: BiEncoder) -> None:
    with ExactStore() as store:
        engine = TwoStageRetriever(bi_encoder, store)
        meta = [{"source_id": "a", "split_id": i} for i in range(3)]
        engine.index([Passage(f"the {NAMES[i]}", id=f"a#{i}", meta=meta[i]) for i in range(3)])
        found = BicrossRetriever(retriever=engine, k=1, search_kwargs={"context": 2}).invoke("the cat")
        assert found[0].metadata["context"] == ["the cat", "the dog", "the bird"]
        assert "rerank_score" not in found[0].metadata


def test_chunks_are_grouped_by_their_document(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    """As LangChain's splitters leave them: the document's ``source``, and with add_start_index where a chunk begins."""
    texts = {"a.txt": "the cat is old. the dog is old. the bird is old.", "b.txt": "the sun. the moon. the old tree."}
    chunks = [
        Document(page_content=part, metadata={"source": source, "start_index": text.index(part)})
        for source, text in texts.items()
        for part in (f"{half.strip()}." for half in text.split(".") if half)
    ]
    with ExactStore() as store:
        vectors = BicrossVectorStore(bi_encoder, store)
        vectors.add_documents(chunks)
        engine = TwoStageRetriever(bi_encoder, store, cross_encoder)
        retriever = BicrossRetriever(retriever=engine, group_by="meta.source")
        found = retriever.invoke(QUERY)
        assert sorted(document.metadata["source"] for document in found) == ["a.txt", "b.txt"]
        ungrouped = retriever.invoke(QUERY, k=6, group_by="start_index")
        assert {d.metadata["start_index"] for d in ungrouped} == {d.metadata["start_index"] for d in chunks}
        for document in retriever.invoke(QUERY, group_size=3):
            start, end = document.metadata["document_span"]
            assert texts[document.metadata["source"]][start:end] == document.page_content
        assert asyncio.run(retriever.ainvoke(QUERY, k=1, group_size=2)) == retriever.invoke(QUERY, k=1, group_size=2)
        assert len(retriever.invoke(QUERY, k=1, group_size=2)) == 2
        plain = BicrossRetriever(retriever=engine, search_kwargs={"group_by": "meta.source", "group_size": 3})
        assert len(plain.invoke(QUERY, k=1)) == 3
        assert "document_span" not in BicrossRetriever(retriever=engine).invoke(QUERY)[0].metadata
        best = vectors.similarity_search("the cat is old", k=2, group_by="meta.source")
        assert [d.metadata["source"] for d in best] == ["a.txt", "b.txt"]
        assert vectors.as_retriever(search_kwargs={"k": 2, "group_by": "meta.source"}).invoke("the cat is old") == best
    with pytest.raises(ValidationError, match="greater than 0"):
        BicrossRetriever(retriever=engine, group_size=0)


def test_diverse_documents_come_from_all_candidates(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    texts = ["the old cat sleeps near the river."] * 4 + [f"the {name} is near the {name} {name}" for name in NAMES[:6]]
    query = "old cat sleeps near the river"
    with ExactStore() as store:
        engine = TwoStageRetriever(bi_encoder, store, cross_encoder)
        engine.index([Passage(text, id=str(place)) for place, text in enumerate(texts)])
        plain, varied = ([h.passage.id for h in engine.search(query, 3, diversity=share)] for share in (0.0, 0.95))
        assert plain != varied
        retriever = BicrossRetriever(retriever=engine, k=3)
        assert ids(retriever.invoke(query)) == plain
        assert ids(retriever.invoke(query, diversity=0.95)) == varied
        assert ids(asyncio.run(retriever.ainvoke(query, diversity=0.95))) == varied
        diverse = BicrossRetriever(retriever=engine, k=3, search_kwargs={"diversity": 0.95})
        assert ids(diverse.invoke(query)) == varied
        assert len({document.page_content for document in diverse.invoke(query)}) == 3
        assert ids(diverse.invoke(query, diversity=0.0)) == plain, "0.0 is a value"
        for bad in (-0.1, 1.1, True, "much"):
            with pytest.raises(ConfigurationError, match="diversity must be a number from 0 to 1"):
                retriever.invoke(query, diversity=bad)


def test_sixty_four_calls_of_a_hosted_model_wait_side_by_side() -> None:
    class Hosted:
        """Answers nobody before all are there."""

        document_fingerprint = "hosted"
        all_there = threading.Barrier(64)

        def encode_query(self, texts: str | Sequence[str], /) -> Floats:
            self.all_there.wait(timeout=30)
            return np.ones(2, np.float32)

        def encode_document(self, texts: str | Sequence[str], /) -> Floats:
            return np.ones(2 if isinstance(texts, str) else (len(texts), 2), np.float32)

    with ExactStore() as store:
        engine = TwoStageRetriever(Hosted(), store)
        engine.index([Passage("the cat", id="cat")])
        embeddings = BicrossEmbeddings(model=engine.bi_encoder)
        calls = (
            BicrossRetriever(retriever=engine).ainvoke,
            BicrossVectorStore(embeddings, store).asimilarity_search,
            embeddings.aembed_query,
        )

        async def at_once(call: Any) -> list[Any]:
            return await asyncio.gather(*(call(f"query {i}") for i in range(64)))

        for call in calls:
            assert len(asyncio.run(at_once(call))) == 64
