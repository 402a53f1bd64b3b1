"""Candidate lists: every query with candidates, the teacher's scores of them and what is known about their relevance.

On disk they are a Parquet file that any tool can inspect, one row for each (query, candidate), a query's rows together:

| column | type | what |
|---|---|---|
| ``query_id`` | string | |
| ``query`` | string | the query's text |
| ``document_id`` | string | |
| ``score`` | float32 or null | the teacher's score; unit: raw logit, before any activation; null: not scored |
| ``label`` | float32 or null | gain from judgments, 0 for "not relevant"; null: not judged |
| ``kind`` | string | where the candidate is from: one of `KINDS`, or a name of the caller's own |
| ``rank`` | int32 | rank in the miner that found it (of judged ones: the bi-encoder, else BM25), from 1; 0: none |

The documents' texts are in a second file, ``<name>.documents.parquet`` (``document_id``, ``text``: title and text
joined by a space, as `Passage.full_text`), each once. The schema's key-value metadata holds, under ``bicross``, a JSON
object: ``format`` (this layout's number) and what the writer noted, such as the miners' and the teacher's fingerprints.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from bicross.distillation import parquet
from bicross.errors import InputError, ReadError
from bicross.types import Floats

FORMAT = 1
KINDS = ("positive", "negative", "dense", "bm25", "easy", "source", "given")
"""Judged relevant (or, without judgments, picked by the teacher: its label is NaN then), judged not relevant, mined by
a bi-encoder, by BM25, drawn at random, the passage that the query was made from, given by the caller."""

_COLUMNS = {
    "query_id": "id",
    "query": "string",
    "document_id": "id",
    "score": "number",
    "label": "number",
    "kind": "string",
    "rank": "number",
}


@dataclass(frozen=True, slots=True, eq=False)
class ScoredList:
    """A query and its candidates.

    Attributes:
        query_id: The query's id.
        query: Its text.
        document_ids: Ids of the candidates.
        scores: The teacher's scores. **Unit:** raw logit. NaN where there is none. **Shape:** (candidates,).
        labels: Gains from judgments, 0 for "not relevant"; NaN where unjudged. **Shape:** (candidates,).
        kinds: Where each candidate is from; see `KINDS`.
        ranks: Rank in the miner that found it, counted from 1; 0 where there is none. **Shape:** (candidates,).
    """

    query_id: str
    query: str
    document_ids: tuple[str, ...]
    scores: Floats
    labels: Floats
    kinds: tuple[str, ...]
    ranks: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.document_ids)

    def part(self, places: Sequence[int]) -> ScoredList:
        """The query with some of its candidates, in this order."""
        return ScoredList(
            self.query_id,
            self.query,
            tuple(self.document_ids[i] for i in places),
            self.scores[places],
            self.labels[places],
            tuple(self.kinds[i] for i in places),
            self.ranks[places],
        )


class CandidateLists(Sequence[ScoredList]):
    """The candidate lists of a set of queries, held in columns: a million candidates take about 30 MB beside the texts.

    Args:
        lists: One for each query; ids are unique.
        documents: Text by id, title first; at least those that the lists name.
        metadata: JSON values that tell where the lists come from.

    Raises:
        InputError: A query id or a query's document occurs twice, a document has no text, or a list's columns differ
            in length; names the query.
    """

    def __init__(
        self, lists: Iterable[ScoredList], documents: Mapping[str, str], metadata: Mapping[str, Any] | None = None
    ) -> None:
        self.documents = documents
        self.metadata = dict(metadata or {})
        self._query_ids: list[str] = []
        self._queries: list[str] = []
        self._document_ids: list[str] = []
        kinds: dict[str, int] = {}
        codes: list[int] = []
        scores, labels, ranks, lengths = [], [], [], [0]
        for one in lists:
            _check(one, documents)
            self._query_ids.append(one.query_id)
            self._queries.append(one.query)
            self._document_ids.extend(one.document_ids)
            codes.extend(kinds.setdefault(kind, len(kinds)) for kind in one.kinds)
            scores.append(np.asarray(one.scores, dtype=np.float32))
            labels.append(np.asarray(one.labels, dtype=np.float32))
            ranks.append(np.asarray(one.ranks, dtype=np.int32))
            lengths.append(len(one))
        if len(set(self._query_ids)) < len(self._query_ids):
            twice = Counter(self._query_ids).most_common(1)[0][0]
            raise InputError(f"Every query has one list; {twice!r} has several. Merge them.")
        self._kinds = tuple(kinds)
        self._codes = np.array(codes, dtype=np.uint8)
        self._ends = np.cumsum(lengths)
        self._scores = np.concatenate([*scores, np.zeros(0, np.float32)])
        self._labels = np.concatenate([*labels, np.zeros(0, np.float32)])
        self._ranks = np.concatenate([*ranks, np.zeros(0, np.int32)])

    def __len__(self) -> int:
        return len(self._query_ids)

    @overload
    def __getitem__(self, index: int) -> ScoredList: ...
    @overload
    def __getitem__(self, index: slice) -> list[ScoredList]: ...
    def __getitem__(self, index: int | slice) -> ScoredList | list[ScoredList]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        row = range(len(self))[index]
        part = slice(int(self._ends[row]), int(self._ends[row + 1]))
        return ScoredList(
            self._query_ids[row],
            self._queries[row],
            tuple(self._document_ids[part]),
            self._scores[part],
            self._labels[part],
            tuple(self._kinds[code] for code in self._codes[part].tolist()),
            self._ranks[part],
        )

    @property
    def pairs(self) -> int:
        """How many (query, candidate) pairs there are."""
        return len(self._document_ids)

    @property
    def scores(self) -> Floats:
        """The teacher's scores of all pairs, list after list. **Unit:** raw logit. **Shape:** (pairs,)."""
        return self._scores

    def spans(self) -> list[tuple[int, int]]:
        """Where each list's pairs are in `scores`: first, and one behind the last."""
        return list(pairwise(self._ends.tolist()))

    def iter_pairs(self) -> Iterator[tuple[str, str]]:
        """(query, document text) of all pairs, list after list."""
        for row, query in enumerate(self._queries):
            for document_id in self._document_ids[int(self._ends[row]) : int(self._ends[row + 1])]:
                yield query, self.documents[document_id]

    def with_scores(self, scores: Floats, **metadata: Any) -> CandidateLists:
        """The same lists with other scores, and what is to be noted about them. ``scores`` **shape:** (pairs,)."""
        if scores.shape != self._scores.shape:
            raise InputError(f"Scores need one number for each of {self.pairs} pairs; got an array {scores.shape}.")
        other = copy(self)
        other.metadata = {**self.metadata, **metadata}
        other._scores = np.asarray(scores, dtype=np.float32)
        return other

    def write(self, path: str | Path, *, with_documents: bool = True) -> Path:
        """Write the lists to a Parquet file, and the texts beside it; each file appears once it is complete.

        Args:
            path: The lists' file.
            with_documents: False: the texts are elsewhere, and `read` has to be given them.

        Returns:
            ``path``.

        Raises:
            StorageFullError: The disk is full.
            MissingExtraError: pyarrow isn't installed.
        """
        path = Path(path)
        if with_documents:
            used = list(dict.fromkeys(self._document_ids))
            texts = [self.documents[document_id] for document_id in used]
            parquet.write_table(documents_path(path), {"document_id": used, "text": texts}, {"format": FORMAT})
        counts = np.diff(self._ends).tolist()
        columns = {
            "query_id": [q for q, n in zip(self._query_ids, counts, strict=True) for _ in range(n)],
            "query": [q for q, n in zip(self._queries, counts, strict=True) for _ in range(n)],
            "document_id": self._document_ids,
            "score": self._scores,
            "label": self._labels,
            "kind": [self._kinds[code] for code in self._codes.tolist()],
            "rank": self._ranks,
        }
        parquet.write_table(path, columns, {**self.metadata, "format": FORMAT})
        return path

    @classmethod
    def read(cls, path: str | Path, *, documents: Mapping[str, str] | None = None) -> CandidateLists:
        """Read what `write` wrote, or another program in the same layout, whose ids may be whole numbers.

        Args:
            path: The lists' file.
            documents: Texts by id; None: those of the file beside it.

        Raises:
            ReadError: A file is missing, damaged, of another format, or its rows aren't grouped by query.
            InputError: A document has no text.
            MissingExtraError: pyarrow isn't installed.
        """
        path = Path(path)
        table, facts = parquet.read_table(path, _COLUMNS)
        if facts.pop("format", FORMAT) != FORMAT:
            raise ReadError(f"{path} isn't of format {FORMAT}, which this version of bicross reads. Mine it anew.")
        if documents is None:
            texts, _ = parquet.read_table(documents_path(path), {"document_id": "id", "text": "string"})
            ids = parquet.strings(texts, "document_id")
            documents = dict(zip(ids, texts.column("text").to_pylist(), strict=True))
        return cls(_lists(table), documents, facts)


def documents_path(path: Path) -> Path:
    """Where the texts of the lists in ``path`` are."""
    return path.with_name(f"{path.stem}.documents.parquet")


def _lists(table: Any) -> Iterator[ScoredList]:
    query_ids, queries = parquet.strings(table, "query_id"), parquet.strings(table, "query")
    document_ids, kinds = parquet.strings(table, "document_id"), parquet.strings(table, "kind")
    scores, labels = parquet.floats(table, "score"), parquet.floats(table, "label")
    ranks = parquet.integers(table, "rank")
    starts = [i for i in range(len(query_ids)) if i == 0 or query_ids[i] != query_ids[i - 1]]
    for start, end in pairwise([*starts, len(query_ids)]):
        part = slice(start, end)
        ids, names = tuple(document_ids[part]), tuple(kinds[part])
        yield ScoredList(query_ids[start], queries[start], ids, scores[part], labels[part], names, ranks[part])


def _check(one: ScoredList, documents: Mapping[str, str]) -> None:
    count = len(one.document_ids)
    if not len(one.scores) == len(one.labels) == len(one.kinds) == len(one.ranks) == count:
        raise InputError(f"The columns of a list must have one length; those of query {one.query_id!r} differ.")
    if len(set(one.document_ids)) < count:
        raise InputError(f"A candidate stands once in a list; query {one.query_id!r} has one twice. Drop one.")
    missing = next((document_id for document_id in one.document_ids if document_id not in documents), None)
    if missing is not None:
        raise InputError(f"Candidate {missing!r} of query {one.query_id!r} is in no document. Check the ids.")
