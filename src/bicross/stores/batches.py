"""Passages on their way to the engine: as payloads, in batches that no limit refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from bicross.errors import InputError
from bicross.stores.inputs import check_sync
from bicross.stores.schema import payload_of
from bicross.types import Passage

MAX_POINTS = 500
MAX_BYTES = 16 * 1024 * 1024
JSON_BYTES_PER_NUMBER = 24


def payloads_of(passages: Sequence[Passage], sync: str | None) -> list[dict[str, Any]]:
    """Every passage's payload.

    Raises:
        InputError: One can't be stored; the message names its position.
    """
    check_sync(sync)
    return [payload_of(passage, sync, where=f"passages[{i}]") for i, passage in enumerate(passages)]


def size_of(payload: dict[str, Any], row_bytes: int, position: int) -> int:
    """What a point takes at most, on the wire and in the log. **Unit:** bytes.

    Raises:
        InputError: It is too big for a batch of its own.
    """
    size = len(json.dumps(payload)) + row_bytes
    if size > MAX_BYTES:
        raise InputError(
            f"One passage with its vector may take {MAX_BYTES:,} bytes; passages[{position}] "
            f"(id {payload['id'][:80]!r}) takes {size:,}. Split it."
        )
    return size


def batches(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut into runs of bounded length and bytes, as (start, end)."""
    start = total = 0
    for position, size in enumerate(sizes):
        if position > start and (total + size > MAX_BYTES or position - start == MAX_POINTS):
            yield start, position
            start, total = position, 0
        total += size
    if start < len(sizes):
        yield start, len(sizes)
