"""Where a text may be cut: after paragraphs, sentences and words, never inside a character.

Sentences are found by sentencex (Wikimedia's, about 300 languages): it knows abbreviations and the ends of Chinese,
Japanese, Indic, Burmese or Ethiopic sentences. Thai marks no sentence ends: its phrases end in spaces, where words are
cut. semantic-text-splitter was tried and left: on text without sentence ends it takes quadratic time (a minute for
1 MB), and it counts tokens by one call a candidate instead of in batches.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

# sentencex takes time quadratic in the sentences of one call (3 s for 80,000 Chinese characters).
_WINDOW = 4000
# Khmer and Tibetan ends, which sentencex doesn't know.
_MORE_ENDS = re.compile(r"(?<=[។៕།༎])\s*(?![\s។៕།༎])")
_BREAK = re.compile(r"\s+|[，、；：]")


def paragraphs(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    r"""Spans between blank lines, which belong to the paragraph before them.

    >>> [*paragraphs("a\nb\n\n c", 0, 7)]
    [(0, 5), (5, 7)]
    """
    begin = position = start
    was_blank = filled = False
    for line in text[start:end].splitlines(keepends=True):
        is_blank = not line.strip()
        if was_blank and not is_blank and filled:
            yield begin, position
            begin = position
        filled = filled or not is_blank
        was_blank = is_blank
        position += len(line)
    if filled:
        yield begin, end


def sentences(text: str, start: int, end: int, language: str) -> Iterator[tuple[int, int]]:
    """Spans of the sentences of a paragraph, each with the white space behind it.

    >>> [*sentences("Ask Dr. Smith. Go", 0, 17, "en")]
    [(0, 15), (15, 17)]
    """
    starts = [start]
    while start < end:
        stop = min(start + _WINDOW, end)
        found = [*_boundaries(text[start:stop], language)]
        # The last sentence of a window may go on behind it; one that fills the window is cut as words are.
        kept = found if stop == end else found[:-1] or found
        if not kept:
            break
        starts.extend(start + offset for offset in kept)
        start = starts[-1]
    stops = sorted({*starts, end})
    begin = stops[0]
    for stop in stops[1:]:
        if text[begin:stop].strip():
            yield begin, stop
            begin = stop


def _boundaries(window: str, language: str) -> Iterator[int]:
    """The ends of the sentences in a window."""
    import sentencex  # type: ignore[import-untyped]  # has no types

    for boundary in sentencex.get_sentence_boundaries(language, window):
        start, end = boundary["start_index"], boundary["end_index"]
        yield from (start + more.end() for more in _MORE_ENDS.finditer(window[start:end]) if start + more.end() < end)
        yield end


def parts(text: str, start: int, end: int, count: int) -> list[tuple[int, int]]:
    """Cut a span into about ``count`` parts: between lines, clauses or words, and only a single word inside.

    >>> parts("aa bb cc dd", 0, 11, 2), parts("aaaa", 0, 4, 2)
    ([(0, 6), (6, 11)], [(0, 2), (2, 4)])
    """
    size = max(1, -(-(end - start) // count))
    # `regex` is what knows grapheme clusters: a letter with its accents, an emoji with its modifiers.
    import regex  # type: ignore[import-untyped]  # has no types

    breaks = [match.end() for match in _BREAK.finditer(text, start, end)]
    found = [*_grouped(text, start, end, breaks, size)]
    if len(found) > 1:
        return found
    clusters = [match.end() for match in regex.finditer(r"\X", text, pos=start, endpos=end)]
    found = [*_grouped(text, start, end, clusters, size)]
    # A cluster may have no end, with thousands of accents on one letter.
    return found if len(found) > 1 else [(at, min(at + size, end)) for at in range(start, end, size)]


def _grouped(text: str, start: int, end: int, cuts: list[int], size: int) -> Iterator[tuple[int, int]]:
    """Join neighbours up to ``size`` characters, but not over a line end that leaves at least half of that."""
    begin = last = start
    for before, after in pairwise([start, *cuts, end]):
        is_line = before - begin >= size // 2 and "\n" in text[last:before]
        if before > begin and (after - begin > size or is_line):
            yield begin, before
            begin = before
        last = before
    if begin < end:
        yield begin, end
