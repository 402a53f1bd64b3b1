"""What the figures of a gap report recommend, and what one must know to read them right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from bicross.evaluation.agreement import CUT, Doubles
from bicross.evaluation.depth import DepthPoint, smallest_point

if TYPE_CHECKING:
    from bicross.evaluation.findings import Distribution, GapReport, Kept

_LATE = 0.5
"""A top 10 that needs more of the pool than this share may well go on behind it."""


def advised_depth(kept: Mapping[str, Kept], points: Sequence[DepthPoint]) -> tuple[int | None, str]:
    """How many candidates the first stage should hand over, and why; None where nothing can be said."""
    if (depth := smallest_point(points, 0.95, sure=True)) is not None:
        return depth, (
            "the smallest depth measured that keeps 95 % of the best nDCG@10 of both stages by the judgments, and "
            "isn't surely worse than the best on these queries"
        )
    if (depth := kept["final"].share95) is not None:
        return max(depth, CUT), "the smallest k that keeps 95 % of the final order's top 10, and no less than those 10"
    return None, "one of the two models gives every candidate the same score: there is no order to keep"


def advised_weight(weights: Sequence[float], values: Doubles, current: float, seed: int) -> tuple[float, str]:
    """The weight of the first stage with the best mean, where it is surely better than the current one.

    Args:
        weights: What was tried.
        values: Quality of each query. **Shape:** (weights, queries).
        current: The weight in use, one of ``weights``.
        seed: Of the bootstrap.
    """
    from bicross.evaluation.statistics import bootstrap_interval

    best = int(np.argmax(values.mean(axis=1)))
    gained = values[best] - values[list(weights).index(current)]
    low, high = bootstrap_interval(gained, seed=seed)
    points = f"{gained.mean() * 100:+.1f} points ({low * 100:+.1f} to {high * 100:+.1f})".replace("-", "−")
    if weights[best] == current:
        return current, "no other weight did better on these queries"
    if low > 0:
        return weights[best], f"{points} over the current {current:g}; measured on the queries that it is chosen on"
    return current, f"the best on these queries, {weights[best]:g}, is {points} better: too little to tell from chance"


def notes_on(report: GapReport, wanted: int) -> list[str]:
    """Remarks that belong beside the figures.

    Args:
        report: All of it but the notes.
        wanted: The pool that was asked for.
    """
    setting, notes = report.setting, []
    if setting.exhaustive:
        notes.append("Every document was scored for every query: the recall is that within the whole corpus.")
    else:
        notes.append(
            f"The teacher saw the bi-encoder's first {setting.pool:,} of {setting.documents:,} documents. What it "
            "would prefer among the others isn't counted: the recall is an upper bound of that within the whole corpus."
        )
    if setting.pool < wanted:
        notes.append(f"The corpus holds {setting.documents:,} documents, fewer than the pool of {wanted:,} asked for.")
    if setting.pool <= CUT:
        notes.append(f"With {setting.pool} candidates a top {CUT} says nothing: its overlap is undefined.")
    if setting.queries == 1:
        notes.append("One query: the figures are its own, and no interval can be given.")
    if undefined := report.agreement.tau.undefined:
        notes.append(
            f"On {undefined} of {setting.queries} queries one of the two models gives every candidate the same score. "
            "There is no order to compare; they are left out of the means of agreement and recall."
        )
    late = report.kept[setting.teacher].share95
    if late is not None and not setting.exhaustive and late > _LATE * setting.pool:
        notes.append(
            f"95 % of the teacher's top 10 needs the first {late:,} of {setting.pool:,}: more of it may lie behind the "
            "pool. Take a larger pool, or exhaustive."
        )
    return [*notes, *_judgment_notes(report)]


def _judgment_notes(report: GapReport) -> list[str]:
    judged = report.judged
    if judged is None:
        return [
            "Without judgments nothing here says who is right, the bi-encoder or its teacher: only where they differ."
        ]
    notes = []
    if (gain := judged.cross_encoder_gain).high is not None and gain.high < 0:
        notes.append(
            f"By the judgments the cross-encoder alone orders worse than the bi-encoder ({_points(gain)} of nDCG@10): "
            "where they differ, the bi-encoder is right more often than its teacher. Agreement with it is no merit."
        )
    if (gain := judged.two_stage_gain).low is not None and gain.low <= 0:
        notes.append(
            f"By the judgments both stages gain {_points(gain)} of nDCG@10 over the first alone: not surely more than "
            "none on these queries."
        )
    return notes


def _points(gain: Distribution) -> str:
    assert gain.mean is not None
    assert gain.low is not None
    assert gain.high is not None
    return f"{gain.mean * 100:+.1f} points, {gain.low * 100:+.1f} to {gain.high * 100:+.1f},".replace("-", "−")
