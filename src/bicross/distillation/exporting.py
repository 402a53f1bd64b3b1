"""Candidate lists for other programs: sentence-transformers' column layouts, and TREC runs of the teacher's scores."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bicross.distillation import parquet
from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.errors import ConfigurationError, InputError, MissingExtraError
from bicross.evaluation.runs import write_run
from bicross.whole_file import whole_file

if TYPE_CHECKING:
    from datasets import Dataset

LAYOUTS = ("pair", "triplet", "n-tuple", "n-tuple-scores", "labeled-pair", "scored-pair", "labeled-list", "scored-list")
"""Names as in sentence-transformers' ``mine_hard_negatives``, and two with the teacher's scores in labels' place."""


def export_rows(lists: CandidateLists, layout: str, *, negatives: int | None = None) -> Iterator[dict[str, Any]]:
    """Rows that sentence-transformers' losses take, and `read_lists` reads.

    Args:
        lists: What to export; layouts with scores need scores.
        layout: One of `LAYOUTS`: "pair" (query, positive); "triplet" (query, positive, negative), a row for each
            negative; "n-tuple" (query, positive, negative_1 …); "n-tuple-scores" (the same, and the teacher's
            ``scores`` of positive and negatives); "labeled-pair" (query, text, label) of the judged candidates;
            "scored-pair" (query, text, score); "labeled-list" (query, docs, labels), the unjudged with 0;
            "scored-list" (query, docs, scores).
        negatives: Negatives of an n-tuple, the first ones in the list; lists with fewer are left out. None: as many as
            the shortest list has.

    Raises:
        ConfigurationError: An unknown layout.
        InputError: A layout with scores, and a candidate without one.
    """
    if layout not in LAYOUTS:
        raise ConfigurationError(f"layout must be one of {LAYOUTS!r}; got {layout!r}.")
    if "score" in layout and np.isnan(lists.scores).any():
        raise InputError(f"The layout {layout!r} needs a score of every candidate; some have none.")
    if layout.startswith("n-tuple") and negatives is None:
        counts = [len(one) - len(_positives(one)) for one in lists]
        negatives = min((count for count in counts if count > 0), default=0)
    count = negatives or 0
    return (row for one in lists for row in _rows(one, [lists.documents[d] for d in one.document_ids], layout, count))


def export_dataset(lists: CandidateLists, layout: str, *, negatives: int | None = None) -> Dataset:
    """`export_rows` as a ``datasets.Dataset``.

    Raises:
        MissingExtraError: datasets isn't installed.
    """
    try:
        from datasets import Dataset
    except ImportError as error:
        raise MissingExtraError("A Dataset needs datasets. Install it: pip install 'bicross[distill]'") from error
    return Dataset.from_list(list(export_rows(lists, layout, negatives=negatives)))


def export_file(lists: CandidateLists, path: str | Path, layout: str, *, negatives: int | None = None) -> Path:
    """`export_rows` as a .jsonl or .parquet file, which appears once it is complete.

    Raises:
        ConfigurationError: An unknown layout, or another suffix.
        InputError: A layout with scores, and a candidate without one.
        StorageFullError: The disk is full.
        MissingExtraError: A .parquet file, and pyarrow isn't installed.
    """
    path = Path(path)
    rows = export_rows(lists, layout, negatives=negatives)
    if path.suffix == ".parquet":
        parquet.write_rows(path, rows)
    elif path.suffix == ".jsonl":
        with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    else:
        raise ConfigurationError(
            f"Rows are written to .jsonl and .parquet files; got {str(path)!r}. Name one of these."
        )
    return path


def export_run(lists: CandidateLists, path: str | Path) -> Path:
    """The teacher's scores as a TREC run. Candidates without one are left out."""
    run = {}
    for one in lists:
        order = [i for i in np.argsort(-one.scores, kind="stable").tolist() if not np.isnan(one.scores[i])]
        run[one.query_id] = {one.document_ids[i]: float(one.scores[i]) for i in order}
    return write_run(path, run, tag="teacher")


def _rows(one: ScoredList, texts: list[str], layout: str, negatives: int) -> Iterator[dict[str, Any]]:
    labels, scores = np.nan_to_num(one.labels).tolist(), one.scores.tolist()
    if layout == "labeled-list":
        yield {"query": one.query, "docs": texts, "labels": labels}
    elif layout == "scored-list":
        yield {"query": one.query, "docs": texts, "scores": scores}
    elif layout == "scored-pair":
        yield from ({"query": one.query, "text": t, "score": s} for t, s in zip(texts, scores, strict=True))
    elif layout == "labeled-pair":
        judged = zip(texts, one.labels.tolist(), strict=True)
        yield from ({"query": one.query, "text": t, "label": label} for t, label in judged if not math.isnan(label))
    else:
        yield from _with_positive(one, texts, scores, layout, negatives)


def _positives(one: ScoredList) -> list[int]:
    return [i for i, kind in enumerate(one.kinds) if kind == "positive" or one.labels[i] > 0]


def _with_positive(
    one: ScoredList, texts: list[str], scores: list[float], layout: str, negatives: int
) -> Iterator[dict[str, Any]]:
    positives = _positives(one)
    if not positives:
        return
    best, rest = positives[0], [i for i in range(len(one)) if i not in positives]
    start = {"query": one.query, "positive": texts[best]}
    if layout == "pair":
        yield from ({"query": one.query, "positive": texts[i]} for i in positives)
    elif layout == "triplet":
        yield from (start | {"negative": texts[i]} for i in rest)
    elif 0 < negatives <= len(rest):
        chosen = rest[:negatives]
        row: dict[str, Any] = start | {f"negative_{n}": texts[i] for n, i in enumerate(chosen, start=1)}
        yield row | {"scores": [scores[i] for i in (best, *chosen)]} if layout == "n-tuple-scores" else row
