"""Windows over long texts: all of them, so that the best can speak for the whole (MaxP), or the one worth reading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.arguments import check_count
from bicross.encoding.tokenizer import Ids, Spans, TextTokenizer
from bicross.errors import ConfigurationError

WINDOW_TOKENS = 64
"""Length of the one window of a long text that is worth reading."""
_STEPS = 4
"""Windows begin at every fourth part of their length."""
_LONGEST_WORD = 8


def check_windows(value: Any, tokens: Any) -> None:
    """Check what says how long texts are scored.

    Raises:
        ConfigurationError: It isn't one of these, or no length.
    """
    if not isinstance(value, bool) and value != "best":
        raise ConfigurationError(f"windows must be False, True or 'best', got {value!r}.")
    check_count(tokens, "window_tokens")


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


def overlap_spans(query: Ids, texts: Sequence[Ids], size: int) -> list[tuple[int, int]]:
    """The window of each text that holds the most of the query, rare tokens counting more.

    A window's weight is the sum, over the query's distinct tokens in it, of ln(1 + (n − d + ½)/(d + ½)): BM25's inverse
    document frequency, with n texts of which d hold the token. Of equal windows the one with more occurrences wins,
    then the earlier one.

    Args:
        query: Token ids of the query.
        texts: Token ids of the candidates; they are the collection that tokens are rare in.
        size: **Unit:** tokens.

    Returns:
        **Unit:** tokens.

    >>> overlap_spans(np.array([7, 9]), [np.array([1, 7, 1, 1, 9, 7, 1, 1, 1, 1]), np.array([7, 1])], 4)
    [(2, 6), (0, 2)]
    """
    sought = np.unique(query)
    found = [ids[:, None] == sought[None, :] for ids in texts]
    frequency = np.sum([hits.any(axis=0) for hits in found], axis=0) if found else np.zeros(len(sought))
    weights = np.log1p((len(texts) - frequency + 0.5) / (frequency + 0.5))
    return [_best_span(hits, weights, size) for hits in found]


def _best_span(hits: npt.NDArray[np.bool_], weights: npt.NDArray[np.float64], size: int) -> tuple[int, int]:
    """**Shape:** hits (tokens, query tokens), weights (query tokens,)."""
    if len(hits) <= size:
        return 0, len(hits)
    spans = np.array(windows(len(hits), size, size - max(size // _STEPS, 1)))
    before = np.vstack([np.zeros((1, hits.shape[1]), dtype=np.int64), np.cumsum(hits, axis=0)])
    counts = before[spans[:, 1]] - before[spans[:, 0]]
    order = np.lexsort((spans[:, 0], -(counts @ weights), -((counts > 0) @ weights)))
    start, end = spans[order[0]]
    return int(start), int(end)


def best_windows(tokenizer: TextTokenizer, query: str, texts: Sequence[str], size: int) -> list[tuple[int, int]]:
    """The character span of each text's window with the most of the query; the whole text where it is shorter.

    Args:
        tokenizer: Whose tokens are compared and counted.
        query: What is sought.
        texts: The candidates; see `overlap_spans`.
        size: **Unit:** tokens.

    Returns:
        **Unit:** characters. A span begins and ends at a word's edge.
    """
    encoded = tokenizer.known_spans(texts)
    spans = overlap_spans(tokenizer.ids([query])[0], [ids for ids, _ in encoded], size)
    return [
        _characters(offsets, start, end, len(text))
        for text, (_, offsets), (start, end) in zip(texts, encoded, spans, strict=True)
    ]


def _characters(offsets: Spans, start: int, end: int, length: int) -> tuple[int, int]:
    if end - start == len(offsets):
        return 0, length
    # Out to the edges of the words that it cuts, where the script has such edges.
    for _ in range(_LONGEST_WORD):
        if start > 0 and offsets[start, 0] == offsets[start - 1, 1]:
            start -= 1
        if end < len(offsets) and offsets[end, 0] == offsets[end - 1, 1]:
            end += 1
    return int(offsets[start, 0]), int(offsets[end - 1, 1])
