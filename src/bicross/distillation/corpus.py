"""A corpus, and the queries and judgments that belong to it, in one form for every source."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

from bicross.distillation.labels import LabelledQuery, Labels, read_labels
from bicross.errors import ConfigurationError, InputError
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.files import read_qrels, read_rows, read_texts

logger = logging.getLogger(__name__)


def read_corpus(
    corpus: str | Path,
    queries: str | Path | None = None,
    qrels: str | Path | None = None,
    *,
    split: str = "train",
) -> Labels:
    """Reads what `distill` learns from.

    Args:
        corpus: A folder in BEIR's layout, or a .jsonl file of documents (``_id``, ``title``, ``text``).
        queries: A .jsonl file of queries (``_id``, ``text``), judged or not; or rows of pairs, triplets or lists as
            `read_labels` takes them, whose texts are sought in the corpus and added where they aren't there. None:
            the folder's queries that have a judgment in ``split``; without that split, none.
        qrels: Judgments of ``queries`` as a tab-separated file; None: those of the folder's ``split``, where there are.
        split: Name of the folder's qrels file.

    Returns:
        The documents with their titles as groups, and the queries; no queries where they have to be made.

    Raises:
        ReadError: A file is missing or a line is broken; names it.
        InputError: There is no document, or ``queries`` holds none.
        ConfigurationError: ``qrels`` without ``queries``.
    """
    corpus = Path(corpus)
    folder = corpus if corpus.is_dir() else None
    if qrels is not None and queries is None:
        raise ConfigurationError("Judgments belong to queries; got qrels without queries. Name the queries' file.")
    documents, titles = read_texts(folder / "corpus.jsonl" if folder else corpus, titles=True)
    if not documents:
        raise InputError(f"A corpus holds at least one document; {str(corpus)!r} holds none.")
    name = corpus.name if folder else corpus.stem
    labels = Labels(name, documents, {}, titles)
    own = folder / "qrels" / f"{split}.tsv" if folder else None
    if queries is None:
        if folder is None or own is None or not own.is_file():
            if there := sorted(file.stem for file in folder.glob("qrels/*.tsv")) if folder else []:
                logger.warning(
                    "%s has no judgments of the split %r (splits there: %s): its queries aren't used",
                    folder, split, ", ".join(there),
                )  # fmt: skip
            return labels
        return replace(read_labels(folder, split=split), groups=titles)
    if not _has_ids(Path(queries)):
        return _with_rows(labels, read_labels(queries))
    texts, _ = read_texts(Path(queries), titles=False)
    if not texts:
        raise InputError(
            f"A file of queries holds at least one; {str(queries)!r} holds none. Without it, they are made."
        )
    judged = Path(qrels) if qrels is not None else own if own is not None and own.is_file() else None
    return _with_queries(labels, texts, judged)


def as_dataset(labels: Labels) -> Dataset:
    """The judged queries as a data set to measure on; a positive has the grade 1."""
    qrels = {
        query_id: dict.fromkeys(query.negatives, 0) | dict.fromkeys(query.positives, 1)
        for query_id, query in labels.queries.items()
        if query.positives
    }
    documents = labels.searched
    queries = {query_id: labels.queries[query_id].text for query_id in qrels}
    return Dataset(labels.name, documents, dict(labels.groups), queries, qrels)


def _has_ids(path: Path) -> bool:
    return path.suffix == ".jsonl" and all("_id" in row for _, row in islice(read_rows(path), 1))


def _with_queries(labels: Labels, texts: dict[str, str], qrels: Path | None) -> Labels:
    positives: dict[str, list[str]] = {}
    negatives: dict[str, list[str]] = {}
    left_out: Counter[str] = Counter()
    for query_id, document_id, grade in read_qrels(qrels) if qrels is not None else ():
        if query_id in texts and document_id not in labels.documents:
            left_out["judgments of unknown documents"] += 1
        elif query_id in texts:
            (positives if grade > 0 else negatives).setdefault(query_id, []).append(document_id)
    queries = {
        query_id: LabelledQuery(text, tuple(positives.get(query_id, ())), tuple(negatives.get(query_id, ())))
        for query_id, text in texts.items()
    }
    return replace(labels, queries=queries, left_out=dict(left_out))


def _with_rows(labels: Labels, rows: Labels) -> Labels:
    """The rows' queries, with the corpus's ids where the corpus has the text."""
    known = {text: document_id for document_id, text in labels.documents.items()}
    renamed = {d: known.get(text, d) for d, text in rows.documents.items()}
    documents = {**labels.documents, **{renamed[d]: text for d, text in rows.documents.items()}}
    queries = {
        query_id: replace(
            query,
            positives=tuple(renamed[d] for d in query.positives),
            negatives=tuple(renamed[d] for d in query.negatives),
        )
        for query_id, query in rows.queries.items()
    }
    return replace(labels, documents=documents, queries=queries)
