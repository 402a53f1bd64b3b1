"""What an evaluation found: values for every query, means, and how sure they are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from bicross.evaluation.measures import Values
from bicross.evaluation.runs import Run, write_run
from bicross.evaluation.statistics import PairedTest, bootstrap_interval
from bicross.evaluation.thresholds import Threshold

_LABELS = {"first_stage": "first stage", "two_stage": "both stages", "retriever": "retriever"}


@dataclass(frozen=True)
class Measured:
    """One run, measured.

    Attributes:
        run: Scores by query id and document id, best first.
        query_ids: The judged queries.
        values: By measure, a value for each query, in the order of ``query_ids``; 0 for a query without results.
    """

    run: Run
    query_ids: tuple[str, ...]
    values: Mapping[str, Values]

    @cached_property
    def means(self) -> dict[str, float]:
        """The mean of each measure over all queries."""
        return {name: float(values.mean()) for name, values in self.values.items()}

    @cached_property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """A 95 % interval of each mean, by the bootstrap over queries."""
        return {name: bootstrap_interval(values) for name, values in self.values.items()}

    @property
    def unanswered(self) -> int:
        """Queries without results; they count as 0."""
        return sum(not self.run.get(query_id) for query_id in self.query_ids)

    def per_query(self, measure: str) -> dict[str, float]:
        """The measure's value by query id."""
        return dict(zip(self.query_ids, self.values[measure].tolist(), strict=True))


@dataclass(frozen=True)
class Evaluation:
    """A retriever, measured on a data set. ``print`` shows it as a table.

    Attributes:
        data: Name of the data set.
        stages: By stage: ``first_stage`` and, with a cross-encoder, ``two_stage``; or ``retriever`` where the stages
            can't be told apart.
        milliseconds: By stage, the median and the 95th percentile of a query's time. Empty where nothing was timed.
        threshold: What to put as ``score_threshold``; None where it can't be told.
        compared_with: Name of the run that the last stage was compared with.
        comparison: By measure, the last stage against that run.
        left_out: Unknown ids in the judgments, counted by kind.
    """

    data: str
    stages: Mapping[str, Measured]
    milliseconds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    threshold: Threshold | None = None
    compared_with: str | None = None
    comparison: Mapping[str, PairedTest] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def final(self) -> Measured:
        """The last stage."""
        return list(self.stages.values())[-1]

    @property
    def queries(self) -> int:
        """How many queries were asked."""
        return len(self.final.query_ids)

    def __getitem__(self, measure: str) -> float:
        """The last stage's mean of a measure."""
        return self.final.means[measure]

    def to_run(self, path: str | Path, stage: str | None = None) -> Path:
        """Write a stage's run, by default the last one's, as a TREC run file.

        Raises:
            InputError: An id holds whitespace.
        """
        name = stage or list(self.stages)[-1]
        return write_run(path, self.stages[name].run, tag=f"bicross-{name}")

    def as_dict(self) -> dict[str, Any]:
        """Everything but the runs and the single queries, as JSON values."""
        comparison = {name: asdict(test) for name, test in self.comparison.items()}
        return {
            "data": self.data,
            "queries": self.queries,
            "first_stage": None,
            "two_stage": None,
            **{stage: measured.means for stage, measured in self.stages.items()},
            "intervals": {stage: {k: list(v) for k, v in m.intervals.items()} for stage, m in self.stages.items()},
            "unanswered": {stage: measured.unanswered for stage, measured in self.stages.items()},
            "milliseconds": {stage: {"p50": p50, "p95": p95} for stage, (p50, p95) in self.milliseconds.items()},
            "threshold": asdict(self.threshold) if self.threshold else None,
            "compared_with": self.compared_with,
            "comparison": comparison or None,
            "left_out": dict(self.left_out),
        }

    def to_json(self, path: str | Path | None = None, *, per_query: bool = False) -> str:
        """The results as JSON text, also written to a file where one is named.

        Args:
            path: The file.
            per_query: Also every query's values, by stage and measure.
        """
        value = self.as_dict()
        if per_query:
            value["per_query"] = {
                stage: {name: measured.per_query(name) for name in measured.values}
                for stage, measured in self.stages.items()
            }
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def __str__(self) -> str:
        width = max(len(name) for measured in self.stages.values() for name in measured.values) + 2
        columns = [_LABELS[stage] for stage in self.stages]
        lines = [f"{self.data}: {self.queries} queries", " " * width + "".join(f"{c:<26}" for c in columns).rstrip()]
        for name in self.final.values:
            cells = [
                f"{m.means[name]:.4f} [{m.intervals[name][0]:.4f}, {m.intervals[name][1]:.4f}]"
                for m in self.stages.values()
            ]
            lines.append(f"{name:<{width}}" + "".join(f"{cell:<26}" for cell in cells).rstrip())
        lines += self._notes()
        return "\n".join(lines)

    def _notes(self) -> list[str]:
        notes = []
        if self.comparison:
            notes.append(f"against {self.compared_with} ({next(iter(self.comparison.values())).test}):")
            notes += [
                f"  {name} {test.difference:+.4f} [{test.interval[0]:+.4f}, {test.interval[1]:+.4f}], "
                f"p = {test.p_value:.4f}, {test.better} queries better, {test.worse} worse"
                for name, test in self.comparison.items()
            ]
        if self.final.unanswered:
            notes.append(f"{self.final.unanswered} queries without results, counted as 0")
        notes += [f"{count} {kind}" for kind, count in self.left_out.items()]
        if self.milliseconds:
            spent = ", ".join(f"{stage} {p50:.1f} / {p95:.1f}" for stage, (p50, p95) in self.milliseconds.items())
            notes.append(f"milliseconds of a query, median / 95th percentile: {spent}")
        if self.threshold:
            notes.append(str(self.threshold))
        return notes


def percentiles(times: Mapping[str, list[float]]) -> dict[str, tuple[float, float]]:
    """Median and 95th percentile of each stage's times."""
    return {
        stage: (float(np.percentile(spent, 50)), float(np.percentile(spent, 95)))
        for stage, spent in times.items()
        if spent
    }
