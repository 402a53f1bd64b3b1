"""Atoms of a text, each counted once, packed into spans of at most so many tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

WORD, SENTENCE, PARAGRAPH, SECTION = range(4)
"""What begins at an atom's start, weakest first: packing cuts at the strongest that leaves a half-full span."""


@dataclass(frozen=True, slots=True)
class Atom:
    """A stretch of text that isn't cut further, with the white space behind it.

    Attributes:
        start: Unit: characters, as ``end``.
        end: Where it ends, which is where the next one starts.
        begins: WORD, SENTENCE, PARAGRAPH or SECTION.
        tokens: Its length. Unit: tokens.
    """

    start: int
    end: int
    begins: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch that becomes a passage.

    Attributes:
        start: Where it begins, the overlap included. Unit: characters.
        fresh: Where the text begins that the span before doesn't hold.
        end: Where it ends.
    """

    start: int
    fresh: int
    end: int


class Packer:
    """The atoms of one text."""

    def __init__(self, atoms: list[Atom]) -> None:
        self.atoms = atoms
        self.starts = [atom.start for atom in atoms]
        self._sums = [*accumulate((atom.tokens for atom in atoms), initial=0)]

    def tokens(self, start: int, end: int) -> int:
        """Sum over the atoms that begin in ``[start, end)``. Unit: tokens."""
        first, after = self._range(start, end)
        return self._sums[after] - self._sums[first]

    def _range(self, start: int, end: int) -> tuple[int, int]:
        return bisect_left(self.starts, start), bisect_left(self.starts, end)

    def pack(self, start: int, end: int, *, budget: int, overlap: int) -> Iterator[Span]:
        """Cut ``[start, end)`` into spans of at most ``budget`` tokens, by the sum of their atoms.

        Each span takes as many atoms as fit. It is then cut back to the start of a paragraph, else of a sentence,
        where at least half of the budget stays used. The next span repeats whole sentences of up to ``overlap`` tokens.
        """
        first, after = self._range(start, end)
        begin = fresh = first
        while fresh < after:
            # As many as fit, and one where not even that does: verification cuts it further.
            stop = bisect_right(self._sums, self._sums[begin] + budget, lo=begin, hi=after + 1) - 1
            stop = max(min(stop, after), fresh + 1)
            if stop < after:
                stop = self._best_cut(begin, fresh, stop, budget)
            yield Span(self.starts[begin], self.starts[fresh], self.starts[stop] if stop < after else end)
            begin = self._overlapping(begin, stop, after, budget, overlap)
            fresh = stop

    def _best_cut(self, begin: int, fresh: int, stop: int, budget: int) -> int:
        """The start of the strongest kind in the second half of the span, the last of them."""
        least = bisect_left(self._sums, self._sums[begin] + (budget + 1) // 2, lo=begin)
        candidates = range(max(least, fresh + 1), stop + 1)
        return max(candidates, key=lambda index: (self.atoms[index].begins, index), default=stop)

    def _overlapping(self, begin: int, stop: int, after: int, budget: int, overlap: int) -> int:
        """From which atom on the end of the span before is repeated in front of ``stop``."""
        if stop >= after or self.atoms[stop].begins == WORD:
            return stop
        room = min(overlap, budget - self.atoms[stop].tokens)
        taken = stop
        for index in range(stop - 1, begin, -1):
            if self._sums[stop] - self._sums[index] > room:
                break
            if self.atoms[index].begins != WORD:
                taken = index
        return taken

    def halves(self, span: Span) -> tuple[Span, Span] | None:
        """Cut a span at the atom nearest to its middle, None where it is a single atom."""
        first, after = self._range(span.fresh, span.end)
        if after - first < 2:
            return None
        middle = (self._sums[first] + self._sums[after]) // 2
        index = min(max(bisect_left(self._sums, middle, lo=first), first + 1), after - 1)
        cut = self.starts[index]
        return Span(span.start, span.fresh, cut), Span(cut, cut, span.end)
