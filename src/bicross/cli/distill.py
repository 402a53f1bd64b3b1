"""bicross distill."""

from __future__ import annotations

import dataclasses
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bicross.cli.common import DeviceOption, JsonOption, PrecisionOption, console, print_json, training_device
from bicross.errors import ConfigurationError

if TYPE_CHECKING:
    from bicross.distillation.cost import Cost
    from bicross.distillation.flow import DistillReport


def distill(
    corpus: Annotated[Path, typer.Option("--corpus", help="Folder in BEIR's layout, or a .jsonl file of documents.")],
    out: Annotated[Path, typer.Option("--out", help="The run's folder; its student is in OUT/student.")],
    queries: Annotated[
        Path | None,
        typer.Option("--queries", help="Queries (.jsonl with _id, text), or pairs or triplets. Default: the folder's."),
    ] = None,
    qrels: Annotated[Path | None, typer.Option("--qrels", help="Judgments of --queries, tab-separated.")] = None,
    split: Annotated[str, typer.Option("--split", help="The folder's judgments to learn from.")] = "train",
    test_split: Annotated[
        str | None, typer.Option("--test-split", help="Measure on this split. Default: on queries held out.")
    ] = None,
    teacher: Annotated[
        str | None,
        typer.Option(
            "--teacher",
            help="Cross-encoder: a model, 'starter', 'fast' or an address. Default: starter; with --scores none.",
        ),
    ] = None,
    teacher_prompt: Annotated[
        str | None,
        typer.Option("--teacher-prompt", help="The teacher's instruction for the task. Default: the checkpoint's."),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option("--scores", help="A teacher's scores that you have, a TREC run or .parquet; they are trained on."),
    ] = None,
    student: Annotated[str, typer.Option("--student", help="Bi-encoder to start from.")] = "starter",
    towers: Annotated[
        str, typer.Option("--towers", help="both; or query: documents stay as they are, and so does an index of them.")
    ] = "both",
    layers: Annotated[int | None, typer.Option(help="Layers of the trained tower that are kept.")] = None,
    freeze_layers: Annotated[
        int, typer.Option("--freeze-layers", help="So many of the lowest layers stay as they are, embeddings too.")
    ] = 0,
    static: Annotated[bool, typer.Option("--static", help="The query tower becomes a table of token vectors.")] = False,
    sentences: Annotated[
        int, typer.Option(help="With --static or --layers of a query tower: sentences whose vectors it learns.")
    ] = 100_000,
    lora: Annotated[int | None, typer.Option(help="Rank of adapters that are trained instead of the weights.")] = None,
    base_share: Annotated[
        float, typer.Option(help="The old weights' share in the student's: 0.5 loses less on other corpora.")
    ] = 0.0,
    topic_lists: Annotated[
        int | None,
        typer.Option(
            "--topic-lists", help="Queries that share candidates stand together, in runs of so many; 32, say."
        ),
    ] = None,
    epochs: Annotated[int, typer.Option(help="How often every query is seen, at most.")] = 3,
    batch_size: Annotated[int | None, typer.Option(help="Queries of a step.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Highest learning rate.")] = None,
    max_length: Annotated[int | None, typer.Option("--max-length", help="Tokens of a text in training.")] = None,
    matryoshka: Annotated[
        list[int] | None,
        typer.Option("--matryoshka", help="Train the vectors' first so many entries too, so as to shorten; repeat it."),
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(
            "--loss",
            metavar="NAME=WEIGHT",
            help="kl, margin_mse, mse (without one of these only made queries need a teacher), listwise, contrastive, "
            "anchor; repeat it.",
        ),
    ] = None,
    candidates: Annotated[
        int, typer.Option("--candidates", help="Candidates of a query in training; at least as many are mined.")
    ] = 16,
    strategy: Annotated[str, typer.Option("--strategy", help="stratified (over all scores), or hard.")] = "stratified",
    keep_false_negatives: Annotated[
        bool, typer.Option("--keep-false-negatives", help="Keep candidates that the teacher rates like the positive.")
    ] = False,
    no_bm25: Annotated[bool, typer.Option("--no-bm25", help="Mine with the bi-encoder alone.")] = False,
    sample: Annotated[int | None, typer.Option("--sample", help="Train on a seeded sample of so many queries.")] = None,
    made: Annotated[int, typer.Option("--made", help="Queries to make where there are none.")] = 4000,
    way: Annotated[
        list[str] | None,
        typer.Option("--way", help="How: title, question, span or sentence; repeat it. Default: all in turn."),
    ] = None,
    query_generator: Annotated[
        Path | None, typer.Option("--query-generator", help="Folder of a seq2seq model that makes them.")
    ] = None,
    language: Annotated[str, typer.Option("--language", help="Of the corpus: a code such as de.")] = "en",
    stage1_weight: Annotated[
        float | None, typer.Option("--stage1-weight", help="The bi-encoder's share in the teacher.")
    ] = None,
    held_out: Annotated[int, typer.Option("--held-out", help="Queries kept from training to measure on.")] = 200,
    rounds: Annotated[int, typer.Option("--rounds", help="2: mine once more with the new student.")] = 1,
    cache: Annotated[Path | None, typer.Option("--cache", help="Vectors and scores. Default: OUT/cache.")] = None,
    gap_queries: Annotated[int, typer.Option("--gap-queries", help="Of the two gap reports; 0: none.")] = 20,
    weak_teacher: Annotated[
        bool, typer.Option("--weak-teacher", help="Go on where the teacher gains less than a point.")
    ] = False,
    license: Annotated[
        str | None,
        typer.Option("--license", help="The student's, for its card: mit, say. Default: the base's."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would cost, and write nothing.")] = False,
    seed: Annotated[int, typer.Option("--seed", help="Of every random choice.")] = 0,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Train a bi-encoder to order a corpus as a cross-encoder does, and measure how far it has come.

    Killed at any moment, the same command goes on; a stage whose inputs haven't changed is skipped.

    Where no loss learns from a teacher, as in the last example, none is asked: judgments teach.

    Example: bicross distill --corpus data/manual --teacher models/mine --out runs/manual

    Example: bicross distill --corpus data/manual --teacher models/mine --towers query --dry-run --out runs/manual

    Example: bicross distill --corpus data/manual --loss contrastive=1 --out runs/manual
    """
    from bicross.bi_encoder import BiEncoder
    from bicross.distillation.corpus import read_corpus
    from bicross.distillation.cost import estimate_cost
    from bicross.distillation.flow import distill as run
    from bicross.distillation.flow_settings import DistillSettings
    from bicross.distillation.inputs import read_scores
    from bicross.distillation.made_queries import WAYS
    from bicross.distillation.mining import MiningSettings
    from bicross.distillation.query_generators import Seq2SeqGenerator
    from bicross.distillation.student_settings import StudentSettings
    from bicross.evaluation.datasets import load_dataset
    from bicross.remote import loading

    if towers not in ("both", "query"):
        raise ConfigurationError(f"--towers must be both or query, got {towers!r}.")
    training: dict[str, Any] = {"batch_size": batch_size, "learning_rate": learning_rate, "max_length": max_length}
    chosen = StudentSettings(
        towers="query" if towers == "query" else "both",
        layers=layers,
        static=static,
        freeze_layers=freeze_layers,
        lora=lora,
        losses=_losses(loss),
        matryoshka=tuple(matryoshka or ()),
        base_share=base_share,
        topic_lists=topic_lists,
        epochs=epochs,
    )
    changed = {name: value for name, value in training.items() if value is not None}
    changed["device"] = training_device(device)
    settings = DistillSettings(
        mining=MiningSettings(bm25=()) if no_bm25 else MiningSettings(),
        candidates=candidates,
        strategy=strategy,
        false_negatives=None if keep_false_negatives else 0.95,
        student=dataclasses.replace(chosen, training=dataclasses.replace(chosen.trainer, **changed)),
        sentences=sentences,
        queries=sample,
        made=made,
        ways=tuple(way) if way else WAYS,
        language=language,
        stage1_weight=stage1_weight,
        held_out=held_out,
        gap_queries=gap_queries,
        seed=seed,
        license=license,
    )
    labels = read_corpus(corpus, queries, qrels, split=split)
    test = None if test_split is None else load_dataset(corpus, test_split)
    name = teacher if teacher is not None else "starter" if scores is None else None
    if not settings.asks_teacher(made=not labels.queries):
        name = None
    if name is None and teacher_prompt is not None:
        raise ConfigurationError(
            f"--teacher-prompt is for a teacher that is asked, and here none is; got {teacher_prompt!r}. Leave it out, "
            "name a teacher (--teacher), or a loss that learns from one (--loss kl=1)."
        )
    with ExitStack() as stack:
        scorer = None
        if name is not None:
            scorer = loading.load_cross_encoder(name, precision=precision, device=device, prompt=teacher_prompt)
            stack.enter_context(scorer)
        encoder = stack.enter_context(BiEncoder.load(student, precision=precision, device=device))
        generator = None if query_generator is None else Seq2SeqGenerator(query_generator, device=device)
        if dry_run:
            given = None if scores is None else read_scores(scores)
            cost = estimate_cost(
                labels,
                scorer,
                encoder,
                scores=given,
                test=test,
                settings=settings,
                rounds=rounds,
                query_generator=generator,
            )
            print_json(cost) if as_json else _print_cost(cost)
            return
        report = run(
            labels,
            scorer,
            encoder,
            out=out,
            scores=scores,
            test=test,
            settings=settings,
            rounds=rounds,
            cache_dir=cache,
            query_generator=generator,
            weak_teacher=weak_teacher,
        )
    if as_json:
        values = dataclasses.asdict(report)
        print_json(values | {"folder": str(report.folder), "model": str(report.model)})
    else:
        _print_report(report)


def _losses(given: list[str] | None) -> dict[str, float] | None:
    """``kl=1`` … as weights by name; None where none is given."""
    if not given:
        return None
    weights = {}
    for one in given:
        name, _, weight = one.partition("=")
        try:
            weights[name] = float(weight or 1)
        except ValueError:
            raise ConfigurationError(f"--loss is NAME=WEIGHT, got {one!r}.") from None
    return weights


def _print_cost(cost: Cost) -> None:
    out = console()
    writing = f", {cost.generator_minutes:,.1f} for the queries' generator" if cost.generator_minutes else ""
    out.print(f"{cost.documents:,} documents, {cost.queries:,} queries, {cost.pairs:,} pairs for the teacher.")
    out.print(
        f"Minutes here: {cost.encode_minutes:,.1f} to encode, {cost.teacher_minutes:,.1f} for the teacher, "
        f"{cost.training_minutes:,.1f} to train{writing}. Disk: {cost.disk_megabytes:,.0f} MB. "
        "What is in the cache is not taken off."
    )


def _print_report(report: DistillReport) -> None:
    from rich.table import Table

    out = console()
    after = report.after
    if after is not None:
        table = Table(title=f"{after['data']}: {after['queries']} queries", title_justify="left")
        for column in ("", *after["base"]):
            table.add_column(column, justify="left" if not column else "right")
        for name, label in (("base", "before"), ("teacher", "teacher"), ("student", "student")):
            if name in after:
                table.add_row(label, *(f"{value:.4f}" for value in after[name].values()))
        out.print(table)
        gain, share = after["tests"]["student"], after.get("recovered", {}).get("share")
        low, high = gain["interval"]
        told = "" if share is None else f", {share:.0%} of the teacher's gain"
        out.print(f"{after['measure']} {gain['difference']:+.4f} ({low:+.4f} … {high:+.4f}){told}", markup=False)
    if report.skipped:
        out.print(f"Skipped, since nothing changed: {', '.join(report.skipped)}.", markup=False)
    out.print(f"Student: {report.model}", markup=False)
