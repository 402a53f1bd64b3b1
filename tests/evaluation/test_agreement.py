"""Agreement of two orders, against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bicross.evaluation import agreement


def test_tau_b_with_ties_by_hand() -> None:
    # Six pairs. The teacher ties (a, b), the student none: 4 concordant (ac, ad, bc, bd), 1 discordant (cd).
    student, teacher = [[4.0, 3.0, 2.0, 1.0]], [[3.0, 3.0, 1.0, 2.0]]
    by_hand = (4 - 1) / math.sqrt((6 - 0) * (6 - 1))
    assert agreement.kendall_tau(student, teacher)[0] == pytest.approx(by_hand)


@pytest.mark.parametrize(("teacher", "tau"), [([3.0, 2.0, 1.0], 1.0), ([1.0, 2.0, 3.0], -1.0)])
def test_tau_and_spearman_of_equal_and_reversed_orders(teacher: list[float], tau: float) -> None:
    student = [[0.9, 0.5, 0.1]]
    assert agreement.kendall_tau(student, [teacher])[0] == pytest.approx(tau)
    assert agreement.spearman(student, [teacher])[0] == pytest.approx(tau)


def test_a_constant_scorer_has_no_order_and_hides_no_other_query() -> None:
    student = [[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [1.0, 1.0, 1.0]]
    teacher = [[5.0, 5.0, 5.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]]
    for measure in (agreement.kendall_tau, agreement.spearman, agreement.ndcg):
        assert np.isnan(measure(student, teacher)).tolist() == [True, False, True]
    assert np.isnan(agreement.teacher_recall(student, teacher, 1)[:, 0]).tolist() == [True, False, True]


def test_ndcg_with_the_teachers_scores_as_gains_by_hand() -> None:
    # Gains 0.5, 0, 1 in the student's order. DCG = 0.5 + 0 + 1/2; ideal = 1 + 0.5/log2(3).
    value = agreement.ndcg([[3.0, 2.0, 1.0]], [[0.0, -2.0, 2.0]])[0]
    assert value == pytest.approx((0.5 + 1 / 2) / (1 + 0.5 / math.log2(3)))


def test_ndcg_counts_no_more_than_the_cut() -> None:
    assert agreement.ndcg([[3.0, 2.0, 1.0]], [[0.0, 0.0, 1.0]], cut=2)[0] == 0.0


def test_ndcg_by_chance_is_the_mean_over_all_orders() -> None:
    from itertools import permutations

    teacher = np.array([[0.3, -1.2, 4.0, 1.1]])
    means = [
        agreement.ndcg([[float(x) for x in order]], teacher, cut=2)[0] for order in permutations([4.0, 3.0, 2.0, 1.0])
    ]
    assert agreement.ndcg_by_chance(teacher, cut=2)[0] == pytest.approx(np.mean(means))


def test_gains_dont_depend_on_the_scale_of_the_logits() -> None:
    student, teacher = np.array([[4.0, 3.0, 2.0, 1.0]]), np.array([[0.3, -1.2, 4.0, 1.1]])
    assert agreement.ndcg(student, 7 * teacher - 20)[0] == pytest.approx(agreement.ndcg(student, teacher)[0])


def test_overlap_and_where_it_says_nothing() -> None:
    student, teacher = [[5.0, 4.0, 3.0, 2.0, 1.0]], [[1.0, 5.0, 2.0, 4.0, 3.0]]
    assert agreement.overlap(student, teacher, 1)[0] == 0.0
    assert agreement.overlap(student, teacher, 2)[0] == 0.5
    assert np.isnan(agreement.overlap(student, teacher, 5)[0])


def test_recall_of_the_teachers_best_within_the_students_first() -> None:
    student, teacher = [[5.0, 4.0, 3.0, 2.0, 1.0]], [[1.0, 5.0, 2.0, 4.0, 3.0]]
    assert agreement.teacher_recall(student, teacher, top=2)[0].tolist() == [0.0, 0.5, 0.5, 1.0, 1.0]
    assert agreement.teacher_recall(student, teacher, top=10)[0].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_ties_of_the_teacher_keep_the_students_order() -> None:
    assert agreement.teacher_recall([[3.0, 2.0, 1.0]], [[1.0, 1.0, 0.0]], top=1)[0].tolist() == [1.0, 1.0, 1.0]


def test_the_smallest_depth_that_keeps_a_share() -> None:
    curve = [0.2, 0.9, 0.95, 0.95, 0.99, 1.0]
    assert [agreement.smallest_depth(curve, share) for share in (0.2, 0.95, 0.99, 1.0, 1.1)] == [1, 3, 5, 6, None]
    assert agreement.smallest_depth([], 0.95) is None


def test_recall_never_falls_and_ends_at_one() -> None:
    rng = np.random.default_rng(3)
    student, teacher = -np.sort(-rng.normal(size=(7, 40))), rng.normal(size=(7, 40))
    curve = agreement.teacher_recall(student, teacher)
    assert (np.diff(curve, axis=1) >= 0).all()
    assert curve[:, -1].tolist() == pytest.approx([1.0] * 7)


def test_reliability_bins_hold_every_candidate_once() -> None:
    student = [[0.9, 0.8, 0.2, 0.1]]
    bins = agreement.reliability(student, [[4.0, 2.0, 1.0, 0.0]], bins=2)
    assert [(b.similarity, b.teacher, b.count) for b in bins] == [
        (pytest.approx(0.15), pytest.approx(0.5), 2),
        (pytest.approx(0.85), pytest.approx(3.0), 2),
    ]
    assert bins[1].low == pytest.approx(2.2)
    assert bins[1].high == pytest.approx(3.8)


def test_equal_similarities_share_a_bin() -> None:
    bins = agreement.reliability([[0.5, 0.5, 0.5]], [[1.0, 2.0, 3.0]])
    assert [(b.count, b.teacher) for b in bins] == [(3, 2.0)]
    assert agreement.pooled_spearman([[0.5, 0.5, 0.5]], [[1.0, 2.0, 3.0]]) is None
    assert agreement.pooled_spearman([[0.1, 0.2], [0.3, 0.4]], [[1.0, 2.0], [3.0, 5.0]]) == pytest.approx(1.0)
