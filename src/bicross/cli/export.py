"""bicross export."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from bicross.cli.common import JsonOption, console, print_json
from bicross.errors import ConfigurationError


def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Folder, hub name or starter.")],
    kind: Annotated[str, typer.Option("--kind", help="bi or cross.")] = "bi",
    backend: Annotated[str, typer.Option("--backend", help="onnx, openvino, or auto.")] = "auto",
    precision: Annotated[str, typer.Option("--precision", help="float32, bfloat16, int8, or auto.")] = "float32",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="A new folder with all that serving needs, without torch; or the model's own folder, to keep the "
            "graph beside its weights. Without it the graph goes into the user's cache.",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Export a model as a graph for onnxruntime or OpenVINO, compared with torch.

    Example: bicross export starter --backend openvino --precision auto

    Example: bicross export starter --kind cross --backend onnx --precision int8 --out serving/cross
    """
    from bicross.encoding.exported import export_model

    if kind not in ("bi", "cross"):
        raise ConfigurationError(f"--kind must be bi or cross, got {kind!r}.")
    report = export_model(
        model,
        kind="bi-encoder" if kind == "bi" else "cross-encoder",
        backend=backend,
        precision=precision,
        out=out,
    )
    if as_json:
        print_json(dataclasses.asdict(report) | {"folders": [str(folder) for folder in report.folders]})
        return
    target = console()
    target.print(f"{report.backend}, {report.precision}, {report.bytes / (1 << 20):.0f} MiB", markup=False)
    for folder in report.folders:
        target.print(str(folder), markup=False, soft_wrap=True)
    for parity in report.parity:
        text = ", ".join(f"{name.replace('_', ' ')} {value:.6g}" for name, value in parity.items())
        target.print(f"Compared with torch in float32: {text}", markup=False)
