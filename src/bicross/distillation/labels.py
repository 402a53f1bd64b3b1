"""Labels for training and choosing: which documents answer which query, in one form for every source.

Two sources are read: a folder in BEIR's layout (qrels), and rows in the layouts of `bicross.distillation.layouts`
(pairs, triplets, lists). What can't be used (ids that are in no corpus, queries without a relevant document) is
left out and counted, never guessed.
"""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bicross.distillation.layouts import Rows, document_name, numbered_rows, read_row
from bicross.errors import ConfigurationError, InputError
from bicross.evaluation.files import read_qrels, read_texts

logger = logging.getLogger(__name__)

_UNJUDGED = "scores without a label"


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query and the ids of the documents that were judged for it.

    Attributes:
        text: The query's text.
        positives: Documents that answer it. `train_reranker` needs at least one, distillation none: without judgments
            the teacher's scores are all there is to learn from.
        negatives: Documents that were judged not to answer it.
        source: The document that the query was made from; None where somebody asked it.
        excluded: Documents that are never its candidates, such as the whole passage of which ``source`` is a part.
    """

    text: str
    positives: tuple[str, ...]
    negatives: tuple[str, ...] = ()
    source: str | None = None
    excluded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Labels:
    """Queries, documents, and what is known about their relevance.

    Attributes:
        name: Names the set in reports and in the model's ``trained_on``.
        documents: Text (title first) by document id.
        queries: Queries by id; all ids that they name are in ``documents``.
        hidden: Documents that no search finds: parts of passages that are candidates of their own query alone.
        groups: Article by document id, where documents are parts of articles. A held-out split never divides one.
        left_out: Counts of what couldn't be used, by reason.
    """

    name: str
    documents: Mapping[str, str]
    queries: Mapping[str, LabelledQuery]
    groups: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()

    @property
    def searched(self) -> dict[str, str]:
        """The documents that a search finds."""
        return {document_id: text for document_id, text in self.documents.items() if document_id not in self.hidden}

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all texts, ids and judgments."""
        digest = hashlib.sha256()
        for document_id, text in self.documents.items():
            digest.update(f"{document_id}\x00{text}\x01".encode("utf-8", "surrogatepass"))
        for query_id, query in self.queries.items():
            parts = [query_id, query.text, *query.positives, "\x02", *query.negatives]
            if query.source is not None:
                parts += ["\x03", query.source, *query.excluded]
            digest.update("\x00".join(parts).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    def only(self, query_ids: Iterable[str]) -> Labels:
        """The same documents with these queries alone."""
        return replace(self, queries={query_id: self.queries[query_id] for query_id in query_ids})

    def sample(self, count: int, *, seed: int) -> Labels:
        """At most ``count`` queries, drawn without replacement; all where there are no more than that."""
        if len(self.queries) <= count:
            return self
        chosen = np.random.default_rng(seed).choice(len(self.queries), size=count, replace=False)
        ids = list(self.queries)
        return self.only(ids[i] for i in sorted(chosen.tolist()))


def read_labels(source: Rows, *, split: str = "train", name: str | None = None) -> Labels:
    """Reads labels from a BEIR folder, or from rows of pairs, triplets or lists.

    A folder holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``. Rows are in the layouts of
    `bicross.distillation.layouts`. A score is no judgment, as a logit's zero means nothing: texts that have a score
    and no label stay unjudged, and are counted.

    Args:
        source: The folder; or a .jsonl, .csv or .parquet file, a ``datasets.Dataset``, or an iterable of rows.
        split: The qrels file's name; for folders alone.
        name: Names the set in reports; by default the folder's or file's, or "rows".

    Raises:
        ConfigurationError: The path is neither a folder nor a file of a kind that is read.
        ReadError: A file is missing or a row is broken; names it.
        InputError: No query with a relevant document is left.
    """
    if not isinstance(source, str | Path):
        labels = _from_rows(source, name or "rows")
    elif Path(source).is_dir():
        labels = _from_folder(Path(source), split, name or Path(source).stem)
    elif Path(source).suffix in {".jsonl", ".csv", ".parquet"}:
        labels = _from_rows(source, name or Path(source).stem)
    else:
        raise ConfigurationError(
            "Labels are a folder in BEIR's layout, or a .jsonl, .csv or .parquet file of pairs, triplets or lists; got "
            f"{str(source)!r}. Convert the file, or check the path."
        )
    if labels.left_out:
        logger.warning("%s: left out %s", labels.name, ", ".join(f"{n} {why}" for why, n in labels.left_out.items()))
    if not labels.queries:
        remedy = "Check the labels' ids and values."
        if _UNJUDGED in labels.left_out:
            remedy = "Name the scores' column 'label' if they are judgments; else train on them: read_lists."
        raise InputError(
            f"Training needs queries with at least one relevant document; {labels.name!r} holds none "
            f"(left out: {dict(labels.left_out)!r}). {remedy}"
        )
    return labels


def _from_folder(folder: Path, split: str, name: str) -> Labels:
    documents, groups = read_texts(folder / "corpus.jsonl", titles=True)
    texts, _ = read_texts(folder / "queries.jsonl", titles=False)
    left_out: Counter[str] = Counter()
    positives: dict[str, list[str]] = {}
    negatives: dict[str, list[str]] = {}
    for query_id, document_id, grade in read_qrels(folder / "qrels" / f"{split}.tsv"):
        if query_id not in texts:
            left_out["judgments of unknown queries"] += 1
        elif document_id not in documents:
            left_out["judgments of unknown documents"] += 1
        else:
            positives.setdefault(query_id, [])
            (positives if grade > 0 else negatives).setdefault(query_id, []).append(document_id)
    return _build(name, documents, groups, texts, positives, negatives, left_out)


def _from_rows(source: Rows, name: str) -> Labels:
    documents: dict[str, str] = {}
    texts: dict[str, str] = {}
    positives: dict[str, list[str]] = {}
    negatives: dict[str, list[str]] = {}
    left_out: Counter[str] = Counter()
    for where, row in numbered_rows(source):
        query, judged = read_row(row, where)
        texts[query] = query
        positives.setdefault(query, [])
        for one in judged:
            document_id = document_name(one.text)
            documents[document_id] = one.text
            if math.isnan(one.label):
                left_out[_UNJUDGED] += 1
            else:
                (positives if one.label > 0 else negatives).setdefault(query, []).append(document_id)
    return _build(name, documents, {}, texts, positives, negatives, left_out)


def _build(
    name: str,
    documents: Mapping[str, str],
    groups: Mapping[str, str],
    texts: Mapping[str, str],
    positives: Mapping[str, list[str]],
    negatives: Mapping[str, list[str]],
    left_out: Counter[str],
) -> Labels:
    queries = {}
    for query_id, relevant in positives.items():
        if not relevant:
            left_out["queries without a relevant document"] += 1
            continue
        known = tuple(dict.fromkeys(relevant))
        other = tuple(d for d in dict.fromkeys(negatives.get(query_id, ())) if d not in known)
        queries[query_id] = LabelledQuery(texts[query_id], known, other)
    return Labels(name, documents, queries, groups, dict(left_out))
