"""Two things at a time: the next item is made, or the last one is put away, in a second thread."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

_END: Any = object()


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The items in order, each made in a second thread while the caller uses the one before.

    >>> list(ahead(iter("abc")))
    ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1, thread_name_prefix="bicross-ahead") as thread:
        coming = thread.submit(next, items, _END)
        while (item := coming.result()) is not _END:
            coming = thread.submit(next, items, _END)
            yield item


@contextmanager
def behind() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Run calls in a second thread, one behind the caller.

    What is yielded takes a call, waits for the one before it, and raises what that one raised. At the end of the block
    the last one is waited for, too; an exception of the block itself wins over its.
    """
    last: list[Future[object]] = []

    def hand_over(call: Callable[[], object]) -> None:
        while last:
            last.pop().result()
        last.append(thread.submit(call))

    with ThreadPoolExecutor(1, thread_name_prefix="bicross-behind") as thread:
        yield hand_over
        while last:
            last.pop().result()
