"""What a student has of what its teacher knows: base, teacher and student on the same queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.errors import InputError
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.evaluating import evaluate
from bicross.evaluation.results import Measured
from bicross.evaluation.stages import Stages
from bicross.evaluation.statistics import paired_test
from bicross.types import Encoder, Scorer

MEASURES = ("nDCG@10", "R@100")
_RESAMPLES = 9_999
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Share:
    """How much of the way from the base to the teacher a student has gone.

    Attributes:
        share: (student − base) / (teacher − base); None where the teacher isn't above the base.
        interval: Of the share, 95 %, by the bootstrap over queries. It is wide where the teacher's gain is small: below
            five points, give the differences beside it.
    """

    share: float | None
    interval: tuple[float, float] | None


def recovered_share(base: npt.ArrayLike, teacher: npt.ArrayLike, student: npt.ArrayLike, *, seed: int = 0) -> Share:
    """The share of the teacher's gain that the student has.

    Args:
        base: A measure's value for each query. **Shape:** (queries,).
        teacher: The same of the teacher.
        student: The same of the student.
        seed: Of the resampling.

    Raises:
        InputError: There are no values, or not the same number of each.

    >>> recovered_share([0.0, 0.2], [1.0, 0.6], [0.5, 0.4]).share
    0.5
    """
    values = [np.asarray(one, dtype=np.float64) for one in (base, teacher, student)]
    if len({one.shape for one in values}) > 1 or values[0].ndim != 1 or not len(values[0]):
        raise InputError(f"A share needs the same queries three times; got arrays {[one.shape for one in values]!r}.")
    possible, reached = values[1] - values[0], values[2] - values[0]
    if possible.mean() <= 0:
        return Share(None, None)
    rng = np.random.default_rng(seed)
    shares = []
    for start in range(0, _RESAMPLES, _AT_ONCE):
        drawn = rng.integers(len(possible), size=(min(_AT_ONCE, _RESAMPLES - start), len(possible)))
        gains = possible[drawn].mean(axis=1)
        # A resample in which the teacher gains nothing has no share; it is taken as a very large one of its sign.
        shares.append(reached[drawn].mean(axis=1) / np.maximum(gains, 1e-9))
    low, high = np.quantile(np.concatenate(shares), (0.025, 0.975)).tolist()
    return Share(float(reached.mean() / possible.mean()), (low, high))


def measure_pair(
    base: Encoder,
    teacher: Scorer | None,
    data: Dataset,
    *,
    student: Encoder | None = None,
    stage1_weight: float | None = None,
    candidates: int = 100,
    exclude_self: bool = False,
    measures: Sequence[str] = MEASURES,
    cache_dir: str | Path | None = None,
    show_progress: bool | None = None,
) -> dict[str, Any]:
    """Measures the base, what the teacher makes of its candidates, and the student, on the same queries.

    Args:
        base: The bi-encoder before distillation.
        teacher: Reorders its candidates; None: the bi-encoders alone are measured.
        data: Queries that neither training nor any choice has seen.
        student: The bi-encoder after distillation; None: only what is there before it.
        stage1_weight: Of the first stage in the teacher's order; None: the teacher's own.
        candidates: How many are reordered.
        exclude_self: Drop the document with the query's own id.
        measures: Names of the ir-measures library; the first is what shares are taken of.
        cache_dir: Folder of the vectors and scores.
        show_progress: None: on a terminal, once it takes more than two seconds.

    Returns:
        JSON values. By model (``base``, ``teacher``: both stages with the base in front, ``student``,
        ``student_two_stage``) the means of the measures; ``tests``: paired tests of the first measure against the base;
        ``recovered``: see `Share`; ``queries``. What needs a model that isn't there is left out.

    Raises:
        InputError: The data set has no judgments.
    """
    options: dict[str, Any] = {
        "candidates": candidates,
        "exclude_self": exclude_self,
        "measures": list(measures),
        "stage1_weight": stage1_weight,
        "show_progress": show_progress,
    }
    runs: dict[str, Measured] = {}
    for model, name, both in ((base, "base", "teacher"), (student, "student", "student_two_stage")):
        if model is None:
            continue
        with Stages(model, teacher, cache_dir=cache_dir) as stages:
            found = evaluate(stages, data, **options).stages
        runs[name] = found["first_stage"]
        if teacher is not None:
            runs[both] = found["two_stage"]
    measure = next(iter(runs["base"].values))
    values = {run: measured.values[measure] for run, measured in runs.items()}
    report: dict[str, Any] = {"data": data.name, "queries": len(values["base"]), "measure": measure}
    report |= {run: measured.means for run, measured in runs.items()}
    report["tests"] = {run: asdict(paired_test(values["base"], values[run])) for run in runs if run != "base"}
    if teacher is not None and student is not None:
        report["recovered"] = asdict(recovered_share(values["base"], values["teacher"], values["student"]))
        report["tests"]["student_two_stage over student"] = asdict(
            paired_test(values["student"], values["student_two_stage"])
        )
    return report
