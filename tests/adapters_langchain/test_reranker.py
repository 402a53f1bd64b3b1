from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

from bicross import BiEncoder, CrossEncoder
from bicross.errors import ConfigurationError, InputError, InputTypeError
from bicross.langchain import BicrossCrossEncoder, BicrossReranker, RerankerScorer
from bicross.types import Floats, Ranked
from tiny_models import write_cross_encoder

QUERY = "the cat sleeps"
DOCUMENTS = [
    Document(page_content=f"the {name} is near the old tree", metadata={"place": i}, id=name)
    for i, name in enumerate(["dog", "cat", "bird", "fish", "house"])
]


class LengthScorer:
    fingerprint = "length"

    def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
        return np.array([-len(text) for _, text in pairs], np.float32)

    def rank(self, query: str, texts: Sequence[str], /) -> list[Ranked]:
        raise NotImplementedError


def test_documents_come_in_the_models_order(cross_encoder: CrossEncoder) -> None:
    expected = cross_encoder.rank(QUERY, [document.page_content for document in DOCUMENTS])
    found = BicrossReranker(model=cross_encoder, top_n=None).compress_documents(DOCUMENTS, QUERY)
    assert [document.id for document in found] == [DOCUMENTS[item.index].id for item in expected]
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == pytest.approx([item.score for item in expected], abs=1e-6)
    assert {type(score) for score in scores} == {float}


def test_a_tasks_instruction(cross_folder: Path, cross_encoder: CrossEncoder) -> None:
    texts = [document.page_content for document in DOCUMENTS]
    expected = cross_encoder.rank(QUERY, texts, prompt="every old ")
    found = BicrossReranker(model=str(cross_folder), prompt="every old ", top_n=None).compress_documents(
        DOCUMENTS, QUERY
    )
    scores = [document.metadata["relevance_score"] for document in found]
    assert scores == pytest.approx([item.score for item in expected], abs=1e-6)
    with pytest.raises(ValidationError, match="prompt belongs to a model that is named"):
        BicrossReranker(model=cross_encoder, prompt="every old ")


def test_the_callers_documents_stay_as_they_were(cross_encoder: CrossEncoder) -> None:
    before = [document.model_copy(deep=True) for document in DOCUMENTS]
    found = BicrossReranker(model=cross_encoder).compress_documents(tuple(DOCUMENTS), QUERY)
    assert before == DOCUMENTS
    assert len(found) == 3
    assert all("place" in document.metadata for document in found)


def test_top_n_and_threshold() -> None:
    documents = [Document(page_content="x" * n) for n in (3, 1, 2, 0)]
    ranked = BicrossReranker(model=LengthScorer(), top_n=2).compress_documents(documents, QUERY)
    assert [document.page_content for document in ranked] == ["", "x"]
    kept = BicrossReranker(model=LengthScorer(), top_n=None, score_threshold=-1.0).compress_documents(documents, QUERY)
    assert [document.metadata["relevance_score"] for document in kept] == [0.0, -1.0]
    zero = BicrossReranker(model=LengthScorer(), top_n=None, score_threshold=0.0).compress_documents(documents, QUERY)
    assert [document.page_content for document in zero] == [""]


def test_without_time_the_order_stays_and_nothing_has_a_score() -> None:
    reranker = BicrossReranker(model=LengthScorer(), budget_ms=0, top_n=None)
    found = reranker.compress_documents(DOCUMENTS, QUERY)
    assert [document.id for document in found] == [document.id for document in DOCUMENTS]
    assert {document.metadata["relevance_score"] for document in found} == {None}
    reranker = BicrossReranker(model=LengthScorer(), budget_ms=0, score_threshold=-100.0)
    assert reranker.compress_documents(DOCUMENTS, QUERY) == []


def test_windows_say_where_the_best_one_is(cross_encoder: CrossEncoder) -> None:
    long = Document(page_content="the dog runs on the old river near the stone " * 30 + "the cat sleeps")
    found = BicrossReranker(model=cross_encoder, windows=True).compress_documents([long], QUERY)
    start, end = found[0].metadata["span"]
    assert 0 <= start < end <= len(long.page_content)
    assert "span" not in BicrossReranker(model=cross_encoder).compress_documents(DOCUMENTS, QUERY)[0].metadata


def test_the_title_is_read_where_it_is_named(cross_encoder: CrossEncoder) -> None:
    titled = Document(page_content="is near the tree", metadata={"heading": "the cat"})
    found = BicrossReranker(model=cross_encoder, title_key="heading").compress_documents([titled], QUERY)
    expected = cross_encoder.predict([(QUERY, "the cat is near the tree")])[0]
    assert found[0].metadata["relevance_score"] == pytest.approx(float(expected), abs=1e-6)


def test_equal_documents_are_all_kept(cross_encoder: CrossEncoder) -> None:
    twice = [DOCUMENTS[0], DOCUMENTS[0], Document(page_content=DOCUMENTS[0].page_content)]
    assert len(BicrossReranker(model=cross_encoder).compress_documents(twice, QUERY)) == 3


def test_the_asynchronous_twin_gives_the_same(cross_encoder: CrossEncoder) -> None:
    reranker = BicrossReranker(model=cross_encoder)
    found = asyncio.run(reranker.acompress_documents(DOCUMENTS, QUERY))
    assert found == reranker.compress_documents(DOCUMENTS, QUERY)


def test_pairs_get_the_models_scores(cross_encoder: CrossEncoder) -> None:
    pairs = [(QUERY, "the cat"), (QUERY, "the dog")]
    scores = BicrossCrossEncoder(model=cross_encoder).score(pairs)
    assert scores == pytest.approx(cross_encoder.predict(pairs).tolist(), abs=1e-6)
    assert {type(score) for score in scores} == {float}
    assert BicrossCrossEncoder(model=cross_encoder).score([]) == []


def test_wrong_arguments_are_refused(bi_encoder: BiEncoder, cross_encoder: CrossEncoder, tmp_path) -> None:
    with pytest.raises(ValidationError, match=r"BiEncoder.*BicrossEmbeddings"):
        BicrossReranker(model=bi_encoder)
    with pytest.raises(ValidationError, match="Extra inputs"):
        BicrossReranker(model=cross_encoder, top_k=3)
    with pytest.raises(ValidationError, match="greater than 0"):
        BicrossReranker(model=cross_encoder, top_n=0)
    with pytest.raises(InputTypeError, match="documents\\[1\\]"):
        BicrossReranker(model=cross_encoder).compress_documents([DOCUMENTS[0], "text"], QUERY)  # type: ignore[list-item]
    with pytest.raises(InputTypeError, match="sequence, got str"):
        BicrossReranker(model=cross_encoder).compress_documents("text", QUERY)  # type: ignore[arg-type]
    assert BicrossReranker(model="nothing/here").compress_documents([], QUERY) == []
    two = write_cross_encoder(tmp_path / "two", labels=2)
    with pytest.raises(ConfigurationError, match="one label, got 2"):
        BicrossCrossEncoder(model=str(two)).score([("a", "b")])


def test_langchains_rerankers_serve_as_scorers(cross_encoder: CrossEncoder) -> None:
    pairs = [(QUERY, "the cat"), ("a red fish", "the dog"), (QUERY, "the dog")]
    expected = cross_encoder.predict(pairs)
    for reranker in (BicrossCrossEncoder(model=cross_encoder), BicrossReranker(model=cross_encoder, top_n=None)):
        scorer = RerankerScorer(reranker)
        assert np.allclose(scorer.predict(pairs), expected, atol=1e-6)
        ranked = scorer.rank(QUERY, ["the cat", "the dog"])
        assert [item.score for item in ranked] == sorted((item.score for item in ranked), reverse=True)
    with pytest.raises(InputError, match="no score for 1 of 2 from BicrossReranker"):
        RerankerScorer(BicrossReranker(model=cross_encoder, top_n=1)).predict([(QUERY, "a"), (QUERY, "b")])
