"""Lengths in tokens, asked for in few calls, and titles that leave room for the text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from bicross.errors import ConfigurationError
from bicross.readers.outline import SEPARATOR
from bicross.readers.segments import parts

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""The lengths of texts, without special tokens. Unit: tokens."""

# Characters in one call: bounds the memory that a tokenizer takes for its answer.
_CALL = 1_000_000


class TokenCounter:
    """`count_tokens` in calls of bounded size.

    Attributes:
        limit: What a passage may be long. Unit: tokens.
    """

    def __init__(self, count_tokens: CountTokens, limit: int) -> None:
        self.limit = limit
        self._count_tokens = count_tokens

    def __call__(self, texts: Iterable[str]) -> list[int]:
        """One length a text, in the same order. Unit: tokens."""
        counts: list[int] = []
        batch: list[str] = []
        size = 0
        for text in texts:
            batch.append(text)
            size += len(text)
            if size >= _CALL:
                counts += self._batch(batch)
                batch, size = [], 0
        return counts + self._batch(batch) if batch else counts

    def _batch(self, texts: list[str]) -> list[int]:
        counts = list(self._count_tokens(texts))
        if len(counts) != len(texts):
            raise ConfigurationError(
                f"count_tokens takes a list of texts and returns one number for each; got {len(counts)} for "
                f"{len(texts)} texts. Pass the encoder's count_tokens."
            )
        return counts


@dataclass(frozen=True, slots=True)
class Title:
    """A title as a piece carries it.

    Attributes:
        text: None where not even a word fits.
        tokens: Its length. Unit: tokens.
    """

    text: str | None
    tokens: int


def fit_titles(paths: Iterable[tuple[str, ...]], counter: TokenCounter) -> dict[tuple[str, ...], Title]:
    """The title of each heading path, in at most half of the limit: outer headings go first, then the last words."""
    wanted = dict.fromkeys(paths)
    candidates = {path: [SEPARATOR.join(path[index:]) for index in range(len(path))] for path in wanted}
    texts = list(dict.fromkeys(text for options in candidates.values() for text in options))
    lengths = dict(zip(texts, counter(texts), strict=True))
    room = counter.limit // 2
    titles = {}
    for path, options in candidates.items():
        fitting = next((text for text in options if lengths[text] <= room), None)
        if fitting is None and options:
            titles[path] = _shortened(options[-1], counter)
        else:
            titles[path] = Title(fitting, lengths[fitting] if fitting else 0)
    return titles


def _shortened(title: str, counter: TokenCounter) -> Title:
    while len(title) > 1:
        first, after = parts(title, 0, len(title), 2)[0]
        title = title[first:after].strip()
        tokens = counter([title])[0]
        if title and tokens <= counter.limit // 2:
            return Title(title, tokens)
    return Title(None, 0)
