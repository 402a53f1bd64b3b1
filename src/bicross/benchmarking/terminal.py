"""A benchmark in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from bicross.benchmarking.report import BenchReport, Row

_PARTS = ("tokenise", "compute", "pool", "store")


def print_report(report: BenchReport, out: Console) -> None:
    """Machine, figures, where the time goes, what "auto" takes, advice."""
    from rich.table import Table

    machine, settings = report.machine, report.settings
    sets = ", ".join(machine["instruction_sets"]) or "instruction sets unknown"
    out.print(f"{machine['processor']}, {machine['usable_cores']} cores, {sets}, on {settings['device']}", markup=False)
    out.print(
        f"{settings['passages']} passages of {settings['mean_tokens']:.0f} tokens, {settings['pairs']} pairs, a query "
        f"of {settings['query_tokens']} tokens; medians of {settings['rounds']} interleaved rounds",
        markup=False,
    )
    table = Table()
    pairs = ["pairs"] if settings["cross_encoder"] else []
    for name in ("", "texts/s", "tokens/s", "query", "p95", *pairs, "cosine", "limit"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for row in report.rows:
        scored = [_number(row.pairs_ms, 0)] if pairs else []
        table.add_row(
            row.name,
            _number(row.passages_per_second, 1),
            _number(row.tokens_per_second, 0),
            _number(row.query_p50_ms, 2),
            _number(row.query_p95_ms, 2),
            *scored,
            _number(row.worst_cosine, 5),
            _share(row.limit_share),
        )
    out.print(table)
    out.print(
        "Times in milliseconds: the median query, its 95th percentile, all pairs. cosine: the worst with torch's "
        "float32; limit: share of what torch's matrix product reaches in that precision.",
        markup=False,
    )
    out.print(_parts(report.rows))
    for precision, rate in report.limits.items():
        out.print(f"The limit in {precision}: {rate / 1e9:,.0f} GFLOP/s, torch's matrix product.", markup=False)
    for check in report.auto:
        behind = ", ".join(
            f"{work} {ratio:.2f} × the time of {check.fastest[work]}"
            for work, ratio in check.behind.items()
            if check.fastest[work] != check.takes
        )
        verdict = "the fastest" if not behind else behind + (" (as fast, within 5 %)" if check.right else "")
        out.print(f"precision={check.asked!r} takes {check.takes}: {verdict}.", markup=False)
    for note in report.notes:
        out.print(note, markup=False)
    out.print(report.advice, style="bold", markup=False)


def _parts(rows: Sequence[Row]) -> Table:
    from rich.table import Table

    table = Table(title="where the time goes from text to searchable, each part by itself", title_justify="left")
    for name in ("", *_PARTS):
        table.add_column(name, justify="right" if name else "left")
    for row in rows:
        if row.shares:
            table.add_row(row.name, *(_share(row.shares[part]) for part in _PARTS))
    return table


def _number(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:,.{digits}f}"


def _share(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.1f} %"
