"""Measuring retrievers: quality, the gap between the two stages, and probes. Names load on first use (PEP 562)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.evaluation.datasets import Dataset, load_dataset
    from bicross.evaluation.stages import Stages

_HOMES = {
    "Dataset": "bicross.evaluation.datasets",
    "Stages": "bicross.evaluation.stages",
    "load_dataset": "bicross.evaluation.datasets",
}

__all__ = [
    "Dataset",
    "Stages",
    "load_dataset",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
