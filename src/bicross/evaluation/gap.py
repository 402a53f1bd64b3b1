"""`gap_report`: what a bi-encoder misses of what the cross-encoder behind it knows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from bicross.cross_encoder import CrossEncoder, raw_fingerprint, raw_scores
from bicross.errors import ConfigurationError, TruncationWarning
from bicross.evaluation import agreement, depth
from bicross.evaluation.advice import advised_depth, advised_weight, notes_on
from bicross.evaluation.agreement import Doubles
from bicross.evaluation.datasets import Dataset, load_dataset
from bicross.evaluation.findings import (
    Agreement,
    Calibration,
    Distribution,
    GapReport,
    Judged,
    Kept,
    QueryFigures,
    RecallPoint,
    Teacher,
    value,
)
from bicross.evaluation.judging import Judge
from bicross.evaluation.stages import Stages
from bicross.evaluation.timing import Timing, time_stages
from bicross.evaluation.worst import worst_queries
from bicross.progress import announce
from bicross.second_stage import SecondStage
from bicross.types import Encoder, Floats, Scorer

_RECALL_POINTS = 60
_NAMED_POINTS = (10, 20, 50, 100, 200, 500, 1000)


@dataclass(frozen=True)
class Scores:
    """Both stages' scores of every query's pool, in the first stage's order.

    Attributes:
        positions: In the data set's documents. **Shape:** (queries, pool).
        first: The bi-encoder's similarities. **Shape:** as ``positions``.
        cross: The cross-encoder's scores before its activation. **Shape:** as ``positions``.
        final: The weighted sum over the whole pool. **Shape:** as ``positions``.
        teacher: One of the last two.
        candidates: How many columns the orders are compared on.
    """

    positions: npt.NDArray[np.int32]
    first: Floats
    cross: Floats
    final: Doubles
    teacher: Doubles
    candidates: int

    @property
    def compared(self) -> tuple[Floats, Doubles]:
        """The student's and the teacher's scores of the candidates."""
        return self.first[:, : self.candidates], self.teacher[:, : self.candidates]


def gap_report(
    bi_encoder: Encoder,
    cross_encoder: Scorer,
    data: Dataset | str | Path | Mapping[str, Any],
    *,
    split: str = "test",
    queries: int = 50,
    pool: int = 1000,
    exhaustive: bool = False,
    candidates: int = 100,
    teacher: Teacher = "cross_encoder",
    stage1_weight: float | None = None,
    timing: bool = True,
    cache_dir: str | Path | None = None,
    seed: int = 0,
    show_progress: bool | None = None,
) -> GapReport:
    """Measure the gap between a bi-encoder and the cross-encoder behind it on a corpus.

    The cross-encoder scores the bi-encoder's first ``pool`` documents of each query. Killed at any moment, the same call
    with the same ``cache_dir`` goes on; whatever is in that folder's caches isn't computed again.

    Args:
        bi_encoder: The student.
        cross_encoder: What reorders.
        data: A corpus and queries; judgments aren't needed, and add what only they can say. See `load_dataset`.
        split: The judgments' split, for folders.
        queries: How many, drawn with the seed; all where there are fewer.
        pool: How many of the bi-encoder's best documents are scored for each query. The teacher's top 10 is sought
            among them: the recall is an upper bound of that within the whole corpus.
        exhaustive: Score every document for every query instead; says what it costs before it starts.
        candidates: On how many of the best the two orders are compared, and the weights tried.
        teacher: ``"cross_encoder"``: its order alone, the default, because the final order holds the student's own
            score, and agreeing with oneself proves nothing. ``"final"``: the weighted sum, which is what users get.
        stage1_weight: Weight of the first stage in the final order. None: the one that the cross-encoder carries.
        timing: Measure milliseconds; scores up to 705 pairs of five queries outside of the cache, each time.
        cache_dir: Folder of vectors and scores. None: nothing is kept.
        seed: Of the sample and the bootstrap intervals.
        show_progress: None: on a terminal, once it takes more than two seconds.

    Raises:
        ConfigurationError: An option that makes no sense, or a cross-encoder with several labels.
        InputError: No documents or no queries; or a score that isn't finite, and then all earlier ones are kept.
        MissingExtraError: The extra ``evaluation`` isn't installed.
    """
    _check(queries=queries, pool=pool, candidates=candidates)
    weight = SecondStage(cross_encoder, stage1_weight).stage1_weight
    if teacher not in get_args(Teacher):
        raise ConfigurationError(f"teacher must be one of {', '.join(get_args(Teacher))}, got {teacher!r}.")
    if teacher == "final" and weight == 1.0:
        raise ConfigurationError("With stage1_weight 1 the final order is the student's own. Take another teacher.")
    loaded = load_dataset(data, split, judged=False).sample(queries, seed=seed)
    with Stages(bi_encoder, cross_encoder, cache_dir=cache_dir) as stages:
        wanted = max(len(loaded.documents), 1) if exhaustive else pool
        positions, first = stages.candidates(loaded, wanted, show_progress=show_progress)
        pace = _timed(stages, loaded, positions) if timing else None
        _announce_cost(positions.size, pace, exhaustive, show_progress)
        cross = stages.cross_scores(loaded, positions, show_progress=show_progress)
    final = depth.final_scores(first, cross, weight)
    chosen = final if teacher == "final" else cross.astype(np.float64)
    scores = Scores(positions, first, cross, final, chosen, min(candidates, positions.shape[1]))
    own = isinstance(cross_encoder, CrossEncoder)
    context = {
        "name": loaded.name,
        "documents": len(loaded.documents),
        "queries": len(loaded.queries),
        "pool": positions.shape[1],
        "exhaustive": exhaustive or positions.shape[1] == len(loaded.documents),
        "candidates": scores.candidates,
        "teacher": teacher,
        "stage1_weight": weight,
        "bi_encoder": _name(bi_encoder),
        "cross_encoder": _name(cross_encoder),
        "fingerprints": {
            "bi_encoder": bi_encoder.document_fingerprint,
            "cross_encoder": raw_fingerprint(cross_encoder),
        },
        "units": {
            "student": str(getattr(bi_encoder, "similarity_name", "cosine")),
            "teacher": "logit" if own else str(getattr(cross_encoder, "score_unit", "score")),
        },
        "seed": seed,
        "timing": pace,
    }
    return _analysed(loaded, scores, context, wanted=pool)


def _analysed(data: Dataset, scores: Scores, context: dict[str, Any], *, wanted: int) -> GapReport:
    """All findings from the scores alone."""
    seed, weight, pace = context["seed"], context["stage1_weight"], context["timing"]
    judge = Judge(data, scores.positions) if data.qrels else None
    points = depth.depth_points(
        scores.first,
        scores.cross,
        weight,
        depth.depths_to(scores.positions.shape[1]),
        timing=pace,
        judge=judge,
        seed=seed,
    )
    by_query = _by_query(data, scores)
    recall, kept = _recall(scores)
    if judge is not None:
        kept["two_stage_ndcg"] = Kept(*(depth.smallest_point(points, share) for share in (0.95, 0.99)))
    judged = None if judge is None else _judged(scores, weight, judge, by_query, seed)
    advised, because = advised_depth(kept)
    report = GapReport(
        **context,
        agreement=_agreement(scores, by_query, seed),
        recall=recall,
        kept=kept,
        recommended_candidates=advised,
        recommended_because=because,
        depths=points,
        budgets=[] if pace is None else depth.budgets(scores.first, scores.cross, weight, pace, judge),
        judged=judged,
        calibration=_calibration(scores, seed),
        worst=worst_queries(data, scores.positions, scores.first, scores.teacher, by_query),
        per_query=[
            QueryFigures(query_id, **{name: value(float(row[i])) for name, row in by_query.items()})
            for i, query_id in enumerate(data.queries)
        ],
        notes=[],
    )
    report.notes.extend(notes_on(report, wanted))
    return report


def _by_query(data: Dataset, scores: Scores) -> dict[str, Doubles]:
    """Figures of every query, by name; NaN where one is undefined. **Shape** of each: (queries,)."""
    student, teacher = scores.compared
    unknown = np.full(len(data.queries), np.nan)
    return {
        "tau": agreement.kendall_tau(student, teacher),
        "spearman": agreement.spearman(student, teacher),
        "ndcg": agreement.ndcg(student, teacher),
        "top1": agreement.overlap(student, teacher, 1),
        "top10": agreement.overlap(student, teacher),
        "recall_in_candidates": agreement.teacher_recall(scores.first, scores.teacher)[:, scores.candidates - 1],
        "judged_first_stage": unknown,
        "judged_two_stage": unknown,
    }


def _agreement(scores: Scores, by_query: dict[str, Doubles], seed: int) -> Agreement:
    named = {name: Distribution.of(by_query[name], seed) for name in ("tau", "spearman", "ndcg", "top1", "top10")}
    chance = agreement.ndcg_by_chance(scores.compared[1])
    return Agreement(**named, ndcg_by_chance=_mean(chance[~np.isnan(by_query["ndcg"])]))


def _recall(scores: Scores) -> tuple[list[RecallPoint], dict[str, Kept]]:
    """Recall of both top 10s within the bi-encoder's first k, and the smallest k that keep 95 and 99 % of them."""
    curves, kept = {}, {}
    for name, order in (("cross_encoder", scores.cross), ("final", scores.final)):
        rows = agreement.teacher_recall(scores.first, order)
        curves[name] = rows[~np.isnan(rows[:, 0])]
        mean = curves[name].mean(axis=0) if len(curves[name]) else np.zeros(0)
        kept[name] = Kept(*(agreement.smallest_depth(mean, share) for share in (0.95, 0.99)))
    own = agreement.teacher_recall(scores.first, scores.teacher)
    own = own[~np.isnan(own[:, 0])]
    if not all(len(rows) for rows in (*curves.values(), own)):
        return [], kept
    count = own.shape[1]
    ks = {*np.geomspace(1, count, _RECALL_POINTS).round().astype(int).tolist(), *_NAMED_POINTS, scores.candidates, count}
    points = [
        RecallPoint(
            k,
            float(curves["cross_encoder"][:, k - 1].mean()),
            float(curves["final"][:, k - 1].mean()),
            float(np.quantile(own[:, k - 1], 0.1)),
        )
        for k in sorted(ks)
        if k <= count
    ]
    return points, kept


def _judged(scores: Scores, weight: float, judge: Judge, by_query: dict[str, Doubles], seed: int) -> Judged:
    """Quality by the judgments of the three orders and over the weight; fills in the figures of each query."""
    count = scores.candidates
    weights = sorted({*depth.WEIGHTS, weight})
    points, values = depth.weight_points(scores.first, scores.cross, weights, count, judge, seed)
    first = judge(depth.final_order(scores.first, scores.cross, 0.0, 0))
    two_stage = values[weights.index(weight)]
    by_query["judged_first_stage"], by_query["judged_two_stage"] = first, two_stage
    advised, because = advised_weight(weights, values, weight, seed)
    return Judged(
        queries=len(first),
        first_stage=Distribution.of(first, seed),
        cross_encoder=Distribution.of(values[weights.index(0.0)], seed),
        two_stage=Distribution.of(two_stage, seed),
        weights=points,
        recommended_weight=advised,
        reason=because,
    )


def _calibration(scores: Scores, seed: int) -> Calibration:
    return Calibration(
        agreement.pooled_spearman(scores.first, scores.teacher),
        Distribution.of(agreement.spearman(scores.first, scores.teacher), seed),
        agreement.reliability(scores.first, scores.teacher),
    )


def _timed(stages: Stages, data: Dataset, positions: npt.NDArray[np.int32]) -> Timing:
    """Both stages' milliseconds on the first few queries."""
    texts, queries = list(data.documents.values()), list(data.queries.values())
    vectors = stages.document_vectors(data)
    encoder, cross = stages.bi_encoder, stages.cross_encoder
    assert cross is not None
    some = [[texts[p] for p in row.tolist()] for row in positions[:10, :100]]

    def find(query: str) -> object:
        return np.argsort(-(vectors @ np.asarray(encoder.encode_query([query]))[0]))[:100]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # counted where the scores that count are computed
        return time_stages(find, lambda pairs: raw_scores(cross, pairs), queries, some)


def _announce_cost(pairs: int, pace: Timing | None, exhaustive: bool, show_progress: bool | None) -> None:
    spent = "" if pace is None else f", about {max(pairs * pace.per_pair / 60_000, 0.1):,.1f} minutes here"
    text = f"scoring at most {pairs:,} pairs{spent}; those in the cache are not scored again"
    announce(text, True if exhaustive and show_progress is None else show_progress)


def _check(**counts: Any) -> None:
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ConfigurationError(f"{name} must be a positive whole number, got {count!r}.")


def _name(model: object) -> str:
    return str(getattr(model, "name", None) or type(model).__name__)


def _mean(values: Doubles) -> float | None:
    return float(values.mean()) if len(values) else None
