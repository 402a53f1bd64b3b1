"""The queries on which the two orders differ most, with the best documents of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bicross.evaluation.agreement import Doubles, best_first, known
from bicross.evaluation.datasets import Dataset

_QUERIES = 6
_DOCUMENTS = 5
_QUERY_LENGTH = 400
_TEXT_LENGTH = 220


@dataclass(frozen=True, slots=True)
class Placed:
    """A document in one of two orders side by side.

    Attributes:
        id, title, text: The document; the text cut for reading.
        rank: In this order, counted from 1.
        other: In the other order.
        score: **Unit:** that of this order's scores.
        grade: Its judgment; None where there is none.
    """

    id: str
    title: str
    text: str
    rank: int
    other: int
    score: float
    grade: int | None


@dataclass(frozen=True, slots=True)
class WorstQuery:
    """A query on which the two orders differ most, with the best documents of both."""

    id: str
    text: str
    tau: float | None
    ndcg: float | None
    student: list[Placed]
    teacher: list[Placed]


def worst_queries(
    data: Dataset,
    positions: npt.NDArray[np.int32],
    student: npt.ArrayLike,
    teacher: Doubles,
    by_query: dict[str, Doubles],
) -> list[WorstQuery]:
    """The queries with the lowest agreement (nDCG, then tau), worst first; those where it is undefined are left out.

    Args:
        data: Queries, texts and judgments.
        positions: Each query's documents in the student's order. **Shape:** (queries, pool).
        student, teacher: Their scores. **Shape:** as ``positions``.
        by_query: ``ndcg`` and ``tau`` of every query. **Shape** of each: (queries,).
    """
    ids, queries = list(data.documents), list(data.queries)
    rows = [row for row in np.lexsort((by_query["tau"], by_query["ndcg"])).tolist() if by_query["ndcg"][row] >= 0]
    found = []
    for row in rows[:_QUERIES]:
        document_ids = [ids[p] for p in positions[row].tolist()]
        own = np.arange(len(document_ids))
        other = best_first(teacher[row : row + 1])[0]
        found.append(
            WorstQuery(
                id=queries[row],
                text=cut(data.queries[queries[row]], _QUERY_LENGTH),
                tau=known(float(by_query["tau"][row])),
                ndcg=known(float(by_query["ndcg"][row])),
                student=_best(data, queries[row], document_ids, np.asarray(student)[row], own, other),
                teacher=_best(data, queries[row], document_ids, teacher[row], other, own),
            )
        )
    return found


def _best(
    data: Dataset,
    query_id: str,
    document_ids: list[str],
    scores: npt.NDArray[np.floating],
    order: npt.NDArray[np.int64],
    other: npt.NDArray[np.int64],
) -> list[Placed]:
    """The first documents of an order, with their ranks in another. **Shape** of both: (pool,), columns, best first."""
    places = {column: place for place, column in enumerate(other.tolist(), start=1)}
    best = []
    for rank, column in enumerate(order[:_DOCUMENTS].tolist(), start=1):
        document_id = document_ids[column]
        title = data.titles.get(document_id, "")
        text = data.documents[document_id].removeprefix(title).lstrip()
        grade = data.qrels.get(query_id, {}).get(document_id)
        best.append(Placed(document_id, cut(title), cut(text), rank, places[column], float(scores[column]), grade))
    return best


def cut(text: str, length: int = _TEXT_LENGTH) -> str:
    """A text in one line, cut for reading.

    >>> cut("one\\n two  three", 8)
    'one two…'
    """
    joined = " ".join(text.split())
    return joined if len(joined) <= length else joined[: length - 1].rstrip() + "…"
