"""`gap_report`: its figures, what it says of odd input, and that a kill costs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bicross import BiEncoder, CrossEncoder
from bicross.errors import ConfigurationError, InputError
from bicross.evaluation import gap_report, load_dataset
from bicross.evaluation.findings import GapReport
from tiny_data import write_beir
from word_models import WordEncoder, WordScorer, corpus

pytestmark = pytest.mark.long


class Constant(WordScorer):
    fingerprint = "constant"

    def score(self, query: str, text: str) -> float:
        return 1.0


class Broken(WordScorer):
    """NaN for one text."""

    fingerprint = WordScorer.fingerprint

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text

    def score(self, query: str, text: str) -> float:
        return float("nan") if text == self.text else super().score(query, text)


def report(data=None, scorer=None, **options) -> GapReport:
    options = {"timing": False, "pool": 40, "candidates": 20} | options
    return gap_report(WordEncoder(), scorer or WordScorer(), corpus() if data is None else data, **options)


def test_the_figures_are_those_of_the_two_orders_sorted_by_hand() -> None:
    data = corpus()
    found = report(data, exhaustive=True)
    encoder, scorer = WordEncoder(), WordScorer()
    ids = list(data["documents"])
    vectors = encoder.encode_document(list(data["documents"].values()))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for figures, text in zip(found.per_query, data["queries"].values(), strict=True):
        query = encoder.encode_query(text)
        similarity = vectors @ (query / np.linalg.norm(query))
        student = sorted(ids, key=lambda i: -similarity[ids.index(i)])
        teacher = sorted(student, key=lambda i: -scorer.score(text, data["documents"][i]))
        within = len(set(teacher[:10]) & set(student[:20])) / 10
        assert figures.recall_in_candidates == pytest.approx(within)
        reranked = sorted(student[:20], key=lambda i: -scorer.score(text, data["documents"][i]))
        assert figures.top10 == pytest.approx(len(set(reranked[:10]) & set(student[:10])) / 10)
        assert figures.top1 == float(reranked[0] == student[0])


class Backwards(WordScorer):
    name = "backwards"
    fingerprint = "backwards-1"

    def score(self, query: str, text: str) -> float:
        return -super().score(query, text)


def test_other_scorers_are_compared_with_the_same_teacher(tmp_path: Path) -> None:
    data = corpus() | {"qrels": {query: {"d0": 1} for query in corpus()["queries"]}}
    found = report(data, beside=[WordScorer(), Backwards()], cache_dir=tmp_path)
    same, turned = found.beside
    assert (same.scorer, turned.scorer) == ("shared-words", "backwards")
    assert same.agreement.tau.mean == pytest.approx(1.0)
    assert same.agreement.top10.mean == pytest.approx(1.0)
    assert same.judged == found.judged.cross_encoder
    assert turned.agreement.tau.mean == pytest.approx(-1.0)
    assert turned.agreement.ndcg.mean < found.agreement.ndcg.mean
    plain = report(data)
    assert plain.beside == []
    assert (plain.agreement, plain.judged) == (found.agreement, found.judged)
    shown = found.summary()
    assert "others on the same candidates" in shown
    assert "backwards" in shown
    assert "backwards" in found.to_html(tmp_path / "gap.html").read_text()
    assert "others on" not in plain.summary().lower()


def test_recall_never_falls_and_the_smallest_k_keeps_its_share() -> None:
    found = report(pool=60)
    by_k = {point.k: point.cross_encoder for point in found.recall}
    values = [by_k[k] for k in sorted(by_k)]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(1.0)
    least = found.kept["cross_encoder"].share95
    assert least is not None
    assert all(by_k[k] < 0.95 for k in by_k if k < least)
    assert all(by_k[k] >= 0.95 - 1e-9 for k in by_k if k >= least)


def test_the_teacher_is_the_cross_encoder_unless_the_final_order_is_asked_for() -> None:
    alone, final = report(), report(teacher="final")
    assert (alone.setting.teacher, final.setting.teacher) == ("cross_encoder", "final")
    assert alone.kept == final.kept  # both orders are in either report
    assert final.agreement.tau.mean > alone.agreement.tau.mean  # it holds the student's own score
    assert report(teacher="final", stage1_weight=0.0).agreement == report(stage1_weight=0.0).agreement


def test_without_judgments_nothing_claims_to_be_judged() -> None:
    found = report()
    assert found.judged is None
    assert "two_stage_ndcg" not in found.kept
    assert any("Without judgments" in note for note in found.notes)


def test_with_judgments_quality_weights_and_depth_are_judged() -> None:
    data = corpus()
    scorer = WordScorer()
    # What the cross-encoder puts first is relevant: it must come out perfect, and the advice must follow it.
    best = {
        q: max(data["documents"], key=lambda d, text=text: scorer.score(text, data["documents"][d]))
        for q, text in data["queries"].items()
    }
    qrels = {q: {d: 1} for q, d in best.items()}
    found = report(data | {"qrels": qrels}, pool=60, candidates=60, stage1_weight=1.0)
    assert found.judged is not None
    assert found.judged.cross_encoder.mean == pytest.approx(1.0)
    assert found.judged.recommended_weight < 1.0
    assert "over the current 1" in found.judged.reason
    assert found.judged.first_stage.mean == pytest.approx(found.depths[0].ndcg)
    assert found.judged.two_stage.mean == pytest.approx(found.depths[-1].ndcg)
    assert [query.judged_first_stage is None for query in found.per_query] == [False] * 8
    wrong = report(data | {"qrels": {q: {f"d{i}": 1 for i in range(60) if f"d{i}" != best[q]} for q in best}}, pool=60)
    assert wrong.judged is not None
    assert wrong.judged.two_stage_gain.mean == pytest.approx(
        wrong.judged.two_stage.mean - wrong.judged.first_stage.mean
    )
    assert any("not surely more than none" in note for note in wrong.notes)


def test_the_worst_queries_show_both_orders_and_where_the_relevant_documents_are() -> None:
    data = corpus()
    found = report(data | {"qrels": {q: {"d3": 2, "d4": 0} for q in data["queries"]}}, pool=60)
    agreements = {query.id: query.ndcg for query in found.per_query}
    shown = [agreements[query.id] for query in found.worst]
    assert shown == sorted(agreements.values())[: len(shown)]
    for query in found.worst:
        text = data["queries"][query.id]
        scores = {i: WordScorer().score(text, data["documents"][i]) for i in data["documents"]}
        assert [placed.id for placed in query.teacher] == sorted(scores, key=lambda i: -scores[i])[:5]
        assert [placed.rank for placed in query.student] == [1, 2, 3, 4, 5]
        by_id = {placed.id: placed for placed in query.student}
        assert all(by_id[p.id].rank == p.other for p in query.teacher if p.id in by_id)
        (relevant,) = query.relevant
        assert (relevant.id, relevant.grade) == ("d3", 2)
        assert relevant.other == 1 + sum(score > scores["d3"] for score in scores.values())


def test_the_pool_bounds_what_is_seen_and_the_report_says_so() -> None:
    assert any("upper bound" in note for note in report(pool=30).notes)
    assert not any("upper bound" in note for note in report(exhaustive=True).notes)


def test_fewer_documents_than_the_pool_and_than_ten() -> None:
    found = report(corpus(documents=7), pool=1000, candidates=100)
    assert (found.setting.pool, found.setting.candidates, found.setting.exhaustive) == (7, 7, True)
    assert found.agreement.top10.mean is None
    assert any("fewer than the pool" in note for note in found.notes)
    assert found.recall[-1].cross_encoder == pytest.approx(1.0)


def test_one_document_has_no_order() -> None:
    found = report(corpus(documents=1))
    assert found.agreement.tau.mean is None
    assert found.recommended_candidates is None
    json.loads(found.to_json())


def test_one_query_is_reported_as_such() -> None:
    found = report(corpus(queries=1))
    assert found.setting.queries == 1
    assert found.agreement.tau.low == found.agreement.tau.high == found.agreement.tau.mean
    assert any(note.startswith("One query") for note in found.notes)


@pytest.mark.parametrize("kind", ["documents", "queries"])
def test_an_empty_data_set_is_refused(kind: str) -> None:
    with pytest.raises(InputError, match=kind):
        report(corpus() | {kind: {}})


def test_a_constant_teacher_is_undefined_and_not_nan() -> None:
    found = report(scorer=Constant())
    values = json.loads(found.to_json(), parse_constant=lambda name: pytest.fail(f"{name} in the JSON"))
    assert values["agreement"]["tau"] == dict.fromkeys(values["agreement"]["tau"]) | {"undefined": 8}
    assert values["recall"] == []
    assert values["worst"] == []
    assert any("same score" in note for note in found.notes)
    assert "–" in found.summary()


def test_a_teacher_that_returns_nan_is_named_and_what_was_scored_before_is_kept(tmp_path: Path) -> None:
    data = corpus(documents=400, queries=6)
    order = load_dataset(data | {"qrels": {}}, judged=False)
    asked = list(data["queries"].values())[-1]
    scored = report(data, pool=300, exhaustive=True, cache_dir=tmp_path / "whole")
    bad = data["documents"][scored.worst[0].student[-1].id]
    with pytest.raises(InputError, match="finite") as error:
        report(order, scorer=Broken(bad), exhaustive=True, cache_dir=tmp_path / "cache")
    assert repr(bad)[:40] in str(error.value)
    assert asked
    log = tmp_path / "log"
    mended = report(order, WordScorer(log), exhaustive=True, cache_dir=tmp_path / "cache", show_progress=False)
    assert mended.agreement == scored.agreement
    assert len(log.read_text().splitlines()) <= 400 * 6


def test_a_bi_encoder_that_returns_nan_is_refused() -> None:
    class Nan(WordEncoder):
        def encode_document(self, texts):
            return super().encode_document(texts) * np.float32("nan")

    with pytest.raises(InputError, match="finite"):
        gap_report(Nan(), WordScorer(), corpus(), timing=False)


def test_a_second_run_scores_nothing(tmp_path: Path) -> None:
    first = report(cache_dir=tmp_path)
    scorer = WordScorer()
    assert report(scorer=scorer, cache_dir=tmp_path).to_json() == first.to_json()
    assert scorer.calls == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 0}, "queries"),
        ({"pool": 0}, "pool"),
        ({"candidates": True}, "candidates"),
        ({"teacher": "me"}, "teacher"),
        ({"stage1_weight": 1.5}, "stage1_weight"),
        ({"teacher": "final", "stage1_weight": 1.0}, "student's own"),
    ],
)
def test_options_that_make_no_sense(options: dict, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        report(**options)


@pytest.mark.parametrize("timing", [True, False])
def test_exhaustive_says_what_it_costs_before_it_starts(capsys: pytest.CaptureFixture[str], timing: bool) -> None:
    class Asks(WordScorer):
        def predict(self, pairs):
            if len(pairs) > 100:
                said.append(capsys.readouterr().err)
            return super().predict(pairs)

    said: list[str] = []
    report(scorer=Asks(), exhaustive=True, timing=timing)
    assert f"at most {60 * 8:,} pairs, about 0.1 minutes here" in said[0]


def test_the_estimate_of_an_exhaustive_run_that_times_nothing_is_a_small_sample(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(WordScorer):
        def predict(self, pairs):
            asked.append(len(pairs))
            return super().predict(pairs)

    asked: list[int] = []
    clock = SimpleNamespace(perf_counter=lambda: sum(asked) / 10)  # a pair takes 100 ms
    monkeypatch.setattr("bicross.evaluation.timing.time", clock)
    report(scorer=Slow(), exhaustive=True)
    assert asked == [1, 64, 480]
    assert "at most 480 pairs, about 0.8 minutes here" in capsys.readouterr().err
    asked.clear()
    report(scorer=Slow(), exhaustive=True, show_progress=False)
    assert asked == [480]


def test_real_models_in_a_beir_folder_without_judgments(
    tmp_path: Path, bi_encoder: BiEncoder, cross_encoder: CrossEncoder
) -> None:
    folder = write_beir(tmp_path / "toy")
    (folder / "qrels" / "test.tsv").unlink()
    found = gap_report(bi_encoder, cross_encoder, folder, cache_dir=tmp_path / "cache", show_progress=False)
    assert (found.setting.queries, found.setting.documents, found.setting.pool, found.judged) == (3, 5, 5, None)
    assert found.setting.units == {"student": "cosine", "teacher": "logit"}
    assert found.timing is not None
    assert len(found.budgets) == 3
    assert "Recommended candidates" in found.summary()
