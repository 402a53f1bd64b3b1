"""The same passages and queries through the core, Haystack and LangChain: the same ids and scores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from haystack import Document as HaystackDocument
from langchain_core.documents import Document as LangChainDocument

from bicross import BiEncoder, CrossEncoder, Passage, QdrantStore, TwoStageRetriever
from bicross.langchain import BicrossEmbeddings, BicrossVectorStore
from bicross.langchain import BicrossRetriever as LangChainRetriever
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
from haystack_integrations.components.retrievers.bicross import BicrossRetriever as HaystackRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore
from tiny_models import write_cross_encoder

FILTER = {"field": "meta.length", "operator": ">=", "value": 1200}


@pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")
@pytest.mark.parametrize("filter", [None, FILTER], ids=["all", "filtered"])
def test_core_haystack_and_langchain_agree(data: Path, tmp_path: Path, filter: dict | None) -> None:
    lines = (data / "nfcorpus" / "corpus.jsonl").read_text("utf-8").splitlines()[:60]
    rows = [json.loads(line) for line in lines]
    queries = [json.loads(line)["text"] for line in (data / "nfcorpus" / "queries.jsonl").read_text().splitlines()[:8]]
    passages = [Passage(row["text"], id=row["_id"], meta={"length": len(row["text"])}) for row in rows]
    cross = write_cross_encoder(tmp_path / "cross")

    with QdrantStore(path=":memory:") as store, BiEncoder.load() as finds, CrossEncoder.load(cross) as reorders:
        core = TwoStageRetriever(finds, store, reorders)
        core.index(passages, show_progress=False)

        documents = BicrossDocumentStore()
        given = [HaystackDocument(id=p.id, content=p.text, meta=dict(p.meta)) for p in passages]
        documents.write_documents(BicrossDocumentEmbedder().run(given)["documents"])
        haystack = HaystackRetriever(documents, ranker_model=str(cross))

        vectors = BicrossVectorStore(BicrossEmbeddings())
        vectors.add_documents([LangChainDocument(p.text, metadata=dict(p.meta), id=p.id) for p in passages])
        langchain = LangChainRetriever(retriever=TwoStageRetriever(finds, vectors.store, reorders), k=10)

        for query in queries:
            hits = core.search(query, 10, candidates=30, filter=filter)
            expected = [(hit.passage.id, pytest.approx(hit.score, abs=1e-6)) for hit in hits]
            assert len(expected) == 10
            found = haystack.run(query, filters=filter, top_k=10, candidates=30)["documents"]
            assert [(document.id, document.score) for document in found] == expected
            answers = langchain.invoke(query, k=10, candidates=30, filter=filter)
            assert [(document.id, document.metadata["relevance_score"]) for document in answers] == expected
        vectors.close()
