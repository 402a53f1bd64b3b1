"""Mining candidate lists, and choosing among them by the teacher's scores."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from bicross.distillation.candidates import search_candidates
from bicross.distillation.labels import LabelledQuery, Labels
from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.distillation.mining import MiningSettings, Window, mine_candidates
from bicross.distillation.sampling import sample_lists
from bicross.errors import ConfigurationError, InputError

DENSE = MiningSettings(dense=((1, 3, 2), (4, 30, 3)), bm25=(), easy=2)


def rows(lists: CandidateLists) -> list[tuple]:
    return [(one.query_id, one.document_ids, one.kinds, one.ranks.tolist()) for one in lists]


def test_a_list_holds_judged_dense_and_easy_candidates(toy: Labels, encoder) -> None:
    lists = mine_candidates(toy, encoder, settings=DENSE)
    assert len(lists) == len(toy.queries)
    ranked = search_candidates(toy, encoder, top_k=30)
    vectors = encoder.encode_document(list(toy.documents.values()))
    for one in lists:
        assert one.kinds == ("positive",) + ("dense",) * 5 + ("easy",) * 2
        assert one.document_ids[0] == toy.queries[one.query_id].positives[0]
        assert one.labels[0] == 1
        assert np.isnan(one.labels[1:]).all()
        assert np.isnan(one.scores).all()
        assert all(1 <= rank <= 3 for rank in one.ranks[1:3])
        assert all(4 <= rank <= 30 for rank in one.ranks[3:6])
        assert one.ranks[6:].tolist() == [0, 0]
        texts = [toy.documents[d] for d in one.document_ids]
        assert len(set(texts)) == len(texts)
        # Documents that score alike may change places with the rounding of the search.
        scores = dict(zip(toy.documents, vectors @ encoder.encode_query([one.query])[0], strict=True))
        found = ranked.of(one.query_id)
        expected = [scores[found[rank - 1]] for rank in one.ranks[1:6]]
        assert np.allclose([scores[d] for d in one.document_ids[1:6]], expected, atol=1e-6)


def test_the_draw_depends_on_the_seed_and_the_query_alone(toy: Labels, encoder) -> None:
    first = rows(mine_candidates(toy, encoder, settings=DENSE))
    assert rows(mine_candidates(toy, encoder, settings=DENSE)) == first
    some = toy.only(["q7", "q3"])
    assert rows(mine_candidates(some, encoder, settings=DENSE)) == [first[7], first[3]]
    other = MiningSettings(DENSE.dense, (), easy=2, seed=1)
    assert rows(mine_candidates(toy, encoder, settings=other)) != first


def test_bm25_adds_what_the_bi_encoder_does_not_find(toy: Labels, encoder) -> None:
    pytest.importorskip("mmh3")
    settings = MiningSettings(dense=((1, 2, 2),), bm25=((1, 20, 4),), easy=0)
    lists = mine_candidates(toy, encoder, settings=settings)
    assert lists[0].kinds.count("bm25") == 4
    words = set(lists[0].query.split())
    found = [d for d, kind in zip(lists[0].document_ids, lists[0].kinds, strict=True) if kind == "bm25"]
    assert all(words & set(toy.documents[d].split()) for d in found)
    assert set(lists.metadata["miners"]) == {"dense", "bm25"}


def test_a_rank_is_that_of_the_miner_that_found_the_candidate(toy: Labels, encoder) -> None:
    pytest.importorskip("mmh3")
    lists = mine_candidates(toy, encoder, settings=MiningSettings(dense=((1, 100, 1),), bm25=((1, 6, 5),), easy=0))
    assert any("bm25" in one.kinds for one in lists)
    for one in lists:
        ranks = [rank for rank, kind in zip(one.ranks.tolist(), one.kinds, strict=True) if kind == "bm25"]
        assert all(1 <= rank <= 6 for rank in ranks)
        assert len(set(ranks)) == len(ranks)


def test_a_made_query_never_sees_the_passage_it_was_cut_from(encoder) -> None:
    documents = {"a": "w1 w2 w3", "a#cut": "w2 w3", "b": "w1 w4", "c": "w5"}
    query = LabelledQuery("w1", (), source="a#cut", excluded=("a",))
    labels = Labels("made", documents, {"q": query, "r": LabelledQuery("w2 w3", ("c",))}, hidden=frozenset({"a#cut"}))
    settings = MiningSettings(dense=((1, 4, 4),), bm25=(), easy=0)
    made, asked = mine_candidates(labels, encoder, settings=settings)
    assert dict(zip(made.document_ids, made.kinds, strict=True)) == {"a#cut": "source", "b": "dense", "c": "dense"}
    assert "a#cut" not in asked.document_ids  # hidden from all other queries
    assert "a" in asked.document_ids


def test_judged_beyond_the_cap_are_no_negatives(encoder) -> None:
    documents = {f"d{i}": f"w1 w{i}" for i in range(6)}
    labels = Labels("x", documents, {"q": LabelledQuery("w1", ("d0", "d1", "d2"), ("d3",))})
    settings = MiningSettings(dense=((1, 6, 6),), bm25=(), easy=0, judged=1)
    (one,) = mine_candidates(labels, encoder, settings=settings)
    assert one.document_ids[:2] == ("d0", "d3")
    assert one.kinds[:2] == ("positive", "negative")
    assert set(one.document_ids[2:]) == {"d4", "d5"}


def test_queries_without_a_positive_are_kept_and_counted(toy: Labels, encoder, caplog) -> None:
    queries = {q: LabelledQuery(query.text, ()) for q, query in toy.queries.items()}
    with caplog.at_level(logging.WARNING):
        lists = mine_candidates(Labels("none", toy.documents, queries), encoder, settings=DENSE)
    assert len(lists) == 60
    assert "60 queries have no judged positive" in caplog.text


def test_one_candidate_for_each_query_is_refused(encoder) -> None:
    labels = Labels("one", {"d": "w1"}, {"q": LabelledQuery("w1", ("d",))})
    with pytest.raises(InputError, match="none of the 1 queries"):
        mine_candidates(labels, encoder, settings=MiningSettings(bm25=()))


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"dense": ((0, 3, 1),)}, r"1 <= first <= last"),
        ({"bm25": ((5, 3, 1),)}, "A window of bm25"),
        ({"easy": -1}, "easy must be 0 or more"),
        ({"dense": (), "bm25": (), "easy": 0}, "got none of them"),
    ],
)
def test_senseless_settings_are_refused(settings: dict, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        MiningSettings(**settings)


def test_windows_may_be_given_as_tuples() -> None:
    assert MiningSettings(dense=((1, 2, 3),)).dense == (Window(1, 2, 3),)  # type: ignore[arg-type]


def alike(count: int) -> Labels:
    """Documents that all share a word with every query, so that both miners find as many as they are asked for."""
    documents = {f"d{i}": f"w0 w1 w{i % 23} number{i}" for i in range(count)}
    return Labels("alike", documents, {f"q{i}": LabelledQuery(f"w0 w{i}", (f"d{i}",)) for i in (2, 5)})


def test_wider_windows_draw_as_many_as_are_asked_for(encoder) -> None:
    pytest.importorskip("mmh3")
    lists = mine_candidates(alike(400), encoder, settings=MiningSettings().widened(200))
    for one in lists:
        counts = {kind: one.kinds.count(kind) for kind in ("positive", "dense", "bm25", "easy")}
        assert counts["positive"] == 1
        assert 119 <= counts["dense"] <= 120  # the positive may hold one of the ranks that are all taken
        assert (counts["bm25"], counts["easy"]) == (40, 40)
        assert len(one) >= 200


def test_windows_are_widened_where_they_hold_fewer() -> None:
    default = MiningSettings()
    assert default.widened(1) == default.widened(16) == default.widened(20) == default
    assert default.widened(30) == MiningSettings(((1, 10, 9), (11, 100, 9)), ((1, 24, 6),), easy=6)  # type: ignore[arg-type]
    assert default.widened(200) == MiningSettings(((1, 60, 60), (11, 130, 60)), ((1, 160, 40),), easy=40)  # type: ignore[arg-type]
    settings = MiningSettings(dense=((1, 300, 3),), bm25=(), easy=0, judged=2, seed=7)  # type: ignore[arg-type]
    assert settings.widened(100) == MiningSettings(((1, 300, 100),), (), easy=0, judged=2, seed=7)  # type: ignore[arg-type]
    for count in (21, 33, 57, 1001):
        wide = default.widened(count)
        drawn = wide.easy + sum(window.draw for window in (*wide.dense, *wide.bm25))
        assert count <= drawn <= count + 3


def scored(scores: list[float], labels: list[float], kinds: tuple[str, ...] | None = None) -> CandidateLists:
    n = len(scores)
    ids = tuple(f"d{i}" for i in range(n))
    arrays = np.array(scores, dtype=np.float32), np.array(labels, dtype=np.float32)
    one = ScoredList("q", "query", ids, *arrays, kinds or ("dense",) * n, np.zeros(n, dtype=np.int32))
    return CandidateLists([one], dict.fromkeys(ids, "text"))


NAN = float("nan")


@pytest.mark.parametrize("shift", [0.0, -100.0])
def test_the_false_negative_filter_is_relative_to_the_lists_range(shift: float) -> None:
    # The positive at 10, the lowest at 0: the border is at 9.5, wherever the zero of the logits is.
    scores = [10 + shift, 9.6 + shift, 9.4 + shift, 12 + shift, 0 + shift]
    (one,) = sample_lists(scored(scores, [1, NAN, NAN, NAN, NAN]), 5)
    assert one.document_ids == ("d0", "d2", "d4")
    (one,) = sample_lists(scored(scores, [1, 0, NAN, NAN, NAN]), 5)
    assert "d1" in one.document_ids  # judged not relevant: no false negative
    (one,) = sample_lists(scored(scores, [1, NAN, NAN, NAN, NAN]), 5, false_negatives=None)
    assert len(one) == 5


def test_without_judgments_the_teachers_pick_is_the_positive() -> None:
    (one,) = sample_lists(scored([1, 5, 2], [NAN, NAN, NAN]), 3)
    assert (one.document_ids[0], one.kinds[0]) == ("d1", "positive")
    assert np.isnan(one.labels).all()


def test_hard_takes_the_highest_and_stratified_some_of_every_level() -> None:
    lists = scored([100.0, *range(20)], [1, *[NAN] * 20])
    (hard,) = sample_lists(lists, 5, strategy="hard")
    assert hard.scores.tolist() == [100, 19, 18, 17, 16]
    (one,) = sample_lists(lists, 5)
    levels = one.scores[1:].tolist()
    assert [int(level) // 5 for level in levels] == [3, 2, 1, 0]
    assert sample_lists(lists, 5)[0].scores.tolist() == one.scores.tolist()
    draws = {tuple(sample_lists(lists, 5, seed=seed)[0].scores.tolist()) for seed in range(8)}
    assert len(draws) > 4
    assert sample_lists(lists, 5).metadata["sampling"]["strategy"] == "stratified"


def test_positives_are_at_most_half() -> None:
    (one,) = sample_lists(scored([9, 8, 7, 6, 1, 2, 3, 4], [1, 1, 1, 1, NAN, NAN, NAN, NAN]), 4)
    assert one.labels.tolist()[:2] == [1, 1]
    assert np.isnan(one.labels[2:]).all()


def test_a_positive_that_the_teacher_scores_lowest_leaves_nothing(caplog) -> None:
    with pytest.raises(InputError, match="scores the positives lowest"):
        sample_lists(scored([0, 1, 2], [1, NAN, NAN]), 3)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"count": 1}, "count=1"),
        ({"strategy": "soft"}, "strategy must be"),
        ({"false_negatives": 95}, "false_negatives is a share"),
    ],
)
def test_senseless_sampling_is_refused(arguments: dict, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        sample_lists(scored([1, 2], [1, NAN]), **arguments)


def test_sampling_needs_scores() -> None:
    with pytest.raises(InputError, match="score_candidates"):
        sample_lists(scored([1, NAN], [1, NAN]))
