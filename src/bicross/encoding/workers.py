"""Several processes, or several GPUs, for one bulk job: input order kept, a killed worker's part done again."""

from __future__ import annotations

import multiprocessing
import os
import queue
import random
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, NamedTuple, TypeVar

from bicross.arguments import check_count
from bicross.encoding.hardware import own_cores, usable_cores
from bicross.encoding.loading import Lease, LoadOptions, share
from bicross.errors import ConfigurationError, WorkerError

T = TypeVar("T")

POOLED_TEXTS = 512
"""Fewer texts, or pairs, than this stay in the calling process."""
PART_TEXTS = 256
"""Texts, or pairs, of a worker's part of a job."""
_TRIES = 3
_device = "cpu"


def share_in(devices: tuple[str, ...]) -> Lease[WorkerPool] | None:
    """A share in the workers on these devices, which all models use; None without devices."""
    return share(("workers", devices), lambda: WorkerPool(devices)) if devices else None


def parts(order: Sequence[int]) -> list[Sequence[int]]:
    """Positions, in the workers' parts of a job."""
    return [order[start : start + PART_TEXTS] for start in range(0, len(order), PART_TEXTS)]


def check_devices(device: str | Sequence[str], workers: int | None) -> tuple[str, tuple[str, ...]]:
    """The device of the calling process, and that of each worker; no workers where neither asks for them.

    Raises:
        ConfigurationError: Both a list of devices and a number of workers, or one that makes no sense.

    >>> check_devices("cpu", 2), check_devices(["cuda:0", "cuda:1"], None), check_devices("auto", None)
    (('cpu', ('cpu', 'cpu')), ('cuda:0', ('cuda:0', 'cuda:1')), ('auto', ()))
    """
    if workers is not None:
        check_count(workers, "workers")
    if isinstance(device, str):
        return device, (device,) * workers if workers is not None and workers > 1 else ()
    devices = tuple(device)
    if not devices or not all(isinstance(each, str) for each in devices):
        raise ConfigurationError(f"device must be a name, or a list of names such as 'cuda:0', got {device!r}.")
    if workers is not None:
        raise ConfigurationError(
            f"A list of devices is one worker each, got workers={workers!r} besides. Leave it out."
        )
    return devices[0], devices if len(devices) > 1 else ()


class Remote(NamedTuple):
    """Workers, and the options with which each loads a model."""

    pool: WorkerPool
    options: LoadOptions


class WorkerPool:
    """Processes, one for each device; started by the first job, ended with the last encoder that has a share in them.

    Scripts need ``if __name__ == "__main__":`` around what they run: the processes are spawned, since a forked one
    would wait for the parent's threads for ever.

    Args:
        devices: The device of each worker.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        self._workers = [_Worker(device, cores) for device, cores in zip(devices, _shares(len(devices)), strict=True)]
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)
        self._threads = ThreadPoolExecutor(len(devices), thread_name_prefix="bicross-workers")
        self._end = weakref.finalize(self, _shut_down, self._threads, self._workers)

    def pids(self) -> list[int]:
        """The processes that are running now."""
        return [pid for worker in self._workers for pid in worker.pids()]

    def map(self, function: Callable[..., T], tasks: Iterable[tuple[Any, ...]]) -> Iterator[T]:
        """Results of tasks, in their order; two tasks for each worker are under way at most.

        Args:
            function: A function of a module; it runs in a worker.
            tasks: Its arguments.

        Raises:
            WorkerError: A task's worker was killed three times.
        """
        waiting: deque[Future[T]] = deque()
        try:
            for task in tasks:
                waiting.append(self._threads.submit(self._run, function, task))
                if len(waiting) >= 2 * len(self._workers):
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    def _run(self, function: Callable[..., T], task: tuple[Any, ...]) -> T:
        worker = self._idle.get()
        try:
            for _ in range(_TRIES):
                try:
                    return worker.run(function, task)
                except BrokenProcessPool:
                    worker.restart()
        finally:
            self._idle.put(worker)
        raise WorkerError(
            f"A worker process must live through its part of the job, got one on {worker.device!r} that was ended "
            f"{_TRIES} times. Memory may be short: use fewer workers. A script needs `if __name__ == '__main__':`."
        )


class _Worker:
    """One process. It has an executor of its own, so that its end breaks no other's work."""

    def __init__(self, device: str, cores: Sequence[int]) -> None:
        self.device = device
        self._arguments = (device, cores)
        self._executor: ProcessPoolExecutor | None = None

    def run(self, function: Callable[..., T], task: tuple[Any, ...]) -> T:
        if self._executor is None:
            self._executor = ProcessPoolExecutor(
                1, multiprocessing.get_context("spawn"), initializer=_begin, initargs=self._arguments
            )
        return self._executor.submit(function, *task).result()

    def restart(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)
        self._executor = None

    def pids(self) -> list[int]:
        return list(getattr(self._executor, "_processes", None) or ())


def own_device() -> str:
    """In a worker: the device that it computes on."""
    return _device


def _shares(count: int) -> list[list[int]]:
    """Each worker's part of the cores that this process may use; cores are shared where there are fewer."""
    cores = own_cores() or list(range(os.cpu_count() or 1))
    if (granted := usable_cores()) < len(cores):  # a container's quota; other containers shall not take the same ones
        start = random.randrange(len(cores))  # noqa: S311  # no secret
        cores = [*cores[start:], *cores[:start]][:granted]
    return [cores[number::count] or [cores[number % len(cores)]] for number in range(count)]


def _begin(device: str, cores: Sequence[int]) -> None:
    """In a worker, before anything heavy is imported: each library has as many threads as the worker has cores."""
    global _device  # noqa: PLW0603  # one for the whole process
    _device = device
    if device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
    for name in ("OMP_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(len(cores))
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # it was killed: nobody waits for this worker's results


def _shut_down(threads: ThreadPoolExecutor, workers: Sequence[_Worker]) -> None:
    threads.shutdown(wait=False, cancel_futures=True)
    for worker in workers:
        worker.restart()
