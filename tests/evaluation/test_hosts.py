"""Other frameworks' retrievers under `evaluate`, with real pipelines of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bicross.errors import ConfigurationError, InputError
from bicross.evaluation import Dataset, evaluate, from_haystack, from_langchain, load_dataset
from tiny_data import DOCUMENTS

WANTED = {"q1": "d1", "q2": "d3", "q3": "d4"}


@pytest.fixture
def data(beir: Path) -> Dataset:
    return load_dataset(beir)


class TestHaystack:
    @pytest.fixture
    def store(self):
        from haystack import Document
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        store = InMemoryDocumentStore()
        store.write_documents(
            [Document(id=i, content=f"{title} {text}", meta={"number": i}) for i, (title, text) in DOCUMENTS.items()]
        )
        return store

    def pipeline(self, store: Any, *, ranker: bool = False) -> Any:
        from haystack import Pipeline, component
        from haystack.components.retrievers.in_memory import InMemoryBM25Retriever

        @component
        class Reverse:
            """A ranker: the last becomes the first."""

            @component.output_types(documents=list)
            def run(self, query: str, documents: list) -> dict[str, list]:
                assert query
                return {"documents": documents[::-1]}

        pipeline = Pipeline()
        pipeline.add_component("retriever", InMemoryBM25Retriever(store))
        if ranker:
            pipeline.add_component("ranker", Reverse())
            pipeline.connect("retriever.documents", "ranker.documents")
        return pipeline

    def test_a_pipeline_is_measured_as_it_is(self, data: Dataset, store: Any) -> None:
        found = evaluate(self.pipeline(store), data)
        assert {query_id: next(iter(run)) for query_id, run in found.final.run.items()} == WANTED
        assert list(found.milliseconds) == ["total"]
        scores = list(found.final.run["q1"].values())
        assert scores == sorted(scores, reverse=True)
        assert scores[0] > 1.0  # BM25's own, not 1 / rank

    def test_every_input_that_needs_the_query_gets_it_and_the_end_counts(self, data: Dataset, store: Any) -> None:
        plain = evaluate(self.pipeline(store), data).final.run
        pipeline = self.pipeline(store, ranker=True)
        with pytest.raises(ConfigurationError, match=r"got 'none'.*'ranker.documents', 'retriever.documents'"):
            evaluate(pipeline, data)  # the ranker doesn't say that its list is one of documents
        ranked = evaluate(from_haystack(pipeline, output="ranker.documents"), data).final.run
        within = evaluate(from_haystack(pipeline, output="retriever.documents"), data).final.run
        assert {q: list(run) for q, run in ranked.items()} == {q: list(run)[::-1] for q, run in plain.items()}
        assert within == plain

    def test_ids_may_be_in_the_meta_and_further_inputs_are_passed(self, data: Dataset, store: Any) -> None:
        pipeline = self.pipeline(store)
        found = evaluate(from_haystack(pipeline, id_key="number", data={"retriever": {"top_k": 2}}), data)
        every = evaluate(pipeline, data).final.run
        assert max(len(run) for run in every.values()) > 2
        assert {q: list(run) for q, run in found.final.run.items()} == {q: list(run)[:2] for q, run in every.items()}
        with pytest.raises(ConfigurationError, match=r"got none in 'page'. Its meta has the fields \['number'\]"):
            evaluate(from_haystack(pipeline, id_key="page"), data)

    def test_sockets_that_can_not_be_guessed_must_be_named(self, data: Dataset, store: Any) -> None:
        from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever

        pipeline = self.pipeline(store)
        pipeline.add_component("dense", InMemoryEmbeddingRetriever(store))
        with pytest.raises(ConfigurationError, match=r"also needs 'dense\.query_embedding'"):
            from_haystack(pipeline)
        with pytest.raises(ConfigurationError, match=r"got \['retriever.documents', 'dense.documents'\]"):
            from_haystack(pipeline, inputs=["retriever.query"])

    def test_ids_of_another_kind_are_a_mistake(self, data: Dataset) -> None:
        from haystack import Document
        from haystack.document_stores.in_memory import InMemoryDocumentStore

        store = InMemoryDocumentStore()
        store.write_documents([Document(content=text, meta={"doc": i}) for i, (_, text) in DOCUMENTS.items()])
        with pytest.raises(InputError, match="from_haystack"):
            evaluate(self.pipeline(store), data)
        found = evaluate(from_haystack(self.pipeline(store), id_key="doc"), data)
        assert {query_id: next(iter(run)) for query_id, run in found.final.run.items()} == WANTED


class TestLangChain:
    def retriever(self, key: str | None = None, scored: bool = False) -> Any:
        from langchain_core.callbacks import CallbackManagerForRetrieverRun
        from langchain_core.documents import Document
        from langchain_core.retrievers import BaseRetriever

        class Overlap(BaseRetriever):
            def _get_relevant_documents(
                self, query: str, *, run_manager: CallbackManagerForRetrieverRun
            ) -> list[Document]:
                words = set(query.split()) - {"a", "the", "in", "on"}
                rated = {i: len(words & set(text.split())) for i, (_, text) in DOCUMENTS.items()}
                best = sorted((i for i in rated if rated[i]), key=lambda i: -rated[i])
                return [
                    Document(
                        page_content=DOCUMENTS[i][1],
                        id=None if key else i,
                        metadata=({key: i} if key else {}) | ({"relevance_score": rated[i]} if scored else {}),
                    )
                    for i in best
                ]

        return Overlap()

    def test_a_retriever_is_measured_as_it_is(self, data: Dataset) -> None:
        found = evaluate(self.retriever(), data)
        assert {query_id: next(iter(run)) for query_id, run in found.final.run.items()} == WANTED
        assert found.final.run["q1"] == {"d1": 1.0}
        scored = evaluate(self.retriever(scored=True), data)
        assert scored.final.run["q1"] == {"d1": 2.0}

    def test_a_chain_of_it_is_one_too(self, data: Dataset) -> None:
        from langchain_core.runnables import RunnableLambda

        chain = self.retriever() | RunnableLambda(lambda documents: documents[:1])
        assert {len(run) for run in evaluate(chain, data).final.run.values()} == {1}

    def test_ids_may_be_in_the_metadata(self, data: Dataset) -> None:
        with pytest.raises(ConfigurationError, match=r"got none in 'id'. Its metadata has the fields \['doc'\]"):
            evaluate(self.retriever("doc"), data)
        found = evaluate(from_langchain(self.retriever("doc"), id_key="doc"), data)
        assert {query_id: next(iter(run)) for query_id, run in found.final.run.items()} == WANTED

    def test_before_and_after_the_swap(self, data: Dataset, bi_encoder, cross_encoder) -> None:
        from bicross import ExactStore, Passage, TwoStageRetriever
        from bicross.langchain import BicrossRetriever

        with ExactStore() as store:
            ours = TwoStageRetriever(bi_encoder, store, cross_encoder)
            ours.index([Passage(text, id=i, title=title or None) for i, (title, text) in DOCUMENTS.items()])
            before = evaluate(self.retriever(), data)
            after = evaluate(BicrossRetriever(retriever=ours, k=5), data, compare=before)
            direct = evaluate(ours, data)
        assert after.final.run == direct.final.run
        assert after.comparison["nDCG@10"].difference == pytest.approx(after["nDCG@10"] - before["nDCG@10"])
