"""Batches that waste nothing: sorted by length, filled to a budget of padded tokens."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from bicross.encoding.tokenizer import Ids

SLAB_TEXTS = 4_096
SLAB_CHARACTERS = 1 << 21
_FIRST_SLAB = 256


def plan_batches(lengths: Sequence[int], batch_tokens: int | Callable[[int], int]) -> Iterator[npt.NDArray[np.intp]]:
    """Positions of the texts of each batch, longest first.

    Args:
        lengths: Tokens of each text.
        batch_tokens: Most tokens of a batch, padding included; a longer text makes a batch of its own. A function is
            asked anew for every batch, with the tokens of its longest text.

    >>> [batch.tolist() for batch in plan_batches([3, 9, 1, 2], 9)]
    [[1], [0, 3, 2]]
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable")
    start = 0
    while start < len(order):
        longest = max(int(lengths[order[start]]), 1)
        most = batch_tokens(longest) if callable(batch_tokens) else batch_tokens
        end = start + max(most // longest, 1)
        yield order[start:end]
        start = end


def distinct(items: Sequence[Hashable], sizes: Sequence[int]) -> tuple[list[int], list[int]]:
    """Which of the items to compute, the largest first, and whose result each of them gets.

    Returns:
        Positions of the first of equal items; for every item, the position of its first.

    >>> distinct(["a", "bbb", "a", "cc"], [1, 3, 1, 2])
    ([1, 3, 0], [0, 1, 0, 3])
    """
    if len(items) == 1:
        return [0], [0]
    first: dict[Hashable, int] = {}
    source = [first.setdefault(item, position) for position, item in enumerate(items)]
    return sorted(first.values(), key=sizes.__getitem__, reverse=True), source


def slabs(sizes: Sequence[int], first: int = _FIRST_SLAB) -> Iterator[slice]:
    """Spans of texts that are tokenised and sorted together: they bound the memory that token ids take.

    Args:
        sizes: Characters of each text; a slab has `SLAB_CHARACTERS` at most, or one text.
        first: Texts of the first slab, which is short: the model waits for it. The others have `SLAB_TEXTS`.

    >>> list(slabs([1, 1, 1 << 21, 1], first=4))
    [slice(0, 2, None), slice(2, 3, None), slice(3, 4, None)]
    """
    start, most = 0, first
    while start < len(sizes):
        end, characters = start + 1, sizes[start]
        while end < min(start + most, len(sizes)) and characters + sizes[end] <= SLAB_CHARACTERS:
            characters += sizes[end]
            end += 1
        yield slice(start, end)
        start, most = end, SLAB_TEXTS


def pad(
    rows: Sequence[Ids], fill: int, padded: Callable[[int], int] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows of different length as one array, and its mask (1 for a token, 0 for padding).

    **Shape:** both (len(rows), longest row, at least 1, or the length that `padded` gives for it).
    """
    width = max(1, max((len(row) for row in rows), default=0))
    width = padded(width) if padded else width
    ids = np.full((len(rows), width), fill, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for line, row in enumerate(rows):
        ids[line, : len(row)] = row
        mask[line, : len(row)] = 1
    return ids, mask
