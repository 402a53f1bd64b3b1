"""Tokens that are remembered between calls."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from bicross.encoding.kept_tokens import FEW, KeptTokens


@pytest.fixture
def made() -> list[str]:
    return []


def keeping(made: list[str], capacity: int = 100) -> KeptTokens[list[str]]:
    def make(texts):
        made.extend(texts)
        return [text.split() for text in texts]

    return KeptTokens(make, len, capacity)


def test_a_text_is_tokenised_once_and_answers_come_in_order(made: list[str]) -> None:
    kept = keeping(made)
    assert kept.of(["a b", "c", "a b"]) == [["a", "b"], ["c"], ["a", "b"]]
    assert kept.of(["c", "d"]) == [["c"], ["d"]]
    assert made == ["a b", "c", "d"]
    assert kept.of([]) == []


def test_the_least_recently_used_is_forgotten_first(made: list[str]) -> None:
    kept = keeping(made, capacity=3)
    kept.of(["a", "b", "c"])
    kept.of(["a"])
    kept.of(["d"])
    made.clear()
    kept.of(["a", "c", "d"])
    assert made == []
    kept.of(["b"])
    assert made == ["b"]


def test_what_is_longer_than_all_room_is_given_and_not_kept(made: list[str]) -> None:
    kept = keeping(made, capacity=3)
    kept.of(["a"])
    assert kept.of(["b b b b"]) == [["b"] * 4]
    made.clear()
    kept.of(["a"])
    assert made == []


def test_a_bulk_job_pushes_nothing_out(made: list[str]) -> None:
    kept = keeping(made, capacity=FEW)
    kept.of(["a"])
    kept.of([f"t{i}" for i in range(FEW + 1)])
    made.clear()
    kept.of(["a"])
    assert made == []


def test_threads_get_the_right_tokens(made: list[str]) -> None:
    kept = keeping(made, capacity=20)
    asked = [[f"w{i % 30} x", f"w{(i * 7) % 30} y"] for i in range(300)]
    with ThreadPoolExecutor(8) as pool:
        for texts, found in zip(asked, pool.map(kept.of, asked), strict=True):
            assert found == [text.split() for text in texts]
