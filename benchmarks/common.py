"""What the benchmarks share: the machine that a figure was measured on, where data is, how a report is written."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve")


def machine(*packages: str) -> dict[str, Any]:
    """Processor, cores, instruction sets, Python, and the versions of packages."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    flags = next((line.split(":")[1].split() for line in lines if line.startswith(("flags", "Features"))), [])
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "instruction_sets": [name for name in INSTRUCTION_SETS if name in flags],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def data_folder() -> Path:
    """Where the data sets are, unless told otherwise: `$BICROSS_DATA`, else `../shared/data` beside the checkout."""
    return Path(os.environ.get("BICROSS_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def write_report(report: dict[str, Any], out: Path | None) -> None:
    """Write a report as JSON, where a file was named for it."""
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
