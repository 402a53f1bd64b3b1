"""Contrasts: pairs of (query, text) of which one must score higher than the other, read from rows or a file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bicross.errors import InputError, InputTypeError

Pair = tuple[str, str]
"""(query, text)."""


@dataclass(frozen=True, slots=True)
class Contrast:
    """One comparison: the pair `better` must score higher than the pair `worse`.

    Attributes:
        id: Of the row; of both questions, where it compares two questions on one text.
        kind: What is probed, from the general to the special with ":" between.
        group: Comparisons that stand or fall together, and aren't independent of each other.
        better: (query, text).
        worse: (query, text).
        block: Of the group's comparisons, those of one block share pairs; blocks share none.
    """

    id: str
    kind: str
    group: str
    better: Pair
    worse: Pair
    block: int = 0


@dataclass(frozen=True, slots=True)
class Contrasts:
    """A probe.

    Attributes:
        rows: How many rows were read.
        comparisons: What they compare, in their order.
        pairs: Every pair of a group, compared or not, as (group, kind, pair, better): what the AUC is computed over.
        left_out: Questions that a row calls answerable and unanswerable at once.
    """

    rows: int
    comparisons: tuple[Contrast, ...]
    pairs: tuple[tuple[str, str, Pair, bool], ...] = field(repr=False)
    left_out: int = 0


def read_contrasts(source: str | os.PathLike[str] | Iterable[Mapping[str, Any]]) -> Contrasts:
    """Read contrast rows, or rows of answerable and unanswerable questions on a text.

    Args:
        source: A jsonl file, or rows. A contrast row holds ``query``, ``pos`` and ``neg``, and where it likes ``id``,
            ``kind`` and ``group``; the score of (query, pos) must be the higher one. A row of questions holds ``doc``,
            ``answerable`` and ``unanswerable``, lists of strings or of objects with ``text`` and ``id``; every
            answerable question must score higher than every unanswerable one.

    Raises:
        ReadError: The file is missing, or a line isn't a JSON object.
        InputError: No rows; a row whose fields are missing, or that contrasts a pair with itself; a group in which a
            text belongs to several positives, so that no chance can be given.
    """
    rows, comparisons, pairs, left_out = 0, list[Contrast](), list[tuple[str, str, Pair, bool]](), 0
    for place, row in _numbered(source):
        rows += 1
        if "doc" in row:
            new, listed, doubtful = _questions(row, place)
            left_out += doubtful
        else:
            new, listed = _contrast(row, place)
        comparisons += new
        pairs += listed
    if not comparisons:
        raise InputError(f"A probe needs at least one comparison, got {rows} rows without any.")
    return Contrasts(rows, tuple(_blocked(comparisons)), tuple(dict.fromkeys(pairs)), left_out)


def _numbered(source: str | os.PathLike[str] | Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, Mapping[str, Any]]]:
    """Rows, and what an error calls them."""
    if isinstance(source, str | os.PathLike):
        from bicross.evaluation.files import read_rows

        path = Path(source)
        yield from ((f"{path}, line {line}", row) for line, row in read_rows(path))
        return
    for position, row in enumerate(source):
        if not isinstance(row, Mapping):
            raise InputTypeError(f"A row must be a mapping, got {type(row).__name__} at position {position}.")
        yield f"row at position {position}", row


def _contrast(row: Mapping[str, Any], place: str) -> tuple[list[Contrast], list[tuple[str, str, Pair, bool]]]:
    query, pos, neg = (_text(row.get(name), name, place) for name in ("query", "pos", "neg"))
    if pos == neg:
        raise InputError(f"{place}: 'pos' and 'neg' must differ, got {pos!r:.80} twice.")
    identity = str(row.get("id") or place)
    group, kind = str(row.get("group") or identity), str(row.get("kind") or "")
    contrast = Contrast(identity, kind, group, (query, pos), (query, neg))
    return [contrast], [(group, kind, contrast.better, True), (group, kind, contrast.worse, False)]


def _questions(row: Mapping[str, Any], place: str) -> tuple[list[Contrast], list[tuple[str, str, Pair, bool]], int]:
    text = _text(row["doc"], "doc", place)
    if row.get("title"):
        text = f"{_text(row['title'], 'title', place)} {text}"
    identity = str(row.get("id") or place)
    group, kind = str(row.get("group") or identity), str(row.get("kind") or "answerable")
    answerable, unanswerable = (_named(row.get(name), name, place) for name in ("answerable", "unanswerable"))
    doubtful = answerable.keys() & unanswerable.keys()
    pairs = [(group, kind, (question, text), True) for question in answerable if question not in doubtful]
    pairs += [(group, kind, (question, text), False) for question in unanswerable if question not in doubtful]
    comparisons = [
        Contrast(f"{answerable[better[0]]} > {unanswerable[worse[0]]}", kind, group, better, worse)
        for _, _, better, is_better in pairs
        if is_better
        for _, _, worse, is_too in pairs
        if not is_too
    ]
    return comparisons, pairs, len(doubtful)


def _named(questions: Any, name: str, place: str) -> dict[str, str]:
    """Ids by question."""
    if not isinstance(questions, Sequence) or isinstance(questions, str):
        raise InputTypeError(f"{place}: {name!r} must be a list of questions, got {questions!r:.80}.")
    found: dict[str, str] = {}
    for item in questions:
        text = _text(item.get("text") if isinstance(item, Mapping) else item, name, place)
        found.setdefault(text, str(item.get("id") or text) if isinstance(item, Mapping) else text)
    return found


def _text(value: Any, name: str, place: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise InputError(
            f"{place}: {name!r} must be a text, got {value!r:.80}. A contrast row has 'query', 'pos' and 'neg'; a row "
            "of questions 'doc', 'answerable' and 'unanswerable'."
        )
    return value


def _blocked(comparisons: list[Contrast]) -> Iterable[Contrast]:
    """The comparisons with their blocks: within a group, what is joined by a common pair."""
    root: dict[tuple[str, Pair], tuple[str, Pair]] = {}

    def top(node: tuple[str, Pair]) -> tuple[str, Pair]:
        while root.setdefault(node, node) != node:
            root[node] = root[root[node]]
            node = root[node]
        return node

    for item in comparisons:
        root[top((item.group, item.better))] = top((item.group, item.worse))
    members: dict[tuple[str, Pair], list[Contrast]] = {}
    for item in comparisons:
        members.setdefault(top((item.group, item.better)), []).append(item)
    numbers = {node: number for number, node in enumerate(members)}
    for inside in members.values():
        better, worse = {item.better for item in inside}, {item.worse for item in inside}
        compared = {(item.better, item.worse) for item in inside}
        if better & worse or len(compared) < len(better) * len(worse):
            raise InputError(
                f"Group {inside[0].group!r}: where rows of one query share a text, each of their positives must meet "
                f"each of their negatives, or no chance can be given; got row {inside[0].id!r} and others. Give every "
                "positive a group of its own."
            )
    for item in comparisons:
        number = numbers[top((item.group, item.better))]
        yield Contrast(item.id, item.kind, item.group, item.better, item.worse, number)


def orders_right(better: int, worse: int) -> float:
    """The share of all orders of the pairs of a block in which every better pair stands above every worse one.

    >>> orders_right(1, 1), orders_right(1, 2), round(orders_right(2, 2), 4)
    (0.5, 0.3333333333333333, 0.1667)
    """
    return 1 / math.comb(better + worse, better)
