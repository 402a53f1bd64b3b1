"""What a gap report holds: plain values, and how they become JSON, a page and a summary."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bicross.evaluation.agreement import Bin, Doubles
from bicross.evaluation.depth import Budget, DepthPoint, WeightPoint
from bicross.evaluation.timing import Timing
from bicross.evaluation.worst import WorstQuery

Teacher = Literal["cross_encoder", "final"]
"""Whose order is the teacher's: the cross-encoder's alone, or the retriever's final one, the weighted sum."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A measure over the queries.

    Attributes:
        mean: Over the queries where it is defined; None where it is for none.
        low, high: 95 % bootstrap interval of the mean.
        p10, median, p90: Percentiles.
        undefined: Queries where it isn't defined: a constant scorer, or no more candidates than the cut.
    """

    mean: float | None
    low: float | None
    high: float | None
    p10: float | None
    median: float | None
    p90: float | None
    undefined: int

    @classmethod
    def of(cls, values: Doubles, seed: int) -> Distribution:
        """The distribution of a value a query; NaN is an undefined one."""
        from bicross.evaluation.statistics import bootstrap_interval

        known = values[~np.isnan(values)]
        undefined = len(values) - len(known)
        if len(known) == 0:
            return cls(None, None, None, None, None, None, undefined)
        p10, median, p90 = np.quantile(known, [0.1, 0.5, 0.9]).tolist()
        low, high = bootstrap_interval(known, seed=seed)
        return cls(float(known.mean()), low, high, p10, median, p90, undefined)


@dataclass(frozen=True, slots=True)
class Agreement:
    """The student's order against the teacher's, on the first ``candidates`` of every query.

    Attributes:
        tau: Kendall's tau-b.
        spearman: Spearman's rank correlation.
        ndcg: nDCG@10 of the student's order with the teacher's scores as gains.
        ndcg_by_chance: What a random order would score in it.
        top1, top10: Share of the teacher's best 1 and best 10 that are the student's, too.
    """

    tau: Distribution
    spearman: Distribution
    ndcg: Distribution
    ndcg_by_chance: float | None
    top1: Distribution
    top10: Distribution


@dataclass(frozen=True, slots=True)
class Beside:
    """Another scorer on the same candidates, such as a late-interaction model.

    Attributes:
        scorer: Its name.
        fingerprint: As the cache knows it.
        agreement: Of its order with the teacher's.
        judged: nDCG@10 of its order by the judgments; None without judgments.
    """

    scorer: str
    fingerprint: str
    agreement: Agreement
    judged: Distribution | None


@dataclass(frozen=True, slots=True)
class RecallPoint:
    """How much of the top 10 of an order lies within the bi-encoder's first k, over the queries.

    Attributes:
        k: How many of the bi-encoder's.
        cross_encoder, final: Mean recall of the top 10 of the cross-encoder alone, and of the final order.
        low: 10th percentile of the teacher's.
    """

    k: int
    cross_encoder: float
    final: float
    low: float


@dataclass(frozen=True, slots=True)
class Kept:
    """The smallest k that keeps 95 and 99 % of something; None where none does."""

    share95: int | None
    share99: int | None


@dataclass(frozen=True, slots=True)
class QueryFigures:
    """One query: agreement on its candidates, recall of the teacher's top 10, judged quality; None: undefined."""

    id: str
    tau: float | None
    spearman: float | None
    ndcg: float | None
    top1: float | None
    top10: float | None
    recall_in_candidates: float | None
    judged_first_stage: float | None
    judged_two_stage: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """nDCG@10 by the judgments, with ``candidates`` reranked.

    Attributes:
        first_stage, cross_encoder, two_stage: The bi-encoder's order, the cross-encoder's alone, and the final one.
        cross_encoder_gain, two_stage_gain: Of the last two over the first stage, query by query.
        weights: Of the final order, over the first stage's weight.
        recommended_weight, reason: The weight to take, and why.
    """

    first_stage: Distribution
    cross_encoder: Distribution
    two_stage: Distribution
    cross_encoder_gain: Distribution
    two_stage_gain: Distribution
    weights: list[WeightPoint]
    recommended_weight: float
    reason: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """Does the bi-encoder's similarity predict the teacher's score?

    Attributes:
        pooled: Spearman's correlation over all candidates of all queries together.
        by_query: The same within each query.
        bins: The reliability curve.
    """

    pooled: float | None
    by_query: Distribution
    bins: list[Bin]


@dataclass(frozen=True, slots=True)
class Setting:
    """What was compared, and how.

    Attributes:
        name: The data set.
        documents, queries: How many were searched, and how many were asked.
        pool: How many candidates a query was scored on.
        exhaustive: Whether these were all documents.
        candidates: On how many the orders are compared.
        teacher: Whose order is the teacher's.
        stage1_weight: Weight of the first stage in the final order.
        bi_encoder, cross_encoder: Names.
        fingerprints: Of both, as the caches know them.
        units: Of the ``student``'s similarity and of the ``teacher``'s scores.
        seed: Of the sample and the intervals.
    """

    name: str
    documents: int
    queries: int
    pool: int
    exhaustive: bool
    candidates: int
    teacher: Teacher
    stage1_weight: float
    bi_encoder: str
    cross_encoder: str
    fingerprints: dict[str, str]
    units: dict[str, str]
    seed: int


@dataclass(frozen=True, slots=True)
class GapReport:
    """What `gap_report` found; write it with `to_html`, `to_json` or `summary`.

    Attributes:
        setting: What was compared.
        agreement: Of the two orders on the candidates.
        beside: Other scorers against the same teacher.
        recall: Of the teacher's top 10 within the bi-encoder's first k; empty where it is undefined.
        kept: The smallest k by name: ``cross_encoder`` and ``final`` (their top 10), and with judgments
            ``two_stage_ndcg`` (of the best over the depths).
        recommended_candidates: How many the first stage should hand to the second; None where nothing can be said.
        recommended_because: The reason.
        depths: Quality over rerank depth.
        timing: Milliseconds, measured here; None where they weren't asked for.
        budgets: What 50, 150 and 500 ms buy; empty without ``timing``.
        judged: Quality by the judgments; None without judgments.
        calibration: Whether the similarity predicts the teacher's score.
        worst: The queries on which the orders differ most.
        per_query: Figures of every query.
        notes: What a reader must know to read the figures right.
    """

    setting: Setting
    agreement: Agreement
    beside: list[Beside]
    recall: list[RecallPoint]
    kept: dict[str, Kept]
    recommended_candidates: int | None
    recommended_because: str
    depths: list[DepthPoint]
    timing: Timing | None
    budgets: list[Budget]
    judged: Judged | None
    calibration: Calibration
    worst: list[WorstQuery]
    per_query: list[QueryFigures]
    notes: list[str]

    def as_dict(self) -> dict[str, Any]:
        """All values as JSON has them; None stands for what is undefined."""
        return asdict(self)

    def to_json(self) -> str:
        """All values as JSON, without NaN."""
        return json.dumps(self.as_dict(), ensure_ascii=False, allow_nan=False, indent=2)

    def to_html(self, path: str | Path) -> Path:
        """Write one page that needs nothing beside it: no script, no network.

        Raises:
            MissingExtraError: The extra ``evaluation`` isn't installed.
        """
        from bicross.evaluation.page import render

        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render(self), encoding="utf-8")
        return target

    def summary(self) -> str:
        """The main figures as text of 100 columns."""
        from bicross.evaluation.terminal import as_text

        return as_text(self)
