"""Long texts as overlapping windows, so that the best one can speak for the whole (MaxP)."""

from __future__ import annotations


def windows(length: int, size: int, overlap: int) -> list[tuple[int, int]]:
    """Spans that cover a text, each at most `size` long, the last one full. **Unit:** tokens.

    >>> windows(10, 4, 1)
    [(0, 4), (3, 7), (6, 10)]
    >>> windows(3, 4, 1)
    [(0, 3)]
    """
    size = max(size, 1)
    step = max(size - overlap, 1)
    spans = [(start, start + size) for start in range(0, max(length - size, 0), step)]
    return [*spans, (max(length - size, 0), length)]
