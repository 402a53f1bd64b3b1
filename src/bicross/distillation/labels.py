"""Labels for training and choosing: which documents answer which query, in one form for every source.

Three sources are read: a folder in BEIR's layout (qrels), and jsonl or csv files of pairs or of triplets. What can't be
used (ids that are in no corpus, queries without a relevant document) is left out and counted, never guessed.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bicross.errors import ConfigurationError, InputError, ReadError
from bicross.evaluation.files import read_qrels, read_rows, read_texts

logger = logging.getLogger(__name__)

_QUERY_FIELDS = ("query", "anchor", "question")
_POSITIVE_FIELDS = ("positive", "text", "document", "passage", "answer")
_NEGATIVE_FIELDS = ("negative",)
_LABEL_FIELDS = ("label", "score")


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


def read_labels(path: str | Path, *, split: str = "train", name: str | None = None) -> Labels:
    """Reads labels from a BEIR folder, or from a jsonl or csv file of pairs or triplets.

    A folder holds ``corpus.jsonl``, ``queries.jsonl`` and ``qrels/<split>.tsv``. The rows of a file have the fields
    ``query`` and ``positive`` (or ``text``), and optionally ``label`` (0 or less: not relevant) or ``negative``.

    Args:
        path: The folder or file.
        split: The qrels file's name; for folders alone.
        name: Names the set in reports; by default the folder's or file's.

    Raises:
        ConfigurationError: The path is neither a folder nor a jsonl or csv file.
        ReadError: A file is missing or a line is broken; names the file and the line.
        InputError: No query with a relevant document is left.
    """
    path = Path(path)
    name = name or path.stem
    if path.is_dir():
        labels = _from_folder(path, split, name)
    elif path.suffix in {".jsonl", ".csv"}:
        labels = _from_rows(path, name)
    else:
        raise ConfigurationError(
            f"Labels are a folder in BEIR's layout, or a .jsonl or .csv file of pairs or triplets; got {str(path)!r}. "
            "Convert the file, or check the path."
        )
    if labels.left_out:
        logger.warning("%s: left out %s", name, ", ".join(f"{n} {why}" for why, n in labels.left_out.items()))
    if not labels.queries:
        raise InputError(
            f"Training needs queries with at least one relevant document; {str(path)!r} holds none "
            f"(left out: {dict(labels.left_out)!r}). Check the labels' ids and values."
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


def _from_rows(path: Path, name: str) -> Labels:
    documents: dict[str, str] = {}
    texts: dict[str, str] = {}
    positives: dict[str, list[str]] = {}
    negatives: dict[str, list[str]] = {}

    def document(text: str) -> str:
        document_id = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        documents[document_id] = text
        return document_id

    for line, row in read_rows(path):
        query = _field(path, line, row, _QUERY_FIELDS)
        if query is None:
            raise ReadError(f"{path}, line {line}: a row needs the field 'query'; got {sorted(row)!r}.")
        positive, negative = _field(path, line, row, _POSITIVE_FIELDS), _field(path, line, row, _NEGATIVE_FIELDS)
        if positive is None and negative is None:
            raise ReadError(f"{path}, line {line}: a row needs the field 'positive' or 'text'; got {sorted(row)!r}.")
        texts[query] = query
        known = positives.setdefault(query, [])
        if positive is not None:
            (known if _is_relevant(path, line, row) else negatives.setdefault(query, [])).append(document(positive))
        if negative is not None:
            negatives.setdefault(query, []).append(document(negative))
    return _build(name, documents, {}, texts, positives, negatives, Counter())


def _field(path: Path, line: int, row: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    found = next((name for name in names if row.get(name) not in (None, "")), None)
    if found is None:
        return None
    value = row[found]
    if not isinstance(value, str):
        raise ReadError(f"{path}, line {line}: field {found!r} must be a string; got {value!r}.")
    return value


def _is_relevant(path: Path, line: int, row: Mapping[str, object]) -> bool:
    value = next((row[name] for name in _LABEL_FIELDS if row.get(name) not in (None, "")), 1)
    try:
        return float(value) > 0  # type: ignore[arg-type]  # whatever float() refuses is reported
    except (TypeError, ValueError):
        raise ReadError(f"{path}, line {line}: a label must be a number; got {value!r}.") from None


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
