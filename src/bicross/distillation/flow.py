"""`distill`: from a corpus and a teacher to a measured student, in stages that survive a kill."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bicross.arguments import check_count
from bicross.bi_encoder import BiEncoder
from bicross.distillation.card import model_card
from bicross.distillation.corpus import read_corpus
from bicross.distillation.flow_checks import check_gain, check_scores, check_training
from bicross.distillation.flow_settings import DistillSettings
from bicross.distillation.inputs import read_scores
from bicross.distillation.labels import Labels
from bicross.distillation.made_queries import QueryGenerator
from bicross.distillation.origin import Names, merged, origin, trained_on
from bicross.distillation.run_folder import RunFolder
from bicross.distillation.stages import Flow
from bicross.distillation.uploading import upload
from bicross.encoding.checkpoint import optional_json
from bicross.encoding.files import write_json
from bicross.errors import ConfigurationError
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.runs import Run
from bicross.second_stage import SecondStage
from bicross.types import Scorer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DistillReport:
    """What a run came to.

    Attributes:
        folder: The run's folder; ``run.json`` in it is the manifest.
        model: The student's folder.
        before: Base and teacher on the queries that were kept from training; see `measure_pair`. None without
            judgments. Without a teacher, all that is about it is missing, here and in ``after``.
        after: The same with the student, and the share of the teacher's gain that it recovered.
        gap: Agreement of the student's order with the teacher's, ``before`` and ``after``; see `gap_report`.
        rounds: Figures of training in every round.
        done: Stages that were done by this call.
        skipped: Stages that an earlier call had done, from the same inputs.
    """

    folder: Path
    model: Path
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    gap: dict[str, Any]
    rounds: list[dict[str, Any]]
    done: list[str]
    skipped: list[str]

    def load(self, **options: Any) -> BiEncoder:
        """The student; see `BiEncoder.load`."""
        return BiEncoder.load(self.model, **options)

    def push_to_hub(self, repository: str, *, token: str | None = None, private: bool = True) -> str:
        """Upload the student with its card to the model hub; returns its address."""
        return upload(self.model, repository, token, private)


def distill(
    data: Labels | str | Path,
    teacher: Scorer | None,
    student: BiEncoder,
    *,
    out: str | Path,
    scores: Run | str | Path | None = None,
    test: Dataset | None = None,
    settings: DistillSettings | None = None,
    rounds: int = 1,
    cache_dir: str | Path | None = None,
    query_generator: QueryGenerator | None = None,
    weak_teacher: bool = False,
    show_progress: bool | None = None,
) -> DistillReport:
    """Trains a bi-encoder to order a corpus as the teacher does, and measures how far it has come.

    Queries (made, where there are none) → measurement of base and teacher → mining → scoring → sampling → training →
    measurement and gap report → model card. A stage whose inputs haven't changed is skipped; killed at any moment, the
    same call goes on.

    Where no loss learns from a teacher (``StudentSettings(losses={"contrastive": 1.0})``) and the queries aren't made,
    none is asked: the student learns from the judged queries, with mined candidates as negatives.

    Args:
        data: Documents, queries and judgments; or a path as `read_corpus` takes it.
        teacher: Scores (query, document) pairs. With a ``stage1_weight``, its own or that of the settings, the teacher
            is the weighted sum with the student's similarity before training. None: there is none; ``scores`` or the
            judgments teach.
        student: What the student starts from.
        out: The run's folder.
        scores: A teacher's scores that somebody already has, by query id and document id, or their file as
            `read_scores` takes it. They are the lists of those queries that aren't measured on: nothing is mined or
            scored, and ``teacher`` is only measured.
        test: Queries to measure on, over the same documents; they must not be among those of ``data``. None: a part of
            the judged queries is kept from training.
        settings: See there.
        rounds: In every round but the first, the student of the round before mines the candidates, and is trained
            further.
        cache_dir: Folder of vectors and scores, which runs, evaluation and the gap report may share. None: ``cache`` in
            the run's folder.
        query_generator: Makes the queries where there are none, in the place of `make_queries`.
        weak_teacher: Go on where the teacher gains less than ``least_gain``.
        show_progress: None: on a terminal, once something takes more than two seconds.

    Raises:
        ConfigurationError: Arguments that make no sense, or ``out`` holds a run of another format.
        MissingExtraError: A package that training needs isn't installed.
        InputError: There is nothing to distil: the teacher gives all candidates one score, or gains too little; or,
            without a teacher, there are no judgments.
        StorageFullError: The disk is full; what was stored before is kept, and the same call goes on.
        TrainingError: A loss isn't a finite number; the last good checkpoint stays.
    """
    settings = settings or DistillSettings()
    check_count(rounds, "rounds")
    check_training(student, settings.training)
    labels = data if isinstance(data, Labels) else read_corpus(data)
    source = None
    if scores is not None:
        check_scores(labels, rounds)
        source = Path(scores).name if isinstance(scores, str | Path) else "a table"
        scores = read_scores(scores) if isinstance(scores, str | Path) else scores
    if not settings.asks_teacher(made=not labels.queries):
        teacher = None
    elif teacher is None and scores is None:
        raise ConfigurationError(
            "A teacher is needed where a loss learns from its scores, and where queries are made, which it filters; "
            "got None. Name one, bring scores, or train on judged queries with losses={'contrastive': 1} alone."
        )
    taught = _teacher_trained_on(teacher, student, settings)
    cache = Path(cache_dir) if cache_dir is not None else Path(out) / "cache"
    recipe = {
        "data": labels.name,
        "teacher": None if teacher is None else str(getattr(teacher, "name", type(teacher).__name__)),
        "teacher_trained_on": taught,
        "scores": source,
        "student": student.name,
        **origin(student),
        "trained_on": {
            "data": [labels.name],
            "base": trained_on(student),
            "teacher": [None] if scores is not None else merged(*taught.values()),
        },
        "rounds": rounds,
        "settings": settings.as_dict(),
    }
    with RunFolder(out, recipe) as run:
        flow = Flow(run, labels, teacher, student, settings, cache, test, query_generator, show_progress, scores)
        before = flow.measure("measure before", student=None)
        if before is None:
            logger.warning(
                "%s: %s to measure on, so neither the teacher's gain over the student is checked, nor what the student "
                "learns. Name a test split of judged queries: test, --test-split",
                labels.name,
                "made queries have no judgments" if flow.made else "there are too few judged queries",
            )
        elif teacher is not None and settings.needs_teacher and not weak_teacher:
            check_gain(before, settings.least_gain)
        gaps = {"before": flow.gap("gap before", "gap-before", student)}
        current, figures, model = student, [], Path()
        for number in range(1, rounds + 1):
            found, model = flow.round(number, current)
            figures.append(found)
            if current is not student:
                current.close()
            current = BiEncoder.load(model, device=student.device)
        try:
            after = flow.measure("measure after", student=current)
            gaps["after"] = flow.gap("gap after", "gap-after", current)
        finally:
            current.close()
        facts = {"recipe": recipe, "data": flow.facts, "after": after, "gap": gaps, "rounds": figures}
        target = _finish(run, model, rounds, facts)
        return DistillReport(run.folder, target, before, after, gaps, figures, run.done, run.skipped)


def _teacher_trained_on(teacher: Scorer | None, base: BiEncoder, settings: DistillSettings) -> dict[str, Names]:
    """What each of the models was trained on whose weighted sum is the teacher; empty where there is none."""
    if teacher is None:
        return {}
    found = {"cross_encoder": trained_on(teacher)}
    if SecondStage(teacher, settings.stage1_weight).stage1_weight:
        found["bi_encoder"] = trained_on(base)
    return found


def _finish(run: RunFolder, model: Path, rounds: int, facts: dict[str, Any]) -> Path:
    """The last round's student as ``student`` in the run's folder, with a card and what it was trained on."""
    target = run.folder / "student"
    known = {name: facts["recipe"][name] for name in ("base", "base_model", "base_license", "trained_on")}

    def write() -> None:
        part = run.folder / "student.part"
        if part.exists():
            shutil.rmtree(part)
        shutil.copytree(model, part)
        write_json(part / "bicross.json", {**optional_json(part / "bicross.json"), **known})
        (part / "README.md").write_text(model_card(facts), encoding="utf-8")
        part.replace(target)
        (run.folder / "report.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    inputs = {"train": run.hash_of(f"train {rounds}"), "facts": facts}
    run.stage("model card", inputs, write, outputs=["student", "report.json"])
    return target
