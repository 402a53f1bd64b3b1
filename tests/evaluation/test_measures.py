from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest

from bicross.errors import ConfigurationError
from bicross.evaluation.measures import DEFAULT_MEASURES, calculate, deepest_cutoff, parse_measures

QRELS = {"q1": {"a": 2, "b": 1, "c": 0}, "q2": {"d": 1}, "q3": {"e": 3, "f": 1}}
RUN = {"q1": {"x": 9.0, "b": 8.0, "c": 7.0, "a": 6.0}, "q3": {"e": 0.5}}


def test_the_values_are_those_worked_out_by_hand() -> None:
    found = calculate(parse_measures([*DEFAULT_MEASURES, "P@2", "nDCG@2"]), QRELS, RUN)
    # q1: gains 0 1 0 2 against 2 1. q2: no results. q3: gains 3 against 3 1.
    first = (1 / math.log2(3) + 2 / math.log2(5)) / (2 + 1 / math.log2(3))
    third = 3 / (3 + 1 / math.log2(3))
    assert found["nDCG@10"].tolist() == pytest.approx([first, 0.0, third])
    assert found["RR@10"].tolist() == [0.5, 0.0, 1.0]
    assert found["R@100"].tolist() == [1.0, 0.0, 0.5]
    assert found["AP@100"].tolist() == pytest.approx([(1 / 2 + 2 / 4) / 2, 0.0, 1 / 2])
    assert found["Judged@10"].tolist() == [0.75, 0.0, 1.0]
    assert found["P@2"].tolist() == [0.5, 0.0, 0.5]
    assert found["nDCG@2"].tolist() == pytest.approx([(1 / math.log2(3)) / (2 + 1 / math.log2(3)), 0.0, third])


def test_the_values_are_those_of_ir_measures_on_its_own() -> None:
    rng = np.random.default_rng(0)
    names = [f"d{i}" for i in range(60)]
    qrels = {f"q{q}": {d: int(rng.integers(0, 4)) for d in rng.choice(names, 12, replace=False)} for q in range(15)}
    run = {}
    for query_id in list(qrels)[:-2]:
        scores = np.sort(rng.random(30))[::-1].tolist()
        run[query_id] = dict(zip(rng.choice(names, 30, replace=False).tolist(), scores, strict=True))
    measures = parse_measures(["nDCG@10", "AP@20", "R@20", "RR@5", "Judged@10"])
    wanted = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    found = calculate(measures, qrels, run)
    assert {name: values.mean() for name, values in found.items()} == pytest.approx(
        {name: wanted[measure] for name, measure in measures.items()}
    )


def test_equal_scores_are_measured_as_trec_eval_does_for_every_measure() -> None:
    names = ["RR@10", "P@1", "Success@1", "nDCG@1", "Judged@1"]
    for run in ({"b": 1.0, "z": 1.0, "a": 0.5}, {"z": 1.0, "b": 1.0, "a": 0.5}):
        found = calculate(parse_measures(names), {"q": {"z": 1}}, {"q": run})
        assert {name: values.tolist() for name, values in found.items()} == {name: [1.0] for name in names}
        found = calculate(parse_measures(names), {"q": {"b": 1}}, {"q": run})
        assert found["RR@10"].tolist() == [0.5]
        assert found["P@1"].tolist() == [0.0]


def test_where_scores_do_not_fall_the_order_counts() -> None:
    """Distances: the nearest comes first."""
    found = calculate(parse_measures(["RR@10"]), {"q": {"near": 1}}, {"q": {"near": 0.1, "far": 0.9}})
    assert found["RR@10"].tolist() == [1.0]


def test_two_names_of_one_measure_both_get_its_values() -> None:
    found = calculate(parse_measures(["R@10", "Recall@10"]), QRELS, RUN)
    assert found["R@10"].tolist() == found["Recall@10"].tolist() == [1.0, 0.0, 0.5]


@pytest.mark.parametrize("name", ["ndcg@10", "nDCG@x", "nDCG@0", "R@-1", "R", "", "alpha_nDCG@10"])
def test_a_measure_that_can_not_be_computed_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"ir-measures can compute here, such as nDCG@10.*got "):
        parse_measures([name])


def test_measures_come_as_a_list() -> None:
    with pytest.raises(ConfigurationError, match="must be a list of names"):
        parse_measures("nDCG@10")
    assert deepest_cutoff(parse_measures(["nDCG@10", "R@100", "AP"])) == 100
    assert deepest_cutoff(parse_measures(["AP"])) == 1
