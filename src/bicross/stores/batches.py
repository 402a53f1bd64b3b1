"""Passages on their way to the engine: as payloads, in batches that no limit refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bicross.errors import InputError
from bicross.stores.inputs import check_sync
from bicross.stores.layouts import Layout
from bicross.stores.reading import retrieve
from bicross.stores.transport import Transport
from bicross.types import Passage

MAX_POINTS = 500
MAX_BYTES = 16 * 1024 * 1024
JSON_BYTES_PER_NUMBER = 24


def payloads_of(passages: Sequence[Passage], sync: str | None, layout: Layout) -> list[dict[str, Any]]:
    """Every passage's payload.

    Raises:
        InputError: One can't be stored; the message names its position.
    """
    check_sync(sync)
    return [layout.payload(passage, sync, f"passages[{i}]") for i, passage in enumerate(passages)]


def with_kept(transport: Transport, payloads: Mapping[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Payloads by point, each together with what the stored one holds for other programs."""
    layout = transport.layout()
    if not layout.shares_payload:
        return list(payloads.items())
    stored = {row.id: row.payload for row in retrieve(transport, list(payloads), None)}
    return [(point, layout.kept(stored.get(point, {}), payload)) for point, payload in payloads.items()]


def size_of(payload: dict[str, Any], row_bytes: int, position: int, name: str) -> int:
    """What a point takes at most, on the wire and in the log. **Unit:** bytes.

    Raises:
        InputError: It is too big for a batch of its own.
    """
    size = len(json.dumps(payload)) + row_bytes
    if size > MAX_BYTES:
        raise InputError(
            f"One passage with its vector may take {MAX_BYTES:,} bytes; passages[{position}] "
            f"(id {name[:80]!r}) takes {size:,}. Split it."
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
