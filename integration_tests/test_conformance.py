"""One collection, the same queries through the core, Haystack and LangChain: the same ids and scores."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from bicross import BiEncoder, CrossEncoder, Passage, QdrantStore, TwoStageRetriever
from bicross.langchain import BicrossReranker, BicrossRetriever, BicrossVectorStore
from haystack_integrations.components.rankers.bicross import BicrossRanker
from haystack_integrations.components.retrievers.bicross import BicrossRetriever as HaystackRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore
from tiny_models import write_cross_encoder

pytestmark = pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")
QUERIES = ["Does vitamin D help?", "risk of heart disease", "how do cells divide", "milk\nand bones"]
LONG = {"field": "meta.length", "operator": ">", "value": 1200}


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cross_encoder(tmp_path_factory.mktemp("cross") / "model"))


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("store")
    rows = map(json.loads, (data / "nfcorpus" / "corpus.jsonl").read_text("utf-8").splitlines()[:40])
    passages = [Passage(r["text"], r["_id"], r["title"], {"length": len(r["text"])}) for r in rows]
    with QdrantStore(path=made) as store:
        TwoStageRetriever(BiEncoder.load(), store).index(passages, show_progress=False)
    return made


@pytest.fixture(scope="module")
def engine(folder: Path, cross: str) -> Iterator[TwoStageRetriever]:
    with QdrantStore(path=folder) as store:
        yield TwoStageRetriever(BiEncoder.load(), store, CrossEncoder.load(cross))


@pytest.mark.parametrize("filter", [None, LONG])
@pytest.mark.parametrize("query", QUERIES)
def test_both_stages(engine: TwoStageRetriever, folder: Path, cross: str, query: str, filter: dict | None) -> None:
    expected = [
        (hit.passage.id, hit.passage.text, pytest.approx(hit.score, abs=1e-6))
        for hit in engine.search(query, 10, candidates=20, filter=filter)
    ]
    assert expected

    retriever = BicrossRetriever(retriever=engine, k=10, candidates=20, filter=filter)
    for found in (retriever.invoke(query), asyncio.run(retriever.ainvoke(query))):
        assert [(d.id, d.page_content, d.metadata["relevance_score"]) for d in found] == expected

    node = HaystackRetriever(BicrossDocumentStore(path=str(folder)), ranker_model=cross, candidates=20, filters=filter)
    for run in (node.run(query), asyncio.run(node.run_async(query))):
        assert [(d.id, d.content, d.score) for d in run["documents"]] == expected


@pytest.mark.parametrize("query", QUERIES)
def test_the_second_stage_alone(engine: TwoStageRetriever, cross: str, query: str) -> None:
    first = engine.retrieve(query, 12)
    expected = {hit.passage.id: hit.rerank_score for hit in engine.rerank(query, first.hits)}

    documents = BicrossVectorStore(engine.bi_encoder, engine.store).similarity_search(query, k=12)
    assert [d.id for d in documents] == [hit.passage.id for hit in first]
    reranker = BicrossReranker(model=cross, top_n=None, title_key="title")
    ours = {d.id: d.metadata["relevance_score"] for d in reranker.compress_documents(documents, query)}
    assert ours == pytest.approx(expected, abs=1e-6)

    from haystack import Document

    given = [Document(id=d.id, content=d.page_content, meta=d.metadata) for d in documents]
    options = {"meta_fields_to_embed": ["title"], "embedding_separator": " ", "windows": False, "top_k": 12}
    ranked = BicrossRanker(model=cross, **options).run(query, given)["documents"]
    assert {d.id: d.score for d in ranked} == pytest.approx(expected, abs=1e-6)
