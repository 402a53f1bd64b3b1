"""bicross index."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bicross.cli.common import (
    DEFAULT_COLLECTION,
    DEFAULT_STORE,
    CollectionOption,
    DeviceOption,
    DocumentPromptOption,
    JsonOption,
    LanguageOption,
    PrecisionOption,
    StoreOption,
    console,
    load_bi_encoder,
    load_sparse_encoder,
    open_store,
    print_json,
)

if TYPE_CHECKING:
    from bicross.readers import Reading
    from bicross.types import IndexReport


def index(
    paths: Annotated[list[str], typer.Argument(metavar="PATH…", help="Files and folders; modules with --python.")],
    store: StoreOption = DEFAULT_STORE,
    collection: CollectionOption = DEFAULT_COLLECTION,
    bi: Annotated[
        str | None, typer.Option("--bi", help="Bi-encoder. Default: the collection's own, else 'starter'.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="Name of this sync. Default: the paths.")] = None,
    id_field: Annotated[str | None, typer.Option(help="Field with the id, in jsonl and csv.")] = None,
    text_field: Annotated[str | None, typer.Option(help="Field with the text, in jsonl and csv.")] = None,
    title_field: Annotated[str | None, typer.Option(help="Field with the title, in jsonl and csv.")] = None,
    no_split: Annotated[bool, typer.Option("--no-split", help="Keep every document whole.")] = False,
    python: Annotated[
        bool, typer.Option("--python", help="PATHs are modules: index their docstrings, without importing them.")
    ] = False,
    delete_missing: Annotated[
        bool, typer.Option("--delete-missing", help="Remove what is gone from this source.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Delete, or recreate, also where the source is empty or not wholly readable."),
    ] = False,
    recreate: Annotated[bool, typer.Option("--recreate", help="Remove the whole collection first.")] = False,
    first_stage: Annotated[
        str | None,
        typer.Option(
            "--first-stage",
            help="dense, or hybrid: also sparse vectors, which serve bm25, too. Default: what the collection has.",
        ),
    ] = None,
    language: LanguageOption = None,
    sparse: Annotated[
        str | None, typer.Option("--sparse", help="What makes the sparse vectors: bm25, or a SPLADE model.")
    ] = None,
    reweight: Annotated[
        bool, typer.Option("--reweight", help="Make all sparse vectors anew, also another encoder's.")
    ] = False,
    no_optimize: Annotated[
        bool, typer.Option("--no-optimize", help="Don't build the approximate index at the end.")
    ] = False,
    document_prompt: DocumentPromptOption = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
    as_json: JsonOption = False,
) -> None:
    """Index files, folders or docstrings: only what changed since the last run is encoded.

    Example: bicross index docs/ notes.jsonl --delete-missing

    Example: bicross index --python json re numpy

    Example: bicross index berichte/ --first-stage hybrid --language de
    """
    from bicross import readers
    from bicross.errors import ReadError
    from bicross.retriever import TwoStageRetriever

    reading = readers.read(paths, python=python, id_field=id_field, text_field=text_field, title_field=title_field)
    _report_skipped(reading)
    if not len(reading) and not delete_missing:
        raise ReadError(f"Nothing to index: no passage was read from {', '.join(paths)}. Name files that hold text.")
    name = source or _source_name(paths, python)
    started = time.perf_counter()
    with open_store(store, collection) as target:
        info = None if recreate else target.info()
        with load_bi_encoder(info, bi, precision, device, document_prompt=document_prompt) as encoder:
            passages = (
                reading
                if no_split
                else readers.split(reading, limit=encoder.passage_limit, count_tokens=encoder.count_tokens)
            )
            stage = first_stage or ("hybrid" if info is not None and info.sparse is not None else "dense")
            lexical = load_sparse_encoder(info, stage, language, sparse)
            retriever = TwoStageRetriever(encoder, target, first_stage=stage, sparse_encoder=lexical)
            report = retriever.index(
                passages,
                source=name,
                delete_missing=delete_missing,
                force=force,
                recreate=recreate,
                reweight=reweight,
                optimize=not no_optimize,
            )
        total = target.count()
    if as_json:
        print_json(report)
    else:
        _print_report(report, total, collection, store, time.perf_counter() - started)


def _source_name(paths: list[str], python: bool) -> str:
    if python:
        return "python:" + ",".join(paths)
    return ",".join(str(Path(path).resolve()) for path in paths)


def _report_skipped(reading: Reading) -> None:
    for skipped in reading.skipped:
        typer.echo(f"Skipped {skipped.path}: {skipped.reason}", err=True)


def _print_report(report: IndexReport, total: int, collection: str, store: str, seconds: float) -> None:
    out = console()
    parts = [
        f"{report.new} new",
        f"{report.changed} changed",
        f"{report.unchanged} unchanged",
        f"{report.deleted} deleted",
    ]
    out.print(f"{', '.join(parts)}; {report.encoded} encoded in {seconds:.1f} s.", markup=False)
    notes = {
        "got a sparse vector and kept their dense one": report.weighted,
        "cut to the model's limit": report.truncated,
        "skipped": report.skipped,
        "duplicates": report.duplicates,
    }
    for what, count in notes.items():
        if count:
            out.print(f"{count} {what}.", markup=False)
    out.print(f"Collection {collection!r} in {store} holds {total} passages.", markup=False)
