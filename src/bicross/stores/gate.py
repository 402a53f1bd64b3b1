"""Many pass at once, until one shuts the gate."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Gate:
    """Readers pass; who shuts it waits until all are out, and readers wait until it is open again."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0
        self._shut = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Pass, as one of many."""
        with self._condition:
            self._condition.wait_for(lambda: not self._shut)
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def shut(self) -> Iterator[None]:
        """Be alone. One caller at a time may ask for it."""
        with self._condition:
            self._shut = True
        try:
            with self._condition:
                self._condition.wait_for(lambda: not self._inside)
            yield
        finally:
            with self._condition:
                self._shut = False
                self._condition.notify_all()
