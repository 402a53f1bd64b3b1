"""Trains a bi-encoder on a teacher's scores of candidate lists, and writes the checkpoint."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bicross.bi_encoder import BiEncoder
from bicross.caches import VectorCache
from bicross.distillation.fitting import claim, training_arguments
from bicross.distillation.held_out_lists import split_lists
from bicross.distillation.list_batches import Lists, fingerprint
from bicross.distillation.lists import CandidateLists
from bicross.distillation.origin import origin
from bicross.distillation.student_session import Outcome, Session
from bicross.distillation.student_settings import LIST_LOSSES, StudentSettings
from bicross.distillation.uploading import upload
from bicross.encoding.checkpoint import optional_json
from bicross.errors import CheckpointError, ConfigurationError, DimensionMismatchError, InputError
from bicross.types import Encoder

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StudentReport(Outcome):
    """A trained model's folder, and what its training came to.

    Attributes:
        folder: The model's folder.
        document_fingerprint: The student's; the same as before where documents were frozen.
    """

    folder: Path
    document_fingerprint: str

    def load(self, **options: Any) -> BiEncoder:
        """The student; see `BiEncoder.load`."""
        return BiEncoder.load(self.folder, **options)

    def push_to_hub(self, repository: str, *, token: str | None = None, private: bool = True) -> str:
        """Upload the model's folder, with a card and the record of its training, to the hub; returns its address."""
        return upload(self.folder, repository, token, private)


def train_bi_encoder(
    data: CandidateLists | Sequence[CandidateLists],
    student: BiEncoder,
    *,
    out: str | Path,
    settings: StudentSettings | None = None,
    held_out: CandidateLists | Sequence[CandidateLists] | None = None,
    query_tower: BiEncoder | None = None,
    vector_teacher: Encoder | None = None,
    cache: VectorCache | None = None,
    run_folder: str | Path | None = None,
) -> StudentReport:
    """Trains a bi-encoder to order candidates as their teacher does.

    The same call goes on where an earlier one was killed, to the same weights; where the model is written already, it
    returns the earlier call's report. Under ``accelerate launch`` every process takes its part of a step, so that a
    step has ``batch_size`` lists on each.

    Args:
        data: Candidate lists with a teacher's scores; several sets are mixed, and each learns its own scale and offset,
            so that their teachers may have different units. A list without candidates is a text whose vector alone is
            kept or matched (the losses "anchor" and "vectors").
        student: What the student starts from, and what encodes the documents where they are frozen.
        out: The model's folder; it appears as a whole at the end.
        settings: What the student is, and how it is trained.
        held_out: Lists to choose the epoch by; None: ``settings.held_out`` lists of each set.
        query_tower: Another, smaller model that becomes the query tower, where documents are frozen; None: the
            student's own.
        vector_teacher: A larger bi-encoder whose vectors the loss "vectors" matches.
        cache: Where the student's vectors before training are sought and kept.
        run_folder: Where the run's state is kept; by default beside ``out``, with ``.run`` added.

    Returns:
        What was chosen and how good it is. The folder holds it too, in ``bicross.json``.

    Raises:
        ConfigurationError: Arguments that make no sense, ``out`` holds something else than this call's model, or
            ``run_folder`` holds another run.
        InputError: No list, a teacher that gives all candidates of a query one score, or lists from which none of the
            losses can learn.
        DimensionMismatchError: A trained query tower's vectors don't fit the frozen documents'.
        TrainingError: A loss or gradient isn't a finite number; the last good checkpoint stays.
        MissingExtraError: accelerate, or peft for ``lora``, isn't installed.
    """
    settings = settings or StudentSettings()
    sets = [data] if isinstance(data, CandidateLists) else list(data)
    tests = [] if held_out is None else [held_out] if isinstance(held_out, CandidateLists) else list(held_out)
    out = Path(out)
    run = Path(run_folder) if run_folder is not None else out.with_name(f"{out.name}.run")
    check_student(student, settings, query_tower, vector_teacher)
    if len(tests) not in (0, len(sets)):
        raise ConfigurationError(f"held_out must have one set for each of the {len(sets)} in data; got {len(tests)}.")
    recipe = {
        "student": [student.query_fingerprint, student.document_fingerprint],
        "query_tower": None if query_tower is None else query_tower.query_fingerprint,
        "vector_teacher": None if vector_teacher is None else vector_teacher.document_fingerprint,
        "settings": _jsonable(settings),
        "data": fingerprint([*sets, *tests]),
    }
    if (finished := _finished(out, recipe)) is not None:
        return _report(out, finished, student, settings)
    arguments = training_arguments(run, settings.trainer)
    with arguments.main_process_first():
        lists = Lists.of([*sets, *tests])
        _check_teaching(lists, len(sets), settings)
        claim(run, recipe)
        session = Session(student, lists, settings, query_tower, vector_teacher, cache, arguments)
    if tests:
        train = [row for row in lists.rows if row.source < len(sets)]
        held = [row for row in lists.rows if row.source >= len(sets)]
    else:
        train, held = split_lists(lists, settings.held_out, seed=settings.trainer.seed)
    outcome = session.train(train, held)
    if arguments.should_save:
        known = origin(student) if query_tower is None else {}  # two models may have two licences
        session.write(out, {**recipe, **asdict(outcome), **known})
    arguments.distributed_state.wait_for_everyone()
    return _report(out, outcome, student, settings)


def _finished(out: Path, recipe: Mapping[str, Any]) -> Outcome | None:
    """What an earlier call that made the same model came to; None where ``out`` is empty or doesn't exist.

    Raises:
        ConfigurationError: The folder holds something else.
    """
    if not out.exists() or not any(out.iterdir()):
        return None
    kept = optional_json(out / "bicross.json")
    if any(kept.get(name) != value for name, value in recipe.items()):
        raise ConfigurationError(
            f"A model is written into a new or empty folder; {str(out)!r} isn't empty, and holds no model of these "
            "settings and data. Name another folder, or delete this one."
        )
    return Outcome.of(kept)


def _report(out: Path, outcome: Outcome, student: BiEncoder, settings: StudentSettings) -> StudentReport:
    """The report of a model that is written.

    Raises:
        CheckpointError: The documents were frozen, and have another fingerprint than before.
    """
    with BiEncoder.load(out, device="cpu", backend="torch") as trained:
        print_ = trained.document_fingerprint
    if settings.towers == "query" and print_ != student.document_fingerprint:
        raise CheckpointError(
            f"A frozen document tower keeps its fingerprint {student.document_fingerprint[:12]!r}; got {print_[:12]!r} "
            f"in {str(out)!r}. The student's folder was changed during training: train again."
        )
    return StudentReport(**asdict(outcome), folder=out, document_fingerprint=print_)


def _check_teaching(lists: Lists, sets: int, settings: StudentSettings) -> None:
    """Whether the losses have anything to learn from; those that have nothing are named in the log.

    Raises:
        InputError: None of the losses of lists has.
    """
    rows = [row for row in lists.rows if row.source < sets and len(row.documents)]
    scored = max((int(np.isfinite(row.scores).sum()) for row in rows), default=0)
    judged = any(len(row.documents) > 1 and (row.labels > 0).any() for row in rows)
    several = len({int(place) for row in rows for place in row.documents}) > 1
    answered = several and (scored > 0 or any((row.labels > 0).any() for row in rows))
    learns = {"kl": scored > 1, "margin_mse": scored > 1, "mse": scored > 0, "listwise": judged}
    learns["contrastive"] = answered
    wanted = [name for name in LIST_LOSSES if settings.weights.get(name)]
    idle = [name for name in wanted if not learns[name]]
    if not rows or not idle:
        return
    if len(idle) == len(wanted) and not settings.weights.get("vectors"):
        raise InputError(
            "A list teaches by two candidates with a teacher's scores, or by one judged relevant beside others; "
            f"none of {len(rows)} lists does (losses: {', '.join(wanted)}). Mine more candidates, score them, or "
            "bring judgments."
        )
    logger.warning("no list has what the losses %s learn from: scores of two candidates, or judgments", idle)


def _jsonable(settings: StudentSettings) -> dict[str, Any]:
    values = asdict(settings)
    values["training"] = settings.trainer.recipe
    values["losses"] = dict(settings.weights)
    loaded: dict[str, Any] = json.loads(json.dumps(values))
    return loaded


def check_student(
    student: BiEncoder,
    settings: StudentSettings,
    query_tower: BiEncoder | None,
    vector_teacher: Encoder | None,
) -> None:
    """Whether these models and settings go together; before anything is computed.

    Raises:
        ConfigurationError: They don't; says which.
        DimensionMismatchError: The query tower's vectors don't fit the frozen documents'.
    """
    if student.similarity_name not in ("cosine", "dot"):
        raise ConfigurationError(
            f"A student compares by cosine or dot product; this one by {student.similarity_name!r}. Choose another."
        )
    if student.truncate_dim is not None:
        raise ConfigurationError("A student is trained at its whole dimension. Load it without truncate_dim.")
    if too_long := [length for length in settings.matryoshka if not 0 < length <= student.dimension]:
        raise ConfigurationError(
            f"matryoshka must be lengths from 1 to the student's {student.dimension}; got {too_long[0]!r}."
        )
    if bool(settings.weights.get("vectors")) != (vector_teacher is not None):
        raise ConfigurationError("The loss 'vectors' and vector_teacher come together; one of the two is missing.")
    if query_tower is None:
        return
    if settings.towers != "query":
        raise ConfigurationError("query_tower needs frozen documents: set towers='query'.")
    if query_tower.dimension != student.dimension:
        raise DimensionMismatchError(
            f"A query tower must give vectors of the frozen documents' {student.dimension} dimensions; "
            f"{query_tower.name!r} gives {query_tower.dimension}. Choose one of that dimension, or train both "
            "towers of one model (towers='both')."
        )
