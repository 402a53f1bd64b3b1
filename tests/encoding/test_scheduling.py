from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from bicross import BiEncoder, CrossEncoder
from bicross.encoding import scheduling
from bicross.encoding.scheduling import Scheduler
from bicross.types import Floats
from tiny_models import write_bi_encoder


class Model:
    """Doubles its rows; can be held inside a batch, and notes the batches."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.inside = threading.Semaphore(0)
        self.go = threading.Semaphore(0)
        self.hold = 0
        self.running = 0

    def compute(self, rows: list[float]) -> Floats:
        self.running += 1
        assert self.running == 1, "two batches at once"
        self.batches.append(list(rows))
        if self.hold:
            self.hold -= 1
            self.inside.release()
            assert self.go.acquire(timeout=10)
        self.running -= 1
        if any(row < 0 for row in rows):
            raise ValueError(f"bad row {min(rows)}")
        return np.array([[2 * row] for row in rows], dtype=np.float32)


def ask(scheduler: Scheduler, model: Model, rows: list[float], tokens: int = 10, key: object = "m") -> list[float]:
    out = np.empty((len(rows), 1), dtype=np.float32)
    scheduler.run(key, rows, [tokens] * len(rows), model.compute, out)
    return out[:, 0].tolist()


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


@pytest.mark.parametrize(("cores", "tokens"), [(1, 512), (2, 1_024), (16, 2_048)])
def test_a_batch_is_as_large_as_the_cores_caches(monkeypatch: pytest.MonkeyPatch, cores: int, tokens: int) -> None:
    monkeypatch.setattr(scheduling, "_schedulers", {})
    monkeypatch.setattr(scheduling, "usable_cores", lambda: cores)
    made = scheduling.scheduler_of("cpu")
    assert (made.batch_tokens, made.small_tokens) == (tokens, 256)
    card = scheduling.scheduler_of("cuda")
    assert (card.batch_tokens, card.small_tokens) == (65_536, 8_192)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(16) as pool:
        yield pool


def held(scheduler: Scheduler, model: Model, threads: ThreadPoolExecutor):
    """A first request that stays inside its batch until `model.go` is released."""
    model.hold = 1
    first = threads.submit(ask, scheduler, model, [100.0])
    assert model.inside.acquire(timeout=10)
    return first


def test_what_waits_for_one_model_becomes_one_batch(threads: ThreadPoolExecutor) -> None:
    scheduler, model = Scheduler(800), Model()
    first = held(scheduler, model, threads)
    others = [threads.submit(ask, scheduler, model, [float(i), i + 0.5]) for i in range(5)]
    foreign = threads.submit(ask, scheduler, model, [7.0], key="another model")
    eventually(lambda: len(scheduler._short) == 6)
    model.go.release()
    assert [each.result(10) for each in others] == [[2.0 * i, 2 * i + 1.0] for i in range(5)]
    assert (first.result(10), foreign.result(10)) == ([200.0], [14.0])
    assert sorted(map(len, model.batches)) == [1, 1, 10]


def test_short_and_longer_requests_are_not_padded_to_one_length(threads: ThreadPoolExecutor) -> None:
    scheduler, model = Scheduler(800), Model()
    first = held(scheduler, model, threads)
    others = [threads.submit(ask, scheduler, model, [float(i)], tokens=i) for i in (5, 30, 5, 30, 30, 5)]
    eventually(lambda: len(scheduler._short) == 6)
    model.go.release()
    assert [each.result(10) for each in [first, *others]] == [[200.0], [10], [60], [10], [60], [60], [10]]
    assert model.batches[1:] == [[30.0, 30.0, 30.0], [5.0, 5.0, 5.0]]


def test_a_lone_request_waits_for_nobody() -> None:
    scheduler, model = Scheduler(800), Model()
    assert ask(scheduler, model, [1.0]) == [2.0]
    assert model.batches == [[1.0]]


def test_a_shared_batch_keeps_to_the_budget(threads: ThreadPoolExecutor) -> None:
    scheduler, model = Scheduler(800), Model()
    first = held(scheduler, model, threads)
    others = [threads.submit(ask, scheduler, model, [float(i)] * 10) for i in range(12)]
    eventually(lambda: len(scheduler._short) == 12)
    model.go.release()
    assert [each.result(10) for each in [first, *others]] == [[200.0], *([2.0 * i] * 10 for i in range(12))]
    assert max(map(len, model.batches)) == 10
    assert model.batches[8][0] == 7.0  # the eighth of the first turn's eight; four were left to the next


def test_an_error_reaches_its_own_caller(threads: ThreadPoolExecutor) -> None:
    scheduler, model = Scheduler(800), Model()
    first = held(scheduler, model, threads)
    good = [threads.submit(ask, scheduler, model, [float(i)]) for i in range(3)]
    bad = threads.submit(ask, scheduler, model, [-4.0])
    eventually(lambda: len(scheduler._short) == 4)
    model.go.release()
    assert [each.result(10) for each in good] == [[0.0], [2.0], [4.0]]
    with pytest.raises(ValueError, match="bad row -4"):
        bad.result(10)
    assert first.result(10) == [200.0]
    assert ask(scheduler, model, [9.0]) == [18.0]


def test_a_long_job_and_short_requests_take_turns(threads: ThreadPoolExecutor) -> None:
    scheduler, model = Scheduler(80), Model()
    model.hold = 100
    rows = [float(i) for i in range(24)]
    long = threads.submit(ask, scheduler, model, rows)
    assert model.inside.acquire(timeout=10)
    assert len(model.batches[0]) == 8  # full, while nobody asks
    shorts = []
    for number in range(3):
        shorts.append(threads.submit(ask, scheduler, model, [1000.0 + number]))
        eventually(lambda: len(scheduler._short) == 1)
        model.go.release()
        assert model.inside.acquire(timeout=10)
        assert model.batches[-1] == [1000.0 + number]  # before the job goes on
        model.go.release()
        assert model.inside.acquire(timeout=10)
        assert len(model.batches[-1]) == 1  # a tenth of a full batch's tokens: small, while requests arrive
    model.hold = 0
    model.go.release()
    assert long.result(10) == [2 * row for row in rows]
    assert [each.result(10) for each in shorts] == [[2000.0], [2002.0], [2004.0]]


def test_short_requests_never_starve_a_long_job(threads: ThreadPoolExecutor) -> None:
    scheduler, model = Scheduler(80), Model()
    first = held(scheduler, model, threads)
    long = threads.submit(ask, scheduler, model, [float(i) for i in range(9)])
    shorts = [threads.submit(ask, scheduler, model, [50.0], key=number) for number in range(6)]
    eventually(lambda: len(scheduler._short) == 6 and len(scheduler._long) == 1)
    model.go.release()
    for each in [first, long, *shorts]:
        each.result(10)
    assert [len(batch) == 1 and batch[0] == 50.0 for batch in model.batches[1:5]] == [False, True, False, True]


def test_batches_are_full_again_once_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler, model = Scheduler(80), Model()
    scheduler._last_short = time.monotonic()
    ask(scheduler, model, [0.0] * 8)
    scheduler._last_short -= 60
    ask(scheduler, model, [0.0] * 8)
    assert [len(batch) for batch in model.batches] == [1] * 8 + [8]


def test_ctrl_c_while_waiting_blocks_nobody(threads: ThreadPoolExecutor) -> None:
    scheduler, model = Scheduler(800), Model()
    first = held(scheduler, model, threads)

    def interrupt() -> None:
        eventually(lambda: len(scheduler._short) == 1)
        os.kill(os.getpid(), signal.SIGINT)

    threads.submit(interrupt)
    with pytest.raises(KeyboardInterrupt):
        ask(scheduler, model, [1.0])
    model.go.release()
    assert first.result(10) == [200.0]
    assert ask(scheduler, model, [3.0]) == [6.0]
    assert model.batches == [[100.0], [3.0]]


def test_many_threads_get_the_serial_answers(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    queries = [f"the {a} {b} sits on a {b}" for a in ("cat", "dog", "bird", "red", "old") for b in ("tree", "house")]
    documents = [f"{query} and eats {i} fish " * (1 + i % 5) for i, query in enumerate(queries * 8)]
    serial = {query: bi_encoder.encode_query(query) for query in queries}
    bulk = bi_encoder.encode_document(documents, return_truncation=True)[0]
    scores = cross_encoder.predict([(q, q) for q in queries])
    errors: list[str] = []

    def worker(number: int) -> None:
        for step in range(12):
            query = queries[(number + step) % len(queries)]
            if not np.allclose(bi_encoder.encode_query(query), serial[query], atol=1e-5):
                errors.append(query)
        if number % 4 == 0 and not np.allclose(
            bi_encoder.encode_document(documents, return_truncation=True)[0], bulk, atol=1e-5
        ):
            errors.append("bulk")
        if number % 4 == 1 and not np.allclose(cross_encoder.predict([(q, q) for q in queries]), scores, atol=1e-5):
            errors.append("pairs")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(worker, range(16)))
    assert errors == []


def test_close_lets_those_who_wait_finish(bi_folder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = BiEncoder.load(bi_folder, device="cpu")
    expected = model.encode_query("the cat")
    inner = model._leases["query"].get().model
    inside, go, vectors = threading.Event(), threading.Event(), inner.vectors

    def slow(*arguments: object) -> object:
        inside.set()
        assert go.wait(10)
        return vectors(*arguments)

    monkeypatch.setattr(inner, "vectors", slow)
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(model.encode_query, "a dog")
        assert inside.wait(10)
        waiting = [pool.submit(model.encode_query, "the cat") for _ in range(2)]
        time.sleep(0.05)
        model.close()
        go.set()
        np.testing.assert_allclose([each.result(10) for each in waiting], [expected] * 2, atol=1e-6)
        assert first.result(10).shape == (32,)


def test_with_a_deadline_a_batch_waits_for_those_who_were_answered_together(threads) -> None:
    scheduler, model = Scheduler(deadline=30.0), Model()
    model.hold = 2
    asked = [threads.submit(ask, scheduler, model, [1.0])]
    assert model.inside.acquire(timeout=10)
    for row in (2.0, 3.0):
        asked.append(threads.submit(ask, scheduler, model, [row]))
        eventually(lambda: len(scheduler._short) == len(asked) - 1)
    model.go.release()
    assert model.inside.acquire(timeout=10)  # 2 and 3 are in one batch
    asked.append(threads.submit(ask, scheduler, model, [4.0]))
    eventually(lambda: len(scheduler._short) == 1)
    model.go.release()
    assert asked[1].result(timeout=10) == [4.0]
    asked.append(threads.submit(ask, scheduler, model, [5.0]))  # one of the two asks again
    assert [future.result(timeout=10) for future in asked[3:]] == [[8.0], [10.0]]
    assert model.batches == [[1.0], [2.0, 3.0], [4.0, 5.0]]


def test_a_lone_caller_waits_for_nobody() -> None:
    scheduler, model = Scheduler(deadline=30.0), Model()
    started = time.monotonic()
    for row in range(5):
        assert ask(scheduler, model, [float(row)]) == [2.0 * row]
    assert time.monotonic() - started < 30


def test_who_does_not_come_back_is_waited_for_until_the_deadline() -> None:
    scheduler, model = Scheduler(deadline=0.05), Model()
    started = time.monotonic()
    scheduler._expected, scheduler._answered_at = 7, started
    assert ask(scheduler, model, [1.0]) == [2.0]
    assert time.monotonic() - started >= 0.05
    assert scheduler._expected == 0


def test_a_batch_that_memory_is_too_small_for_is_halved_and_later_ones_are_smaller() -> None:
    batches: list[int] = []

    def compute(rows: list[float]) -> Floats:
        batches.append(len(rows))
        if len(rows) > 3:
            raise MemoryError("a card's")
        return np.array([[2 * row] for row in rows], dtype=np.float32)

    out = np.empty((20, 1), dtype=np.float32)
    Scheduler(80).run("m", [float(i) for i in range(20)], [10] * 20, compute, out)
    assert out[:, 0].tolist() == [2.0 * i for i in range(20)]
    assert batches == [8, 4, 2, 2, 4, 2, 2, *[2] * 6]
    with pytest.raises(MemoryError):
        Scheduler(80).run("m", [0.0] * 20, [10] * 20, lambda rows: (_ for _ in ()).throw(MemoryError()), out)


class Card:
    """Gets batches, and sends the results when somebody waits for them."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.unread = self.most_unread = 0

    def launch(self, rows: list[float]) -> Sent:
        self.events.append(f"launched {rows[0]:g}")
        self.unread += 1
        self.most_unread = max(self.most_unread, self.unread)
        return Sent(rows, self)


class Sent:
    """Results on their way."""

    def __init__(self, rows: list[float], card: Card) -> None:
        self.rows, self.card, self.waited = rows, card, False

    def __array__(self, dtype: object = None, copy: object = None) -> Floats:
        if not self.waited:
            self.waited = True
            self.card.unread -= 1
            self.card.events.append(f"read {self.rows[0]:g}")
        return np.array([[2 * row] for row in self.rows], np.float32)


def test_a_batch_is_launched_before_the_results_of_the_one_before_are_read() -> None:
    card, out = Card(), np.empty((9, 1), np.float32)
    Scheduler(40).run("m", [float(i) for i in range(9)], [10] * 9, card.launch, out)
    assert card.events == ["launched 0", "launched 4", "read 0", "launched 8", "read 4", "read 8"]
    assert out[:, 0].tolist() == [2.0 * i for i in range(9)]


def test_a_card_has_two_batches_at_most_whoever_s_they_are(threads) -> None:
    card, scheduler = Card(), Scheduler(40)

    def job(first: float) -> list[float]:
        out = np.empty((40, 1), np.float32)
        scheduler.run("m", [first + i for i in range(40)], [10] * 40, card.launch, out)
        return out[:, 0].tolist()

    jobs = [threads.submit(job, 100.0 * i) for i in range(4)]
    for i, each in enumerate(jobs):
        assert each.result(10) == [2 * (100.0 * i + k) for k in range(40)]
    assert card.most_unread == 2


def test_no_batch_is_left_on_a_card_while_queries_arrive() -> None:
    card, scheduler, out = Card(), Scheduler(80), np.empty((8, 1), np.float32)
    scheduler._last_short = time.monotonic()
    scheduler.run("m", [float(i) for i in range(8)], [10] * 8, card.launch, out)
    assert card.most_unread == 1
    assert out[:, 0].tolist() == [2.0 * i for i in range(8)]


def test_a_short_request_and_the_halves_of_a_batch_read_what_is_on_its_way() -> None:
    card, out = Card(), np.empty((1, 1), np.float32)
    Scheduler(800).run("m", [3.0], [10], card.launch, out)
    assert out.tolist() == [[6.0]]

    def small(rows: list[float]) -> Sent:
        if len(rows) > 3:
            raise MemoryError
        return card.launch(rows)

    out = np.empty((8, 1), np.float32)
    Scheduler(80).run("m", [float(i) for i in range(8)], [10] * 8, small, out)
    assert out[:, 0].tolist() == [2.0 * i for i in range(8)]


def test_a_long_job_s_batches_are_as_large_as_the_device_s_memory_holds() -> None:
    model, asked = Model(), []
    out = np.empty((8, 1), np.float32)

    def room(longest: int) -> int:
        asked.append(longest)
        return 30

    Scheduler(80).run("m", [float(i) for i in range(8)], [10, 9] * 4, model.compute, out, room=room)
    assert [len(batch) for batch in model.batches] == [3, 3, 2]
    assert asked == [10, 10, 9]
    Scheduler(80).run("m", [1.0], [10], model.compute, out[:1], room=room)
    assert len(asked) == 3  # not for a short request


@pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")  # numbers are unknown to the tiny model
def test_torch_s_memory_error_is_python_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    model = BiEncoder.load(write_bi_encoder(tmp_path / "m"), backend="torch", device="cpu")
    module = model._leases["document"].get().model._module
    states, sizes = module.states, []

    def small(ids, mask):
        sizes.append(len(ids))
        if len(ids) > 40:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return states(ids, mask)

    texts = [f"the cat sits {'on ' * (i % 3)}" for i in range(400)]
    texts = [f"{text} {i}" for i, text in enumerate(texts)]
    expected = model.encode_document(texts)
    monkeypatch.setattr(module, "states", small)
    scheduler = Scheduler(2_048)
    monkeypatch.setattr("bicross.encoding.embedding.scheduler_of", lambda _: scheduler)
    np.testing.assert_allclose(model.encode_document(texts), expected, atol=1e-5)
    assert sizes[0] > 40
    assert max(sizes[-3:]) <= 40
