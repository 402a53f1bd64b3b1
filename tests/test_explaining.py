"""A search that shows its work."""

from __future__ import annotations

import pytest

from bicross import Passage, TwoStageRetriever
from bicross.errors import ConfigurationError
from bicross.explaining import explain
from bicross.stores import ExactStore
from word_models import WordEncoder, WordScorer, corpus


@pytest.fixture(scope="module")
def retriever() -> TwoStageRetriever:
    made = TwoStageRetriever(WordEncoder(), ExactStore(), WordScorer())
    made.index(Passage(text, id=id) for id, text in corpus()["documents"].items())
    return made


QUERY = next(iter(corpus()["queries"].values()))


def test_hits_are_those_of_a_search_with_their_places(retriever: TwoStageRetriever) -> None:
    found = explain(retriever, QUERY, 5, candidates=30)
    result = retriever.search(QUERY, 5, candidates=30)
    assert [placed.hit.passage.id for placed in found.hits] == [hit.passage.id for hit in result]
    assert [placed.rank for placed in found.hits] == [1, 2, 3, 4, 5]
    assert all(placed.rose == placed.hit.stage1_rank - placed.rank for placed in found.hits)
    assert any(placed.rose for placed in found.hits)
    assert all(placed.grounding is not None for placed in found.hits)
    assert len(found.result) == found.result.reranked == 30
    assert set(found.milliseconds) == {"encode", "retrieve", "rerank", "ground"}


def test_misses_are_the_next_ones_and_those_that_fell_out(retriever: TwoStageRetriever) -> None:
    found = explain(retriever, f"{QUERY} zebra the", 5, candidates=30, misses=3)
    order = [hit.passage.id for hit in found.result]
    shown = {placed.hit.passage.id for placed in found.misses}
    fallen = {hit.passage.id for hit in found.result.hits[5:] if hit.stage1_rank <= 5}
    assert set(order[5:8]) <= shown
    assert fallen
    assert len(shown & fallen) == min(3, len(fallen))
    assert [placed.rank for placed in found.misses] == sorted(placed.rank for placed in found.misses)
    last = found.hits[-1].hit.score
    for placed in found.misses:
        assert order[placed.rank - 1] == placed.hit.passage.id
        assert placed.gap == pytest.approx(last - placed.hit.score)
        assert "zebra" in placed.lacking
        assert "the" not in placed.lacking
        assert not any(word in placed.hit.passage.text for word in placed.lacking)


def test_the_first_stage_alone_keeps_its_order(retriever: TwoStageRetriever) -> None:
    found = explain(retriever, QUERY, 5, candidates=30, rerank=False)
    assert [placed.hit.stage1_rank for placed in found.hits] == [1, 2, 3, 4, 5]
    assert all(placed.rose == 0 and placed.grounding is None for placed in found.hits)
    assert found.result.reranked == 0
    assert "ground" not in found.milliseconds


def test_what_the_budget_left_unscored_is_not_compared(retriever: TwoStageRetriever) -> None:
    found = explain(retriever, QUERY, 1, candidates=30, budget_ms=0, misses=20)
    assert found.result.reranked == 0
    assert all(placed.gap is not None for placed in found.misses)
    scored, unscored = retriever.rerank(QUERY, retriever.retrieve(QUERY, 1).hits).hits, found.result.hits[1:]
    from bicross.explaining import _gap

    assert _gap(scored[0], unscored[0]) is None


def test_fewer_passages_than_asked_for(retriever: TwoStageRetriever) -> None:
    found = explain(retriever, QUERY, 100, candidates=10)
    assert len(found.hits) == 60
    assert found.misses == ()
    empty = TwoStageRetriever(WordEncoder(), ExactStore(), WordScorer())
    assert explain(empty, QUERY).hits == ()


@pytest.mark.parametrize("options", [{"misses": -1}, {"misses": True}, {"candidates": 0}, {"top_k": 0}])
def test_senseless_arguments(options, retriever: TwoStageRetriever) -> None:
    with pytest.raises(ConfigurationError):
        explain(retriever, QUERY, **options)
