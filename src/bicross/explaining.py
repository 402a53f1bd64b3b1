"""A search that shows its work: who rose, who fell, which sentence counted, and what was nearly found."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bicross.arguments import check_count
from bicross.errors import ConfigurationError
from bicross.grounding import Grounding, ground
from bicross.retriever import TwoStageRetriever
from bicross.sparse.languages import ENGLISH_STOP_WORDS
from bicross.types import Hit, SearchResult

_WORD = re.compile(r"\w\w+")
_QUESTIONS = """
can could do does did from has have how its me my our shall should than us was we were what when where which who whom
whose why within without would you your
"""
_ASKING = ENGLISH_STOP_WORDS | set(_QUESTIONS.split())
"""Words that a question is made of, whatever it is about."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A hit and its place.

    Attributes:
        hit: The hit; ``hit.stage1_rank`` is its place in the first stage.
        rank: Its place at the end, counted from 1.
        grounding: Its best sentence; None where none was sought.
        gap: How much its score is below that of the last hit that is returned; None where the two can't be compared,
            because the cross-encoder scored one of them alone. **Unit:** that of the scores.
        lacking: Words of the query that don't occur in it.
    """

    hit: Hit
    rank: int
    grounding: Grounding | None = None
    gap: float | None = None
    lacking: tuple[str, ...] = ()

    @property
    def rose(self) -> int:
        """By how many places the second stage raised it; below zero where it fell."""
        return 0 if self.hit.stage1_rank is None else self.hit.stage1_rank - self.rank


@dataclass(frozen=True, slots=True)
class Explained:
    """A search and how it came about.

    Attributes:
        hits: The best, in order.
        misses: What was nearly returned: the next ones, and those that the first stage would have returned.
        result: All candidates.
        milliseconds: Duration of each stage: ``encode``, ``retrieve``, ``rerank``, ``ground``. Unit: milliseconds.
    """

    hits: tuple[Placed, ...]
    misses: tuple[Placed, ...]
    result: SearchResult
    milliseconds: Mapping[str, float]


def explain(
    retriever: TwoStageRetriever,
    query: str,
    top_k: int = 10,
    *,
    candidates: int = 100,
    rerank: bool = True,
    filter: Mapping[str, Any] | None = None,
    budget_ms: float | None = None,
    misses: int = 5,
    sentences: bool = True,
) -> Explained:
    """Search, and say how the result came about.

    Args:
        retriever: Both stages.
        query: What is sought.
        top_k: How many hits at most.
        candidates: What the first stage hands to the second; at least `top_k`.
        rerank: False: the first stage alone; no sentence is sought then.
        filter: As in `TwoStageRetriever.search`.
        budget_ms: Time for the search; finding the sentences comes on top. **Unit:** milliseconds.
        misses: How many of either kind of miss.
        sentences: Whether the best sentence of each hit is sought.

    Raises:
        ConfigurationError: An argument that makes no sense.
        InputError, FilterError, FingerprintMismatchError: As in `TwoStageRetriever.search`.
    """
    check_count(top_k, "top_k")
    check_count(candidates, "candidates")
    if isinstance(misses, bool) or not isinstance(misses, int) or misses < 0:
        raise ConfigurationError(f"misses must be a whole number, 0 or more, got {misses!r}.")
    scorer = retriever.cross_encoder if rerank else None
    depth = max(top_k, candidates)
    if scorer is None:
        result = retriever.retrieve(query, depth, filter=filter)
    else:
        result = retriever.search(query, depth, candidates=depth, filter=filter, budget_ms=budget_ms)
    hits = result.hits
    milliseconds = dict(result.milliseconds)
    grounds: Sequence[Grounding | None] = [None] * min(top_k, len(hits))
    if scorer is not None and sentences:
        started = time.perf_counter()
        grounds = ground(scorer, query, [hit.passage.text for hit in hits[:top_k]])
        milliseconds["ground"] = (time.perf_counter() - started) * 1e3
    found = tuple(
        Placed(hit, rank, sentence) for rank, (hit, sentence) in enumerate(zip(hits, grounds, strict=False), 1)
    )
    return Explained(found, _misses(query, hits, top_k, misses), result, milliseconds)


def _misses(query: str, hits: Sequence[Hit], top_k: int, count: int) -> tuple[Placed, ...]:
    """The next ones, and the best of those that the first stage would have returned."""
    after = range(top_k, len(hits))
    fallen = sorted((i for i in after if (hits[i].stage1_rank or 0) <= top_k), key=lambda i: hits[i].stage1_rank or 0)
    chosen = sorted({*after[:count], *fallen[:count]})
    words = [word for word in dict.fromkeys(_WORD.findall(query)) if word.casefold() not in _ASKING]
    return tuple(
        Placed(hits[i], i + 1, gap=_gap(hits[top_k - 1], hits[i]), lacking=_lacking(words, hits[i])) for i in chosen
    )


def _gap(last: Hit, miss: Hit) -> float | None:
    comparable = (last.rerank_score is None) == (miss.rerank_score is None)
    return last.score - miss.score if comparable else None


def _lacking(words: Sequence[str], hit: Hit) -> tuple[str, ...]:
    text = hit.passage.full_text.casefold()
    return tuple(word for word in words if word.casefold() not in text)
