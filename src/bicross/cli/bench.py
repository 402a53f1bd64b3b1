"""bicross bench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bicross.cli.common import DeviceOption, JsonOption, check_output, console
from bicross.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Of every Python; some 2,000 docstrings.
_MODULES = ["argparse", "collections", "datetime", "email", "json", "logging", "os", "pathlib", "random", "subprocess"]


def bench(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]…", help="Your own files. Default: docstrings of Python's standard library."),
    ] = None,
    bi: Annotated[str, typer.Option("--bi", help="Bi-encoder: a model, 'starter' or 'minilm'.")] = "starter",
    cross: Annotated[
        str, typer.Option("--cross", help="Cross-encoder: a model, 'starter', 'fast', or 'none'.")
    ] = "starter",
    query: Annotated[str | None, typer.Option("--query", help="Your own query. Default: one of 14 tokens.")] = None,
    passages: Annotated[int, typer.Option("--passages", help="An even sample of so many.")] = 200,
    pairs: Annotated[int, typer.Option("--pairs", help="So many of them are scored for the query.")] = 100,
    rounds: Annotated[int, typer.Option("--rounds", help="How often every kind takes its turn.")] = 3,
    kind: Annotated[
        list[str] | None,
        typer.Option("--kind", help="BACKEND:PRECISION, such as onnx:int8; may be repeated. Default: all there are."),
    ] = None,
    device: DeviceOption = "auto",
    out: Annotated[Path | None, typer.Option("--out", help="Write the figures as JSON.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure two models on this machine: every backend and precision that is installed, and which to use.

    Example: bicross bench

    Example: bicross bench docs/ --bi models/mine --cross none --kind openvino:float32 --kind openvino:int8
    """
    from bicross.benchmarking.speed import QUERY
    from bicross.benchmarking.speed import bench as measure

    check_output(out)
    report = measure(
        _texts(paths or [], bi, passages),
        bi=bi,
        cross=None if cross == "none" else cross,
        query=query or QUERY,
        pairs=pairs,
        rounds=rounds,
        device=device,
        kinds=[_kind(each) for each in kind] if kind else None,
    )
    if out is not None:
        out.write_text(report.to_json() + "\n", encoding="utf-8")
    if as_json:
        typer.echo(report.to_json())
    else:
        report.print(console())


def _kind(text: str) -> tuple[str, str]:
    backend, _, precision = text.partition(":")
    if not backend or not precision:
        raise ConfigurationError(f"--kind takes BACKEND:PRECISION, such as onnx:int8, got {text!r}.")
    return backend, precision


def _texts(paths: Sequence[str], bi: str, count: int) -> list[str]:
    """An even sample of passages that the bi-encoder reads whole."""
    from bicross import readers
    from bicross.bi_encoder import BiEncoder

    if count < 1:
        raise ConfigurationError(f"--passages must be at least 1, got {count}.")
    reading = readers.read(list(paths) or _MODULES, python=not paths)
    with BiEncoder.load(bi) as encoder:
        reading = readers.split(reading, limit=encoder.passage_limit, count_tokens=encoder.count_tokens)
    texts = [text for text in (passage.full_text for passage in reading) if text.strip()]
    return [texts[i * len(texts) // count] for i in range(min(count, len(texts)))] if len(texts) > count else texts
