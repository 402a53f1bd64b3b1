"""Documents instead of passages: one contract for every transport, and an independent count over random data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bicross.errors import ConfigurationError, DimensionMismatchError, FilterError, InputError
from bicross.stores import ExactStore, Store
from bicross.stores.conditions import Node, matches
from bicross.stores.grouping import Grouping, best_documents
from bicross.types import Hit, Passage


def piece(document: str, number: int, **meta: Any) -> Passage:
    return Passage(
        f"{document} {number}", id=f"{document}#{number}", meta={"source_id": document, "split_id": number} | meta
    )


def at(*cosines: float) -> np.ndarray:
    """Unit vectors whose first coordinates are these: the scores of the query (1, 0)."""
    return np.array([[c, np.sqrt(1 - c * c)] for c in cosines])


QUERY = [1.0, 0.0]


def ids(groups: Sequence[Sequence[Hit]]) -> list[list[str]]:
    return [[hit.passage.id for hit in group] for group in groups]


def test_the_best_passage_of_each_document_wins(store: Store) -> None:
    passages = [piece("a", 0), piece("a", 1), piece("a", 2), piece("b", 0), piece("b", 1), Passage("c", id="c")]
    store.upsert(passages, at(0.1, 0.9, 0.8, 0.7, 0.2, 0.5))
    groups = store.search_groups(QUERY)
    assert ids(groups) == [["a#1"], ["b#0"], ["c"]]
    assert [group[0].score for group in groups] == pytest.approx([0.9, 0.7, 0.5], abs=1e-6)
    assert [group[0].stage1_rank for group in groups] == [1, 2, 3]
    assert groups[0][0].stage1_score == groups[0][0].score
    assert ids(store.search_groups(QUERY, top_k=2)) == [["a#1"], ["b#0"]]
    assert ids(store.search_groups(QUERY, group_size=2)) == [["a#1", "a#2"], ["b#0", "b#1"], ["c"]]
    assert ids(store.search_groups(QUERY, group_size=9)) == [["a#1", "a#2", "a#0"], ["b#0", "b#1"], ["c"]]
    ranks = [[hit.stage1_rank for hit in group] for group in store.search_groups(QUERY, group_size=9)]
    assert ranks == [[1, 2, 6], [3, 5], [4]]


def test_a_document_with_hundreds_of_near_passages_leaves_room_for_the_others(store: Store) -> None:
    crowd = [piece("crowd", i) for i in range(300)]
    others = [piece(f"d{i}", i % 3) for i in range(5)]
    store.upsert([*crowd, *others], at(*np.linspace(0.99, 0.8, 300), *np.linspace(0.5, 0.1, 5)))
    expected = [["crowd#0"], *([f"d{i}#{i % 3}"] for i in range(5))]
    assert ids(store.search_groups(QUERY, top_k=6)) == expected
    assert ids(store.search_groups(QUERY, top_k=50)) == expected
    assert ids(store.search_groups(QUERY, top_k=3)) == expected[:3]
    assert len(store.search_groups(QUERY, top_k=1, group_size=200)[0]) == 200


def test_a_document_found_late_gets_all_its_passages(store: Store) -> None:
    near = [piece(f"d{i}", 0) for i in range(6)]
    far = [piece(f"d{i}", 1) for i in range(6)]
    between = [piece("crowd", i) for i in range(200)]
    store.upsert([*near, *between, *far], at(*np.linspace(0.99, 0.9, 6), *np.full(200, 0.5), *np.linspace(0.2, 0.1, 6)))
    groups = store.search_groups(QUERY, top_k=6, group_size=2)
    assert ids(groups) == [[f"d{i}#0", f"d{i}#1"] for i in range(6)]


def test_passages_without_a_source_are_documents_of_their_own(store: Store) -> None:
    alone = [
        Passage("one", id="one"),
        Passage("two", id="two", meta={"source_id": None}),
        Passage("three", id="three", meta={"source_id": []}),
    ]
    store.upsert([*alone, piece("a", 0)], at(0.9, 0.8, 0.7, 0.6))
    assert ids(store.search_groups(QUERY, top_k=9)) == [["one"], ["two"], ["three"], ["a#0"]]
    assert ids(store.search_groups(QUERY, top_k=2)) == [["one"], ["two"]]


def test_a_whole_document_and_its_pieces_are_one_document(store: Store) -> None:
    store.upsert([Passage("a", id="a"), piece("a", 1), piece("b", 0)], at(0.5, 0.7, 0.6))
    assert ids(store.search_groups(QUERY)) == [["a#1"], ["b#0"]]
    assert ids(store.search_groups(QUERY, group_size=2)) == [["a#1", "a"], ["b#0"]]


def test_values_that_a_server_cannot_group_are_left_out(store: Store) -> None:
    odd = [1.5, True, ["a"], ["a", "b"], {"x": 1}, [1.5]]
    passages = [Passage(f"odd {i}", id=f"odd {i}", meta={"source_id": value}) for i, value in enumerate(odd)]
    store.upsert([*passages, piece("a", 0)], at(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3))
    assert ids(store.search_groups(QUERY)) == [["a#0"]]


def test_whole_numbers_and_strings_are_different_documents(store: Store) -> None:
    values = [1, "1", 1, 2**60, "1", -3]
    passages = [Passage(f"p{i}", id=f"p{i}", meta={"source_id": value}) for i, value in enumerate(values)]
    store.upsert(passages, at(0.9, 0.8, 0.7, 0.6, 0.5, 0.4))
    assert ids(store.search_groups(QUERY, group_size=2)) == [["p0", "p2"], ["p1", "p4"], ["p3"], ["p5"]]


@pytest.mark.parametrize("group_by", ["book", "meta.book", "by.name", "source", "title"])
def test_other_fields(store: Store, group_by: str) -> None:
    def passage(name: str, number: int) -> Passage:
        meta = {"book": name, "by": {"name": name}}
        return Passage(f"{name} {number}", id=f"{name}#{number}", title=name, meta=meta, source=name)

    store.upsert([passage("a", 0), passage("a", 1), passage("b", 0)], at(0.5, 0.9, 0.7))
    assert ids(store.search_groups(QUERY, group_by)) == [["a#1"], ["b#0"]]


def test_equal_scores_go_by_id(store: Store) -> None:
    mixed = np.random.default_rng(0).permutation(240).tolist()
    passages = [piece(f"d{i % 40:02}", i // 40) for i in mixed]
    store.upsert(passages, at(*np.full(240, 0.6)))
    assert ids(store.search_groups(QUERY, top_k=3)) == [["d00#0"], ["d01#0"], ["d02#0"]]
    assert ids(store.search_groups(QUERY, top_k=2, group_size=2)) == [["d00#0", "d00#1"], ["d01#0", "d01#1"]]


def test_an_id_that_names_another_document_misleads_nobody(store: Store) -> None:
    stray = Passage("stray", id="crowd", meta={"source_id": "other"})
    store.upsert([*(piece("crowd", i) for i in range(100)), stray], at(*np.full(100, 0.9), 0.1))
    assert [len(group) for group in store.search_groups(QUERY, group_size=200)] == [100, 1]
    assert ids(store.search_groups(QUERY))[1] == ["crowd"]


def test_a_crowd_of_any_size_costs_a_few_short_requests() -> None:
    hits = [Hit(piece("crowd", i), 1.0) for i in range(5000)] + [Hit(piece(f"d{i}", 0), 0.5) for i in range(3)]
    asked: list[int] = []

    def fetch(limit: int, node: Node | None) -> list[Hit]:
        asked.append(limit)
        rows = (hit for hit in hits if matches(node, {"id": hit.passage.id, "meta": hit.passage.meta}))
        return [hit for hit, _ in zip(rows, range(limit), strict=False)]

    found = best_documents(Grouping.of("source_id"), fetch, 10, None)
    assert ids(found) == [["crowd#0"], ["d0#0"], ["d1#0"], ["d2#0"]]
    assert asked == [64, 128]


def test_a_filter_chooses_among_the_passages(store: Store) -> None:
    passages = [piece("a", 0, lang="de"), piece("a", 1, lang="en"), piece("b", 0, lang="en"), Passage("c", id="c")]
    store.upsert(passages, at(0.9, 0.3, 0.5, 0.8))
    english = {"field": "lang", "operator": "==", "value": "en"}
    assert ids(store.search_groups(QUERY, filter=english)) == [["b#0"], ["a#1"]]
    assert ids(store.search_groups(QUERY, filter={"operator": "NOT", "conditions": [english]})) == [["a#0"], ["c"]]
    assert store.search_groups(QUERY, filter={"field": "lang", "operator": "==", "value": "fr"}) == []


def test_no_collection_and_senseless_arguments(store: Store) -> None:
    assert store.search_groups(QUERY) == []
    store.upsert([piece("a", 0)], at(0.5))
    for group_by in ("", None, 3, "id", "text", "content", "sync", "meta", 'a"b'):
        with pytest.raises(ConfigurationError, match="group_by names a field"):
            store.search_groups(QUERY, group_by)  # type: ignore[arg-type]
    for arguments in ({"top_k": 0}, {"group_size": 0}, {"group_size": True}):
        with pytest.raises(ConfigurationError, match="whole number from 1"):
            store.search_groups(QUERY, **arguments)
    with pytest.raises(DimensionMismatchError):
        store.search_groups([1.0, 0.0, 0.0])
    with pytest.raises(InputError):
        store.search_groups([float("nan"), 0.0])
    with pytest.raises(FilterError):
        store.search_groups(QUERY, filter={"field": "a"})


@pytest.mark.parametrize("seed", range(2))
def test_random_corpora_against_a_plain_count(store: Store, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.zipf(1.5, 25).clip(1, 40)
    passages = [piece(f"d{d}", n, even=bool(n % 2)) for d, size in enumerate(sizes) for n in range(size)]
    passages += [Passage(f"own {i}", id=f"own {i}", meta={"even": True}) for i in range(10)]
    vectors = rng.normal(size=(len(passages), 4)).astype(np.float32)
    store.upsert(passages, vectors)
    oracle = ExactStore()
    oracle.upsert(passages, vectors)
    for top_k, size, even in ((1, 1, None), (7, 1, True), (10, 3, None), (60, 2, True)):
        query = rng.normal(size=4).astype(np.float32)
        filter = None if even is None else {"field": "even", "operator": "==", "value": even}
        expected: dict[Any, list[str]] = {}
        for hit in oracle.search(query, len(passages), filter):
            expected.setdefault(hit.passage.meta.get("source_id", hit.passage.id), []).append(hit.passage.id)
        found = store.search_groups(query, "source_id", top_k, size, filter)
        assert ids(found) == [group[:size] for group in list(expected.values())[:top_k]]


def test_hits_collapse_in_the_order_given() -> None:
    hits = [Hit(p, s) for p, s in ((piece("a", 0), 3), (piece("b", 0), 2), (piece("a", 1), 1), (Passage("c", "c"), 0))]
    shown = lambda grouping, top_k: [h.passage.id for h in grouping.collapsed(hits, top_k)]  # noqa: E731
    assert shown(Grouping.of("source_id"), 9) == ["a#0", "b#0", "c"]
    assert shown(Grouping.of("source_id"), 1) == ["a#0"]
    assert shown(Grouping.of("source_id", 2), 2) == ["a#0", "b#0", "a#1"]
    assert Grouping.of("source_id").count(hits) == 3
