"""Measuring retrievers: quality, the gap between the two stages, and probes. Names load on first use (PEP 562)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.evaluation.datasets import Dataset, load_dataset
    from bicross.evaluation.evaluating import evaluate
    from bicross.evaluation.findings import GapReport
    from bicross.evaluation.gap import gap_report
    from bicross.evaluation.generated import grounding_probe, quantifier_probe
    from bicross.evaluation.probes import ProbeReport, probe
    from bicross.evaluation.results import Evaluation
    from bicross.evaluation.retrievers import from_haystack, from_langchain
    from bicross.evaluation.stages import Stages

_HOMES = {
    "Dataset": "bicross.evaluation.datasets",
    "Evaluation": "bicross.evaluation.results",
    "GapReport": "bicross.evaluation.findings",
    "ProbeReport": "bicross.evaluation.probes",
    "Stages": "bicross.evaluation.stages",
    "evaluate": "bicross.evaluation.evaluating",
    "from_haystack": "bicross.evaluation.retrievers",
    "from_langchain": "bicross.evaluation.retrievers",
    "gap_report": "bicross.evaluation.gap",
    "grounding_probe": "bicross.evaluation.generated",
    "load_dataset": "bicross.evaluation.datasets",
    "probe": "bicross.evaluation.probes",
    "quantifier_probe": "bicross.evaluation.generated",
}

__all__ = [
    "Dataset",
    "Evaluation",
    "GapReport",
    "ProbeReport",
    "Stages",
    "evaluate",
    "from_haystack",
    "from_langchain",
    "gap_report",
    "grounding_probe",
    "load_dataset",
    "probe",
    "quantifier_probe",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
