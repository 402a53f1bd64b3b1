"""A corpus, queries and graded judgments, in one form for every source."""

from __future__ import annotations

import hashlib
import operator
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from bicross.encoding.tokenizer import check_text
from bicross.errors import ConfigurationError, InputError, InputTypeError, ReadError, UnknownIdsWarning
from bicross.evaluation.files import read_qrels, read_texts

Qrels = dict[str, dict[str, int]]

_IRDS = "irds:"
_LISTED = 5


@dataclass(frozen=True)
class Dataset:
    """What a retriever is measured on.

    Attributes:
        name: Names the set in reports.
        documents: What the models read, title first, by document id.
        titles: Titles by document id, where there are any.
        queries: Texts by query id. With judgments: the judged queries alone.
        qrels: Grades by query id and document id; a grade of 1 or more is relevant. Every query is in ``queries``; a
            document may be missing from ``documents``, and then counts as a relevant one that can't be found.
        left_out: Counts of unknown ids in the judgments, by kind.
    """

    name: str
    documents: dict[str, str]
    titles: dict[str, str]
    queries: dict[str, str]
    qrels: Qrels
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all ids, texts and judgments."""
        digest = hashlib.sha256()
        for part in (self.documents, self.queries):
            for key, text in part.items():
                digest.update(f"{len(key)} {len(text)} {key}{text}".encode("utf-8", "surrogatepass"))
            digest.update(b"\x00")
        digest.update(repr(self.qrels).encode())
        return digest.hexdigest()

    def sample(self, count: int, *, seed: int = 0) -> Dataset:
        """The same documents with at most ``count`` queries, drawn without replacement; all where there are no more.

        Raises:
            ConfigurationError: ``count`` is below 1.
        """
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigurationError(f"A sample takes a positive whole number of queries, got {count!r}.")
        if len(self.queries) <= count:
            return self
        ids = list(self.queries)
        chosen = np.random.default_rng(seed).choice(len(ids), size=count, replace=False)
        queries = {ids[i]: self.queries[ids[i]] for i in sorted(chosen.tolist())}
        return replace(self, queries=queries, qrels={q: self.qrels[q] for q in queries if q in self.qrels})


Source = Dataset | str | Path | Mapping[str, Any]


def load_dataset(data: Source, split: str = "test", *, judged: bool = True) -> Dataset:
    """Read a data set.

    Args:
        data: One of:

            - a folder in BEIR's layout: ``corpus.jsonl`` (``_id``, ``title``, ``text``), ``queries.jsonl`` and
              ``qrels/<split>.tsv``; a split ``test.de`` takes ``queries.de.jsonl`` where that exists;
            - ``"irds:"`` and a name of the ir_datasets library, such as ``"irds:beir/scifact/test"``, which downloads;
            - a mapping with ``documents`` (texts, or mappings with ``title`` and ``text``, by id), ``queries`` (texts
              by id) and ``qrels`` (whole-number grades by query id and document id);
            - a `Dataset`, returned as it is.
        split: Name of the qrels file; for folders alone.
        judged: False: judgments may be missing, and then all queries are kept.

    Raises:
        ReadError: A file is missing or a line is broken; names the file and the line.
        InputTypeError: A mapping with values of the wrong type, such as a grade that isn't a whole number.
        InputError: No judgment names a known query and a known document; or a mapping's text can't be UTF-8.
        ConfigurationError: ``data`` is nothing of the above.
        MissingExtraError: ir_datasets isn't installed.
    """
    if isinstance(data, Dataset):
        loaded = data
    elif isinstance(data, Mapping):
        loaded = _from_mapping(data)
    elif isinstance(data, str) and data.startswith(_IRDS):
        from bicross.evaluation.irds import load_irds

        loaded = load_irds(data.removeprefix(_IRDS), judged=judged)
    elif isinstance(data, str | Path):
        loaded = _from_folder(Path(data), split, judged)
    else:
        raise ConfigurationError(
            "A data set is a folder in BEIR's layout, 'irds:<name>', or a mapping with 'documents', 'queries' and "
            f"'qrels'; got {type(data).__name__}."
        )
    if not judged and not loaded.qrels:
        return loaded
    return loaded if isinstance(data, Dataset) and _consistent(loaded) else _known(loaded)


def _consistent(data: Dataset) -> bool:
    return bool(data.qrels) and data.queries.keys() == data.qrels.keys()


def _from_folder(folder: Path, split: str, judged: bool) -> Dataset:
    if not folder.is_dir():
        raise ReadError(
            f"A data set is a folder in BEIR's layout, 'irds:<name>' or a mapping; there is no folder {str(folder)!r}. "
            "Check the path."
        )
    name = folder.parent.name + "/" + folder.name if len(folder.name) == 2 else folder.name
    documents, titles = read_texts(folder / "corpus.jsonl", titles=True)
    translated = folder / f"queries.{split.partition('.')[2]}.jsonl"
    texts, _ = read_texts(translated if translated.is_file() else folder / "queries.jsonl", titles=False)
    qrels: Qrels = {}
    path = folder / "qrels" / f"{split}.tsv"
    if judged and not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.tsv"))) or "none"
        raise ReadError(f"{path} is missing (splits there: {there}). Name one of them, or add the judgments.")
    if path.is_file():
        for query_id, document_id, grade in read_qrels(path):
            qrels.setdefault(query_id, {})[document_id] = grade
    return Dataset(name, documents, titles, texts, qrels)


def _from_mapping(data: Mapping[str, Any]) -> Dataset:
    missing = [key for key in ("documents", "queries") if not isinstance(data.get(key), Mapping)]
    if missing:
        raise InputTypeError(
            "A data set's mapping needs 'documents', 'queries' and 'qrels', each a mapping by id; got "
            f"{sorted(data)!r}, without {missing[0]!r}."
        )
    documents: dict[str, str] = {}
    titles: dict[str, str] = {}
    for document_id, value in data["documents"].items():
        title: Any = value.get("title") or "" if isinstance(value, Mapping) else ""
        text: Any = value.get("text") if isinstance(value, Mapping) else value
        for item in (document_id, title, text):
            if not isinstance(item, str):
                raise InputTypeError(
                    f"A document's id, title and text are strings; got {item!r:.80} at {document_id!r}."
                )
            check_text(item, f"document {document_id!r}")
        documents[document_id] = f"{title} {text}" if title else text
        if title:
            titles[document_id] = title
    for query_id, text in data["queries"].items():
        if not isinstance(query_id, str) or not isinstance(text, str):
            raise InputTypeError(f"A query's id and text are strings; got {text!r:.80} at {query_id!r}.")
        check_text(text, f"query {query_id!r}")
    qrels = {q: {d: _grade(q, d, g) for d, g in grades.items()} for q, grades in (data.get("qrels") or {}).items()}
    return Dataset(str(data.get("name", "data")), documents, titles, dict(data["queries"]), qrels)


def _grade(query_id: str, document_id: str, grade: Any) -> int:
    try:
        return operator.index(grade)
    except TypeError:
        raise InputTypeError(
            f"A grade is a whole number; got {grade!r} for query {query_id!r} and document {document_id!r}."
        ) from None


def _known(data: Dataset) -> Dataset:
    """The judged queries alone; what the judgments name in vain is counted, and listed in a warning."""
    if not data.qrels:
        raise InputError(f"{data.name!r} holds no judgments. Add qrels, or pass judged=False where none are needed.")
    qrels = {query_id: data.qrels[query_id] for query_id in data.queries if data.qrels.get(query_id)}
    if not qrels:
        raise InputError(
            f"Judgments and queries must share ids; in {data.name!r} the judgments name {_some(data.qrels)} and the "
            f"queries are {_some(data.queries)}. Check which files belong together."
        )
    strangers = {
        "queries": [query_id for query_id in data.qrels if query_id not in data.queries],
        "documents": list(dict.fromkeys(d for grades in qrels.values() for d in grades if d not in data.documents)),
    }
    if not any(d in data.documents for grades in qrels.values() for d in grades):
        raise InputError(
            f"Judgments and documents must share ids; in {data.name!r} the judgments name "
            f"{_some(strangers['documents'])} and the documents are {_some(data.documents)}. Check which files belong "
            "together."
        )
    left_out = {f"unknown {kind} in the judgments": len(ids) for kind, ids in strangers.items() if ids}
    if left_out:
        warnings.warn(
            f"{data.name!r}: the judgments name "
            + " and ".join(f"{len(ids)} unknown {kind} ({_some(ids)})" for kind, ids in strangers.items() if ids)
            + ". Unknown queries are left out; unknown documents count as ones that can't be found.",
            UnknownIdsWarning,
            stacklevel=3,
        )
    return replace(data, queries={q: data.queries[q] for q in qrels}, qrels=qrels, left_out=left_out)


def _some(ids: Any) -> str:
    listed = ", ".join(repr(item) for item, _ in zip(ids, range(_LISTED), strict=False))
    return f"{listed}{', …' if len(ids) > _LISTED else ''}" or "none"
