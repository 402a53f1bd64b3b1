"""Progress of long work: a bar that shows itself, or a caller that is told."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

_PATIENCE_SECONDS = 2.0

Told = Callable[[str, float, float], object]
"""Told what is being done, how many steps are done, and how many there are. What it raises ends the work."""


class Advance(Protocol):
    """Reports that some more of the work is done."""

    def __call__(self, steps: float, /) -> None:
        """Add to what is done."""
        ...


def announce(text: str, show: bool | Told | None = None) -> None:
    """Say on standard error what is about to take long and can't report its progress.

    Args:
        text: What begins.
        show: False: never; True: always; None: on a terminal; a callable is told.
    """
    if callable(show):
        show(text, 0, 0)
        return
    if sys.stderr.isatty() if show is None else show:
        sys.stderr.write(f"{text} …\n")


@contextmanager
def progress(description: str, total: float, show: bool | Told | None = None) -> Iterator[Advance]:
    """Show progress on standard error, or tell a caller.

    Args:
        description: What is being done.
        total: How many steps it takes.
        show: False: never; True: at once; None: on a terminal, once the work has taken two seconds; a callable is told.
    """
    if callable(show):
        yield _telling(show, description, total)
        return
    wanted = sys.stderr.isatty() if show is None else show
    if not wanted or total <= 0:
        yield lambda _steps: None
        return
    started, done = time.monotonic(), 0.0
    bar: Any = None

    def advance(steps: float) -> None:
        nonlocal bar, done
        if bar is None and (show or time.monotonic() - started > _PATIENCE_SECONDS):
            bar = _bar(description, done, total)
        done += steps
        if bar is not None:
            bar.advance(0, steps)

    try:
        yield advance
    finally:
        if bar is not None:
            bar.stop()


def _bar(description: str, done: float, total: float) -> Any:
    """A bar on standard error, with the rate and the time left."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            speed = task.finished_speed or task.speed
            return Text("" if speed is None else f"{speed:,.{0 if speed >= 10 else 1}f}/s")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    bar = Progress(*columns, console=Console(stderr=True))
    bar.update(bar.add_task(description, total=total), completed=done)
    bar.start()
    return bar


def _telling(tell: Told, description: str, total: float) -> Advance:
    done = 0.0

    def advance(steps: float) -> None:
        nonlocal done
        done += steps
        tell(description, done, total)

    tell(description, done, total)
    return advance
