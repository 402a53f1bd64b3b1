"""What a run would cost, from timed samples: nothing is written."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bicross.bi_encoder import BiEncoder
from bicross.cross_encoder import raw_scores
from bicross.distillation.extracted import extract_sentences
from bicross.distillation.flow_checks import check_scores, check_training
from bicross.distillation.flow_queries import held_out_count
from bicross.distillation.flow_settings import DistillSettings
from bicross.distillation.labels import Labels
from bicross.distillation.made_queries import AT_ONCE, QueryGenerator
from bicross.errors import InputError, TruncationWarning
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.runs import Run
from bicross.evaluation.timing import SAMPLE, seconds_each
from bicross.types import Scorer

_BACKWARD = 3.0
"""A training step costs about three forward passes: one forward, two backward."""
_PAIR_BYTES = 150
_ROW_BYTES = 80
"""Of a row of a cache beside its vector or score, and of a pair's rows in the Parquet files; measured, rounded up."""


@dataclass(frozen=True, slots=True)
class Cost:
    """An estimate of a run; what its caches hold already is not taken off.

    Attributes:
        documents: Documents to encode once, and again for every round where both towers are trained.
        queries: Queries that are mined for.
        pairs: (query, document) pairs that the teacher scores, measurement and gap reports included.
        encode_minutes: Of the bi-encoder for the documents, and for what a light tower's vectors are kept of.
        teacher_minutes: Of the teacher.
        training_minutes: Of training.
        generator_minutes: Of the queries' generator.
        disk_megabytes: Of caches, lists and checkpoints.
    """

    documents: int
    queries: int
    pairs: int
    encode_minutes: float
    teacher_minutes: float
    training_minutes: float
    disk_megabytes: float
    generator_minutes: float = 0.0


def estimate_cost(
    labels: Labels,
    teacher: Scorer | None,
    student: BiEncoder,
    *,
    scores: Run | None = None,
    test: Dataset | None = None,
    settings: DistillSettings | None = None,
    rounds: int = 1,
    query_generator: QueryGenerator | None = None,
) -> Cost:
    """Estimates what `distill` would cost with these arguments, from a sample of 64 pairs and 64 texts timed here.

    It is an upper estimate: pairs that occur twice are scored once, training may stop early, a light tower's step is
    counted as the whole one's. (Of a generator's time it isn't where passages far apart are given the same queries.)

    Raises:
        InputError: There are no documents.
    """
    settings = settings or DistillSettings()
    check_training(student, settings.training)
    if scores is not None:
        check_scores(labels, rounds)
    if not settings.asks_teacher(made=not labels.queries):
        teacher = None
    texts = [*labels.searched.values()]
    if not texts:
        raise InputError("A cost is estimated from documents; got none.")
    rng = np.random.default_rng(settings.seed)
    some = [texts[i] for i in rng.integers(len(texts), size=SAMPLE).tolist()]
    asked = [query.text for query in labels.queries.values()]
    asked = [asked[i] for i in rng.integers(len(asked), size=SAMPLE).tolist()] if asked else [t[:60] for t in some]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)
        pairs = list(zip(asked, some, strict=True))
        per_pair = 0.0 if teacher is None else seconds_each(lambda n: raw_scores(teacher, pairs[:n]))
        per_document = seconds_each(lambda n: student.encode_document(some[:n], show_progress=False))
        per_query = seconds_each(lambda n: student.encode_query(asked[:n], show_progress=False))
        writing = 0.0
        if query_generator is not None and not labels.queries:
            writing = _writing(query_generator, some, settings.made, len(texts))
    queries, measured = _queries(labels, test, settings)
    scored = 0 if scores is not None else rounds * queries * _pool(settings, made=not labels.queries)
    scored += 2 * measured * min(settings.depth, len(texts))
    scored += 2 * settings.gap_queries * min(settings.gap_pool, len(texts))
    if teacher is None:
        scored = 0
    both = settings.student.towers == "both"
    found = extract_sentences(some, SAMPLE * settings.kept_sentences, language=settings.language, seed=0)
    sentences = min(settings.kept_sentences, len(found) * len(texts) // SAMPLE)
    step = per_query + (per_document * (settings.student.list_length or settings.candidates) if both else 0.0)
    encodings = 1 + rounds if both else 1
    kept = 12 * _parameters(student) * (settings.student.epochs + 1)  # weights and AdamW's two moments, an epoch
    kept += min(len(texts), queries * settings.candidates) * student.dimension * 4  # vectors before training
    kept += sentences * student.dimension * 8  # in the cache and in the run's folder
    stored = encodings * len(texts) * (student.dimension * 4 + _ROW_BYTES)
    return Cost(
        documents=len(texts),
        queries=queries,
        pairs=scored,
        encode_minutes=(encodings * len(texts) * per_document + sentences * per_query) / 60,
        teacher_minutes=scored * per_pair / 60,
        training_minutes=rounds * settings.student.epochs * (queries + sentences) * step * _BACKWARD / 60,
        generator_minutes=writing / 60,
        disk_megabytes=(stored + scored * (_PAIR_BYTES + _ROW_BYTES) + rounds * kept) / 1e6,
    )


def _queries(labels: Labels, test: Dataset | None, settings: DistillSettings) -> tuple[int, int]:
    """How many queries are trained on, and how many measured on."""
    judged = sum(bool(query.positives) for query in labels.queries.values())
    queries = len(labels.queries) or settings.made
    held = held_out_count(judged, settings) if test is None else 0
    queries -= held if held or test is not None else min(settings.gap_queries, queries // 5)
    measured = held if test is None else len(test.queries)
    return queries if settings.queries is None else min(queries, settings.queries), measured


def _writing(generator: QueryGenerator, some: list[str], made: int, passages: int) -> float:
    """Seconds that a generator takes for so many different queries, or for all passages."""
    answers: list[Sequence[Sequence[str]]] = []
    each = seconds_each(lambda n: answers.append(generator(some[:n])))
    for_each = len({query.casefold() for part in answers[-1] for query in part if query.strip()}) / SAMPLE
    calls = math.ceil(made / for_each / AT_ONCE) if for_each else passages
    return each * min(calls * AT_ONCE, passages)


def _pool(settings: DistillSettings, *, made: bool) -> int:
    mining = settings.mining_for(made=made)
    return 1 + mining.easy + sum(window.draw for window in (*mining.dense, *mining.bm25))


def _parameters(student: BiEncoder) -> int:
    """Weights of the student, whatever they are stored in."""
    from safetensors import safe_open

    total = 0
    for path in student.checkpoint.document.encoder.folder.glob("*.safetensors"):
        with safe_open(path, framework="np") as file:
            total += sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118  # no dict
    return total
