from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bicross.errors import InputError
from bicross.evaluation.statistics import bootstrap_interval, paired_test


def test_the_interval_is_that_of_the_normal_law_where_it_holds() -> None:
    values = np.random.default_rng(0).random(2000)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / np.sqrt(len(values))
    assert low == pytest.approx(values.mean() - half, abs=5e-4)
    assert high == pytest.approx(values.mean() + half, abs=5e-4)
    narrow = bootstrap_interval(values, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high
    assert bootstrap_interval(values) == (low, high)


def test_the_interval_of_what_does_not_vary_is_a_point() -> None:
    assert bootstrap_interval([0.25]) == (0.25, 0.25)
    assert bootstrap_interval([1, 1, 1]) == (1.0, 1.0)
    with pytest.raises(InputError, match="at least one number"):
        bootstrap_interval([])


def test_the_p_value_is_that_of_every_sign_flip() -> None:
    rng = np.random.default_rng(1)
    a = rng.random(12)
    b = a + rng.normal(0.05, 0.1, 12)
    # All 4,096 flips, by another implementation.
    exact = stats.permutation_test((b - a,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue
    found = paired_test(a, b)
    assert found.p_value == pytest.approx(exact, abs=0.015)
    assert found.difference == pytest.approx((b - a).mean())
    assert found.interval == bootstrap_interval(b - a)
    assert (found.better, found.worse) == (int((b > a).sum()), int((b < a).sum()))


def test_ties_that_only_rounding_divides_count_as_equal() -> None:
    # Every flip of one difference has the same distance from 0.
    assert paired_test([0.1], [0.4]).p_value == 1.0
    # Four equal differences: 2 of 16 flips reach as far.
    assert paired_test([0.1] * 4, [0.4] * 4).p_value == pytest.approx(2 / 16, abs=0.015)
    assert paired_test([0.3, 0.2], [0.3, 0.2]).p_value == 1.0


def test_clear_differences_are_clear_and_chance_is_not() -> None:
    rng = np.random.default_rng(2)
    a = rng.random(300)
    assert paired_test(a, a + 0.1 + rng.normal(0, 0.1, 300)).p_value == pytest.approx(1e-4)
    values = [paired_test(x := rng.random(40), x + rng.normal(0, 0.1, 40), seed=seed).p_value for seed in range(60)]
    assert 0.3 < np.mean(values) < 0.7
    with pytest.raises(InputError, match="same queries twice, got 1 and 2"):
        paired_test([1.0], [1.0, 2.0])
