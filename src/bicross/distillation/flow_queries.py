"""Which queries a run of `distill` trains on, and which it measures on."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import asdict, replace
from typing import Any

from bicross.distillation.corpus import as_dataset
from bicross.distillation.flow_settings import DistillSettings
from bicross.distillation.held_out import split_held_out
from bicross.distillation.labels import LabelledQuery, Labels
from bicross.distillation.made_queries import QueryGenerator, generate_queries, make_queries
from bicross.distillation.query_generators import KeptGenerator
from bicross.distillation.run_folder import RunFolder
from bicross.errors import ConfigurationError, InputError
from bicross.evaluation.datasets import Dataset
from bicross.whole_file import whole_file

logger = logging.getLogger(__name__)

_LEAST_HELD_OUT = 5
"""Fewer judged queries than this tell nothing about a student."""


def divided(labels: Labels, test: Dataset | None, settings: DistillSettings) -> tuple[Labels, Dataset | None]:
    """The queries to train on, and those to measure on.

    Args:
        labels: All queries.
        test: Queries to measure on; None: some of the judged ones are taken out, where there are enough. Those that
            ask the same in another spelling are left out.
        settings: How many are held out, and how many of the others are used.

    Raises:
        ConfigurationError: A test query is also one to train on.
    """
    asked = {query.text for query in labels.queries.values()}
    shared = [] if test is None else [query_id for query_id, text in test.queries.items() if text in asked]
    if test is not None and shared:
        raise ConfigurationError(
            f"Test queries must not be among those that are trained on; {len(shared)} of {len(test.queries)} are, such "
            f"as {shared[0]!r}. Take another split, or leave them out of the data."
        )
    judged = labels.only(query_id for query_id, query in labels.queries.items() if query.positives)
    count = held_out_count(len(judged.queries), settings)
    if test is None and count:
        rest = [query_id for query_id, query in labels.queries.items() if not query.positives]
        try:
            train, held = split_held_out(judged, count, seed=settings.seed)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} Or name test queries of their own (test, --test-split).") from None
        test = replace(as_dataset(held), name=f"{labels.name}, held out")
        labels = labels.only([*train.queries, *rest])
    return _sampled(without(labels, test), settings), test


def held_out_count(judged: int, settings: DistillSettings) -> int:
    """How many of so many judged queries are measured on; 0 where they are too few."""
    count = min(settings.held_out, judged // 5)
    return count if count >= _LEAST_HELD_OUT else 0


def without(labels: Labels, test: Dataset | None) -> Labels:
    """The queries that ask something else than each of the test queries, whatever their case and spaces."""
    tested = set() if test is None else {_spelt(text) for text in test.queries.values()}
    kept = [query_id for query_id, query in labels.queries.items() if _spelt(query.text) not in tested]
    if dropped := len(labels.queries) - len(kept):
        logger.info("%s: left out %d queries that are asked in the test, too", labels.name, dropped)
    return labels.only(kept) if dropped else labels


def kept_for_gap(labels: Labels, settings: DistillSettings) -> tuple[Labels, Dataset | None]:
    """The queries to train on and, where there are no test queries, some for the gap reports, which need no judgments.

    A query about a document that one of theirs is about is on neither side. None where there are too few queries.
    """
    count = min(settings.gap_queries, len(labels.queries) // 5)
    if not count:
        return labels, None
    held = labels.sample(count, seed=settings.seed)
    asked = {query_id: query.text for query_id, query in held.queries.items()}
    data = Dataset(f"{labels.name}, held out", as_dataset(labels).documents, {}, asked, {})
    about = {document_id for query in held.queries.values() for document_id in _about(query)}
    rest = [query_id for query_id, query in labels.queries.items() if about.isdisjoint(_about(query))]
    return without(labels.only(query_id for query_id in rest if query_id not in asked), data), data


def only_judged(labels: Labels) -> Labels:
    """The queries with a judged positive.

    Raises:
        InputError: There are none.
    """
    judged = [query_id for query_id, query in labels.queries.items() if query.positives]
    if not judged:
        raise InputError(
            f"A student without a teacher learns from judgments; none of the {len(labels.queries)} queries of "
            f"{labels.name!r} that it would be trained on has a judged positive. Bring judgments (--qrels), or a loss "
            "that learns from a teacher (--loss kl=1)."
        )
    return labels.only(judged)


def _about(query: LabelledQuery) -> set[str]:
    return {*query.positives, *query.excluded} | ({query.source} if query.source is not None else set())


def _sampled(labels: Labels, settings: DistillSettings) -> Labels:
    return labels if settings.queries is None else labels.sample(settings.queries, seed=settings.seed)


def _spelt(text: str) -> str:
    return " ".join(text.casefold().split())


def kept_made_queries(
    run: RunFolder,
    labels: Labels,
    settings: DistillSettings,
    generator: QueryGenerator | None,
    show_progress: bool | None,
) -> Labels:
    """Queries made from the corpus; kept in a file of the run, since a generator may take hours."""
    path, answers = run.folder / "made-queries.json", run.folder / "generated.jsonl"
    searched = labels.searched

    def make() -> dict[str, Any]:
        options: dict[str, Any] = {"name": labels.name, "seed": settings.seed}
        if generator is not None:
            asked = KeptGenerator(generator, answers)
            made = generate_queries(searched, asked, settings.made, show_progress=show_progress, **options)
        else:
            options |= {"titles": labels.groups, "ways": settings.ways, "language": settings.language}
            made = make_queries(searched, settings.made, **options)
        parts = {d: made.documents[d] for d in made.hidden}
        kept = {"name": made.name, "parts": parts, "queries": {q: asdict(v) for q, v in made.queries.items()}}
        with whole_file(path) as part:
            part.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
        return {"queries": len(made.queries)}

    how = {"made": settings.made, "ways": settings.ways, "language": settings.language, "seed": settings.seed}
    titles = hashlib.sha256(repr(sorted(labels.groups.items())).encode("utf-8", "surrogatepass")).hexdigest()
    inputs = {"data": labels.fingerprint, "titles": titles, **how, "generator": _identity(generator)}
    run.stage("queries", inputs, make, outputs=[path.name], state=[answers.name])
    kept = json.loads(path.read_text(encoding="utf-8"))
    queries = {
        query_id: LabelledQuery(v["text"], (), source=v["source"], excluded=tuple(v["excluded"]))
        for query_id, v in kept["queries"].items()
    }
    documents, hidden = {**labels.documents, **kept["parts"]}, labels.hidden | frozenset(kept["parts"])
    return _sampled(replace(labels, name=kept["name"], documents=documents, queries=queries, hidden=hidden), settings)


def _identity(generator: QueryGenerator | None) -> str | None:
    """What tells one generator from another: its fingerprint, or the name of its function or class."""
    if generator is None:
        return None
    fingerprint: str | None = getattr(generator, "fingerprint", None)  # a model's is read from its weights, once
    if fingerprint is not None:
        return fingerprint
    named: Any = generator if hasattr(generator, "__qualname__") else type(generator)
    return f"{named.__module__}.{named.__qualname__}"
