"""Candidate lists from what somebody already has: training rows, teacher scores in Parquet files, TREC runs."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bicross.distillation import parquet
from bicross.distillation.labels import LabelledQuery, Labels
from bicross.distillation.layouts import Judged, Rows, document_name, numbered_rows, read_row
from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.errors import InputError
from bicross.evaluation.runs import Run, read_run

logger = logging.getLogger(__name__)


def read_lists(source: Rows) -> CandidateLists:
    """Reads training rows in any of the layouts of `bicross.distillation.layouts`.

    Rows with the same query become one list, and equal texts one document, whose id is made from the text.

    Args:
        source: See `Rows`. A Parquet file that `CandidateLists.write` wrote is read as what it is.

    Raises:
        ReadError: A file is missing, or a row is broken; names it.
        InputError: There are no rows.
        ConfigurationError: A file of another kind.
    """
    if isinstance(source, str | Path) and Path(source).suffix == ".parquet":
        table, _ = parquet.read_table(Path(source), {})
        if {"query_id", "document_id", "score"} <= set(table.column_names):
            return CandidateLists.read(source)
    documents: dict[str, str] = {}
    queries: dict[str, dict[str, Judged]] = {}
    for where, row in numbered_rows(source):
        query, texts = read_row(row, where)
        known = queries.setdefault(query, {})
        for judged in texts:
            document_id = document_name(judged.text)
            documents[document_id] = judged.text
            known[document_id] = _merged(known.get(document_id), judged)
    if not queries:
        raise InputError("Lists are made from at least one row; got none.")
    return CandidateLists((_from_judged(query, known) for query, known in queries.items()), documents)


def read_scores(path: str | Path) -> dict[str, dict[str, float]]:
    """Reads a teacher's scores: a TREC run, or a Parquet file with query_id, document_id (or corpus-id) and score.

    Ids that are whole numbers are taken as strings.

    Returns:
        Scores by query id and document id. **Unit:** the teacher's own.

    Raises:
        ReadError: The file is missing or broken.
        InputError: A score isn't a number.
    """
    path = Path(path)
    if path.suffix != ".parquet":
        return read_run(path)
    table, _ = parquet.read_table(path, {"score": "number"})
    names = []
    for choices in (("query_id", "query-id", "qid"), ("document_id", "corpus-id", "corpus_id", "docid", "pid")):
        names.append(next((name for name in choices if name in table.column_names), choices[0]))
    table, _ = parquet.read_table(path, {names[0]: "id", names[1]: "id", "score": "number"})
    scores: dict[str, dict[str, float]] = {}
    columns = (parquet.strings(table, names[0]), parquet.strings(table, names[1]), parquet.floats(table, "score"))
    for query_id, document_id, score in zip(*columns, strict=True):
        if math.isnan(score):
            raise InputError(f"{path}: query {query_id!r} and document {document_id!r} have no score.")
        scores.setdefault(query_id, {})[document_id] = float(score)
    return scores


def lists_from_scores(scores: Run, labels: Labels) -> CandidateLists:
    """Candidate lists from a teacher's scores that somebody already has.

    Args:
        scores: Scores by query id and document id, such as `read_scores` returns.
        labels: Texts of the queries and documents, and the judgments. Unknown ids are counted and left out.

    Raises:
        InputError: No query has two known documents.
    """
    unknown = short = 0
    lists = []
    for query_id, found in scores.items():
        query = labels.queries.get(query_id)
        known = {d: s for d, s in found.items() if d in labels.documents} if query else {}
        unknown += len(found) - len(known)
        if query is None or len(known) < 2:
            short += 1
            continue
        ids = sorted(known, key=lambda d: -known[d])  # used within the step
        lists.append(_from_run(query_id, query, ids, [known[d] for d in ids]))
    if unknown or short:
        logger.warning(
            "%s: left out %d scores of unknown ids and %d queries with fewer than two", labels.name, unknown, short
        )
    if not lists:
        raise InputError(
            f"Scores and labels must share ids; no query of {labels.name!r} has two scored documents that it knows. "
            "Check which files belong together."
        )
    return CandidateLists(lists, labels.documents, {"set": labels.name, "data": labels.fingerprint})


def labels_from(lists: CandidateLists, name: str) -> Labels:
    """The judgments in the lists: what `mine_candidates` and `train_reranker` take. Scores are left behind.

    Args:
        lists: With labels; a list without any becomes a query without a positive.
        name: Names the set.
    """
    queries = {}
    for one in lists:
        positives = tuple(d for d, label in zip(one.document_ids, one.labels, strict=True) if label > 0)
        negatives = tuple(d for d, label in zip(one.document_ids, one.labels, strict=True) if label <= 0)
        queries[one.query_id] = LabelledQuery(one.query, positives, negatives)
    return Labels(name, lists.documents, queries)


def _merged(before: Judged | None, now: Judged) -> Judged:
    if before is None:
        return now
    # The higher label: a text that one row calls an answer is one, wherever else it stands as a negative.
    label = now.label if math.isnan(before.label) else max(before.label, now.label)
    return Judged(now.text, before.label if math.isnan(now.label) else label, _later(before.score, now.score))


def _later(before: float, now: float) -> float:
    return before if math.isnan(now) else now


def _from_judged(query: str, known: Mapping[str, Judged]) -> ScoredList:
    labels = np.array([judged.label for judged in known.values()], dtype=np.float32)
    scores = np.array([judged.score for judged in known.values()], dtype=np.float32)
    kinds = tuple("given" if math.isnan(j.label) else "positive" if j.label > 0 else "negative" for j in known.values())
    return ScoredList(query, query, tuple(known), scores, labels, kinds, np.zeros(len(known), dtype=np.int32))


def _from_run(query_id: str, query: LabelledQuery, ids: list[str], scores: list[float]) -> ScoredList:
    gains = dict.fromkeys(query.negatives, 0.0) | dict.fromkeys(query.positives, 1.0)
    kinds = tuple("positive" if gains.get(d) else "negative" if d in gains else "given" for d in ids)
    labels = np.array([gains.get(d, np.nan) for d in ids], dtype=np.float32)
    ranks = np.arange(1, len(ids) + 1, dtype=np.int32)
    return ScoredList(query_id, query.text, tuple(ids), np.array(scores, dtype=np.float32), labels, kinds, ranks)
