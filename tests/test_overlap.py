from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from bicross.overlap import ahead, behind


def test_the_next_item_is_made_while_one_is_used() -> None:
    made = [threading.Event() for _ in range(3)]

    def items() -> Iterator[int]:
        for number, event in enumerate(made):
            event.set()
            yield number

    seen = []
    for item in ahead(items()):
        if item + 1 < len(made):
            assert made[item + 1].wait(10)
        assert all(not event.is_set() for event in made[item + 2 :])
        seen.append(item)
    assert seen == [0, 1, 2]


def test_an_error_in_making_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise KeyError("two")

    made = ahead(items())
    assert next(made) == 1
    with pytest.raises(KeyError, match="two"):
        next(made)


def test_calls_run_one_behind_and_in_order() -> None:
    release, started, done = threading.Event(), threading.Event(), []

    def first() -> None:
        started.set()
        assert release.wait(10)
        done.append(1)

    with behind() as hand_over:
        hand_over(first)
        assert started.wait(10)
        assert done == []
        release.set()
        hand_over(lambda: done.append(2))
        assert done[0] == 1
    assert done == [1, 2]


def fail() -> None:
    raise OSError("disk")


def run_behind(*calls: Callable[[], object]) -> None:
    with behind() as hand_over:
        for call in calls:
            hand_over(call)


def test_an_error_behind_is_raised_at_the_next_call_or_the_end() -> None:
    later: list[int] = []
    with pytest.raises(OSError, match="disk"):
        run_behind(fail, lambda: later.append(1))
    assert later == []
    with pytest.raises(OSError, match="disk"):
        run_behind(fail)


def test_an_error_of_ones_own_wins_over_one_behind() -> None:
    def run() -> None:
        with behind() as hand_over:
            hand_over(fail)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run()
