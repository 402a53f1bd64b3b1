"""The ways in which a query is cut out of a passage, by rules."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np

_WORDS = re.compile(r"[^\W_][\w'’-]*")
_COMMON = 0.05
"""A word in more than this share of the passages is no part of a salient span."""
_PROSE = 0.8
"""Of a sentence's words, so many are words: not options, paths, numbers, code."""
_ENDS = ".!?…।؟"
_EDGES = "\"'“”‘’«»()[],;:" + _ENDS
_JOINTS = "'’-"


class QueryMaker:
    """Makes one query of one passage: the query, and what is left of the passage (None: all of it)."""

    def __init__(self, documents: Mapping[str, str], titles: Mapping[str, str], language: str) -> None:
        self.documents = documents
        self.titles = titles
        self.language = language
        self._holders: Counter[str] | None = None

    def make(self, way: str, document_id: str, rng: np.random.Generator) -> tuple[str, str | None] | None:
        """The query and the rest of the passage, None where the way leads nowhere with it."""
        text, title = self.documents[document_id], self.titles.get(document_id, "")
        head = f"{title} " if title and text.startswith(f"{title} ") else ""
        body = text[len(head) :]
        if way == "title":
            fine = head and 2 <= len(title.split()) <= 20 and len(body.split()) >= 5
            return (title, body) if fine else None
        if way == "span":
            span = self._span(body)
            return (span, None) if span else None
        least, most = (4, 25) if way == "question" else (6, 40)
        ends = "?؟" if way == "question" else _ENDS
        spans = [s for s in sentence_spans(body, self.language) if _is_prose(body[slice(*s)], least, most, ends)]
        if not spans:
            return None
        start, end = spans[int(rng.integers(len(spans)))]
        rest = f"{body[:start].rstrip()} {body[end:].lstrip()}".strip()
        return (body[start:end].strip(), head + rest) if len(rest.split()) >= 5 else None

    def _span(self, text: str) -> str | None:
        """The run of two to five rare words whose mean inverse document frequency is highest."""
        if self._holders is None:
            self._holders = Counter(
                word for one in self.documents.values() for word in {w.casefold() for w in _WORDS.findall(one)}
            )
        total, holders = len(self.documents), self._holders
        best: tuple[float, str] | None = None
        words = list(_WORDS.finditer(text))
        rare = [1 < holders[word[0].casefold()] <= max(_COMMON * total, 2) for word in words]
        for first in range(len(words)):
            weight = 0.0
            for last in range(first, min(first + 5, len(words))):
                joined = last == first or text[words[last - 1].end() : words[last].start()] == " "
                again = words[last][0].casefold() in {word[0].casefold() for word in words[first:last]}
                if not rare[last] or not joined or again:
                    break
                weight += float(np.log(total / holders[words[last][0].casefold()]))
                length = last - first + 1
                if length >= 2 and (best is None or weight / length > best[0]):
                    best = (weight / length, text[words[first].start() : words[last].end()])
        return None if best is None else best[1]


def sentence_spans(text: str, language: str) -> Iterator[tuple[int, int]]:
    """Where a text's sentences begin and end. ISO 639-1 code of its language."""
    import sentencex  # type: ignore[import-untyped]  # has no types

    for found in sentencex.get_sentence_boundaries(language, text):
        yield found["start_index"], found["end_index"]


def _is_prose(sentence: str, least: int, most: int, ends: str) -> bool:
    """Whether it is something that somebody could have written to somebody: what stands in command lines isn't."""
    words = sentence.split()
    if not least <= len(words) <= most or not sentence.rstrip().rstrip("\"'”’»)]").endswith(tuple(ends)):
        return False
    return sum(_is_word(word) for word in words) >= _PROSE * len(words)


def _is_word(text: str) -> bool:
    core = text.strip(_EDGES)
    return core[:1].isalpha() and all(unicodedata.category(c)[0] in "LM" or c in _JOINTS for c in core)
