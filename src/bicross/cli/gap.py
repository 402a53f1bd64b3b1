"""bicross gap."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from bicross.cli.common import (
    DEFAULT_CACHE,
    CacheOption,
    DeviceOption,
    DocumentPromptOption,
    JsonOption,
    PrecisionOption,
    Prompts,
    QueryPromptOption,
    RerankPromptOption,
    check_output,
    console,
    load_bi_encoder,
)


def gap(
    data: Annotated[
        str, typer.Argument(metavar="DATA", help="Folder in BEIR's layout, judgments or not; or irds:NAME.")
    ],
    split: Annotated[str, typer.Option(help="Split of the judgments, where there are any.")] = "test",
    bi: Annotated[str, typer.Option("--bi", help="Bi-encoder, the student.")] = "starter",
    cross: Annotated[
        str, typer.Option("--cross", help="Cross-encoder or late-interaction model: its name, 'starter' or 'fast'.")
    ] = "starter",
    queries: Annotated[int, typer.Option(help="A seeded sample of so many queries.")] = 50,
    pool: Annotated[int, typer.Option(help="Score the bi-encoder's first so many documents of each query.")] = 1000,
    exhaustive: Annotated[
        bool, typer.Option("--exhaustive", help="Score every document; says first how many pairs and minutes that is.")
    ] = False,
    beside: Annotated[
        list[str] | None,
        typer.Option("--beside", help="Another scorer to compare, such as a late-interaction model; may be repeated."),
    ] = None,
    candidates: Annotated[int, typer.Option(help="Compare the orders on the first so many.")] = 100,
    teacher: Annotated[
        str, typer.Option(help="cross_encoder: its order alone; final: the weighted sum, which users get.")
    ] = "cross_encoder",
    stage1_weight: Annotated[
        float | None, typer.Option("--stage1-weight", help="Of the final order. Default: the cross-encoder's own.")
    ] = None,
    cache: CacheOption = DEFAULT_CACHE,
    out: Annotated[Path | None, typer.Option("--out", help="Write the HTML page to this file.")] = None,
    no_timing: Annotated[
        bool,
        typer.Option("--no-timing", help="Skip the milliseconds, for which up to 705 pairs are scored anew."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the sample and the intervals.")] = 0,
    query_prompt: QueryPromptOption = None,
    document_prompt: DocumentPromptOption = None,
    rerank_prompt: RerankPromptOption = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure what a bi-encoder misses of what the cross-encoder behind it knows; judgments aren't needed.

    Killed at any moment, the same command goes on: what is in the cache isn't scored again.

    Example: bicross gap data/manual --out gap.html

    Example: bicross gap data/manual --queries 20 --pool 200 --json > gap.json
    """
    from bicross.errors import ConfigurationError
    from bicross.evaluation.gap import gap_report
    from bicross.evaluation.terminal import print_summary
    from bicross.remote import loading

    check_output(out)
    if teacher not in ("cross_encoder", "final"):
        raise ConfigurationError(f"--teacher must be cross_encoder or final, got {teacher!r}.")
    prompts: Prompts = {"query_prompt": query_prompt, "document_prompt": document_prompt}
    with ExitStack() as models:
        student = load_bi_encoder(None, bi, precision, device, **prompts)
        models.enter_context(student)
        scorer = loading.load_cross_encoder(cross, precision=precision, device=device, prompt=rerank_prompt)
        models.enter_context(scorer)
        others = [loading.load_cross_encoder(name, precision=precision, device=device) for name in beside or ()]
        for other in others:
            models.enter_context(other)
        report = gap_report(
            student,
            scorer,
            data,
            split=split,
            queries=queries,
            pool=pool,
            exhaustive=exhaustive,
            candidates=candidates,
            beside=others,
            teacher="final" if teacher == "final" else "cross_encoder",
            stage1_weight=stage1_weight,
            timing=not no_timing,
            cache_dir=cache,
            seed=seed,
        )
    if out is not None:
        report.to_html(out)
    if as_json:
        typer.echo(report.to_json())
        return
    print_summary(report, console())
    if out is not None:
        console().print(f"Page: {out}", markup=False)
