"""Data sets by their name in the ir_datasets library, which downloads them."""

from __future__ import annotations

import os
from typing import Any

from bicross.errors import ConfigurationError, MissingExtraError, ReadError
from bicross.evaluation.datasets import Dataset

_TITLES, _TEXTS = ("title", "headline"), ("text", "body", "abstract", "contents")
_QUERIES = ("text", "title", "query")


def load_irds(name: str, *, judged: bool = True) -> Dataset:
    """Load a data set of ir_datasets: from its folder, else downloaded.

    Args:
        name: As the library's catalogue names it, for example ``"beir/scifact/test"``.
        judged: False: judgments may be missing.

    Raises:
        MissingExtraError: The library isn't installed.
        ConfigurationError: It knows no such set, or the set lacks documents, queries, or judgments that are
            needed.
        ReadError: It can't be downloaded; says where it was sought and what to do.
    """
    try:
        import ir_datasets  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtraError(
            f"'irds:{name}' needs the package ir_datasets. Install it: pip install 'bicross[evaluation]'"
        ) from error
    try:
        source = ir_datasets.load(name)
    except KeyError:
        raise ConfigurationError(
            f"ir_datasets knows no data set {name!r}. Its names are listed at https://ir-datasets.com, for example "
            "'irds:beir/scifact/test'."
        ) from None
    there = {"documents": source.has_docs(), "queries": source.has_queries(), "judgments": source.has_qrels()}
    missing = [what for what, has in there.items() if not has and (judged or what != "judgments")]
    if missing:
        raise ConfigurationError(
            f"'irds:{name}' must have documents{', queries and judgments' if judged else ' and queries'}; it lacks "
            f"{' and '.join(missing)}. Most sets have them in a split: try 'irds:{name}/test'."
        )
    # One attempt: without a network the library's three, and its pauses, only delay the answer.
    os.environ.setdefault("IR_DATASETS_DL_TRIES", "1")
    try:
        return _read(name, source)
    except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
        raise ReadError(
            f"ir_datasets has no copy of {name!r} in {str(ir_datasets.util.home_path())!r} and couldn't download one: "
            f"{type(error).__name__}: {error!s:.200}. Run once with a network, copy that folder from a machine that "
            "has one (another place: $IR_DATASETS_HOME), or name a folder in BEIR's layout instead."
        ) from error


def _read(name: str, source: Any) -> Dataset:
    documents: dict[str, str] = {}
    titles: dict[str, str] = {}
    for row in source.docs_iter():
        title, text = _field(row, _TITLES), _field(row, _TEXTS)
        if text is None:
            text = row.default_text()
        documents[row.doc_id] = f"{title} {text}" if title else text
        if title:
            titles[row.doc_id] = title
    queries = {row.query_id: _field(row, _QUERIES) or row.default_text() for row in source.queries_iter()}
    qrels: dict[str, dict[str, int]] = {}
    for row in source.qrels_iter() if source.has_qrels() else ():
        qrels.setdefault(row.query_id, {})[row.doc_id] = int(row.relevance)
    return Dataset(name, documents, titles, queries, qrels)


def _field(row: Any, names: tuple[str, ...]) -> str | None:
    return next((value for name in names if isinstance(value := getattr(row, name, None), str)), None)
