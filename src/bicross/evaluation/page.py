"""A gap report as one HTML page: no script, no network, every text escaped by the template engine."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from bicross.errors import MissingExtraError
from bicross.evaluation.plots import MUTED, ONE, TWO, Plot

if TYPE_CHECKING:
    from bicross.evaluation.findings import GapReport

_TICKS = (10, 100, 1000, 10_000, 100_000, 1_000_000)
TEACHERS = {"cross_encoder": "the cross-encoder alone", "final": "the final order"}


def render(report: GapReport) -> str:
    """The page.

    Raises:
        MissingExtraError: The extra ``evaluation`` isn't installed.
    """
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError as error:
        raise MissingExtraError('A page needs Jinja2: pip install "bicross[evaluation]"') from error
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=number, percent=percent, ms=milliseconds)
    template = environment.from_string(files(__package__).joinpath("gap.html.j2").read_text("utf-8"))
    here = {point.k: getattr(point, report.setting.teacher) for point in report.recall}
    advised = report.recommended_candidates
    spent = None if report.timing is None or advised is None else report.timing.milliseconds(advised)
    return template.render(
        r=report,
        teacher=TEACHERS[report.setting.teacher],
        plots=_plots(report),
        recall_here=here.get(report.setting.candidates),
        advised_ms=spent,
    )


def number(value: float | None, digits: int = 3) -> str:
    """A figure for reading; a dash where it is undefined.

    >>> number(0.12345), number(None)
    ('0.123', '–')
    """
    return "–" if value is None else f"{value:,.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    """A share for reading.

    >>> percent(0.954)
    '95.4 %'
    """
    return "–" if value is None else f"{value * 100:.1f} %"


def milliseconds(value: float | None) -> str:
    """A duration for reading.

    >>> milliseconds(7.25), milliseconds(1234.5)
    ('7.2 ms', '1,234 ms')
    """
    if value is None:
        return "–"
    return f"{value:.1f} ms" if value < 10 else f"{value:,.0f} ms"


def _plots(report: GapReport) -> dict[str, str]:
    """The plots by name; those without anything to show are left out."""
    plots = {}
    taus = [query.tau for query in report.per_query if query.tau is not None]
    if taus:
        plots["tau"] = _tau(taus)
    if report.recall and report.setting.pool > 1:
        plots["recall"] = _recall(report)
    if report.depths[-1].agreement is not None and report.setting.pool > 1:
        plots["depth"] = _depth(report)
    if report.judged is not None:
        plots["weight"] = _weight(report)
    if len(report.calibration.bins) > 1:
        plots["calibration"] = _calibration(report)
    return plots


def _ticks(first: int, last: int) -> list[int]:
    """Round numbers between two, far enough from the last that the labels don't touch."""
    return [first, *(tick for tick in _TICKS if first < tick < last / 2.5), last]


def _tau(taus: Sequence[float]) -> str:
    with Plot("tau", "How many queries have which Kendall tau") as plot:
        edges = [-1 + 0.1 * step for step in range(21)]
        plot.axes.hist(taus, bins=edges, color=ONE, histtype="stepfilled")
        mean = sum(taus) / len(taus)
        plot.axes.axvline(mean, color=TWO, linestyle="--", label=f"mean {mean:.2f}")
        plot.axes.set_xlim(min(-0.2, min(taus) - 0.1), 1)
        plot.axes.locator_params(axis="y", integer=True)
        plot.labels("Kendall's tau-b of a query", "queries")
        plot.axes.legend(loc="upper right")
    return plot.svg


def _recall(report: GapReport) -> str:
    with Plot("recall", "Recall of the teacher's top 10 within the bi-encoder's first k") as plot:
        ks = [point.k for point in report.recall]
        own = [getattr(point, report.setting.teacher) for point in report.recall]
        other = "final" if report.setting.teacher == "cross_encoder" else "cross_encoder"
        plot.axes.fill_between(ks, [point.low for point in report.recall], own, color=ONE, alpha=0.15, linewidth=0)
        plot.axes.plot(ks, own, color=ONE, label=f"of {TEACHERS[report.setting.teacher]}")
        if report.setting.stage1_weight:
            values = [getattr(point, other) for point in report.recall]
            plot.axes.plot(ks, values, color=TWO, linestyle="--", label=f"of {TEACHERS[other]}")
        plot.axes.axhline(0.95, color=MUTED, linewidth=0.8, linestyle=":")
        plot.counted_axis(_ticks(1, report.setting.pool))
        plot.axes.set_ylim(0, 1.02)
        plot.labels("the bi-encoder's first k", "recall of the top 10")
        plot.axes.legend(loc="lower right")
    return plot.svg


def _depth(report: GapReport) -> str:
    with Plot("depth", "Quality over rerank depth") as plot:
        depths = [point.depth for point in report.depths]
        if report.judged is not None:
            low, high, mean = (np.array([getattr(p, name) for p in report.depths]) for name in ("low", "high", "ndcg"))
            plot.axes.fill_between(depths, low, high, color=ONE, alpha=0.15, linewidth=0)
            plot.axes.plot(depths, mean, color=ONE, marker="o", markersize=3, label="judgments")
        near = [(point.depth, point.agreement) for point in report.depths if point.agreement is not None]
        plot.axes.plot(*zip(*near, strict=True), color=TWO, linestyle="--", label="nearness to the deepest order")
        ticks = _ticks(0, report.setting.pool)
        plot.counted_axis(ticks, from_zero=True)
        plot.axes.set_ylim(0, 1.02)
        plot.labels("candidates reranked", "nDCG@10")
        if report.timing is not None:
            spent = [report.timing.milliseconds(tick) for tick in ticks]
            plot.top_axis(ticks, [f"{value:,.0f}" for value in spent], "milliseconds a query, on this machine")
        plot.axes.legend(loc="lower right")
    return plot.svg


def _weight(report: GapReport) -> str:
    judged = report.judged
    assert judged is not None
    with Plot("weight", "nDCG@10 by the judgments over the first stage's weight") as plot:
        weights = [point.weight for point in judged.weights]
        low, high = [point.low for point in judged.weights], [point.high for point in judged.weights]
        plot.axes.fill_between(weights, low, high, color=ONE, alpha=0.15, linewidth=0)
        plot.axes.plot(weights, [point.ndcg for point in judged.weights], color=ONE)
        plot.axes.axvline(
            report.setting.stage1_weight, color=MUTED, linestyle=":", label=f"in use, {report.setting.stage1_weight:g}"
        )
        if judged.recommended_weight != report.setting.stage1_weight:
            weight = judged.recommended_weight
            plot.axes.axvline(weight, color=TWO, linestyle="--", label=f"recommended, {weight:g}")
        plot.axes.set_xlim(0, 1)
        plot.labels("stage1_weight (1: the first stage's order)", "nDCG@10")
        plot.axes.legend(loc="lower center")
    return plot.svg


def _calibration(report: GapReport) -> str:
    with Plot("calibration", "The teacher's score over the bi-encoder's similarity") as plot:
        bins = report.calibration.bins
        similarity = [each.similarity for each in bins]
        low, high = [each.low for each in bins], [each.high for each in bins]
        plot.axes.fill_between(
            similarity, low, high, color=ONE, alpha=0.15, linewidth=0, label="10th to 90th percentile"
        )
        plot.axes.plot(similarity, [each.teacher for each in bins], color=ONE, marker="o", markersize=3, label="mean")
        plot.labels(
            f"the bi-encoder's similarity ({report.setting.units['student']})",
            f"teacher ({report.setting.units['teacher']})",
        )
        plot.axes.legend(loc="upper left")
    return plot.svg
