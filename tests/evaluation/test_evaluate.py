from __future__ import annotations

import doctest
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bicross import BiEncoder, CrossEncoder, ExactStore, Passage, TwoStageRetriever
from bicross.errors import BicrossWarning, ConfigurationError, InputError, InputTypeError, ReadError
from bicross.evaluation import Dataset, Stages, evaluate, load_dataset
from bicross.evaluation.retrievers import read_answer
from bicross.evaluation.runs import read_run
from bicross.sparse import BM25Encoder
from tiny_data import DOCUMENTS, QUERIES
from word_models import WordEncoder, WordScorer

PERFECT = {"a cat on a tree": ["d1", "d2"], "the fish in a river": ["d3"], "no bird flies": ["d4"]}


@pytest.fixture
def data(beir: Path) -> Dataset:
    return load_dataset(beir)


@pytest.fixture
def retriever(bi_encoder: BiEncoder, cross_encoder: CrossEncoder):
    with ExactStore() as store:
        built = TwoStageRetriever(bi_encoder, store, cross_encoder)
        built.index([Passage(text, id=i, title=title or None) for i, (title, text) in DOCUMENTS.items()])
        yield built


@pytest.mark.parametrize("name", ["evaluating", "retrievers", "statistics"])
def test_doctests(name: str) -> None:
    failed, tried = doctest.testmod(import_module(f"bicross.evaluation.{name}"))
    assert (failed, tried > 0) == (0, True)


def test_a_query_without_results_counts_as_zero(data: Dataset) -> None:
    found = evaluate(lambda query: PERFECT[query] if "cat" in query else [], data, measures=["nDCG@10", "R@100"])
    assert found["nDCG@10"] == pytest.approx(1 / 3)
    assert found.final.per_query("R@100") == {"q1": 1.0, "q2": 0.0, "q3": 0.0}
    assert found.final.unanswered == 2
    assert "2 queries without results, counted as 0" in str(found)


def test_the_stages_agree_with_the_retriever_over_its_store(
    data: Dataset, retriever: TwoStageRetriever, bi_encoder: BiEncoder, cross_encoder: CrossEncoder
) -> None:
    """One by exact search over matrices, the other query by query through the store."""
    with Stages(bi_encoder, cross_encoder) as stages:
        offline = evaluate(stages, data, candidates=3)
    online = evaluate(retriever, data, candidates=3)
    for stage in ("first_stage", "two_stage"):
        ours, theirs = offline.stages[stage], online.stages[stage]
        assert {q: list(found) for q, found in ours.run.items()} == {q: list(found) for q, found in theirs.run.items()}
        for query_id in data.queries:
            assert list(ours.run[query_id].values()) == pytest.approx(list(theirs.run[query_id].values()), abs=1e-5)
        assert ours.means == theirs.means
    assert list(online.milliseconds) == ["encode", "retrieve", "rerank"]
    assert all(0 < p50 <= p95 for p50, p95 in online.milliseconds.values())
    assert offline.milliseconds == {}


def test_the_final_scores_are_those_of_search(data: Dataset, retriever: TwoStageRetriever) -> None:
    found = evaluate(retriever, data)
    for query_id, text in QUERIES.items():
        hits = retriever.search(text, 5)
        assert list(found.final.run[query_id].items()) == [(hit.passage.id, hit.score) for hit in hits]


def test_behind_the_candidates_the_first_stage_goes_on(
    data: Dataset, bi_encoder: BiEncoder, cross_encoder: CrossEncoder
) -> None:
    with Stages(bi_encoder, cross_encoder) as stages:
        found = evaluate(stages, data, candidates=2, measures=["R@4"])
    for query_id in QUERIES:
        first, final = (list(found.stages[stage].run[query_id]) for stage in ("first_stage", "two_stage"))
        assert len(first) == 4
        assert set(final[:2]) == set(first[:2])
        assert final[2:] == first[2:]
        scores = list(found.final.run[query_id].values())
        assert scores == sorted(scores, reverse=True)


def test_the_weight_goes_from_one_stage_to_the_other(
    data: Dataset, bi_encoder: BiEncoder, cross_encoder: CrossEncoder
) -> None:
    with Stages(bi_encoder, cross_encoder) as stages:
        first = evaluate(stages, data, stage1_weight=1.0)
        cross = evaluate(stages, data, stage1_weight=0.0)
        with pytest.raises(ConfigurationError, match="from 0 to 1, got 2"):
            evaluate(stages, data, stage1_weight=2.0)
    for query_id in QUERIES:
        assert list(first.final.run[query_id]) == list(first.stages["first_stage"].run[query_id])
    assert cross.final.run != first.final.run


def test_the_querys_own_document_is_dropped_before_the_cut(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    documents = {"a": "the cat", "b": "a cat", "c": "the dog", "d": "red fish"}
    queries = {"a": "the cat", "q": "the dog"}
    toy = {"documents": documents, "queries": queries, "qrels": {"a": {"b": 1}, "q": {"c": 1}}}
    with ExactStore() as store, Stages(bi_encoder, cross_encoder) as stages:
        both = TwoStageRetriever(bi_encoder, store, cross_encoder)
        both.index([Passage(text, id=i) for i, text in documents.items()])
        for retriever in (stages, both):
            kept = evaluate(retriever, toy, candidates=3, measures=["RR@2"])
            assert next(iter(kept.stages["first_stage"].run["a"])) == "a"
            found = evaluate(retriever, toy, candidates=3, measures=["RR@2"], exclude_self=True)
            for measured in found.stages.values():
                assert set(measured.run["a"]) == {"b", "c", "d"}
                assert len(measured.run["q"]) == 3
    by_function = evaluate(lambda query: ["a", "b"], toy, measures=["RR@2"], exclude_self=True)
    assert by_function.final.run["a"] == {"b": 0.5}
    by_run = evaluate({"a": {"a": 2.0, "b": 1.0}}, toy, measures=["RR@2"], exclude_self=True)
    assert by_run.final.per_query("RR@2") == {"a": 1.0, "q": 0.0}


def test_a_bi_encoder_alone_is_a_first_stage(data: Dataset, bi_encoder: BiEncoder, tmp_path: Path) -> None:
    found = evaluate(bi_encoder, data, cache_dir=tmp_path / "cache", timed=2)
    assert list(found.stages) == ["first_stage"]
    assert list(found.milliseconds) == ["encode", "retrieve"]
    assert (tmp_path / "cache" / "vectors.sqlite").is_file()
    assert found.as_dict()["two_stage"] is None


@pytest.mark.parametrize(
    ("first_stage", "wanted"),
    [
        ("dense", {"encode": 1, "retrieve": 10}),
        ("bm25", {"encode": 2, "retrieve": 20}),
        ("hybrid", {"encode": 3, "retrieve": 130}),
    ],
)
@pytest.mark.parametrize("second", [True, False])
def test_a_timed_query_takes_what_its_first_stage_does(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, first_stage: str, wanted: dict[str, int], second: bool
) -> None:
    """By a clock that goes on where work is done, each kind by another step."""
    done: list[float] = []

    def costing(work: Callable, milliseconds: int) -> Callable:
        def costed(*arguments, **options):
            done.append(milliseconds / 1e3)
            return work(*arguments, **options)

        return costed

    clock = SimpleNamespace(perf_counter=lambda: sum(done))
    monkeypatch.setattr("bicross.evaluation.searching.time", clock)
    monkeypatch.setattr(WordEncoder, "encode_query", costing(WordEncoder.encode_query, 1))
    monkeypatch.setattr(BM25Encoder, "encode_query", costing(BM25Encoder.encode_query, 2))
    legs = import_module("bicross.evaluation.legs")
    monkeypatch.setattr(legs, "exact_top_k", costing(legs.exact_top_k, 10))
    monkeypatch.setattr(legs.SparseIndex, "search", costing(legs.SparseIndex.search, 20))
    monkeypatch.setattr(legs, "fuse", costing(legs.fuse, 100))
    monkeypatch.setattr(WordScorer, "predict", costing(WordScorer.predict, 1000))
    with Stages(WordEncoder(), WordScorer() if second else None) as stages:
        found = evaluate(stages, data, first_stage=first_stage, timed=2)
    assert list(found.milliseconds) == ["encode", "retrieve", *(["rerank"] if second else [])]
    for stage, milliseconds in (wanted | ({"rerank": 1000} if second else {})).items():
        assert found.milliseconds[stage] == pytest.approx((milliseconds, milliseconds))


def test_no_dense_model_is_asked_for_bm25(data: Dataset) -> None:
    class Unasked:
        document_fingerprint = "unasked"

        def encode_query(self, texts):
            raise AssertionError("a dense model was asked")

        encode_document = encode_query

    with Stages(Unasked(), WordScorer()) as stages:
        found = evaluate(stages, data, first_stage="bm25", timed=3)
    assert list(found.milliseconds) == ["encode", "retrieve", "rerank"]


def test_a_query_that_finds_nothing_is_timed_and_asks_no_second_stage(
    bi_encoder: BiEncoder, cross_encoder: CrossEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict = cross_encoder.predict

    def some(pairs, **options):
        assert pairs, "nothing was asked for"
        return predict(pairs, **options)

    monkeypatch.setattr(cross_encoder, "predict", some)
    toy = {
        "documents": {"a": "the cat", "b": "red fish"},
        "queries": {"none": "zebra", "q": "cat"},
        "qrels": {"none": {"b": 1}, "q": {"a": 1}},
    }
    with Stages(bi_encoder, cross_encoder) as stages:
        found = evaluate(stages, toy, first_stage="bm25", timed=5)
    assert found.final.unanswered == 1
    assert list(found.milliseconds) == ["encode", "retrieve", "rerank"]


def test_bm25_finds_what_shares_a_word(data: Dataset, bi_encoder: BiEncoder) -> None:
    with Stages(bi_encoder) as stages:
        found = evaluate(stages, data, first_stage="bm25")
    # "the" and "in" are stop words: fish and river are in d3, river alone in d5.
    assert list(found.final.run["q2"]) == ["d3", "d5"]
    assert list(found.final.run["q1"]) == ["d1"]
    with Stages(bi_encoder) as stages, pytest.raises(ConfigurationError, match="first_stage is one of"):
        evaluate(stages, data, first_stage="sparse")


@pytest.mark.parametrize("first_stage", ["bm25", "hybrid"])
@pytest.mark.parametrize("fusion", ["weighted", "rrf"])
def test_the_other_first_stages_are_those_of_the_retriever(
    data: Dataset, bi_encoder: BiEncoder, cross_encoder: CrossEncoder, first_stage: str, fusion: str
) -> None:
    options = {"fusion": fusion, "sparse_weight": 0.25}
    with ExactStore() as store, Stages(bi_encoder, cross_encoder, **options) as stages:
        retriever = TwoStageRetriever(bi_encoder, store, cross_encoder, first_stage=first_stage, **options)
        retriever.index([Passage(text, id=i, title=title or None) for i, (title, text) in DOCUMENTS.items()])
        online = evaluate(retriever, data)
        offline = evaluate(stages, data, first_stage=first_stage)
    for stage, measured in online.stages.items():
        for query_id, run in measured.run.items():
            ours = offline.stages[stage].run[query_id]
            assert list(ours) == list(run)
            assert list(ours.values()) == pytest.approx(list(run.values()), abs=1e-5)


def test_a_run_goes_out_and_comes_back_with_the_same_figures(
    data: Dataset, retriever: TwoStageRetriever, tmp_path: Path
) -> None:
    found = evaluate(retriever, data)
    first = found.to_run(tmp_path / "first.run", "first_stage")
    last = found.to_run(tmp_path / "last.run")
    assert evaluate(last, data).final.means == found.final.means
    assert evaluate(str(first), data).final.means == found.stages["first_stage"].means
    assert evaluate(read_run(last), data).final.means == found.final.means
    compared = evaluate(retriever, data, compare=last)
    assert compared.compared_with == "last.run"
    assert all(test.difference == 0 and test.p_value == 1.0 for test in compared.comparison.values())


def test_two_evaluations_are_compared_query_by_query(data: Dataset) -> None:
    worse = evaluate(lambda query: ["d5", *PERFECT[query]], data, measures=["RR@10"])
    better = evaluate(lambda query: PERFECT[query], data, measures=["RR@10"], compare=worse)
    test = better.comparison["RR@10"]
    assert (test.difference, test.better, test.worse) == (0.5, 3, 0)
    assert "against the other run (paired randomisation test):" in str(better)
    sample = evaluate(lambda query: PERFECT[query], data, queries=2, measures=["RR@10"])
    assert sample.queries == 2
    with pytest.raises(ConfigurationError, match="1 of the 3 queries of 'toy' aren't in the other evaluation"):
        evaluate(lambda query: PERFECT[query], data, compare=sample)
    with pytest.raises(InputError, match="the other run holds none of 'toy'"):
        evaluate(lambda query: PERFECT[query], data, compare={"x": {"d1": 1.0}})


def test_queries_that_a_run_to_compare_with_lacks_are_told(data: Dataset, tmp_path: Path) -> None:
    evaluate(lambda query: PERFECT[query], data, queries=2).to_run(tmp_path / "sample.run")
    with pytest.warns(BicrossWarning, match=r"1 of the 3 queries of 'toy' aren't in sample\.run, and count as if"):
        found = evaluate(lambda query: PERFECT[query], data, compare=tmp_path / "sample.run", measures=["RR@10"])
    assert found.comparison["RR@10"].better == 1


def test_a_threshold_is_recommended_where_scores_tell() -> None:
    documents = {f"d{i}": "x" for i in range(40)} | {"none": "y"}
    queries = {f"q{i}": f"{i}" for i in range(40)}
    toy = {"documents": documents, "queries": queries, "qrels": {f"q{i}": {f"d{i}": 1} for i in range(40)}}

    def search(query: str):
        known = int(query) < 25
        return (["none"], [0.25]) if not known else ([f"d{query}", "none"], [0.75, 0.1])

    found = evaluate(search, toy).threshold
    assert found is not None
    assert (found.score, found.precision, found.recall, found.rejected, found.without) == (0.75, 1.0, 1.0, 1.0, 0.625)
    assert evaluate(lambda query: search(query)[0], toy).threshold is None  # ranks are no scores


def test_the_json_holds_what_scripts_read(data: Dataset, retriever: TwoStageRetriever, tmp_path: Path) -> None:
    found = evaluate(retriever, data, measures=["nDCG@10"])
    value = json.loads(found.to_json(tmp_path / "out.json", per_query=True))
    assert value == json.loads((tmp_path / "out.json").read_text())
    assert value["queries"] == 3
    assert value["first_stage"] == {"nDCG@10": found.stages["first_stage"].means["nDCG@10"]}
    assert value["two_stage"] == {"nDCG@10": found["nDCG@10"]}
    assert value["per_query"]["two_stage"]["nDCG@10"] == found.final.per_query("nDCG@10")
    low, high = value["intervals"]["two_stage"]["nDCG@10"]
    assert low <= found["nDCG@10"] <= high
    assert set(value["milliseconds"]) == {"encode", "retrieve", "rerank"}
    assert value["threshold"] is None


def test_a_cache_serves_a_second_model_of_either_stage(data: Dataset, bi_encoder: BiEncoder, tmp_path: Path) -> None:
    class Constant:
        fingerprint = "constant"
        asked = 0

        def predict(self, pairs):
            self.asked += len(pairs)
            return np.zeros(len(pairs), dtype=np.float32)

    scorer = Constant()
    for _ in range(2):
        with Stages(bi_encoder, scorer, cache_dir=tmp_path) as stages:  # type: ignore[arg-type]
            evaluate(stages, data)
    assert scorer.asked == 15
    # Equal scores keep the first stage's order.
    with Stages(bi_encoder, scorer, cache_dir=tmp_path) as stages:  # type: ignore[arg-type]
        found = evaluate(stages, data)
    assert {q: list(r) for q, r in found.final.run.items()} == {
        q: list(r) for q, r in found.stages["first_stage"].run.items()
    }


@pytest.mark.parametrize(
    ("answer", "ids", "scores"),
    [
        ((["a", "b"], [2, 1]), ["a", "b"], [2.0, 1.0]),
        ((np.array(["a", "b"]), np.array([2.0, 1.0])), ["a", "b"], [2.0, 1.0]),
        ([("a", 2.0), ("b", 1.0)], ["a", "b"], [2.0, 1.0]),
        (("a", "b"), ["a", "b"], None),
        (iter(["a", "b"]), ["a", "b"], None),
        ((["b", "a", "b"], [3.0, 2.0, 1.0]), ["b", "a"], [3.0, 2.0]),
        ({"a": 1.0, "b": 2.0}, ["b", "a"], [2.0, 1.0]),
        ([], [], None),
        (([], []), [], []),
    ],
)
def test_a_function_may_answer_in_several_forms(answer: object, ids: list[str], scores: list[float] | None) -> None:
    assert read_answer(answer) == (ids, scores)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("d1", "returns ids and scores, got 'd1'"),
        (None, "returns ids and scores, got None"),
        ([1, 2], "ids are strings, as in the data set; got 1"),
        ((["a"], [1.0, 2.0]), "one score for each id, got 1 ids and 2 scores"),
    ],
)
def test_an_answer_of_another_form_is_refused(answer: object, message: str) -> None:
    with pytest.raises(InputTypeError, match=message):
        read_answer(answer)


@pytest.mark.parametrize("answer", [(["a", "b"], [1.0, float("nan")]), {"a": 1.0, "b": float("nan")}])
def test_a_score_that_is_no_number_is_refused(answer: object) -> None:
    with pytest.raises(InputError, match="scores are numbers, got NaN for document 'b'"):
        read_answer(answer)


def test_misuse_is_refused(data: Dataset, bi_encoder: BiEncoder, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="found nothing for any of the 3 queries of 'toy'"):
        evaluate(lambda query: [], data)
    with pytest.raises(InputError, match=r"answers with the data set's document ids; got 'other'.*id_key"):
        evaluate(lambda query: ["other"], data)
    with pytest.raises(ConfigurationError, match="candidates must be a positive whole number, got 0"):
        evaluate(lambda query: ["d1"], data, candidates=0)
    with pytest.raises(ConfigurationError, match="first_stage, stage1_weight and timed go with Stages"):
        evaluate(lambda query: ["d1"], data, first_stage="bm25")
    with pytest.raises(ConfigurationError, match="cache_dir goes with a BiEncoder"):
        evaluate(lambda query: ["d1"], data, cache_dir=tmp_path)
    with pytest.raises(ConfigurationError, match=r"evaluate takes Stages, .* got int"):
        evaluate(7, data)
    empty = tmp_path / "empty.run"
    empty.touch()
    with pytest.raises(ReadError, match="is empty"):
        evaluate(empty, data)
    with pytest.raises(ConfigurationError, match="ir-measures can compute"):
        evaluate(lambda query: ["d1"], data, measures=["Quality@10"])
