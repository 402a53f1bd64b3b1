"""Rankings, and the TREC files that hold them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

from bicross.errors import InputError, ReadError
from bicross.evaluation.files import unreadable
from bicross.whole_file import whole_file

Run = Mapping[str, Mapping[str, float]]
"""Scores by query id and document id; the documents of a query are best first."""


def read_run(path: str | Path) -> dict[str, dict[str, float]]:
    """Read a TREC run file: lines of query id, ``Q0``, document id, rank, score, tag, with spaces between.

    A query's documents are sorted by score, equal scores by rank.

    Raises:
        ReadError: The file is missing or empty, or a line is broken; names it.
    """
    path = Path(path)
    rows: dict[str, dict[str, tuple[float, int]]] = {}
    try:
        with path.open(encoding="utf-8") as file:
            for line, text in enumerate(file, start=1):
                if not text.strip():
                    continue
                try:
                    query_id, _, document_id, rank, score, *_ = text.split()
                    place = (-float(score), int(rank))
                except ValueError:
                    place = (math.nan, 0)
                if math.isnan(place[0]):
                    raise ReadError(
                        f"{path}, line {line}: a line of a run is query id, Q0, document id, rank, score and tag; got "
                        f"{text.strip()!r:.200}."
                    )
                found = rows.setdefault(query_id, {})
                if document_id in found:
                    raise ReadError(f"{path}, line {line}: document {document_id!r} is there twice for {query_id!r}.")
                found[document_id] = place
    except FileNotFoundError:
        raise ReadError(f"There is no run file {str(path)!r}. Check the path.") from None
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} must be UTF-8 text; got {error.reason} at byte {error.start}.") from None
    except OSError as error:
        raise unreadable(path, error) from error
    if not rows:
        raise ReadError(f"A run holds at least one line; {str(path)!r} is empty. Write it anew.")
    return {q: {d: -places[d][0] for d in sorted(places, key=places.__getitem__)} for q, places in rows.items()}


def write_run(path: str | Path, run: Run, tag: str = "bicross") -> Path:
    """Write a TREC run file, which `read_run` and other tools read.

    Scores that don't fall from rank to rank (distances, for example) are written as 1 / rank: every reader sorts by
    score.

    Raises:
        InputError: An id holds whitespace, which the format has no place for. Nothing is written.
    """
    path = Path(path)
    lines = []
    for query_id, documents in run.items():
        scores = list(documents.values())
        if not falling(documents):
            scores = [1.0 / rank for rank in range(1, len(scores) + 1)]
        for rank, (document_id, score) in enumerate(zip(documents, scores, strict=True), start=1):
            for item in (query_id, document_id):
                if not item or any(character.isspace() for character in item):
                    raise InputError(f"A TREC run's ids are free of whitespace and not empty, got {item!r}. Rename it.")
            lines.append(f"{query_id} Q0 {document_id} {rank} {score!r} {tag}\n")
    with whole_file(path) as part:
        part.write_text("".join(lines), encoding="utf-8")
    return path


def falling(ranking: Mapping[str, float]) -> bool:
    """Whether no document has a higher score than the one before it."""
    return all(later <= earlier for earlier, later in pairwise(ranking.values()))
