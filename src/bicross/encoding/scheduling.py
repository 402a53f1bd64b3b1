"""Whose batch a device computes next, when many threads ask at once.

A device computes one batch at a time, with all its cores. Short requests (a query) that wait for the same model become
one batch. Long jobs (indexing, reranking) take a turn for every batch; short requests go between their batches, and
while such requests arrive the batches are small, so that none waits long. There is no thread behind this: whoever has
the turn computes for all who wait alongside.
"""

from __future__ import annotations

import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.encoding.backends.protocol import Result
from bicross.encoding.batching import plan_batches
from bicross.encoding.hardware import usable_cores
from bicross.types import Floats

Compute = Callable[[list[Any]], Result]
"""Rows of token ids to one result each, perhaps on its way. **Shape:** (rows,) → (rows, width)."""

CPU_BATCH_TOKENS = 2_048
_TOKENS_A_CORE = 512
"""Below four cores a batch is so much smaller that it stays in the cache (`benchmarks/batch_tokens.py`)."""
_CPU_SMALL_TOKENS = 256
GPU_BATCH_TOKENS = 65_536
_SHARE = 8
"""A short request, and a long job's batch while short requests arrive, are at most this part of a full batch, unless
it is said how large."""
_GPU_DEADLINE = 0.002
"""How long a batch of short requests waits for more, where a batch of 64 takes hardly longer than one of 32. **Unit:**
seconds. On a CPU, whose time grows with the rows, waiting buys nothing."""
_POLL = 0.0001
_LINGER_SECONDS = 5.0
"""How long after a short request a long job's batches stay small."""


class _Call:
    """A caller that waits: for its turn, or for its results from another's."""

    __slots__ = ("alone", "gone", "has_turn", "key", "lengths", "results", "rows", "signal")

    def __init__(self, key: object = None, rows: Sequence[Any] = (), lengths: Sequence[int] = ()) -> None:
        self.key = key
        self.rows = rows
        self.lengths = lengths
        self.results: Floats | None = None
        self.has_turn = False
        self.alone = False
        self.gone = False
        self.signal = threading.Lock()
        self.signal.acquire()


class Scheduler:
    """The turns of one device.

    Args:
        batch_tokens: Tokens of a full batch.
        deadline: How long a batch of short requests waits for callers who were just answered together, and may ask
            again. A lone caller waits for nobody. **Unit:** seconds.
        small_tokens: Most tokens of a short request, and of a long job's batch while such requests arrive.
    """

    def __init__(
        self, batch_tokens: int = CPU_BATCH_TOKENS, deadline: float = 0.0, small_tokens: int | None = None
    ) -> None:
        self.batch_tokens = batch_tokens
        self.deadline = deadline
        self.small_tokens = small_tokens or batch_tokens // _SHARE
        self._fits = sys.maxsize
        self._in_flight: Result | None = None
        self._expected = 0
        self._answered_at = -math.inf
        self._lock = threading.Lock()
        self._busy = False
        self._short: deque[_Call] = deque()
        self._long: deque[_Call] = deque()
        self._jobs = 0
        self._last_short = -math.inf

    def run(
        self,
        key: object,
        rows: Sequence[Any],
        lengths: Sequence[int],
        compute: Compute,
        out: Floats,
        *,
        batch_tokens: int | None = None,
        room: Callable[[int], int] | None = None,
        advance: Callable[[int], object] | None = None,
    ) -> None:
        """Compute rows, in batches of similar length and in turn with the other callers.

        Args:
            key: Equal for rows that may share a batch and get the same results from the same `compute`.
            rows: What `compute` takes.
            lengths: Tokens of each row.
            compute: Called by one thread at a time.
            out: Where the results go, in the rows' order. **Shape:** (rows, width).
            batch_tokens: Most tokens of a batch, padding included; None: what suits the device.
            room: Tokens of a batch that the device's free memory holds, for its longest row; asked in long jobs.
            advance: Told how many rows are done.
        """
        budget = batch_tokens or self.batch_tokens
        if not rows:
            return
        if len(rows) * max(lengths) <= self.small_tokens:
            self._run_short(_Call((key, budget), rows, lengths), compute, out, budget)
        else:
            self._run_long(rows, lengths, compute, out, budget, room, advance)
            return
        if advance is not None:
            advance(len(rows))

    # --- long jobs -----------------------------------------------------------------------------------------------

    def _run_long(
        self,
        rows: Sequence[Any],
        lengths: Sequence[int],
        compute: Compute,
        out: Floats,
        budget: int,
        room: Callable[[int], int] | None,
        advance: Callable[[int], object] | None,
    ) -> None:
        def most(longest: int) -> int:
            allowed = self._allowed(budget)
            return allowed if room is None else min(allowed, room(longest))

        batches = plan_batches(lengths, most)
        left = len(rows)
        launched: tuple[npt.NDArray[np.intp], Result] | None = None
        with self._lock:
            self._jobs += 1
        try:
            while left:
                with self._turn():
                    batch = next(batches)  # planned in its turn: who waits now decides over its size
                    results = self._fitting(compute, [rows[i] for i in batch], lengths[batch[0]])
                    self._wait_for_all_but(results)
                left -= len(batch)
                if launched is not None:
                    out[launched[0]] = launched[1]
                launched = batch, results
                if advance is not None:
                    advance(len(batch))
            if launched is not None:
                out[launched[0]] = launched[1]
        finally:
            with self._lock:
                self._jobs -= 1

    def _wait_for_all_but(self, results: Result) -> None:
        """A card has the next batch while the one before is waited for, whoever's it is; none, while queries arrive."""
        before, self._in_flight = self._in_flight, None if isinstance(results, np.ndarray) else results
        if before is not None:
            np.asarray(before)
        if self._arriving():
            np.asarray(results)

    def _arriving(self) -> bool:
        return bool(self._short) or time.monotonic() - self._last_short < _LINGER_SECONDS

    def _allowed(self, budget: int) -> int:
        most = min(budget, self._fits)
        return min(most, self.small_tokens) if self._arriving() else most

    def _fitting(self, compute: Compute, rows: list[Any], longest: int) -> Result:
        """Results of rows, computed in halves where the device's memory is too small; later batches are smaller."""
        try:
            return compute(rows)
        except MemoryError:
            if len(rows) == 1:
                raise
        half = len(rows) // 2
        self._fits = min(self._fits, half * longest)
        parts = (rows[:half], rows[half:])
        return np.concatenate([self._fitting(compute, part, longest) for part in parts])

    @contextmanager
    def _turn(self) -> Iterator[None]:
        self._wait(_Call(), self._long)
        try:
            yield
        finally:
            self._pass_on(was_long=True)

    # --- short requests ------------------------------------------------------------------------------------------

    def _run_short(self, call: _Call, compute: Compute, out: Floats, budget: int) -> None:
        with self._lock:
            if self._jobs:
                self._last_short = time.monotonic()
        self._wait(call, self._short)
        if call.results is None:
            try:
                call.results = self._lead(call, compute, out.shape[1], budget)
            finally:
                self._pass_on(was_long=False)
        out[:] = call.results

    def _lead(self, call: _Call, compute: Compute, width: int, budget: int) -> Floats:
        """Compute a call's rows, and in the same batch those of others that wait with the same key."""
        if self.deadline and not call.alone:
            self._await_more()
        others = [] if call.alone else self._take_alike(call, budget)
        calls = [call, *others]
        try:
            results = self._compute(calls, compute, width, budget)
        except BaseException as error:
            # Somebody's rows may have broken the batch: each caller computes its own, and gets its own error.
            self._give_back(others, alone=isinstance(error, Exception))
            if not others or not isinstance(error, Exception):
                raise
            return self._compute([call], compute, width, budget)
        # The next batch has the first of those who wait now; the others, and those answered now, may join it.
        self._expected, self._answered_at = max(len(self._short) - 1, 0) + len(calls) - 1, time.monotonic()
        start = len(call.rows)
        for other in others:
            other.results = results[start : start + len(other.rows)]
            start += len(other.rows)
            other.signal.release()
        return results[: len(call.rows)]

    def _await_more(self) -> None:
        """Callers that ask one query after the other would else fall into two halves that take turns."""
        started = time.monotonic()
        if started - self._answered_at >= self.deadline:
            return
        while len(self._short) < self._expected and time.monotonic() - started < self.deadline:
            time.sleep(_POLL)

    def _compute(self, calls: Sequence[_Call], compute: Compute, width: int, budget: int) -> Floats:
        rows = [row for call in calls for row in call.rows]
        if len(rows) == 1:
            return np.asarray(compute(rows))
        lengths = [length for call in calls for length in call.lengths]
        results = np.empty((len(rows), width), dtype=np.float32)
        # Queries of 8 and of 30 tokens in one batch would be padding for the most part.
        for batch in plan_batches(lengths, min(budget, self.small_tokens)):
            results[batch] = compute([rows[i] for i in batch])
        return results

    def _take_alike(self, call: _Call, budget: int) -> list[_Call]:
        taken: list[_Call] = []
        tokens = sum(call.lengths)
        with self._lock:
            for other in list(self._short):
                if other.alone or other.key != call.key:
                    continue
                tokens += sum(other.lengths)
                if tokens > budget:
                    break
                taken.append(other)
                self._short.remove(other)
        return taken

    def _give_back(self, calls: list[_Call], *, alone: bool) -> None:
        for call in calls:
            call.alone = alone
        with self._lock:
            self._short.extendleft(reversed(calls))

    # --- turns ---------------------------------------------------------------------------------------------------

    def _wait(self, call: _Call, queue: deque[_Call]) -> None:
        """Until the call has the turn, or its results."""
        with self._lock:
            if not self._busy:
                self._busy = True
                return
            queue.append(call)
        try:
            call.signal.acquire()
        except BaseException:  # Ctrl+C: nobody may wait for a turn that is never passed on
            with self._lock:
                call.gone = True
            if call.has_turn:
                self._pass_on(was_long=queue is self._long)
            raise

    def _pass_on(self, *, was_long: bool) -> None:
        """Give the turn to the next: the two kinds take it alternately where both wait."""
        with self._lock:
            call = self._next(was_long)
            if call is None:
                self._busy = False
                return
            call.has_turn = True
        call.signal.release()

    def _next(self, was_long: bool) -> _Call | None:
        while self._short or self._long:
            queue = self._short if self._short and (was_long or not self._long) else self._long
            call = queue.popleft()
            if not call.gone:
                return call
        return None


_schedulers: dict[str, Scheduler] = {}


def scheduler_of(device: str) -> Scheduler:
    """The scheduler of a torch device, the same for all models on it."""
    if device not in _schedulers:
        if device == "cpu":
            fresh = Scheduler(min(CPU_BATCH_TOKENS, _TOKENS_A_CORE * usable_cores()), small_tokens=_CPU_SMALL_TOKENS)
        else:
            fresh = Scheduler(GPU_BATCH_TOKENS, _GPU_DEADLINE)
        return _schedulers.setdefault(device, fresh)
    return _schedulers[device]


# In a forked child nobody would ever pass on the turns that the parent's threads have.
os.register_at_fork(after_in_child=_schedulers.clear)
