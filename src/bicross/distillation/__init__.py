"""Training cross-encoders on labels and bi-encoders on a teacher's scores. Names load on first use (PEP 562)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.distillation.candidates import Candidates, search_candidates
    from bicross.distillation.corpus import read_corpus
    from bicross.distillation.cost import Cost, estimate_cost
    from bicross.distillation.exporting import export_dataset, export_file, export_rows, export_run
    from bicross.distillation.fitting import TrainingSettings
    from bicross.distillation.flow import DistillReport, distill
    from bicross.distillation.flow_settings import DistillSettings
    from bicross.distillation.inputs import labels_from, lists_from_scores, read_lists, read_scores
    from bicross.distillation.labels import LabelledQuery, Labels, read_labels
    from bicross.distillation.list_batches import texts_alone
    from bicross.distillation.lists import CandidateLists, ScoredList
    from bicross.distillation.made_queries import generate_queries, keep_round_trips, make_queries
    from bicross.distillation.measuring import measure_pair, recovered_share
    from bicross.distillation.mining import MiningSettings, Window, mine_candidates
    from bicross.distillation.query_generators import Seq2SeqGenerator
    from bicross.distillation.reranker import RerankerReport, train_reranker
    from bicross.distillation.sampling import sample_lists
    from bicross.distillation.scoring import score_candidates, weighted_teacher
    from bicross.distillation.student import StudentReport, train_bi_encoder
    from bicross.distillation.student_settings import StudentSettings

_HOMES = {
    "CandidateLists": "bicross.distillation.lists",
    "Candidates": "bicross.distillation.candidates",
    "Cost": "bicross.distillation.cost",
    "DistillReport": "bicross.distillation.flow",
    "DistillSettings": "bicross.distillation.flow_settings",
    "LabelledQuery": "bicross.distillation.labels",
    "Labels": "bicross.distillation.labels",
    "MiningSettings": "bicross.distillation.mining",
    "RerankerReport": "bicross.distillation.reranker",
    "ScoredList": "bicross.distillation.lists",
    "Seq2SeqGenerator": "bicross.distillation.query_generators",
    "StudentReport": "bicross.distillation.student",
    "StudentSettings": "bicross.distillation.student_settings",
    "TrainingSettings": "bicross.distillation.fitting",
    "Window": "bicross.distillation.mining",
    "distill": "bicross.distillation.flow",
    "estimate_cost": "bicross.distillation.cost",
    "export_dataset": "bicross.distillation.exporting",
    "export_file": "bicross.distillation.exporting",
    "export_rows": "bicross.distillation.exporting",
    "export_run": "bicross.distillation.exporting",
    "generate_queries": "bicross.distillation.made_queries",
    "keep_round_trips": "bicross.distillation.made_queries",
    "labels_from": "bicross.distillation.inputs",
    "lists_from_scores": "bicross.distillation.inputs",
    "make_queries": "bicross.distillation.made_queries",
    "measure_pair": "bicross.distillation.measuring",
    "mine_candidates": "bicross.distillation.mining",
    "read_corpus": "bicross.distillation.corpus",
    "read_labels": "bicross.distillation.labels",
    "read_lists": "bicross.distillation.inputs",
    "read_scores": "bicross.distillation.inputs",
    "recovered_share": "bicross.distillation.measuring",
    "sample_lists": "bicross.distillation.sampling",
    "score_candidates": "bicross.distillation.scoring",
    "search_candidates": "bicross.distillation.candidates",
    "texts_alone": "bicross.distillation.list_batches",
    "train_bi_encoder": "bicross.distillation.student",
    "train_reranker": "bicross.distillation.reranker",
    "weighted_teacher": "bicross.distillation.scoring",
}

__all__ = [
    "CandidateLists",
    "Candidates",
    "Cost",
    "DistillReport",
    "DistillSettings",
    "LabelledQuery",
    "Labels",
    "MiningSettings",
    "RerankerReport",
    "ScoredList",
    "Seq2SeqGenerator",
    "StudentReport",
    "StudentSettings",
    "TrainingSettings",
    "Window",
    "distill",
    "estimate_cost",
    "export_dataset",
    "export_file",
    "export_rows",
    "export_run",
    "generate_queries",
    "keep_round_trips",
    "labels_from",
    "lists_from_scores",
    "make_queries",
    "measure_pair",
    "mine_candidates",
    "read_corpus",
    "read_labels",
    "read_lists",
    "read_scores",
    "recovered_share",
    "sample_lists",
    "score_candidates",
    "search_candidates",
    "texts_alone",
    "train_bi_encoder",
    "train_reranker",
    "weighted_teacher",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
