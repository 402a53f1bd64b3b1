"""Pipelines of our nodes and of other packages': saved and loaded, sixteen at once, and as exact as the core."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline
from haystack.components.joiners import DocumentJoiner
from haystack.components.writers import DocumentWriter
from haystack.document_stores.types import DuplicatePolicy
from haystack_integrations.components.embedders.sentence_transformers import (
    SentenceTransformersDocumentEmbedder,
    SentenceTransformersTextEmbedder,
)
from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

from bicross import BiEncoder, CrossEncoder, ExactStore, Passage, TwoStageRetriever
from bicross.errors import BicrossWarning, FingerprintMismatchError, StoreError
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder, BicrossTextEmbedder
from haystack_integrations.components.preprocessors.bicross import BicrossPassageSplitter
from haystack_integrations.components.rankers.bicross import BicrossRanker
from haystack_integrations.components.retrievers.bicross import BicrossEmbeddingRetriever, BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore
from stores.stub_server import serve
from tiny_models import WORDS, write_bi_encoder, write_cross_encoder

SPREAD = {"initializer_range": 0.3}
QUERIES = ["the cat near the river", "red stone", "wind and fire"]


@pytest.fixture(scope="module")
def bi(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_bi_encoder(tmp_path_factory.mktemp("models") / "bi", **SPREAD))


@pytest.fixture(scope="module")
def cross(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_cross_encoder(tmp_path_factory.mktemp("models") / "cross"))


@pytest.fixture
def documents() -> list[Document]:
    texts = [f"the {WORDS[i]} sits near the {WORDS[i + 1]} and {WORDS[-i]}" for i in range(12, 40)]
    return [Document(id=f"d{i}", content=text, meta={"n": i}) for i, text in enumerate(texts)]


def indexing(store: BicrossDocumentStore, bi: str) -> Pipeline:
    pipeline = Pipeline()
    pipeline.add_component("splitter", BicrossPassageSplitter(bi))
    pipeline.add_component("embedder", BicrossDocumentEmbedder(bi))
    pipeline.add_component("writer", DocumentWriter(store, policy=DuplicatePolicy.OVERWRITE))
    pipeline.connect("splitter", "embedder")
    pipeline.connect("embedder.documents", "writer.documents")
    return pipeline


def querying(store: BicrossDocumentStore, bi: str, cross: str, **options: Any) -> Pipeline:
    """One node for both stages, three nodes for the same, and a joiner of their results."""
    pipeline = Pipeline()
    pipeline.add_component("both", BicrossRetriever(store, bi, cross, top_k=5, candidates=10, **options))
    pipeline.add_component("embedder", BicrossTextEmbedder(bi))
    pipeline.add_component("first", BicrossEmbeddingRetriever(store, top_k=10))
    pipeline.add_component("ranker", BicrossRanker(cross, top_k=5))
    pipeline.add_component("joiner", DocumentJoiner(top_k=5))
    pipeline.connect("embedder.embedding", "first.query_embedding")
    pipeline.connect("first", "ranker")
    pipeline.connect("both.documents", "joiner")
    pipeline.connect("ranker.documents", "joiner")
    return pipeline


def asked(query: str) -> dict[str, Any]:
    return {"both": {"query": query}, "embedder": {"text": query}, "ranker": {"query": query}}


def answers(documents: list[Document]) -> list[tuple[str, Any]]:
    return [(document.id, pytest.approx(document.score, abs=1e-6)) for document in documents]


def test_a_saved_pipeline_gives_the_same_in_a_fresh_process(
    tmp_path: Path, bi: str, cross: str, documents: list[Document]
) -> None:
    store = BicrossDocumentStore(tmp_path / "store", collection="docs", sparse_language="en")
    fills = indexing(store, bi)
    assert fills.run({"splitter": {"documents": documents}})["writer"] == {"documents_written": len(documents)}
    pipeline = querying(store, bi, cross, first_stage="hybrid")
    expected = [pipeline.run(asked(query))["joiner"]["documents"] for query in QUERIES]
    (tmp_path / "query.yaml").write_text(pipeline.dumps())
    (tmp_path / "index.yaml").write_text(fills.dumps())
    fills.close()
    pipeline.close()
    code = f"""
import json, sys
from haystack import Pipeline
from pathlib import Path
index = Pipeline.loads(Path("index.yaml").read_text())
pipeline = Pipeline.loads(Path("query.yaml").read_text())
assert pipeline.dumps() == Path("query.yaml").read_text()
found = []
for query in {QUERIES!r}:
    inputs = {{"both": {{"query": query}}, "embedder": {{"text": query}}, "ranker": {{"query": query}}}}
    found.append([(d.id, d.score) for d in pipeline.run(inputs)["joiner"]["documents"]])
print(json.dumps(found))
"""
    command = [sys.executable, "-W", "error::UserWarning", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    found = [[(id, score) for id, score in row] for row in json.loads(done.stdout)]
    assert found == [answers(row) for row in expected]


def test_sixteen_requests_at_once_give_what_one_gives(bi: str, cross: str, documents: list[Document]) -> None:
    store = BicrossDocumentStore()
    asyncio.run(indexing(store, bi).run_async({"splitter": {"documents": documents}}))
    pipeline = querying(store, bi, cross)
    expected = {query: answers(pipeline.run(asked(query))["joiner"]["documents"]) for query in QUERIES}
    assert all(len(rows) == 5 for rows in expected.values())

    async def at_once() -> list[tuple[str, dict[str, Any]]]:
        queries = [QUERIES[i % len(QUERIES)] for i in range(16)]
        return list(
            zip(queries, await asyncio.gather(*(pipeline.run_async(asked(query)) for query in queries)), strict=True)
        )

    for query, result in asyncio.run(at_once()):
        found = result["joiner"]["documents"]
        assert [(document.id, document.score) for document in found] == expected[query]


@pytest.fixture(scope="module")
def passages(data: Path) -> list[Passage]:
    lines = (data / "nfcorpus" / "corpus.jsonl").read_text("utf-8").splitlines()[:40]
    rows = [json.loads(line) for line in lines]
    return [Passage(row["text"], id=row["_id"], title=row["title"], meta={"n": len(row["text"])}) for row in rows]


@pytest.fixture(scope="module")
def engine(passages: list[Passage], cross: str) -> TwoStageRetriever:
    """What core and adapters are compared by: real texts with titles, a real bi-encoder."""
    made = TwoStageRetriever(BiEncoder.load(), ExactStore(), CrossEncoder.load(cross))
    made.index(passages, show_progress=False)
    return made


@pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")
def test_ids_and_scores_are_the_cores(engine: TwoStageRetriever, passages: list[Passage], cross: str) -> None:
    """Titles are read by both models: the core does it by itself, the embedder is told to."""
    documents = [Document(id=p.id, content=p.text, meta={**p.meta, "title": p.title}) for p in passages]
    store = BicrossDocumentStore()
    embedder = BicrossDocumentEmbedder(meta_fields_to_embed=["title"], embedding_separator=" ")
    store.write_documents(embedder.run(documents)["documents"])
    both = BicrossRetriever(store, ranker_model=cross)
    first = BicrossEmbeddingRetriever(store, top_k=20)
    ranker = BicrossRanker(cross, meta_fields_to_embed=["title"], embedding_separator=" ", windows=False)
    even = {"field": "meta.n", "operator": ">", "value": 1500}
    for query in ("Does vitamin D help?", "risk of heart disease", "how do cells divide"):
        expected = [(hit.passage.id, pytest.approx(hit.score, abs=1e-5)) for hit in engine.search(query, candidates=20)]
        found = both.run(query, candidates=20)["documents"]
        assert [(document.id, document.score) for document in found] == expected
        nearest = first.run(BicrossTextEmbedder().run(query)["embedding"])["documents"]
        assert [(document.id, document.score) for document in ranker.run(query, nearest)["documents"]] == expected
        filtered = both.run(query, filters=even, candidates=20)["documents"]
        assert [document.id for document in filtered] == [
            hit.passage.id for hit in engine.search(query, filter=even, candidates=20)
        ]


def test_our_embedders_and_ranker_around_qdrant_haystack(bi: str, cross: str, documents: list[Document]) -> None:
    theirs = QdrantDocumentStore(":memory:", embedding_dim=32, progress_bar=False)
    ours = BicrossDocumentStore()
    embedded = BicrossDocumentEmbedder(bi).run(documents)["documents"]
    theirs.write_documents(embedded)
    ours.write_documents(embedded)
    pipeline = Pipeline()
    pipeline.add_component("embedder", BicrossTextEmbedder(bi))
    pipeline.add_component("retriever", QdrantEmbeddingRetriever(theirs, top_k=10))
    pipeline.add_component("ranker", BicrossRanker(cross, top_k=5))
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever", "ranker")
    both = BicrossRetriever(ours, bi, cross, top_k=5, candidates=10)
    for query in QUERIES:
        found = pipeline.run({"embedder": {"text": query}, "ranker": {"query": query}})["ranker"]["documents"]
        expected = both.run(query)["documents"]
        assert [(document.id, document.score) for document in found] == answers(expected)
        assert [document.meta["n"] for document in found] == [document.meta["n"] for document in expected]
    theirs.close()


def test_the_hosts_own_embedders_fill_our_store(bi: str, cross: str, documents: list[Document]) -> None:
    store = BicrossDocumentStore()
    embedder = SentenceTransformersDocumentEmbedder(model=bi, progress_bar=False)
    embedder.warm_up()
    store.write_documents(embedder.run(documents)["documents"])
    text_embedder = SentenceTransformersTextEmbedder(model=bi, progress_bar=False)
    text_embedder.warm_up()
    embedding = text_embedder.run(QUERIES[0])["embedding"]
    nearest = BicrossEmbeddingRetriever(store, top_k=3).run(embedding)["documents"]
    with pytest.warns(BicrossWarning, match="agree with this one's"):
        found = BicrossRetriever(store, bi, None, top_k=3).run(QUERIES[0])["documents"]
    assert [document.id for document in found] == [document.id for document in nearest]


def test_the_hosts_vectors_of_another_model_are_refused(bi: str, tmp_path: Path, documents: list[Document]) -> None:
    other = str(write_bi_encoder(tmp_path / "other", seed=9, **SPREAD))
    store = BicrossDocumentStore()
    embedder = SentenceTransformersDocumentEmbedder(model=other, progress_bar=False)
    embedder.warm_up()
    store.write_documents(embedder.run(documents)["documents"])
    with pytest.raises(FingerprintMismatchError, match="cosine"):
        BicrossRetriever(store, bi, None).run(QUERIES[0])


def test_over_the_client_and_on_a_collection_of_qdrant_haystack(bi: str, cross: str, documents: list[Document]) -> None:
    """A stand-in for a server: it speaks the protocol and says nothing about a real server."""
    embedded = BicrossDocumentEmbedder(bi).run(documents)["documents"]
    theirs = QdrantDocumentStore(":memory:", index="theirs", embedding_dim=32, progress_bar=False)
    theirs.write_documents(embedded)
    with serve() as stub:
        stub.client = theirs._client
        ours = BicrossDocumentStore(url=stub.url, collection="ours")
        ours.write_documents([*embedded, Document(id="bare", content="x")])
        assert ours.count_documents() == len(documents) + 1
        both = BicrossRetriever(ours, bi, cross, top_k=5, candidates=10)
        expected = both.run(QUERIES[0])["documents"]
        again = asyncio.run(both.run_async(QUERIES[0]))["documents"]
        assert [(document.id, document.score) for document in again] == answers(expected)

        opened = BicrossDocumentStore(url=stub.url, collection="theirs")
        assert opened.count_documents() == len(documents)
        with pytest.warns(BicrossWarning, match="adopt"):
            found = BicrossRetriever(opened, bi, cross, top_k=5, candidates=10).run(QUERIES[0])["documents"]
        assert [(document.id, document.score) for document in found] == answers(expected)
        assert [document.meta["n"] for document in found] == [document.meta["n"] for document in expected]
        with pytest.raises(StoreError, match="Adopt it"):
            opened.write_documents([replace(embedded[0], id="new")])
        ours.close()
        opened.close()
