"""Training rows in sentence-transformers' column layouts: pairs, labelled pairs, triplets, n-tuples and lists.

| columns | a row says |
|---|---|
| query, positive | the text answers the query |
| query, text, ``label`` | judged: above 0 it answers, else it doesn't |
| query, text, ``score`` | the teacher's score |
| query, positive, negative | the first text answers, the second doesn't |
| query, positive, negative, ``label`` (or ``score``: a number) | the same, and the teacher's margin between the two |
| query, positive, negative_1 … negative_n | one text that answers and n that don't |
| query, positive, negative_1 … negative_n, ``label`` (or ``score``: n + 1 or n numbers) | the same with the teacher's \
scores, or its n margins |
| query, docs (a list), ``labels`` and / or ``scores`` (lists) | judgments and / or the teacher's scores of each text |

``labels`` and ``scores`` may take the place of ``label`` and ``score``. The columns are known by the names below; where
no query has a known name, the first column is the query and the others are its texts, as sentence-transformers has it.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bicross.distillation import parquet
from bicross.errors import ConfigurationError, ReadError
from bicross.evaluation.files import read_rows

Rows = str | Path | Iterable[Mapping[str, Any]]
"""A .jsonl, .csv or .parquet file, a ``datasets.Dataset``, or any iterable of rows."""

QUERY = ("query", "anchor", "question", "sentence1", "sentence_A")
POSITIVE = ("positive", "text", "document", "passage", "answer", "response", "sentence2", "sentence_B")
LISTS = ("docs", "documents", "passages", "texts")
_NEGATIVE = re.compile(r"negative(_\d+)?")
_LABELS = ("label", "labels")
_SCORES = ("score", "scores")


@dataclass(frozen=True, slots=True)
class Judged:
    """What a row says of one text.

    Attributes:
        text: The text.
        label: A gain from judgments; NaN where the row doesn't say.
        score: The teacher's. **Unit:** its own; margins are given as scores of which the positive has 0. NaN: none.
    """

    text: str
    label: float
    score: float


def read_row(row: Mapping[str, Any], where: str) -> tuple[str, list[Judged]]:
    """The query of a row, and what the row says of each of its texts.

    Args:
        row: Values by column.
        where: Names the row in errors.

    Raises:
        ReadError: A column is missing or holds something else than it must.
    """
    row = {name: value for name, value in row.items() if value is not None and value != ""}
    label, score = _first(row, _LABELS), _first(row, _SCORES)
    query, names = _columns(row, where)
    question = _string(row[query], query, where)
    if names[0] in LISTS:
        return question, _listed(row, names[0], label, score, where)
    values = [_string(row[name], name, where) for name in names]
    if len(values) == 1:
        return question, [_pair(row, names[0], values[0], label, score, where)]
    return question, _tuple(row, values, score or label, where)


def numbered_rows(source: Rows) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Rows with what names them in an error.

    Raises:
        ReadError: A file is missing or a line is broken.
        ConfigurationError: A file of another kind.
    """
    if not isinstance(source, str | Path):
        yield from ((f"row {number}", row) for number, row in enumerate(source))
        return
    path = Path(source)
    if path.suffix == ".parquet":
        table, _ = parquet.read_table(path, {})
        yield from ((f"{path}, row {number}", row) for number, row in enumerate(parquet.rows(table)))
    elif path.suffix in {".jsonl", ".csv"}:
        yield from ((f"{path}, line {line}", row) for line, row in read_rows(path))
    else:
        raise ConfigurationError(f"Rows are read from .jsonl, .csv and .parquet files; got {str(path)!r}.")


def document_name(text: str) -> str:
    """The id of a text that has none."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


def _columns(row: Mapping[str, Any], where: str) -> tuple[str, list[str]]:
    """The query's column, and those of its texts, positives first."""
    query = _first(row, QUERY)
    listed = next((name for name in LISTS if _is_list(row.get(name))), None)
    one = _first(row, POSITIVE)
    negatives = [name for name in row if _NEGATIVE.fullmatch(name)]
    names = [listed] if listed else ([one] if one else []) + negatives
    others = [name for name in row if name not in (*_LABELS, *_SCORES)]
    if query is None and not names and len(others) > 1:
        return others[0], others[1:]
    if query is None:
        raise ReadError(f"{where}: a row needs the field 'query'; got {sorted(row)!r}.")
    if not names:
        raise ReadError(f"{where}: a row needs the field 'positive' or 'text'; got {sorted(row)!r}.")
    return query, names


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


def _first(row: Mapping[str, Any], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in row), None)


def _pair(row: Mapping[str, Any], name: str, text: str, label: str | None, score: str | None, where: str) -> Judged:
    gain = math.nan if label is None else _number(row[label], where)
    value = math.nan if score is None else _number(row[score], where)
    if label is None and score is None:
        gain = 0.0 if _NEGATIVE.fullmatch(name) else 1.0
    return Judged(text, max(gain, 0.0) if not math.isnan(gain) else gain, value)


def _tuple(row: Mapping[str, Any], texts: list[str], given: str | None, where: str) -> list[Judged]:
    labels = [1.0] + [0.0] * (len(texts) - 1)
    if given is None:
        scores = [math.nan] * len(texts)
    else:
        value = row[given]
        numbers = [_number(item, where) for item in (value if _is_list(value) else [value])]
        if len(numbers) == len(texts) - 1:
            scores = [0.0, *(-margin for margin in numbers)]
        elif len(numbers) == len(texts):
            scores = numbers
        else:
            raise ReadError(
                f"{where}: {given!r} holds a score of each of {len(texts)} texts, or {len(texts) - 1} margins; got "
                f"{len(numbers)} numbers."
            )
    return [Judged(*item) for item in zip(texts, labels, scores, strict=True)]


def _listed(row: Mapping[str, Any], name: str, label: str | None, score: str | None, where: str) -> list[Judged]:
    texts = [_string(text, name, where) for text in row[name]]

    def column(given: str | None) -> list[float]:
        if given is None:
            return [math.nan] * len(texts)
        values = row[given]
        if not _is_list(values) or len(values) != len(texts):
            raise ReadError(f"{where}: {given!r} must be a list of {len(texts)} numbers, one for each of {name!r}.")
        return [_number(value, where) for value in values]

    return [Judged(*item) for item in zip(texts, column(label), column(score), strict=True)]


def _string(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str):
        raise ReadError(f"{where}: field {name!r} must be a string; got {value!r}.")
    return value


def _number(value: Any, where: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ReadError(f"{where}: a label must be a number; got {value!r}.")
    return number
