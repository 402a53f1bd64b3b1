from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bicross import ranking
from bicross.ranking import (
    Pace,
    exact_top_k,
    marginal_relevance,
    order,
    pair_costs,
    scaled,
    weighted_sum,
    weighted_sums,
)
from bicross.types import Hit, Passage

finite = st.floats(-20, 20, allow_nan=False, width=32)


@given(st.lists(st.tuples(finite, finite), min_size=1, max_size=30))
def test_the_weight_goes_from_one_stage_to_the_other(pairs: list[tuple[float, float]]) -> None:
    cross, first = map(np.array, zip(*pairs, strict=True))
    assert weighted_sum(cross, first, 0.0).tolist() == cross.tolist()
    last = weighted_sum(cross, first, 1.0)
    if cross.std() > 1e-3 and first.std() > 1e-3:
        i, j = int(np.argmax(first)), int(np.argmin(first))
        assert last[i] > last[j]
        assert last.mean() == pytest.approx(cross.mean(), abs=1e-4)
        assert last.std() == pytest.approx(cross.std(), rel=1e-3)


def test_the_sum_orders_as_z_scores_do() -> None:
    rng = np.random.default_rng(0)
    cross, first = rng.normal(3, 5, 50), rng.uniform(0.2, 0.8, 50)
    z = [(x - x.mean()) / x.std() for x in (cross, first)]
    assert np.argsort(weighted_sum(cross, first, 0.3)).tolist() == np.argsort(0.7 * z[0] + 0.3 * z[1]).tolist()


def test_one_candidate_and_equal_candidates_keep_their_score() -> None:
    assert weighted_sum([2.5], [0.7], 0.5).tolist() == [2.5]
    assert weighted_sum([1.0, 3.0], [0.5, 0.5], 0.5).tolist() == [1.5, 2.5]
    assert weighted_sum([], [], 0.5).tolist() == []


def hit(id: str, score: float, rank: int, rerank: float | None) -> Hit:
    return Hit(Passage("x", id=id), score, 0.5, rank, rerank)


def test_unscored_hits_stand_behind_in_the_given_order() -> None:
    hits = [hit("a", -1.0, 1, -1.0), hit("b", 2.0, 2, 2.0), hit("d", 8.0, 3, None), hit("c", 9.0, 4, None)]
    assert [each.passage.id for each in order(hits)] == ["b", "a", "d", "c"]


def test_ties_keep_the_given_order() -> None:
    hits = [hit("z", 1.0, 1, 1.0), hit("b", 1.0, 2, 1.0), hit("a", 1.0, 3, 1.0)]
    assert [each.passage.id for each in order(hits)] == ["z", "b", "a"]


def test_the_pace_is_learnt_and_keeps_within_the_time() -> None:
    pace = Pace()
    costs = np.full(100, 10.0)
    assert pace.affordable(costs, 50) == 2
    assert pace.affordable(costs, 0) == 0
    pace.learn(costs[:2], 20)  # 1 ms a token
    assert pace.affordable(costs, 100) == 8
    assert pace.affordable(costs, 5) == 0
    assert pair_costs("a" * 8, ["b" * 12, "c" * 9_000], 256).tolist() == [8.0, 256.0]


def test_marginal_relevance_goes_from_diversity_to_nearness() -> None:
    rows = np.array([[1.0, 0.0], [0.99, 0.01], [0.8, 0.6], [0.0, 2.0]])
    query = np.array([3.0, 0.1])
    by_nearness = np.argsort(-(rows @ query) / np.linalg.norm(rows, axis=1), kind="stable").tolist()
    assert marginal_relevance(query, rows, 4, 1.0) == by_nearness
    assert marginal_relevance(query, rows, 2, 0.0) == [by_nearness[0], 3]
    assert marginal_relevance(query, rows, 9, 0.5)[0] == by_nearness[0]
    assert sorted(marginal_relevance(query, rows, 9, 0.5)) == [0, 1, 2, 3]
    assert marginal_relevance(query, np.empty((0, 2)), 3, 0.5) == []


def test_marginal_relevance_takes_the_first_of_equals_and_a_zero_vector() -> None:
    assert marginal_relevance([1.0, 0.0], [[2.0, 0.0], [1.0, 0.0], [0.0, 0.0]], 3, 0.5) == [0, 1, 2]
    assert marginal_relevance([0.0, 0.0], [[1.0, 0.0], [0.0, 1.0]], 2, 0.5) == [0, 1]


@given(st.lists(st.floats(-1.01, 1.01), min_size=2))
def test_scaled_scores_are_from_0_to_1_and_keep_the_order(scores: list[float]) -> None:
    for distance, factor in (("cosine", 1.0), ("dot", 1e6)):
        found = [scaled(score * factor, distance) for score in sorted(scores)]
        assert found == sorted(found)
        assert all(0.0 <= value <= 1.0 for value in found)


def test_top_k_equals_sorting_everything_whatever_the_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    # Few distinct values: many ties, which keep the documents' order.
    queries, documents = (rng.integers(-2, 3, size=(n, 4)).astype(np.float32) for n in (7, 50))
    scores = queries @ documents.T
    order = np.argsort(-scores, axis=1, kind="stable")[:, :9]
    monkeypatch.setattr(ranking, "_SCORED_AT_ONCE", 150)
    positions, found = exact_top_k(queries, documents, 9)
    assert np.array_equal(positions, order)
    assert np.array_equal(found, np.take_along_axis(scores, order, axis=1))
    assert exact_top_k(queries, documents[:5], 9)[0].shape == (7, 5)


def test_weighted_sums_by_hand() -> None:
    first, cross = np.array([[0.9, 0.7, 0.5]] * 2, np.float32), np.array([[0.0, 6.0, 3.0]] * 2, np.float32)
    # Both have three evenly spaced values: the first stage's, on the second's scale, are 6, 3 and 0.
    assert weighted_sums(first, cross, 0.5) == pytest.approx(np.array([[3.0, 4.5, 1.5]] * 2), abs=1e-6)
    assert weighted_sums(first[:0], cross[:0], 0.5).shape == (0, 3)
