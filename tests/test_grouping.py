"""Searching documents over passages: each text says what both stages think of it, so that the answers are exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from bicross import ExactStore, Hit, Passage, QdrantStore, SearchResult, TwoStageRetriever
from bicross.errors import ConfigurationError
from bicross.readers import split
from bicross.types import Floats, Ranked


class Spoken:
    """An encoder whose texts begin with their cosine to every query."""

    document_fingerprint = "spoken"

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        return np.array([1.0, 0.0], np.float32)

    def encode_document(self, texts: str | Sequence[str], /) -> Floats:
        given = [texts] if isinstance(texts, str) else texts
        cosines = [float(text.split()[0]) if text[0].isdigit() else 0.0 for text in given]
        rows = np.array([[c, (1 - c * c) ** 0.5] for c in cosines], np.float32)
        return rows[0] if isinstance(texts, str) else rows


class Second:
    """A scorer whose texts hold their score in second place."""

    fingerprint = "second"

    def __init__(self) -> None:
        self.scored = 0

    def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
        self.scored += len(pairs)
        return np.array([float(text.split()[1]) for _, text in pairs], np.float32)

    def rank(self, query: str, texts: Sequence[str], /) -> list[Ranked]:
        scores = self.predict([(query, text) for text in texts])
        return [Ranked(int(i), float(scores[i]), (0, 4)) for i in np.argsort(-scores, kind="stable")]


def piece(document: str, number: int, cosine: float, score: float, **meta: Any) -> Passage:
    text = f"{cosine} {score} {document}"
    place = {"source_id": document, "split_id": number, "split_idx_start": 100 * number}
    return Passage(text, id=f"{document}#{number}", meta=place | {"split_idx_end": 100 * number + len(text)} | meta)


PASSAGES = [
    piece("a", 0, 0.9, 1, lang="en"),
    piece("a", 1, 0.8, 9, lang="de"),
    piece("a", 2, 0.7, 2, lang="en"),
    piece("b", 0, 0.6, 5, lang="en"),
    piece("b", 1, 0.5, 3, lang="de"),
    Passage("0.4 7 c", id="c", meta={"lang": "de"}),
    piece("d", 0, 0.3, 8, lang="en"),
]


@pytest.fixture(params=["exact", "edge"])
def store(request: pytest.FixtureRequest) -> Iterator[ExactStore | QdrantStore]:
    with ExactStore() if request.param == "exact" else QdrantStore(path=":memory:") as made:
        TwoStageRetriever(Spoken(), made).index(PASSAGES, show_progress=False)
        yield made


@pytest.fixture
def both(store: ExactStore) -> TwoStageRetriever:
    return TwoStageRetriever(Spoken(), store, Second())


def ids(result: SearchResult) -> list[str]:
    return [hit.passage.id for hit in result]


def test_a_document_has_the_score_of_its_best_passage(both: TwoStageRetriever) -> None:
    result = both.search("q", group_by="source_id")
    assert ids(result) == ["a#1", "d#0", "c", "b#0"]
    assert [hit.score for hit in result] == [9, 8, 7, 5]
    assert [hit.stage1_rank for hit in result] == [2, 7, 6, 4]
    assert [hit.document_id for hit in result] == ["a", "d", "c", "b"]
    assert [hit.document_span for hit in result] == [(100, 107), (0, 7), (0, 7), (0, 7)]
    assert ids(both.search("q", 2, group_by="source_id")) == ["a#1", "d#0"]
    assert ids(both.search("q", 2, group_by="source_id", group_size=2)) == ["a#1", "d#0", "a#2"]
    assert ids(both.search("q", group_by="lang")) == ["a#1", "d#0"]
    assert ids(both.search("q")) == ["a#1", "d#0", "c", "b#0", "b#1", "a#2", "a#0"]


def test_the_first_stage_alone(store: ExactStore) -> None:
    first = TwoStageRetriever(Spoken(), store)
    for found in (first.search("q", 3, group_by="source_id"), first.retrieve("q", 3, group_by="source_id")):
        assert ids(found) == ["a#0", "b#0", "c"]
        assert [hit.stage1_rank for hit in found] == [1, 2, 3]
    assert ids(first.retrieve("q", 2, group_by="source_id", group_size=2)) == ["a#0", "a#1", "b#0", "b#1"]
    assert ids(first.search("q", 9, group_by="source_id", score_threshold=0.35)) == ["a#0", "b#0", "c"]


def test_candidates_are_passages_and_further_documents_are_added_to_them(both: TwoStageRetriever) -> None:
    result = both.search("q", 3, candidates=3, group_by="source_id")
    assert ids(result) == ["a#1", "c", "b#0"]
    assert result.reranked == both.cross_encoder.scored == 5  # a#0, a#1, a#2; b#0, c
    assert {hit.passage.id: hit.stage1_rank for hit in result} == {"a#1": 2, "b#0": 4, "c": 5}
    enough = both.search("q", 2, candidates=4, group_by="source_id")
    assert (ids(enough), enough.reranked) == (["a#1", "b#0"], 4)
    assert ids(both.search("q", 9, candidates=1, group_by="source_id")) == ["a#1", "d#0", "c", "b#0"]


def test_a_filter_a_threshold_and_context(both: TwoStageRetriever) -> None:
    english = {"field": "lang", "operator": "==", "value": "en"}
    assert ids(both.search("q", group_by="source_id", filter=english)) == ["d#0", "b#0", "a#2"]
    assert ids(both.search("q", 2, candidates=2, group_by="source_id", filter=english)) == ["b#0", "a#2"]
    assert ids(both.search("q", group_by="source_id", score_threshold=8)) == ["a#1", "d#0"]
    near = both.search("q", 1, group_by="source_id", context=1)[0]
    assert [passage.id for passage in near.context] == ["a#0", "a#1", "a#2"]


def test_without_time_documents_keep_the_first_stages_order(both: TwoStageRetriever) -> None:
    result = both.search("q", 3, candidates=3, group_by="source_id", budget_ms=0)
    assert ids(result) == ["a#0", "b#0", "c"]
    assert result.reranked == 0
    under = both.search("q", 3, group_by="source_id", budget_ms=0, score_threshold=0)
    assert (ids(under), under.unscored) == ([], 7)


def test_windows_say_where_in_the_passage(both: TwoStageRetriever) -> None:
    hit = both.search("q", 1, group_by="source_id", windows=True)[0]
    assert (hit.passage.id, hit.span, hit.document_span) == ("a#1", (0, 4), (100, 107))


def test_the_weight_of_the_first_stage_decides_among_passages_too(store: ExactStore) -> None:
    first_alone = TwoStageRetriever(Spoken(), store, Second(), stage1_weight=1.0)
    assert ids(first_alone.search("q", group_by="source_id")) == ["a#0", "b#0", "c", "d#0"]


@pytest.mark.parametrize("call", ["search", "retrieve"])
def test_senseless_arguments(both: TwoStageRetriever, call: str) -> None:
    ask = getattr(both, call)
    with pytest.raises(ConfigurationError, match="group_size=2 needs group_by"):
        ask("q", group_size=2)
    with pytest.raises(ConfigurationError, match="group_size is a whole number from 1; got 0"):
        ask("q", group_by="source_id", group_size=0)
    with pytest.raises(ConfigurationError, match="group_by names a field of meta"):
        ask("q", group_by="id")


@pytest.mark.parametrize(
    ("meta", "expected"),
    [
        ({}, ("p", (0, 4))),
        ({"source_id": "doc"}, ("doc", None)),
        ({"source_id": 7, "split_idx_start": 30}, ("7", (30, 34))),  # Haystack's splitters note no end
        ({"source_id": "doc", "split_idx_start": 30, "split_idx_end": 35}, ("doc", (30, 35))),
        ({"start_index": 12}, ("p", (12, 16))),  # LangChain's
        ({"source_id": ["a"], "split_idx_start": "30"}, ("p", None)),
    ],
)
def test_where_a_hit_is_in_its_document(meta: dict[str, Any], expected: tuple[str, Any]) -> None:
    hit = Hit(Passage("text", id="p", meta=meta), 1.0)
    assert (hit.document_id, hit.document_span) == expected


def test_the_span_of_a_split_passage_is_its_text_in_the_document(bi_encoder: Any) -> None:
    document = Passage("\n\n".join(f"The cat sits on stone {n}. It eats fish." for n in range(20)), id="doc", title="T")
    pieces = split([document, Passage("short", id="s")], limit=24, count_tokens=bi_encoder.count_tokens)
    assert len(pieces) > 5
    for passage in pieces:
        hit = Hit(passage, 0.0)
        start, end = hit.document_span or (0, 0)
        whole = document if hit.document_id == "doc" else Passage("short")
        assert whole.text[start:end] == passage.text
