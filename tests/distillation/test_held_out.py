from __future__ import annotations

import math

import ir_measures
import numpy as np
import pytest

from bicross.distillation.held_out import Reranked, choose_weight, ndcg_at_10, split_held_out, weight_curve
from bicross.distillation.labels import LabelledQuery, Labels
from bicross.errors import ConfigurationError


def test_ndcg_equals_ir_measures() -> None:
    rng = np.random.default_rng(1)
    scores, gains = rng.normal(size=(20, 30)), (rng.random((20, 30)) < 0.1).astype(np.float32)
    relevant = gains.sum(axis=1).astype(np.int64) + 1  # one relevant document wasn't found
    qrels = [ir_measures.Qrel(str(q), f"d{d}", 1) for q in range(20) for d in range(30) if gains[q, d]]
    qrels += [ir_measures.Qrel(str(q), "missing", 1) for q in range(20)]
    run = [ir_measures.ScoredDoc(str(q), f"d{d}", scores[q, d]) for q in range(20) for d in range(30)]
    wanted = {row.query_id: row.value for row in ir_measures.iter_calc([ir_measures.nDCG @ 10], qrels, run)}
    assert ndcg_at_10(scores, gains, relevant) == pytest.approx([wanted[str(q)] for q in range(20)], abs=1e-6)


def test_the_curve_and_the_choice() -> None:
    one = Reranked(
        "s",
        np.array([[2.0, 1.0]], np.float32),
        np.array([[0.0, 4.0]], np.float32),
        np.array([[0.0, 1.0]], np.float32),
        np.array([1]),
    )
    curve = weight_curve([one])
    assert curve[0.0]["s"] == 1.0
    assert curve[1.0]["s"] == pytest.approx(1 / math.log2(3))
    assert choose_weight(curve) == 0.45  # the largest of the best: the stages cancel out at 0.5
    assert choose_weight(curve, tolerance=0.5) == 1.0


def articles(*sizes: int) -> Labels:
    """Queries of articles, so many of each."""
    queries = {f"{a}-{i}": LabelledQuery(f"q {a} {i}", (f"d{a}-{i}",)) for a, n in enumerate(sizes) for i in range(n)}
    documents = {query.positives[0]: query.text for query in queries.values()}
    return Labels("toy", documents, queries, {d: d.partition("-")[0] for d in documents})


@pytest.mark.parametrize("seed", range(8))
def test_a_large_article_stays_whole_in_training(seed: int) -> None:
    train, held = split_held_out(articles(100, *[1] * 30), 10, seed=seed)
    assert len(held.queries) == 10
    assert len(train.queries) == 120


def test_the_smallest_of_large_articles_is_held_out() -> None:
    train, held = split_held_out(articles(60, 40, 80), 10, seed=0)
    assert {query.partition("-")[0] for query in train.queries} == {"0", "2"}
    assert len(held.queries) == 10
    with pytest.raises(ConfigurationError, match=r"form 1 articles. Hold out fewer, or bring"):
        split_held_out(articles(40), 10, seed=0)
