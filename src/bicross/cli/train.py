"""bicross train-reranker."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bicross.cli.common import DeviceOption, JsonOption, PrecisionOption, console, print_json, training_device
from bicross.errors import ConfigurationError

if TYPE_CHECKING:
    from bicross.distillation.reranker import RerankerReport


def train_reranker(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA…", help="Folders in BEIR's layout (qrels/train.tsv), or jsonl/csv files of pairs or triplets."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder of the new model. Its run is kept beside it.")],
    base: Annotated[
        str | None,
        typer.Option("--base", help="Weights to start from; a bi-encoder's will do. Default: starter, or the teacher."),
    ] = None,
    bi: Annotated[str, typer.Option("--bi", help="Bi-encoder that finds the hard negatives.")] = "starter",
    teacher: Annotated[
        str | None, typer.Option("--teacher", help="A better reranker, whose scores are learnt in the place of labels.")
    ] = None,
    layers: Annotated[
        int | None, typer.Option(help="Keep so many of the base's layers: 2 of 6 make a reranker three times as fast.")
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option("--loss", help="listwise (default) or bce; with a teacher margin_mse (default), kl or mse."),
    ] = None,
    negatives: Annotated[int, typer.Option(help="Hard negatives for each query and epoch.")] = 4,
    window: Annotated[tuple[int, int], typer.Option(metavar="FROM TO", help="Ranks that the negatives come from.")] = (
        3,
        60,
    ),
    epochs: Annotated[int, typer.Option(help="How often every query is seen; the best epoch is kept.")] = 1,
    queries: Annotated[
        int | None, typer.Option(help="Train on a seeded sample of so many queries of each set.")
    ] = None,
    held_out: Annotated[
        int, typer.Option(help="Queries of each set that choose the epoch and the first stage's weight.")
    ] = 100,
    batch_size: Annotated[int, typer.Option(help="Queries of a step.")] = 16,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 6e-5,
    max_length: Annotated[int, typer.Option(help="Tokens of a pair in training.")] = 160,
    inference_length: Annotated[int, typer.Option(help="Tokens of a pair in use.")] = 256,
    seed: Annotated[int, typer.Option(help="Of every random choice.")] = 0,
    cache: Annotated[
        Path | None,
        typer.Option("--cache", help="Folder that keeps vectors and the teacher's scores. Default: the run's."),
    ] = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train a cross-encoder on labels, or on another one's scores, with hard negatives that the bi-encoder finds.

    Killed at any moment, the same command goes on from its last checkpoint.

    Example: bicross train-reranker data/manual data/forum --out models/mine --queries 3000

    A fast one: bicross train-reranker data/manual --teacher models/mine --layers 2 --out models/fast
    """
    from bicross.distillation.fitting import TrainingSettings
    from bicross.distillation.labels import read_labels
    from bicross.distillation.reranker import train_reranker as train
    from bicross.encoding.locate import locate
    from bicross.remote import loading
    from bicross.remote.address import is_address

    known = ("kl", "margin_mse", "mse") if teacher else ("listwise", "bce")
    if loss is not None and loss not in known:
        raise ConfigurationError(f"--loss must be {' or '.join(known)} here, got {loss!r}.")
    sets = [read_labels(path) for path in data]
    if queries is not None:
        sets = [labels.sample(queries + held_out, seed=seed) for labels in sets]
    settings = TrainingSettings(
        batch_size=batch_size,
        learning_rate=learning_rate,
        max_length=max_length,
        seed=seed,
        device=training_device(device),
    )
    if base is None and teacher and not is_address(teacher):
        start = locate(teacher, "cross-encoder")
    else:
        start = locate(base or "starter", "bi-encoder")
    with ExitStack() as models:
        encoder = loading.load_bi_encoder(bi, precision=precision, device=device)
        models.enter_context(encoder)
        scorer = loading.load_cross_encoder(teacher, precision=precision, device=device) if teacher else None
        models.enter_context(scorer or nullcontext())
        report = train(
            sets,
            out=out,
            base=start.folder,
            bi_encoder=encoder,
            teacher=scorer,
            layers=layers,
            loss=cast(Any, loss),  # one of the known, checked above
            negatives=negatives,
            window=window,
            epochs=epochs,
            held_out=held_out,
            inference_length=inference_length,
            settings=settings,
            cache_dir=cache,
        )
    if as_json:
        print_json(dataclasses.asdict(report) | {"folder": str(report.folder)})
    else:
        _print_report(report)


def _print_report(report: RerankerReport) -> None:
    from rich.table import Table

    table = Table(title="nDCG@10 on the held-out queries", title_justify="left")
    for column in ("set", "trained on", "held out", "first stage", "cross-encoder", "both"):
        table.add_column(column, justify="left" if column == "set" else "right")
    for name, ndcg in report.ndcg.items():
        stages = [f"{ndcg[stage]:.4f}" for stage in ("first_stage", "cross_encoder", "both")]
        table.add_row(name, str(report.queries[name]), str(report.held_out[name]), *stages)
    out = console()
    out.print(table)
    out.print(f"Epoch {report.epoch}, stage1_weight {report.stage1_weight:g}. Model: {report.folder}", markup=False)
