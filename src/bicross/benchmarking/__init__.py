"""How fast models are on this machine, with every backend and precision there is. Names load on first use (PEP 562)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.benchmarking.environment import machine
    from bicross.benchmarking.interleaving import Timed, interleave
    from bicross.benchmarking.kinds import Beside, installed_kinds
    from bicross.benchmarking.report import AutoCheck, BenchReport, Row
    from bicross.benchmarking.speed import bench

_HOMES = {
    "AutoCheck": "bicross.benchmarking.report",
    "BenchReport": "bicross.benchmarking.report",
    "Beside": "bicross.benchmarking.kinds",
    "Row": "bicross.benchmarking.report",
    "Timed": "bicross.benchmarking.interleaving",
    "bench": "bicross.benchmarking.speed",
    "installed_kinds": "bicross.benchmarking.kinds",
    "interleave": "bicross.benchmarking.interleaving",
    "machine": "bicross.benchmarking.environment",
}

__all__ = [
    "AutoCheck",
    "BenchReport",
    "Beside",
    "Row",
    "Timed",
    "bench",
    "installed_kinds",
    "interleave",
    "machine",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
