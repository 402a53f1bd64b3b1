"""The threads behind every asynchronous method: one pool for calls that wait, one for calls that compute.

An event loop's own executor has cores + 4 threads. On two cores, 64 requests that each wait 100 ms for a server would
queue up for eleven rounds; here they wait side by side.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Literal, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

WAITING_THREADS = 64
COMPUTING_THREADS = 16
"""More than there are cores: models take turns by themselves, and make one batch of the queries that wait for them."""
_lock = threading.Lock()


async def waiting(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run a call that mostly waits (for a server, a disk) without blocking the event loop."""
    return await _run("waiting", partial(call, *arguments, **options))


async def computing(call: Callable[P, T], *arguments: P.args, **options: P.kwargs) -> T:
    """Run a call that mostly computes without blocking the event loop."""
    return await _run("computing", partial(call, *arguments, **options))


async def _run(kind: Literal["waiting", "computing"], call: Callable[[], T]) -> T:
    # The caller's context variables (tracing spans live there) are the call's, too.
    context = contextvars.copy_context()
    with _lock:
        pool = _pool(kind, os.getpid())
    return await asyncio.get_running_loop().run_in_executor(pool, context.run, call)


@cache
def _pool(kind: Literal["waiting", "computing"], process: int) -> ThreadPoolExecutor:
    """The pool of a process: threads don't survive a fork."""
    del process
    sizes = {"waiting": WAITING_THREADS, "computing": max(COMPUTING_THREADS, os.cpu_count() or 1)}
    return ThreadPoolExecutor(sizes[kind], thread_name_prefix=f"bicross-{kind}")
