"""In chains with LangChain's own parts: indexing, compression, agents' tools; the same answers as the engine's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_classic.retrievers import ContextualCompressionRetriever
from langchain_classic.retrievers.document_compressors import CrossEncoderReranker
from langchain_core.documents import Document
from langchain_core.indexing import InMemoryRecordManager, aindex, index
from langchain_core.tools import create_retriever_tool
from langchain_qdrant import QdrantVectorStore

from bicross import BiEncoder, CrossEncoder, Passage, QdrantStore, TwoStageRetriever
from bicross.adopting import adopt
from bicross.encoding.loading import loaded_models
from bicross.errors import BicrossWarning, FingerprintMismatchError
from bicross.langchain import (
    BicrossCrossEncoder,
    BicrossEmbeddings,
    BicrossReranker,
    BicrossRetriever,
    BicrossVectorStore,
)
from tiny_models import write_cross_encoder

QUERIES = ["Does vitamin D help?", "risk of heart disease", "how do cells divide"]


@pytest.fixture(scope="module")
def cross_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cross_encoder(tmp_path_factory.mktemp("cross") / "model")


@pytest.fixture(scope="module")
def passages(data: Path) -> list[Passage]:
    lines = (data / "nfcorpus" / "corpus.jsonl").read_text("utf-8").splitlines()[:40]
    rows = [json.loads(line) for line in lines]
    return [Passage(row["text"], id=row["_id"], meta={"length": len(row["text"])}) for row in rows]


@pytest.fixture(scope="module")
def engine(passages: list[Passage], cross_folder: Path) -> Iterator[TwoStageRetriever]:
    with QdrantStore(path=":memory:") as store:
        made = TwoStageRetriever(BiEncoder.load(), store, CrossEncoder.load(cross_folder))
        made.index(passages, show_progress=False)
        yield made


@pytest.fixture(scope="module")
def store(passages: list[Passage]) -> Iterator[BicrossVectorStore]:
    made = BicrossVectorStore(BicrossEmbeddings())
    made.add_documents([Document(page_content=p.text, metadata=dict(p.meta), id=p.id) for p in passages])
    yield made
    made.close()


def approx(scores: list[float | None]) -> object:
    return pytest.approx(scores, abs=1e-6)


@pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")
@pytest.mark.parametrize("query", QUERIES)
def test_the_answers_are_the_engines(
    engine: TwoStageRetriever, store: BicrossVectorStore, cross_folder: Path, query: str
) -> None:
    hits = engine.search(query, 10, candidates=20)
    found = BicrossRetriever(retriever=engine, k=10, candidates=20).invoke(query)
    assert [document.id for document in found] == [hit.passage.id for hit in hits]
    assert [document.metadata["relevance_score"] for document in found] == approx([hit.score for hit in hits])
    assert asyncio.run(BicrossRetriever(retriever=engine, k=10, candidates=20).ainvoke(query)) == found

    first = store.similarity_search_with_score(query, k=20)
    assert [(document.id, score) for document, score in first] == [
        (hit.passage.id, approx(hit.score)) for hit in engine.retrieve(query, 20)
    ]
    reranker = BicrossReranker(model=str(cross_folder), top_n=10)
    second = reranker.compress_documents([document for document, _ in first], query)
    assert [document.id for document in second] == [hit.passage.id for hit in hits]
    assert [d.metadata["relevance_score"] for d in second] == approx([hit.rerank_score for hit in hits])


@pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")
def test_one_model_serves_all_that_name_it(cross_folder: Path, passages: list[Passage]) -> None:
    before = loaded_models()
    holders = [BicrossEmbeddings(device="cpu", precision="bfloat16") for _ in range(2)]
    scorers = [
        BicrossReranker(model=str(cross_folder), precision="bfloat16"),
        BicrossCrossEncoder(model=str(cross_folder), precision="bfloat16"),
    ]
    for holder in holders:
        holder.embed_query("cells")
    for scorer in scorers:
        assert scorer.second_stage
    assert loaded_models() == before + 2


@pytest.mark.parametrize("key_encoder", ["sha256", "blake2b"])
def test_langchains_index_syncs(passages: list[Passage], key_encoder: str) -> None:
    store, records = BicrossVectorStore(BicrossEmbeddings()), InMemoryRecordManager("records")
    records.create_schema()
    documents = [Document(page_content=p.text[:200], metadata={"source": p.id}) for p in passages[:8]]
    options = {"cleanup": "incremental", "source_id_key": "source", "key_encoder": key_encoder, "batch_size": 3}
    assert index(documents, records, store, **options)["num_added"] == 8
    assert index(documents, records, store, **options)["num_skipped"] == 8
    changed = [Document(page_content="Vitamin D is made in the skin.", metadata={"source": passages[0].id})]
    assert index(changed, records, store, **options) == {
        "num_added": 1,
        "num_updated": 0,
        "num_skipped": 0,
        "num_deleted": 1,
    }
    assert store.similarity_search("skin and vitamins", k=1)[0].page_content == changed[0].page_content
    assert asyncio.run(aindex(documents[1:], records, store, **(options | {"cleanup": "full"})))["num_deleted"] == 1
    assert store.store.count() == 7
    store.close()


@pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")
def test_compression_over_langchains_own_store(cross_folder: Path, passages: list[Passage]) -> None:
    theirs = QdrantVectorStore.from_texts(
        [p.text for p in passages[:30]], BicrossEmbeddings(), location=":memory:", collection_name="theirs"
    )
    base = theirs.as_retriever(search_kwargs={"k": 10})
    chain = ContextualCompressionRetriever(
        base_compressor=BicrossReranker(model=str(cross_folder), top_n=4), base_retriever=base
    )
    expected = CrossEncoder.load(cross_folder).rank(
        QUERIES[0], [document.page_content for document in base.invoke(QUERIES[0])], 4
    )
    found = chain.invoke(QUERIES[0])
    assert [d.metadata["relevance_score"] for d in found] == approx([item.score for item in expected])
    assert asyncio.run(chain.ainvoke(QUERIES[0])) == found

    model = BicrossCrossEncoder(model=str(cross_folder))
    classic = ContextualCompressionRetriever(
        base_compressor=CrossEncoderReranker(model=model, top_n=4), base_retriever=base
    )
    assert [d.page_content for d in classic.invoke(QUERIES[0])] == [d.page_content for d in found]


@pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")
def test_the_retriever_is_an_agents_tool(engine: TwoStageRetriever) -> None:
    tool = create_retriever_tool(BicrossRetriever(retriever=engine, k=2), "search", "Finds studies on nutrition.")
    answer = tool.invoke({"query": QUERIES[0]})
    assert answer == "\n\n".join(hit.passage.text for hit in engine.search(QUERIES[0], 2))


def test_a_collection_of_langchains_own_store_serves_as_it_is(passages: list[Passage]) -> None:
    embeddings = BicrossEmbeddings()
    texts = [f"{p.text[:200]}\n" for p in passages[:12]]
    metadatas = [{"n": n, "source": "studies"} for n in range(12)]
    theirs = QdrantVectorStore.from_texts(texts, embeddings, metadatas, location=":memory:", collection_name="theirs")
    ours = BicrossVectorStore(embeddings, QdrantStore(client=theirs.client, collection="theirs"))
    expected = theirs.similarity_search_with_score(QUERIES[1], k=5)
    with pytest.warns(BicrossWarning, match="read-only"):
        found = ours.similarity_search_with_score(QUERIES[1], k=5)
    assert [(d.page_content, d.id) for d, _ in found] == [(d.page_content, d.metadata["_id"]) for d, _ in expected]
    assert [score for _, score in found] == approx([score for _, score in expected])
    assert ours.get_by_ids([found[0][0].id]) == [found[0][0]]
    assert len(ours.similarity_search("x", k=9, filter={"field": "n", "operator": ">", "value": 8})) == 3
    with pytest.raises(FingerprintMismatchError, match="Adopt"):
        ours.add_texts(["Vitamin D is made in the skin."])

    adopt(ours.store, embeddings.encoder)
    ids = ours.add_texts(["Vitamin D is made in the skin."], [{"n": 12}])
    assert ours.add_texts(["Vitamin D is made in the skin."], [{"n": 12}]) == ids
    read = theirs.similarity_search("skin and vitamins", k=1)[0]
    assert (read.page_content, read.metadata["n"]) == ("Vitamin D is made in the skin.", 12)
    assert ours.store.count() == 13


@pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")
def test_sixteen_requests_at_once_get_the_same_documents(engine: TwoStageRetriever) -> None:
    retriever = BicrossRetriever(retriever=engine, candidates=10)
    expected = {query: retriever.invoke(query) for query in QUERIES}

    async def ask() -> list[list[Document]]:
        return await asyncio.gather(*(retriever.ainvoke(QUERIES[i % 3]) for i in range(16)))

    for _ in range(3):
        assert [[d.id for d in found] for found in asyncio.run(ask())] == [
            [d.id for d in expected[QUERIES[i % 3]]] for i in range(16)
        ]
