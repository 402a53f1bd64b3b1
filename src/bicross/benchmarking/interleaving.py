"""Timing several ways to do the same work, so that whatever else the machine does hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")


@dataclass(slots=True)
class Timed(Generic[T]):
    """The calls of one way.

    Attributes:
        result: Of the call that warmed up.
        walls: **Unit:** seconds.
        cpus: Processor time of all threads, which other processes disturb less. **Unit:** seconds.
    """

    result: T
    walls: list[float] = field(default_factory=list)
    cpus: list[float] = field(default_factory=list)

    def wall(self, percentile: float = 50.0) -> float:
        """A percentile of the calls; the median by default. **Unit:** seconds."""
        return float(np.percentile(self.walls, percentile))

    def cpu(self) -> float:
        """The median. **Unit:** seconds."""
        return float(np.median(self.cpus))


def interleave(work: Mapping[str, Callable[[], T]], rounds: int, repeats: int = 1) -> dict[str, Timed[T]]:
    """Time every way in each round, after a call of each that warms up.

    Args:
        work: The ways by name.
        rounds: How often all take their turn.
        repeats: Calls in a turn.
    """
    found = {name: Timed(call()) for name, call in work.items()}
    for _ in range(rounds):
        for name, call in work.items():
            for _ in range(repeats):
                wall, cpu = time.perf_counter(), time.process_time()
                call()
                found[name].walls.append(time.perf_counter() - wall)
                found[name].cpus.append(time.process_time() - cpu)
    return found
