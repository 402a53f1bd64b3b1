"""What a benchmark found: a row for every backend and precision, the check of the rule behind "auto", the advice."""

from __future__ import annotations

import dataclasses
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from bicross.encoding.backends.choosing import Choice

if TYPE_CHECKING:
    from rich.console import Console

TOLERANCE = 1.05
"""Times within 5 % of each other are equally fast: two runs of the same differ by as much."""
_WIDTH = 140
_CLOSE = 0.9999


@dataclass(frozen=True, slots=True)
class Row:
    """One way to compute; None where it wasn't measured. Times are medians of interleaved rounds.

    Attributes:
        name: "openvino bfloat16", or what stands beside.
        backend: Of bicross; None for what stands beside.
        precision: Likewise.
        passages_per_second: In bulk.
        tokens_per_second: Likewise; special tokens included, padding not.
        bulk_ms: All passages. **Unit:** milliseconds, as all times here.
        bulk_cpu_ms: Processor time of all threads.
        query_p50_ms: One query.
        query_p95_ms: 95th percentile.
        query_cpu_ms: Processor time.
        pairs_ms: The pairs of one query.
        pairs_cpu_ms: Processor time.
        worst_cosine: With torch's float32, over the passages.
        mean_cosine: Likewise.
        worst_logit_difference: From torch's float32, over the pairs.
        distinct_logits: Different scores among the pairs.
        shares: Of "tokenise", "compute", "pool" and "store" (writing to an embedded Qdrant), each measured alone.
        limit_share: Arithmetic a second, against what torch's matrix product reaches in this precision.
    """

    name: str
    backend: str | None = None
    precision: str | None = None
    passages_per_second: float | None = None
    tokens_per_second: float | None = None
    bulk_ms: float | None = None
    bulk_cpu_ms: float | None = None
    query_p50_ms: float | None = None
    query_p95_ms: float | None = None
    query_cpu_ms: float | None = None
    pairs_ms: float | None = None
    pairs_cpu_ms: float | None = None
    worst_cosine: float | None = None
    mean_cosine: float | None = None
    worst_logit_difference: float | None = None
    distinct_logits: int | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    limit_share: float | None = None


WORK = {"bulk": "bulk_ms", "query": "query_p50_ms", "pairs": "pairs_ms"}
"""Kinds of work, and the figure of a row by which the fastest is told."""


@dataclass(frozen=True, slots=True)
class AutoCheck:
    """What backend="auto" takes for a precision, beside the fastest that computes in it.

    Attributes:
        asked: The precision that was asked for.
        takes: The row's name.
        fastest: By kind of work.
        behind: Time of what it takes, against the fastest; 1 is equally fast.
        right: Whether it is within `TOLERANCE` of the fastest in every kind of work.
    """

    asked: str
    takes: str
    fastest: Mapping[str, str]
    behind: Mapping[str, float]
    right: bool


@dataclass(frozen=True, slots=True)
class BenchReport:
    """Speed of a pair of models on a machine.

    Attributes:
        machine: See `bicross.benchmarking.machine`.
        settings: Models, device, number of passages, their tokens, pairs, rounds.
        rows: In the order in which they were measured.
        auto: The check of the rule.
        limits: Operations a second of torch's matrix product, by precision.
        store_passages_per_second: Written to an embedded Qdrant.
        advice: What to use here.
        notes: What was left out, and why.
    """

    machine: Mapping[str, Any]
    settings: Mapping[str, Any]
    rows: Sequence[Row]
    auto: Sequence[AutoCheck]
    limits: Mapping[str, float]
    store_passages_per_second: float
    advice: str
    notes: Sequence[str]

    def row(self, name: str) -> Row:
        """A row by its name."""
        return next(row for row in self.rows if row.name == name)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(self.as_dict(), ensure_ascii=False)

    def __str__(self) -> str:
        from rich.console import Console

        out = io.StringIO()
        self.print(Console(file=out, width=_WIDTH, highlight=False, color_system=None))
        return out.getvalue()

    def print(self, out: Console) -> None:
        """The tables and the advice."""
        from bicross.benchmarking.terminal import print_report

        print_report(self, out)


def check_auto(rows: Sequence[Row], takes: Mapping[str, Choice]) -> list[AutoCheck]:
    """Whether the rule behind backend="auto" picks what is fastest here.

    Args:
        rows: What was measured.
        takes: What the rule takes, by the precision that was asked for.
    """
    found = []
    for asked, choice in takes.items():
        precisions = ("float32", "bfloat16") if asked == "auto" else (asked,)
        able = [row for row in rows if row.backend and row.precision in precisions]
        taken = next((row for row in able if (row.backend, row.precision) == choice), None)
        if taken is None:
            continue
        fastest, behind = {}, {}
        for work, figure in WORK.items():
            times = {row.name: getattr(row, figure) for row in able if getattr(row, figure) is not None}
            if taken.name in times:
                fastest[work] = min(times, key=lambda name: times[name])
                behind[work] = round(times[taken.name] / times[fastest[work]], 3)
        found.append(AutoCheck(asked, taken.name, fastest, behind, all(each <= TOLERANCE for each in behind.values())))
    return found


def advise(rows: Sequence[Row], auto: Sequence[AutoCheck]) -> str:
    """What to use here: the fastest in bulk whose vectors are those of float32, and what int8 would add."""
    timed = [row for row in rows if row.backend and row.bulk_ms is not None]
    close = [row for row in timed if (row.worst_cosine or 0.0) >= _CLOSE and row.precision != "int8"]
    if not close:
        return "Nothing here computes float32's vectors."
    best = min(close, key=_bulk)
    taken = next((check for check in auto if check.asked == "auto"), None)
    if taken is not None and any(row.name == taken.takes and _bulk(row) <= TOLERANCE * _bulk(best) for row in close):
        advice = f"Use precision='auto': {taken.takes}"
    else:
        advice = f"Use backend={best.backend!r}, precision={best.precision!r}"
    eights = [row for row in timed if row.precision == "int8"]
    if eights and _bulk(quick := min(eights, key=_bulk)) * TOLERANCE < _bulk(best):
        advice += (
            f". {quick.name} takes 1/{_bulk(best) / _bulk(quick):.1f} of its time in bulk, at a worst cosine of "
            f"{quick.worst_cosine:.4f} with float32; its index has another fingerprint"
        )
    return f"{advice}."


def _bulk(row: Row) -> float:
    return float("inf") if row.bulk_ms is None else row.bulk_ms
