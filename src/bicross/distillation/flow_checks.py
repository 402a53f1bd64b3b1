"""What `distill` refuses before anything is computed, and what it asks of a teacher."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from bicross.bi_encoder import BiEncoder
from bicross.distillation.labels import Labels
from bicross.distillation.pruning import spread
from bicross.distillation.student import check_student
from bicross.distillation.student_settings import StudentSettings
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.specs import StaticSpec, TowerSpec
from bicross.errors import ConfigurationError, InputError, MissingExtraError


def check_training(student: BiEncoder, settings: StudentSettings) -> None:
    """Whether the student can be trained so: what training would find out after hours of scoring.

    Raises:
        ConfigurationError: It can't; names the setting.
        CheckpointError: Its folder holds no weights.
        MissingExtraError: A package that training needs isn't installed.
    """
    if settings.weights.get("vectors"):
        raise ConfigurationError(
            "The loss 'vectors' matches another bi-encoder's vectors, and distill has none. Leave it out, or call "
            "train_bi_encoder with a vector_teacher on a run's round-1/lists.parquet."
        )
    check_student(student, settings, None, None)
    for package in ("accelerate",) if settings.lora is None else ("accelerate", "peft"):
        if find_spec(package) is None:
            raise MissingExtraError(
                f"Training {'' if package == 'accelerate' else 'with lora '}needs {package}, which is not installed. "
                'Run: pip install "bicross[distill]"'
            )
    checkpoint = student.checkpoint
    for tower in {checkpoint.query} if settings.towers == "query" else {checkpoint.query, checkpoint.document}:
        _check_layers(tower, settings)


def _check_layers(tower: TowerSpec, settings: StudentSettings) -> None:
    weight_files(tower.encoder.folder)
    changed = settings.layers is not None or settings.freeze_layers
    if (settings.static or isinstance(tower.encoder, StaticSpec)) and (changed or settings.lora is not None):
        raise ConfigurationError(
            "A table of token vectors has no layers to prune, freeze or adapt; got "
            f"layers={settings.layers!r}, freeze_layers={settings.freeze_layers!r}, lora={settings.lora!r}. Leave them "
            "out."
        )
    if not changed:
        return
    from transformers import AutoConfig

    count = int(AutoConfig.from_pretrained(tower.encoder.folder, local_files_only=True).num_hidden_layers)
    if settings.layers is not None:
        count = len(spread(count, settings.layers))
    settings.check_frozen(count)


def check_scores(labels: Labels, rounds: int) -> None:
    """Whether scores that are given can be trained on.

    Raises:
        ConfigurationError: There are no queries that they could be of, or a second round would need others.
    """
    if not labels.queries:
        raise ConfigurationError(
            f"Scores belong to queries; {labels.name!r} has none. Name the queries' file (--queries), or leave scores "
            "out: then queries are made."
        )
    if rounds > 1:
        raise ConfigurationError(
            f"Scores that are given are for one round: nothing is mined; got rounds={rounds!r}. Set 1."
        )


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
