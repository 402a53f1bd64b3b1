"""Training a cross-encoder from labels, and what is mined and chosen for it. Names load on first use (PEP 562)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.distillation.candidates import Candidates, mine_candidates
    from bicross.distillation.labels import LabelledQuery, Labels, read_labels
    from bicross.distillation.lists import CandidateLists, ScoredList
    from bicross.distillation.reranker import RerankerReport, train_reranker
    from bicross.distillation.trainer import TrainingSettings

_HOMES = {
    "CandidateLists": "bicross.distillation.lists",
    "Candidates": "bicross.distillation.candidates",
    "LabelledQuery": "bicross.distillation.labels",
    "Labels": "bicross.distillation.labels",
    "RerankerReport": "bicross.distillation.reranker",
    "ScoredList": "bicross.distillation.lists",
    "TrainingSettings": "bicross.distillation.trainer",
    "mine_candidates": "bicross.distillation.candidates",
    "read_labels": "bicross.distillation.labels",
    "train_reranker": "bicross.distillation.reranker",
}

__all__ = [
    "CandidateLists",
    "Candidates",
    "LabelledQuery",
    "Labels",
    "RerankerReport",
    "ScoredList",
    "TrainingSettings",
    "mine_candidates",
    "read_labels",
    "train_reranker",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
