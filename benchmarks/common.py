"""What the benchmarks share: the machine that a figure was measured on, where data is, how a report is written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from bicross.benchmarking import machine

__all__ = ["data_folder", "machine", "write_report"]


def data_folder() -> Path:
    """Where the data sets are, unless told otherwise: `$BICROSS_DATA`, else `../shared/data` beside the checkout."""
    return Path(os.environ.get("BICROSS_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def write_report(report: dict[str, Any], out: Path | None) -> None:
    """Write a report as JSON, where a file was named for it."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
