from __future__ import annotations

import pytest

from bicross.errors import ConfigurationError
from bicross.fusion import fuse, weighted_fusion


def test_reciprocal_ranks_count_places_alone() -> None:
    dense, sparse = [("a", 0.9), ("b", 0.1)], [("c", 30.0), ("a", 0.2)]
    order = fuse([dense, sparse], (0.5, 0.5), "rrf")
    assert [key for key, _ in order] == ["a", "c", "b"]
    assert [score for _, score in order] == pytest.approx([0.5 / 61 + 0.5 / 62, 0.5 / 61, 0.5 / 62])


def test_weights_decide() -> None:
    dense, sparse = [("a", 0.9), ("b", 0.8), ("c", 0.1)], [("c", 9.0), ("b", 3.0), ("a", 1.0)]
    for method in ("rrf", "weighted"):
        assert [key for key, _ in fuse([dense, sparse], (1.0, 0.0), method)] == ["a", "b", "c"]
        assert [key for key, _ in fuse([dense, sparse], (0.0, 1.0), method)] == ["c", "b", "a"]


def test_z_scores_are_of_each_ranking() -> None:
    found = weighted_fusion([{"a": 3.0, "b": 1.0}, {"b": 50.0, "c": 10.0}], (0.25, 0.75))
    assert found == {"a": 0.25 - 0.75, "b": -0.25 + 0.75, "c": -0.25 - 0.75}


def test_a_single_find_stands_out_from_what_was_not_found() -> None:
    dense = {"a": 0.9, "b": 0.5, "c": 0.1}
    unknown = weighted_fusion([dense, {"c": 4.0}], (0.5, 0.5))
    assert max(unknown, key=unknown.__getitem__) == "a"
    known = weighted_fusion([dense, {"b": 4.0}], (0.5, 0.5), (None, 0.0))
    assert max(known, key=known.__getitem__) == "b"


def test_equal_scores_come_by_key_and_nothing_is_nothing() -> None:
    for method in ("rrf", "weighted"):
        assert [key for key, _ in fuse([[("b", 1.0)], [("a", 1.0)]], (0.5, 0.5), method)] == ["a", "b"]
        assert fuse([[], []], (0.5, 0.5), method) == []
        assert [key for key, _ in fuse([[(7, 0.3), (2, 0.1)], []], (0.5, 0.5), method)] == [7, 2]


def test_unknown_methods_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="fusion is one of 'weighted', 'rrf'; got 'sum'"):
        fuse([], (), "sum")
