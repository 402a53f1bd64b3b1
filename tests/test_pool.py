from __future__ import annotations

import asyncio
import contextvars
import os
import threading

from bicross import pool

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")


def test_sixty_four_calls_wait_side_by_side() -> None:
    barrier = threading.Barrier(64, timeout=30)

    async def main() -> list[int]:
        return await asyncio.gather(*(pool.waiting(barrier.wait) for _ in range(64)))

    assert sorted(asyncio.run(main())) == list(range(64))


def test_calls_that_compute_are_bounded_and_do_not_queue_behind_a_few_long_ones() -> None:
    most = max(pool.COMPUTING_THREADS, os.cpu_count() or 1)
    barrier = threading.Barrier(most, timeout=30)
    running = peak = 0
    lock = threading.Lock()

    def compute() -> None:
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        barrier.wait()  # passes once all threads of the pool are in here
        with lock:
            running -= 1

    async def main() -> None:
        await asyncio.gather(*(pool.computing(compute) for _ in range(2 * most)))

    asyncio.run(main())
    assert peak <= most


def test_context_and_errors_pass_through() -> None:
    async def main() -> None:
        NAME.set("mine")
        assert await pool.waiting(NAME.get) == "mine"
        try:
            await pool.computing(int, "x")
        except ValueError:
            return
        raise AssertionError("the error was lost")

    asyncio.run(main())
