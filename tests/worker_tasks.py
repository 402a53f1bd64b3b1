"""What worker processes run in tests: importable there by name."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from bicross.encoding.workers import own_device


def double(number: int) -> int:
    return 2 * number


def where(number: int) -> tuple[int, str, str, int]:
    time.sleep(0.05)
    cores = len(os.sched_getaffinity(0))
    return os.getpid(), own_device(), os.environ["OMP_NUM_THREADS"], cores


def die_once(number: int, folder: str) -> int:
    flag = Path(folder) / str(number)
    if number % 5 == 2 and not flag.exists():
        flag.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 2 * number


def die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def fail(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


def pid_then_wait(seconds: float, file: str) -> None:
    Path(file).write_text(str(os.getpid()))
    time.sleep(seconds)
