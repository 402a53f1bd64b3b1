"""Which sentence of a passage answers a query: the one that the cross-encoder scores highest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bicross.cross_encoder import CrossEncoder
from bicross.readers.segments import paragraphs, sentences
from bicross.types import Scorer

_MOST = 40
"""Sentences of a passage that are scored; a passage that a splitter made has fewer."""
_LEAST_CHARACTERS = 20
"""What is shorter, such as a list's mark, belongs to the sentence behind it."""
_ITEM = re.compile(r"^[ \t]*(?:[-*+•|]|\d+[.)])(?=\s)|^#{1,6} .*$", re.MULTILINE)
"""Where an item of a list or a row of a table begins, and Markdown's headings: the title says what they say."""
_LETTER = re.compile(r"\w")


@dataclass(frozen=True, slots=True)
class Grounding:
    """The best sentence of a passage.

    Attributes:
        span: Where it is in the passage's text. **Unit:** characters.
        score: Of the query and the sentence alone. **Unit:** the cross-encoder's.
    """

    span: tuple[int, int]
    score: float


def ground(cross_encoder: Scorer, query: str, texts: Sequence[str], *, language: str = "en") -> list[Grounding | None]:
    """The best sentence of each text; of equals, the first.

    Args:
        cross_encoder: Scores the query with each sentence.
        query: What is sought.
        texts: The passages.
        language: Code of the language whose abbreviations aren't taken for ends of sentences.

    Returns:
        One for each text; None for a blank one.
    """
    spans = [_sentences(text, language) for text in texts]
    pairs = [(query, text[start:end]) for text, each in zip(texts, spans, strict=True) for start, end in each]
    scores = _scores(cross_encoder, pairs)
    found: list[Grounding | None] = []
    position = 0
    for each in spans:
        own = scores[position : position + len(each)]
        position += len(each)
        best = int(np.argmax(own)) if each else 0
        found.append(Grounding(each[best], float(own[best])) if each else None)
    return found


def _scores(cross_encoder: Scorer, pairs: list[tuple[str, str]]) -> npt.NDArray[np.float32]:
    """**Shape:** (len(pairs),)."""
    if not pairs:
        return np.zeros(0, np.float32)
    if isinstance(cross_encoder, CrossEncoder):
        return cross_encoder.predict(pairs, show_progress=False, return_truncation=True)[0]
    return np.asarray(cross_encoder.predict(pairs), dtype=np.float32)


def _sentences(text: str, language: str) -> list[tuple[int, int]]:
    """Spans without white space at their edges.

    >>> _sentences("# Head\\n\\nThe first sentence is this.\\n- And the second is that. ", "en")
    [(8, 35), (36, 61)]
    """
    found: list[tuple[int, int]] = []
    for start, end in _items(text):
        begin = start
        for _, last in sentences(text, start, end, language):
            if last - begin >= _LEAST_CHARACTERS:
                found.append((begin, last))
                begin = last
        found.append((begin, end))
    told = [_trimmed(text, start, end) for start, end in found if _LETTER.search(text, start, end)]
    return told[:_MOST] or ([_trimmed(text, 0, len(text))] if text.strip() else [])


def _items(text: str) -> Iterator[tuple[int, int]]:
    """Paragraphs, cut where an item of a list or a row of a table begins, without headings."""
    for start, end in paragraphs(text, 0, len(text)):
        begin = start
        for match in _ITEM.finditer(text, start, end):
            yield begin, match.start()
            begin = match.end() if match[0].startswith("#") else match.start()
        yield begin, end


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    inside = text[start:end]
    return start + len(inside) - len(inside.lstrip()), end - len(inside) + len(inside.rstrip())
