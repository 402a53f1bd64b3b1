from __future__ import annotations

import asyncio
import contextvars
import os
import threading
import time

from bicross import pool

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="none")


def test_sixty_four_calls_wait_side_by_side() -> None:
    barrier = threading.Barrier(64, timeout=30)

    async def main() -> list[int]:
        return await asyncio.gather(*(pool.waiting(barrier.wait) for _ in range(64)))

    assert sorted(asyncio.run(main())) == list(range(64))


def test_no_more_calls_compute_than_there_are_cores() -> None:
    running = 0
    most = 0
    lock = threading.Lock()

    def compute() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.05)
        with lock:
            running -= 1

    async def main() -> None:
        await asyncio.gather(*(pool.computing(compute) for _ in range(16)))

    asyncio.run(main())
    assert most == (os.cpu_count() or 1)


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
