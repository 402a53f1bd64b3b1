"""Batches that waste nothing: sorted by length, filled to a budget of padded tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bicross.encoding.tokenizer import Ids

CPU_BATCH_TOKENS = 2_048
GPU_BATCH_TOKENS = 65_536


def plan_batches(lengths: Sequence[int], batch_tokens: int) -> Iterator[npt.NDArray[np.intp]]:
    """Positions of the texts of each batch, longest first.

    Args:
        lengths: Tokens of each text.
        batch_tokens: Most tokens of a batch, padding included; a longer text makes a batch of its own.

    >>> [batch.tolist() for batch in plan_batches([3, 9, 1, 2], 9)]
    [[1], [0, 3, 2]]
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        end = start + max(batch_tokens // longest, 1)
        yield order[start:end]
        start = end


def pad(rows: Sequence[Ids], fill: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of different length as one array, and its mask (1 for a token, 0 for padding).

    **Shape:** both (len(rows), longest row, at least 1).
    """
    width = max(1, max((len(row) for row in rows), default=0))
    ids = np.full((len(rows), width), fill, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = row
        mask[line, : len(row)] = 1
    return ids, mask
