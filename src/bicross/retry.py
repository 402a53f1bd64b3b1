"""One way of trying again: back off with jitter, as long as a deadline allows."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

T = TypeVar("T")
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 10.0


class Verdict(NamedTuple):
    """Whether trying again may help, and how long the server asked to wait. **Unit:** seconds."""

    again: bool
    wait: float | None = None


def retrying(call: Callable[[], T], judge: Callable[[Exception], Verdict], seconds: float) -> T:
    """Call until it works, the error is final, or no time is left.

    Args:
        call: Must be harmless to repeat, even where it worked and only the answer was lost.
        judge: What an error calls for.
        seconds: How long to try. **Unit:** seconds.

    Raises:
        Exception: The last error.
    """
    deadline = time.monotonic() + seconds
    pause = _FIRST_PAUSE
    while True:
        try:
            return call()
        except Exception as error:
            verdict = judge(error)
            # Full jitter, so that clients that failed together don't come back together.
            wait = random.uniform(pause / 2, pause) if verdict.wait is None else verdict.wait  # noqa: S311
            if not verdict.again or time.monotonic() + wait > deadline:
                raise
        time.sleep(wait)
        pause = min(pause * 2, _LONGEST_PAUSE)
