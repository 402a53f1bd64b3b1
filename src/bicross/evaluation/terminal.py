"""A gap report's main figures in the terminal."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from bicross.evaluation.page import TEACHERS, milliseconds, number, percent

if TYPE_CHECKING:
    from rich.console import Console

    from bicross.evaluation.depth import Budget
    from bicross.evaluation.findings import Distribution, GapReport

_WIDTH = 100


def as_text(report: GapReport) -> str:
    """The summary without colours."""
    from rich.console import Console

    out = io.StringIO()
    print_summary(report, Console(file=out, width=_WIDTH, highlight=False, color_system=None))
    return out.getvalue()


def print_summary(report: GapReport, out: Console) -> None:
    """Print the main figures."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    setting = report.setting
    scope = "all documents" if setting.exhaustive else f"the first {setting.pool:,}"
    out.print(Text(f"Gap report: {setting.name}", style="bold"))
    out.print(
        f"Bi-encoder {setting.bi_encoder}, cross-encoder {setting.cross_encoder}; {setting.queries} queries, {scope} "
        f"of {setting.documents:,} scored. Teacher: {TEACHERS[setting.teacher]}.\n",
        markup=False,
    )
    agreement = report.agreement
    table = Table(title=f"agreement on the first {report.setting.candidates}", title_justify="left")
    for column in ("measure", "mean", "95 % interval", "chance"):
        table.add_column(column, justify="left" if column == "measure" else "right")
    table.add_row("Kendall's tau-b", *_spread(agreement.tau), number(0.0))
    table.add_row("nDCG@10, teacher's gains", *_spread(agreement.ndcg), number(agreement.ndcg_by_chance))
    table.add_row("top 1 is the same", *_spread(agreement.top1), number(1 / report.setting.candidates))
    table.add_row("shared top 10", *_spread(agreement.top10), number(min(10 / report.setting.candidates, 1.0)))
    out.print(table)
    if report.beside:
        out.print(_beside(report))
    recalls = {point.k: getattr(point, report.setting.teacher) for point in report.recall}
    shown = [f"{k:,}: {percent(recalls[k])}" for k in (10, 20, 50, 100, 200, 500, 1000) if k in recalls]
    if shown:
        out.print(f"Recall of the teacher's top 10 in the bi-encoder's first … {', '.join(shown)}", markup=False)
    out.print(_depths(report))
    if report.budgets:
        out.print(f"A query may take … {'; '.join(_bought(budget) for budget in report.budgets)}.", markup=False)
    calibration = report.calibration
    out.print(
        f"Similarity and teacher's score, Spearman: {number(calibration.pooled)} over all, "
        f"{number(calibration.by_query.mean)} within a query.",
        markup=False,
    )
    out.print(f"Recommended candidates: {report.recommended_candidates}: {report.recommended_because}.", markup=False)
    if report.judged is not None:
        weight = report.judged.recommended_weight
        out.print(f"Recommended stage1_weight: {weight:g}: {report.judged.reason}.", markup=False)
    for note in report.notes:
        out.print(Padding(Text(f"· {note}"), (0, 0, 0, 0)))


def _beside(report: GapReport) -> object:
    from rich.table import Table

    table = Table(title="others on the same candidates, against the same teacher", title_justify="left")
    judged = report.judged
    for column in ("", "tau-b", "nDCG@10, teacher's gains", "shared top 10", *(["nDCG@10, judged"] if judged else [])):
        table.add_column(column, justify="right" if column else "left", overflow="fold")
    rows = [(report.setting.bi_encoder, report.agreement, None if judged is None else judged.first_stage)]
    rows += [(each.scorer, each.agreement, each.judged) for each in report.beside]
    for name, near, quality in rows:
        shown = [number(values.mean) for values in (near.tau, near.ndcg, near.top10, quality) if values is not None]
        table.add_row(name, *shown)
    return table


def _spread(values: Distribution) -> tuple[str, str]:
    interval = "–" if values.low is None else f"{number(values.low)} to {number(values.high)}"
    return number(values.mean), interval


def _bought(budget: Budget) -> str:
    if budget.depth is None:
        return f"{milliseconds(budget.milliseconds)}: the first stage alone takes longer"
    quality = f"nearness {number(budget.agreement)}" if budget.ndcg is None else f"nDCG@10 {number(budget.ndcg)}"
    return f"{milliseconds(budget.milliseconds)}: {budget.depth:,} reranked, {quality}"


def _depths(report: GapReport) -> object:
    from rich.table import Table

    table = Table(title="final order by rerank depth", title_justify="left")
    judged, timed = report.judged is not None, report.timing is not None
    names = ["reranked", *(["time"] if timed else []), *(["nDCG@10"] if judged else []), "nearness to the deepest"]
    for name in names:
        table.add_column(name, justify="right")
    rows = [(f"{p.depth:,}", milliseconds(p.milliseconds), p.ndcg, p.agreement) for p in report.depths]
    for depth, spent, ndcg, nearness in rows:
        table.add_row(depth, *([spent] if timed else []), *([number(ndcg)] if judged else []), number(nearness))
    return table
