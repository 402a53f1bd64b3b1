"""The index built in a process of its own, with the shard closed meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bicross.errors import StoreError
from bicross.stores import QdrantStore, optimizing, shards
from bicross.stores.gate import Gate
from bicross.types import Passage

COUNT = 200


def vector(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=8).astype(np.float32)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(shards, "MANY", 0)
    with QdrantStore(path=tmp_path) as opened:
        opened.upsert([Passage(f"t{i}", id=str(i)) for i in range(COUNT)], [vector(i) for i in range(COUNT)])
        yield opened


def test_searches_and_writes_meanwhile_wait_and_are_right(store: QdrantStore) -> None:
    stop, wrong, asked = threading.Event(), [], [0, 0, 0]

    def search(own: int) -> None:
        while not stop.is_set():
            number = (7 * asked[own] + own) % COUNT
            if store.search(vector(number), 1)[0].passage.id != str(number) or store.count() < COUNT:
                wrong.append(number)
            asked[own] += 1

    with ThreadPoolExecutor(4) as threads:
        searching = [threads.submit(search, own) for own in range(3)]
        optimizing_ = threads.submit(store.optimize)
        store.upsert([Passage("new", id="new")], [vector(COUNT)])
        optimizing_.result(60)
        before = list(asked)
        while any(now <= then for now, then in zip(asked, before, strict=True)):
            assert not any(each.done() for each in searching)
        stop.set()
        for each in searching:
            each.result(10)
    assert wrong == []
    assert store.search(vector(COUNT), 1)[0].passage.id == "new"
    assert store.count() == COUNT + 1


def test_it_says_that_searches_wait(store: QdrantStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bicross")
    store.optimize()
    assert [message for message in caplog.messages if "in a process of its own; searches of it wait" in message]


def test_a_process_that_fails_leaves_everything_as_it_was(store: QdrantStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimizing.sys, "executable", "/bin/false")
    with pytest.raises(StoreError, match="built in a process of its own, and that failed: it ended with 1"):
        store.optimize()
    assert store.count() == COUNT
    assert store.search(vector(3), 1)[0].passage.id == "3"
    store.upsert([Passage("new", id="new")], [vector(COUNT)])
    assert store.count() == COUNT + 1


def test_a_gate_is_shut_once_all_are_out() -> None:
    gate, entered, leave, order = Gate(), threading.Event(), threading.Event(), []

    def read() -> None:
        with gate.inside():
            entered.set()
            assert leave.wait(10)
            order.append("read")

    def shut() -> None:
        with gate.shut():
            order.append("shut")
            with pytest.raises(TimeoutError):
                late.result(0.05)
        order.append("open")

    def come_late() -> None:
        with gate.inside():
            order.append("late")

    with ThreadPoolExecutor(3) as threads:
        reading = threads.submit(read)
        assert entered.wait(10)
        shutting = threads.submit(shut)
        while not gate._shut:
            pass
        late = threads.submit(come_late)
        leave.set()
        for each in (reading, shutting, late):
            each.result(10)
    assert order[:2] == ["read", "shut"]
    assert sorted(order[2:]) == ["late", "open"]
