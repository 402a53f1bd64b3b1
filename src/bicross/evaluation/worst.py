"""The queries on which the two orders differ most, with the best documents of both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bicross.evaluation.agreement import Doubles, best_first, known
from bicross.evaluation.datasets import Dataset

_QUERIES = 6
_DOCUMENTS = 5
_RELEVANT = 3
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
    """A query on which the two orders differ most.

    Attributes:
        id, text: The query; the text cut for reading.
        tau, ndcg: Of its candidates; None where undefined.
        student, teacher: The best documents of both orders.
        relevant: Documents of the pool that are judged relevant, in the student's order.
    """

    id: str
    text: str
    tau: float | None
    ndcg: float | None
    student: list[Placed]
    teacher: list[Placed]
    relevant: list[Placed]


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
    ids, queries, similarities = list(data.documents), list(data.queries), np.asarray(student)
    rows = [row for row in np.lexsort((by_query["tau"], by_query["ndcg"])).tolist() if by_query["ndcg"][row] >= 0]
    found = []
    for row in rows[:_QUERIES]:
        sheet = _Sheet(data, queries[row], [ids[p] for p in positions[row].tolist()])
        own = np.arange(positions.shape[1])
        other = best_first(teacher[row : row + 1])[0]
        found.append(
            WorstQuery(
                id=queries[row],
                text=cut(data.queries[queries[row]], _QUERY_LENGTH),
                tau=known(float(by_query["tau"][row])),
                ndcg=known(float(by_query["ndcg"][row])),
                student=sheet.placed(own, other, similarities[row])[:_DOCUMENTS],
                teacher=sheet.placed(other, own, teacher[row])[:_DOCUMENTS],
                relevant=[each for each in sheet.placed(own, other, similarities[row]) if each.grade][:_RELEVANT],
            )
        )
    return found


@dataclass(frozen=True)
class _Sheet:
    """One query's documents, in the student's order."""

    data: Dataset
    query_id: str
    document_ids: list[str]

    def placed(
        self, order: npt.NDArray[np.int64], other: npt.NDArray[np.int64], scores: npt.NDArray[np.floating]
    ) -> list[Placed]:
        """The documents in an order, with their ranks in another; all three **Shape:** (pool,), orders best first."""
        places = {column: place for place, column in enumerate(other.tolist(), start=1)}
        grades = self.data.qrels.get(self.query_id, {})
        found = []
        for rank, column in enumerate(order.tolist(), start=1):
            document_id = self.document_ids[column]
            title = self.data.titles.get(document_id, "")
            text = self.data.documents[document_id].removeprefix(title).lstrip()
            score, grade = float(scores[column]), grades.get(document_id)
            found.append(Placed(document_id, cut(title), cut(text), rank, places[column], score, grade))
        return found


def cut(text: str, length: int = _TEXT_LENGTH) -> str:
    """A text in one line, cut for reading.

    >>> cut("one\\n two  three", 8)
    'one two…'
    """
    joined = " ".join(text.split())
    return joined if len(joined) <= length else joined[: length - 1].rstrip() + "…"
