from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from haystack import Document

from bicross import CrossEncoder
from bicross.errors import ConfigurationError, InputError, InputTypeError
from haystack_integrations.components.rankers.bicross import BicrossRanker
from tiny_models import write_cross_encoder


@pytest.fixture
def node(cross_folder: Path) -> BicrossRanker:
    return BicrossRanker(str(cross_folder), top_k=12)


def test_scores_and_order_are_the_cores(
    node: BicrossRanker, cross_encoder: CrossEncoder, documents: list[Document]
) -> None:
    before = [document.to_dict() for document in documents]
    result = node.run("the cat", documents)
    scores = cross_encoder.predict([("the cat", document.content) for document in documents])
    order = np.argsort(-scores, kind="stable")
    assert [document.id for document in result["documents"]] == [documents[i].id for i in order]
    np.testing.assert_allclose([d.score for d in result["documents"]], scores[order], atol=1e-6)
    assert [document.to_dict() for document in documents] == before
    assert result["meta"]["reranked"] == 12


def test_run_takes_only_keywords_as_well(node: BicrossRanker, documents: list[Document]) -> None:
    assert len(node.run(query="the cat", documents=documents, top_k=3)["documents"]) == 3


def test_a_tasks_instruction(cross_folder: Path, cross_encoder: CrossEncoder, documents: list[Document]) -> None:
    node = BicrossRanker(str(cross_folder), top_k=12, prompt="find every old ")
    found = {document.id: document.score for document in node.run("cat", documents)["documents"]}
    pairs = [("cat", document.content) for document in documents]
    expected = cross_encoder.predict(pairs, prompt="find every old ")
    np.testing.assert_allclose([found[document.id] for document in documents], expected, atol=1e-6)
    assert BicrossRanker.from_dict(node.to_dict()).prompt == "find every old "


def test_both_stages_scores_are_kept(node: BicrossRanker) -> None:
    documents = [Document(id="a", content="the cat", score=0.25), Document(id="b", content="the dog", score=0.0)]
    found = {document.id: document for document in node.run("the cat", documents)["documents"]}
    assert {id: document.meta["retrieval_score"] for id, document in found.items()} == {"a": 0.25, "b": 0.0}
    assert all(document.meta["rerank_score"] == document.score for document in found.values())
    assert "retrieval_score" not in node.run("the cat", [Document(content="the cat")])["documents"][0].meta


def test_scores_are_logits_where_scaling_is_off(cross_folder: Path, documents: list[Document]) -> None:
    scaled = BicrossRanker(str(cross_folder)).run("the cat", documents)["documents"]
    raw = BicrossRanker(str(cross_folder)).run("the cat", documents, scale_score=False)["documents"]
    np.testing.assert_allclose(
        [d.score for d in scaled], 1 / (1 + np.exp(-np.array([d.score for d in raw]))), atol=1e-6
    )
    always_raw = BicrossRanker(str(cross_folder), scale_score=False)
    assert [d.score for d in always_raw.run("the cat", documents)["documents"]] == [d.score for d in raw]
    assert [d.score for d in always_raw.run("the cat", documents, scale_score=True)["documents"]] == [
        d.score for d in scaled
    ]


def test_a_threshold_applies_after_scoring_and_zero_is_one(cross_folder: Path, documents: list[Document]) -> None:
    node = BicrossRanker(str(cross_folder), top_k=12, scale_score=False, score_threshold=1e9)
    assert node.run("the cat", documents)["documents"] == []
    kept = node.run("the cat", documents, score_threshold=0.0)["documents"]
    everything = node.run("the cat", documents, score_threshold=-1e9)["documents"]
    assert [d.id for d in kept] == [d.id for d in everything if d.score >= 0.0]
    middle = everything[5].score
    assert len(node.run("the cat", documents, score_threshold=middle)["documents"]) == 6


def test_a_budget_of_nothing_keeps_the_order(cross_folder: Path) -> None:
    documents = [Document(id=str(i), content="the cat", score=1 / (i + 1)) for i in range(5)]
    node = BicrossRanker(str(cross_folder), budget_ms=60_000)
    result = node.run("the cat", documents, budget_ms=0)
    assert [(d.id, d.score) for d in result["documents"]] == [(d.id, d.score) for d in documents]
    assert "rerank_score" not in result["documents"][0].meta
    assert result["meta"]["reranked"] == 0
    judged = node.run("the cat", documents, budget_ms=0, score_threshold=0.0)
    assert (judged["documents"], judged["meta"]["unscored"]) == ([], 5)
    assert node.run("the cat", documents)["meta"]["reranked"] == 5


def test_a_budget_is_kept(cross_folder: Path) -> None:
    documents = [Document(content=f"the old house near the river {i}") for i in range(20)]
    node = BicrossRanker(str(cross_folder), top_k=20, windows=False, budget_ms=0)
    nothing = node.run("the cat", documents)
    assert nothing["meta"]["reranked"] == 0
    assert [document.id for document in nothing["documents"]] == [document.id for document in documents]
    assert node.run("the cat", documents, budget_ms=600_000)["meta"]["reranked"] == 20


def test_the_first_stages_weight(tmp_path: Path) -> None:
    folder = str(write_cross_encoder(tmp_path / "model", extras={"stage1_weight": 1.0}))
    documents = [Document(id=name, content=f"the {name}", score=i / 10) for i, name in enumerate(["cat", "dog", "sun"])]
    by_score = ["sun", "dog", "cat"]
    alone = [d.id for d in BicrossRanker(folder).run("the cat", documents, stage1_weight=0.0)["documents"]]
    assert [d.id for d in BicrossRanker(folder).run("the cat", documents)["documents"]] == by_score
    assert [d.id for d in BicrossRanker(folder, stage1_weight=0.0).run("the cat", documents)["documents"]] == alone
    assert [
        d.id for d in BicrossRanker(folder, stage1_weight=0.0).run("the cat", documents, stage1_weight=1.0)["documents"]
    ] == by_score
    without = [Document(id=d.id, content=d.content) for d in documents]
    unweighted = BicrossRanker(folder).run("the cat", without)["documents"]
    assert [d.id for d in unweighted] == alone
    assert [d.score for d in unweighted] == [d.meta["rerank_score"] for d in unweighted]


def test_duplicates_count_once_with_their_best_score(node: BicrossRanker) -> None:
    twins = [Document(id="a", content="the cat", score=score) for score in (None, 0.2, 0.7, 0.3)]
    found = node.run("the cat", [*twins, Document(id="b", content="the dog")])["documents"]
    assert sorted(document.id for document in found) == ["a", "b"]
    assert next(d for d in found if d.id == "a").meta["retrieval_score"] == 0.7


def test_a_long_document_is_read_whole_and_its_span_told(cross_folder: Path) -> None:
    text = "the old house near the river " * 60 + "the cat sleeps on the red stone"
    document = Document(content=text, meta={"title": "sun"})
    node = BicrossRanker(str(cross_folder), meta_fields_to_embed=["title"], embedding_separator=" - ")
    found = node.run("the cat", [document])
    start, end = found["documents"][0].meta["span"]
    assert 0 <= start < end <= len(text)
    assert (end - start) < len(text)
    assert found["meta"]["truncated"] == 0
    cut = node.run("the cat", [document], windows=False)
    assert "span" not in cut["documents"][0].meta
    assert cut["meta"]["truncated"] == 1


def test_documents_without_text_are_left_out_and_counted(cross_folder: Path) -> None:
    node = BicrossRanker(str(cross_folder), meta_fields_to_embed=["title"])
    documents = [Document(content="the cat"), Document(id="none"), Document(id="t", meta={"title": "the dog"})]
    result = node.run("the cat", documents)
    assert {document.id for document in result["documents"]} == {documents[0].id, "t"}
    assert result["meta"]["skipped"] == 1
    assert node.run("the cat", [])["documents"] == []
    assert node.run("the cat", [Document()])["documents"] == []


def test_affixes(cross_folder: Path, cross_encoder: CrossEncoder) -> None:
    node = BicrossRanker(
        str(cross_folder), query_prefix="old ", query_suffix=" .", document_prefix="red ", document_suffix=" ?"
    )
    score = node.run("cat", [Document(content="dog")])["documents"][0].score
    assert score == pytest.approx(float(cross_encoder.predict([("old cat .", "red dog ?")])[0]), abs=1e-6)


@pytest.mark.parametrize("options", [{"top_k": 0}, {"top_k": -1}, {"top_k": 1.5}, {"budget_ms": -1}])
def test_options_that_make_no_sense(node: BicrossRanker, cross_folder: Path, options: dict) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        node.run("the cat", [Document(content="x")], **options)
    with pytest.raises(ValueError, match=next(iter(options))):
        BicrossRanker(str(cross_folder), **options)


def test_wrong_types(node: BicrossRanker) -> None:
    with pytest.raises(InputTypeError, match=r"documents\[1\] is a str"):
        node.run("the cat", [Document(content="x"), "y"])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="takes a string"):
        node.run(["the cat"], [])  # type: ignore[arg-type]
    with pytest.raises(InputError, match="must hold a word"):
        node.run(" ", [])
