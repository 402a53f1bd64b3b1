from __future__ import annotations

import numpy as np
import pytest

from bicross.evaluation.thresholds import recommend_threshold


def judged(tops: list[tuple[float, bool]]):
    """A run of one hit for each query, and the judgments of it."""
    run = {f"q{i}": {f"d{i}": score, "other": score - 9.0} for i, (score, _) in enumerate(tops)}
    qrels = {f"q{i}": {f"d{i}" if relevant else "missed": 1} for i, (_, relevant) in enumerate(tops)}
    return run, qrels


def test_the_threshold_divides_what_can_be_divided() -> None:
    # 20 relevant at 5, 12 others at 1, and 4 others at 7.
    run, qrels = judged([(5.0, True)] * 20 + [(1.0, False)] * 12 + [(7.0, False)] * 4)
    found = recommend_threshold(run, qrels, "logit")
    assert found is not None
    assert (found.score, found.unit, found.queries) == (5.0, "logit", 36)
    assert found.precision == pytest.approx(20 / 24)
    assert (found.recall, found.rejected) == (1.0, pytest.approx(12 / 16))
    assert found.without == pytest.approx(20 / 36)
    assert found.auc == pytest.approx(12 / 16)
    assert str(found) == (
        "score_threshold 5 (logit): of the first hits that reach it 83% are relevant (56% of all are); it keeps 100% "
        "of the relevant ones and drops 75% of the others"
    )


def test_no_other_threshold_has_a_larger_j() -> None:
    rng = np.random.default_rng(3)
    tops = [(float(rng.normal(1.0)), True) for _ in range(60)] + [(float(rng.normal(0.0)), False) for _ in range(50)]
    found = recommend_threshold(*judged(tops), "logit")
    assert found is not None

    def j(threshold: float) -> float:
        kept = [relevant for score, relevant in tops if score >= threshold]
        return sum(kept) / 60 - (len(kept) - sum(kept)) / 50

    assert j(found.score) == pytest.approx(max(j(score) for score, _ in tops))
    assert found.recall - (1 - found.rejected) == pytest.approx(j(found.score))


def test_none_where_it_can_not_be_told() -> None:
    few = judged([(5.0, True)] * 20 + [(1.0, False)] * 9)
    assert recommend_threshold(*few, "logit") is None
    rng = np.random.default_rng(0)
    alike = judged([(float(rng.normal()), bool(i % 2)) for i in range(60)])
    assert recommend_threshold(*alike, "logit") is None
    reversed_ = judged([(1.0, True)] * 20 + [(5.0, False)] * 20)
    assert recommend_threshold(*reversed_, "logit") is None
    assert recommend_threshold({}, {"q": {"d": 1}}, "logit") is None
