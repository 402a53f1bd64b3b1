"""Which queries a run of `distill` trains on, and which it measures on."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import Any

from bicross.distillation.corpus import as_dataset
from bicross.distillation.flow_settings import DistillSettings
from bicross.distillation.held_out import split_held_out
from bicross.distillation.labels import LabelledQuery, Labels
from bicross.distillation.made_queries import QueryGenerator, generate_queries, make_queries
from bicross.distillation.run_folder import RunFolder
from bicross.errors import ConfigurationError
from bicross.evaluation.datasets import Dataset

_LEAST_HELD_OUT = 5
"""Fewer judged queries than this tell nothing about a student."""


def divided(labels: Labels, test: Dataset | None, settings: DistillSettings) -> tuple[Labels, Dataset | None]:
    """The queries to train on, and those to measure on.

    Args:
        labels: All queries.
        test: Queries to measure on; None: some of the judged ones are taken out, where there are enough.
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
    count = min(settings.held_out, len(judged.queries) // 5)
    if test is None and count >= _LEAST_HELD_OUT:
        rest = [query_id for query_id, query in labels.queries.items() if not query.positives]
        train, held = split_held_out(judged, count, seed=settings.seed)
        test = replace(as_dataset(held), name=f"{labels.name}, held out")
        labels = labels.only([*train.queries, *rest])
    return (labels if settings.queries is None else labels.sample(settings.queries, seed=settings.seed)), test


def kept_made_queries(
    run: RunFolder,
    labels: Labels,
    settings: DistillSettings,
    generator: QueryGenerator | None,
    show_progress: bool | None,
) -> Labels:
    """Queries made from the corpus; kept in a file of the run, since a generator may take hours."""
    path = run.folder / "made-queries.json"
    searched = {d: text for d, text in labels.documents.items() if d not in labels.hidden}

    def make() -> dict[str, Any]:
        options: dict[str, Any] = {"name": labels.name, "seed": settings.seed}
        if generator is not None:
            made = generate_queries(searched, generator, settings.made, show_progress=show_progress, **options)
        else:
            options |= {"titles": labels.groups, "ways": settings.ways, "language": settings.language}
            made = make_queries(searched, settings.made, **options)
        parts = {d: made.documents[d] for d in made.hidden}
        kept = {"name": made.name, "parts": parts, "queries": {q: asdict(v) for q, v in made.queries.items()}}
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(kept, ensure_ascii=False), encoding="utf-8")
        part.replace(path)
        return {"queries": len(made.queries)}

    how = {"made": settings.made, "ways": settings.ways, "language": settings.language, "seed": settings.seed}
    source = None if generator is None else getattr(generator, "fingerprint", type(generator).__qualname__)
    run.stage("queries", {"data": labels.fingerprint, **how, "generator": source}, make, outputs=[path.name])
    kept = json.loads(path.read_text(encoding="utf-8"))
    queries = {
        query_id: LabelledQuery(v["text"], (), source=v["source"], excluded=tuple(v["excluded"]))
        for query_id, v in kept["queries"].items()
    }
    documents, hidden = {**labels.documents, **kept["parts"]}, labels.hidden | frozenset(kept["parts"])
    return replace(labels, name=kept["name"], documents=documents, queries=queries, hidden=hidden)
