"""bicross probe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bicross.cli.common import (
    DEFAULT_CACHE,
    CacheOption,
    CrossOption,
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
    load_scorer,
    print_json,
)
from bicross.errors import ConfigurationError, InputError

if TYPE_CHECKING:
    from bicross.evaluation.probe_figures import Figures
    from bicross.evaluation.probes import ProbeReport, ProbeResult

_STAGES = {
    "bi_encoder": "bi-encoder",
    "cross_encoder": "cross-encoder",
    "two_stage": "two stages",
    "words": "words alone",
}
_SNIPPET = 300


def probe(
    file: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="jsonl: rows with query, pos, neg, group; or questions on texts."),
    ] = None,
    generate: Annotated[
        str | None, typer.Option("--generate", help="Make the probe: quantifiers, or grounding. Needs --from.")
    ] = None,
    data: Annotated[
        str | None, typer.Option("--from", help="Data set whose passages are used: a folder in BEIR's layout.")
    ] = None,
    split: Annotated[str, typer.Option(help="Split of --from whose questions and answers grounding takes.")] = "test",
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the generated rows there, instead of measuring on them.")
    ] = None,
    count: Annotated[
        int | None,
        typer.Option(help="Most pairs of each kind of quantifier (150), or questions (50), that are generated."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of what is generated, and of the intervals.")] = 0,
    bi: Annotated[str, typer.Option("--bi", help="Bi-encoder: a model, 'starter', or 'none'.")] = "starter",
    cross: CrossOption = "starter",
    cache: CacheOption = DEFAULT_CACHE,
    failures: Annotated[int, typer.Option(help="How many failing pairs of each model are shown.")] = 3,
    query_prompt: QueryPromptOption = None,
    document_prompt: DocumentPromptOption = None,
    rerank_prompt: RerankPromptOption = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Measure whether models tell apart texts that differ only in a negation, a quantifier, or one sentence.

    Example: bicross probe semantoneg.jsonl --failures 5

    Example: bicross probe --generate quantifiers --from data/manual
    """
    from bicross.evaluation.generated import write_rows
    from bicross.evaluation.probes import probe as measure

    if (file is None) == (generate is None) or (generate is None) != (data is None):
        raise ConfigurationError("bicross probe takes a FILE, or --generate and --from; see bicross probe --help.")
    if failures < 0:
        raise ConfigurationError(f"--failures must be 0 or more, got {failures}.")
    check_output(out)
    rows = file if file is not None else _generated(generate, data, split, count, seed)
    if out is not None:
        if file is not None or isinstance(rows, Path):
            raise ConfigurationError("--out is for the rows that --generate makes; FILE exists already.")
        write_rows(rows, out)
        if as_json:
            print_json({"file": str(out), "rows": len(rows)})
        else:
            console().print(f"{len(rows)} rows: {out}", markup=False)
        return
    prompts: Prompts = {"query_prompt": query_prompt, "document_prompt": document_prompt}
    finds = None if bi == "none" else load_bi_encoder(None, bi, precision, device, **prompts)
    reorders = load_scorer(cross, precision, device, rerank_prompt)
    report = measure(rows, finds, reorders, cache_dir=cache, seed=seed)
    if as_json:
        print_json(report.as_dict(failures))
    else:
        _print_report(report, failures)


def _generated(kind: str | None, data: str | None, split: str, count: int | None, seed: int) -> list[dict[str, str]]:
    from bicross.evaluation import load_dataset
    from bicross.evaluation.generated import grounding_probe, quantifier_probe

    if data is None or kind not in ("quantifiers", "grounding"):
        raise ConfigurationError(f"--generate must be quantifiers or grounding, got {kind!r}.")
    if kind == "grounding":
        return grounding_probe(load_dataset(data, split), count=count or 50, seed=seed)
    dataset = load_dataset(data, split, judged=False)
    rows = quantifier_probe(dataset.documents, titles=dataset.titles, per_kind=count or 150, seed=seed)
    if not rows:
        raise InputError(f"No sentence of {data!r} holds a quantifier that can be swapped. Take other passages.")
    return rows


def _print_report(report: ProbeReport, failures: int) -> None:
    out = console()
    left_out = f", {report.left_out} doubtful questions left out" if report.left_out else ""
    out.print(_table(f"{report.rows} rows, {report.comparisons} comparisons, {report.groups} groups{left_out}", report))
    if report.stage1_weight is not None:
        out.print(f"Two stages: stage1_weight {report.stage1_weight:g}.", markup=False)
    for kind, result in report.kinds.items():
        out.print(_table(f"{kind}: {result.comparisons} comparisons, {result.groups} groups", result))
    for stage, found in report.failures.items():
        if stage == "words" or not found or failures == 0:
            continue
        out.print(f"\n{_STAGES[stage]}: {len(found)} comparisons wrong or tied, the worst first", style="bold")
        for item in found[:failures]:
            out.print(f"{item.id} {item.kind}", markup=False)
            for sign, (query, text), score in zip("+-", (item.better, item.worse), item.scores, strict=True):
                out.print(f"  {sign} {score:.3f}  {_short(query)} | {_short(text)}", markup=False)


def _table(title: str, result: ProbeResult) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title, style="bold"), title_justify="left")
    for column in ("", "accuracy (chance 50 %)", "whole groups", "their chance", "AUC", "ties"):
        table.add_column(column, justify="right" if column else "left")
    for stage, name in _STAGES.items():
        figures: Figures | None = getattr(result, stage)
        if figures is not None:
            table.add_row(
                name,
                _share(figures.accuracy, figures.interval),
                _share(figures.group_accuracy, figures.group_interval),
                f"{100 * figures.chance:.1f} %",
                f"{figures.auc:.3f}",
                str(figures.ties),
            )
    return table


def _share(value: float, interval: tuple[float, float]) -> str:
    return f"{100 * value:.1f} % ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SNIPPET else f"{line[:_SNIPPET]}…"
