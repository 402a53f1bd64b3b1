"""What the benchmarks share: the machine that a figure was measured on, where data is, how a report is written."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from bicross.benchmarking import machine
from bicross.encoding.hardware import has_fast_bfloat16

__all__ = ["data_folder", "instruction_class", "machine", "report_path", "write_report"]

_CLASSES = ("amx_bf16", "avx512_bf16", "avx512_vnni", "avx_vnni", "avx512f", "avx2", "asimddp", "asimd")


def data_folder() -> Path:
    """Where the data sets are, unless told otherwise: `$BICROSS_DATA`, else `../shared/data` beside the checkout."""
    return Path(os.environ.get("BICROSS_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def instruction_class() -> str:
    """The instruction set that decides over the speed here: figures of two of them are never mixed."""
    there = set(machine()["instruction_sets"])
    if not has_fast_bfloat16():  # a set that slows everything down decides over nothing
        there.discard("avx512_bf16")
    return next((name for name in _CLASSES if name in there), "generic")


def report_path(out: Path | None) -> Path | None:
    """The file that `--out` names: itself, or in a folder one of each instruction set."""
    if out is not None and out.is_dir():
        return out / f"{Path(sys.argv[0]).stem}-{instruction_class()}.json"
    return out


def write_report(report: dict[str, Any], out: Path | None) -> None:
    """Write a report as JSON, where a place was named for it."""
    path = report_path(out)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
