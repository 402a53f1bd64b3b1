from __future__ import annotations

from pathlib import Path

import pytest
from haystack import Document, Pipeline
from haystack.tracing.tracer import tracer as haystack_tracer

from bicross import BiEncoder, CrossEncoder
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder, BicrossTextEmbedder
from haystack_integrations.components.rankers.bicross import BicrossRanker
from haystack_integrations.components.retrievers.bicross import BicrossEmbeddingRetriever, BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore


def test_both_stages_are_child_spans_with_counts_and_fingerprints(
    filled: BicrossDocumentStore,
    bi_folder: Path,
    cross_folder: Path,
    bi_encoder: BiEncoder,
    cross_encoder: CrossEncoder,
    tracer,
) -> None:
    pipeline = Pipeline()
    pipeline.add_component("retriever", BicrossRetriever(filled, str(bi_folder), str(cross_folder)))
    pipeline.run({"retriever": {"query": "the cat", "candidates": 5, "top_k": 5}})
    spans = {span.name: span for span in tracer.spans}
    assert [span.name for span in tracer.spans if span.name.startswith("bicross.")] == [
        "bicross.encode",
        "bicross.retrieve",
        "bicross.rerank",
    ]
    assert spans["bicross.encode"].parent is spans["haystack.component.run"]
    assert spans["bicross.encode"].tags["bicross.encode.fingerprint"] == bi_encoder.query_fingerprint
    assert spans["bicross.encode"].tags["bicross.encode.truncated"] == 0
    assert spans["bicross.retrieve"].tags["bicross.retrieve.hits"] == 5
    tags = spans["bicross.rerank"].tags
    assert (tags["bicross.rerank.candidates"], tags["bicross.rerank.reranked"]) == (5, 5)
    assert tags["bicross.rerank.fingerprint"] == cross_encoder.fingerprint


def test_texts_are_content_tags_alone(
    filled: BicrossDocumentStore, bi_folder: Path, cross_folder: Path, tracer, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [Document(content="the dog sleeps")]

    def run() -> str:
        tracer.spans.clear()
        BicrossTextEmbedder(str(bi_folder)).run("the cat")
        BicrossDocumentEmbedder(str(bi_folder)).run(documents)
        BicrossRanker(str(cross_folder)).run("the cat", documents)
        BicrossRetriever(filled, str(bi_folder), str(cross_folder)).run("the cat")
        BicrossEmbeddingRetriever(filled).run([0.1] * 32)
        assert {span.name for span in tracer.spans} == {"bicross.encode", "bicross.retrieve", "bicross.rerank"}
        return str([span.tags for span in tracer.spans])

    silent = run()
    assert "the cat" not in silent
    assert "the dog sleeps" not in silent
    monkeypatch.setattr(haystack_tracer, "is_content_tracing_enabled", True)
    told = run()
    assert "the cat" in told
    assert "the dog sleeps" in told


def test_a_span_gets_its_tags_even_where_the_stage_fails(bi_folder: Path, tracer) -> None:
    with pytest.raises(ValueError, match="surrogate"):
        BicrossTextEmbedder(str(bi_folder)).run("\ud800")
    assert tracer.spans[-1].name == "bicross.encode"
