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
from bicross.distillation.flow_settings import DistillSettings
from bicross.distillation.labels import Labels
from bicross.distillation.made_queries import QueryGenerator
from bicross.distillation.run_folder import RunFolder
from bicross.distillation.stages import Flow
from bicross.encoding.saving import push
from bicross.errors import InputError
from bicross.evaluation.datasets import Dataset
from bicross.types import Scorer

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DistillReport:
    """What a run came to.

    Attributes:
        folder: The run's folder; ``run.json`` in it is the manifest.
        model: The student's folder.
        before: Base and teacher on the queries that were kept from training; see `measure_pair`. None without
            judgments.
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
        return push(lambda target: Path(shutil.copytree(self.model, target)), repository, token, private)


def distill(
    data: Labels | str | Path,
    teacher: Scorer,
    student: BiEncoder,
    *,
    out: str | Path,
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

    Args:
        data: Documents, queries and judgments; or a path as `read_corpus` takes it.
        teacher: Scores (query, document) pairs. With a ``stage1_weight``, its own or that of the settings, the teacher
            is the weighted sum with the student's similarity before training.
        student: What the student starts from.
        out: The run's folder.
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
        InputError: There is nothing to distil: the teacher gives all candidates one score, or gains too little.
        StorageFullError: The disk is full; what was stored before is kept, and the same call goes on.
        TrainingError: A loss isn't a finite number; the last good checkpoint stays.
    """
    settings = settings or DistillSettings()
    check_count(rounds, "rounds")
    labels = data if isinstance(data, Labels) else read_corpus(data)
    cache = Path(cache_dir) if cache_dir is not None else Path(out) / "cache"
    recipe = {
        "data": labels.name,
        "teacher": str(getattr(teacher, "name", type(teacher).__name__)),
        "teacher_trained_on": trained_on(teacher),
        "student": student.name,
        "rounds": rounds,
        "settings": settings.as_dict(),
    }
    with RunFolder(out, recipe) as run:
        flow = Flow(run, labels, teacher, student, settings, cache, test, query_generator, show_progress)
        before = flow.measure("measure before", student=None)
        if before is not None and settings.needs_teacher and not weak_teacher:
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


def check_gain(before: dict[str, Any], least: float) -> None:
    """Whether the teacher knows enough more than the student.

    Raises:
        InputError: It doesn't; names what to do instead.
    """
    test = before["tests"]["teacher"]
    if test["difference"] >= least:
        return
    low, high = test["interval"]
    raise InputError(
        f"A teacher must know more than its student; on {before['queries']} queries of {before['data']!r} this one "
        f"gains {100 * test['difference']:+.1f} points of {before['measure']} ({100 * low:+.1f} … {100 * high:+.1f}) "
        f"over it, and {100 * least:.1f} are asked for. There is nothing to distil. Train a better teacher on labels: "
        "bicross train-reranker. Or train the student on labels without a teacher: bicross distill --loss "
        "contrastive=1. --weak-teacher goes on all the same."
    )


def trained_on(model: object) -> Any:
    """What a model's folder says it was trained on; None where it doesn't say."""
    checkpoint = getattr(model, "checkpoint", None)
    return None if checkpoint is None else getattr(checkpoint, "extras", {}).get("trained_on")


def _finish(run: RunFolder, model: Path, rounds: int, facts: dict[str, Any]) -> Path:
    """The last round's student as ``student`` in the run's folder, with a card."""
    target = run.folder / "student"

    def write() -> None:
        part = run.folder / "student.part"
        if part.exists():
            shutil.rmtree(part)
        shutil.copytree(model, part)
        (part / "README.md").write_text(model_card(facts), encoding="utf-8")
        part.replace(target)
        (run.folder / "report.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")

    inputs = {"train": run.hash_of(f"train {rounds}"), "facts": facts}
    run.stage("model card", inputs, write, outputs=["student", "report.json"])
    return target
