"""Quality over depth, weights, budgets, and the line through timed calls."""

from __future__ import annotations

import numpy as np
import pytest

from bicross.evaluation import depth, timing
from bicross.evaluation.advice import advised_depth, advised_weight
from bicross.evaluation.findings import Kept

FIRST = np.array([[4.0, 3.0, 2.0, 1.0]])
CROSS = np.array([[0.0, 5.0, 1.0, 9.0]])


def relevant_last(order: np.ndarray) -> np.ndarray:
    """1 where the fourth candidate stands first."""
    return (order[:, 0] == 3).astype(np.float64)


@pytest.mark.parametrize(
    ("reranked", "order"), [(0, [0, 1, 2, 3]), (2, [1, 0, 2, 3]), (3, [1, 2, 0, 3]), (4, [3, 1, 2, 0])]
)
def test_what_isnt_reranked_stays_behind(reranked: int, order: list[int]) -> None:
    assert depth.final_order(FIRST, CROSS, 0.0, reranked)[0].tolist() == order


def test_weight_one_is_the_first_stages_order_at_every_depth() -> None:
    for reranked in range(5):
        assert depth.final_order(FIRST, CROSS, 1.0, reranked)[0].tolist() == [0, 1, 2, 3]


def test_agreement_with_the_deepest_is_one_at_the_deepest_and_depths_end_there() -> None:
    rng = np.random.default_rng(1)
    first, cross = -np.sort(-rng.normal(size=(5, 30))), rng.normal(size=(5, 30))
    points = depth.depth_points(first, cross, 0.4, depth.depths_to(30), timing=None, judge=None, seed=0)
    assert [point.depth for point in points] == [0, 10, 20, 30]
    assert points[-1].agreement == pytest.approx(1.0)
    assert all(point.agreement is not None and point.agreement <= 1.0 for point in points)
    assert points[0].ndcg is None


def test_with_the_cross_encoder_alone_each_deeper_order_is_nearer_to_the_deepest() -> None:
    rng = np.random.default_rng(2)
    first, cross = -np.sort(-rng.normal(size=(20, 60))), rng.normal(size=(20, 60))
    points = depth.depth_points(first, cross, 0.0, depth.depths_to(60)[1:], timing=None, judge=None, seed=0)
    values = [point.agreement for point in points]
    assert values == sorted(values)


def test_the_judges_values_and_the_time_go_into_the_points() -> None:
    pace = timing.Timing(first_stage=5.0, fixed=2.0, per_pair=0.5, timed=[], queries=1)
    points = depth.depth_points(FIRST, CROSS, 0.0, [0, 4], timing=pace, judge=relevant_last, seed=0)
    assert [(p.ndcg, p.low, p.high, p.milliseconds) for p in points] == [(0.0, 0.0, 0.0, 5.0), (1.0, 1.0, 1.0, 9.0)]


def test_what_a_budget_buys() -> None:
    pace = timing.Timing(first_stage=48.0, fixed=1.0, per_pair=0.5, timed=[], queries=1)
    bought = depth.budgets(FIRST, CROSS, 0.0, pace, relevant_last)
    assert [(b.milliseconds, b.depth, b.ndcg) for b in bought] == [(50.0, 2, 0.0), (150.0, 4, 1.0), (500.0, 4, 1.0)]
    slow = timing.Timing(first_stage=60.0, fixed=1.0, per_pair=0.5, timed=[], queries=1)
    assert depth.budgets(FIRST, CROSS, 0.0, slow, None)[0] == depth.Budget(50.0, None, None, None)


@pytest.mark.parametrize(
    ("timed", "line"),
    [
        ([(1, 3.0), (11, 23.0)], (1.0, 2.0)),
        ([(10, 20.0)], (0.0, 2.0)),
        ([(1, 5.0), (10, 1.0)], (0.0, 0.1)),  # the machine was busy with something else: no negative cost of a pair
    ],
)
def test_the_line_through_timed_calls(timed: list[tuple[int, float]], line: tuple[float, float]) -> None:
    assert timing._line(timed) == pytest.approx(line)


def test_timing_scores_each_size_for_each_query_and_warms_up_first() -> None:
    calls: list[int] = []
    found: list[str] = []
    pace = timing.time_stages(
        found.append, lambda pairs: calls.append(len(pairs)), ["a", "b"], [["x"] * 20, ["y"] * 20]
    )
    assert calls == [1, 1, 1, 10, 10, 20, 20]
    assert found == ["a", "a", "b"]
    assert [pairs for pairs, _ in pace.timed] == [1, 10, 20]
    assert pace.queries == 2


def test_the_smallest_depth_by_judgments_keeps_a_share_of_the_best_not_of_the_deepest() -> None:
    points = [depth.DepthPoint(d, None, None, ndcg) for d, ndcg in [(0, 0.9), (10, 0.5), (20, 0.6), (30, 0.4)]]
    assert depth.smallest_point(points, 0.99) == 20
    assert depth.smallest_point(points, 0.8) == 10
    assert depth.smallest_point([depth.DepthPoint(0, None, None, 0.9)], 0.9) is None


def test_a_depth_that_is_surely_worse_is_not_recommended_whatever_share_it_keeps() -> None:
    kept = {"cross_encoder": Kept(300, 700), "final": Kept(60, 90)}
    rows = [(0, 0.5, 0.4), (10, 0.9, 0.0), (50, 0.98, 0.01), (100, 0.97, 0.0), (200, 1.0, 0.0)]
    points = [depth.DepthPoint(d, None, None, ndcg, behind_best=behind) for d, ndcg, behind in rows]
    assert advised_depth(kept, points)[0] == 100
    assert advised_depth(kept, [])[0] == 60
    assert advised_depth({"cross_encoder": Kept(7, 8), "final": Kept(7, 8)}, [])[0] == 10
    assert advised_depth({"cross_encoder": Kept(None, None), "final": Kept(None, None)}, [])[0] is None


def test_how_far_a_depth_is_behind_the_best_is_measured_query_by_query() -> None:
    # Each query gains the same 0.1: the interval of the gain is a point, however far the queries lie apart.
    first = np.array([[4.0, 3.0, 2.0, 1.0]] * 3)
    levels = np.array([0.1, 0.5, 0.9])

    def judge(order: np.ndarray) -> np.ndarray:
        return levels - 0.1 * (order[:, 0] != 3)

    points = depth.depth_points(first, np.repeat(CROSS, 3, axis=0), 0.0, [2, 4], timing=None, judge=judge, seed=0)
    assert points[0].behind_best == pytest.approx(0.1)
    assert points[1].behind_best == 0.0


def test_a_weight_is_recommended_only_where_it_is_surely_better() -> None:
    rng = np.random.default_rng(0)
    base = rng.uniform(0.3, 0.6, size=40)
    sure = np.array([base, base + 0.2])
    assert advised_weight([0.0, 0.5], sure, 0.0, 0)[0] == 0.5
    noise = np.array([base, base + rng.normal(0, 0.3, size=40) - 0.0])
    unsure = noise if noise[1].mean() > noise[0].mean() else noise[::-1]
    weight, reason = advised_weight([0.0, 0.5], unsure, 0.0, 0)
    assert weight == 0.0
    assert "chance" in reason
    assert advised_weight([0.0, 0.5], sure[::-1], 0.0, 0)[0] == 0.0
