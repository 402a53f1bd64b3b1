"""Which of the engine's two pools an asynchronous call runs on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from bicross import pool
from bicross.bi_encoder import BiEncoder
from bicross.cross_encoder import CrossEncoder
from bicross.remote.address import is_address
from bicross.stores import Store

T = TypeVar("T")


def computes(part: Any) -> bool:
    """Whether this process does a part's work, instead of waiting for another one."""
    if isinstance(part, Store):
        return "://" not in part.place
    if is_address(part):
        return False
    return part is None or isinstance(part, str | os.PathLike | BiEncoder | CrossEncoder)


async def in_threads(parts: Iterable[Any], call: Callable[..., T], *arguments: Any, **options: Any) -> T:
    """Run a call without blocking the event loop; with its parts it computes, or waits for one of them."""
    run = pool.computing if all(map(computes, parts)) else pool.waiting
    return await run(call, *arguments, **options)
