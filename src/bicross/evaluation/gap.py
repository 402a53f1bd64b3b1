"""`gap_report`: what a bi-encoder misses of what the cross-encoder behind it knows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from bicross.arguments import check_count
from bicross.cross_encoder import CrossEncoder, raw_fingerprint, raw_scores
from bicross.errors import ConfigurationError, MissingExtraError, TruncationWarning
from bicross.evaluation.analysis import Other, Scores, findings
from bicross.evaluation.datasets import Dataset, load_dataset
from bicross.evaluation.findings import GapReport, Setting, Teacher
from bicross.evaluation.stages import Stages
from bicross.evaluation.timing import SAMPLE, Timing, seconds_each, time_stages
from bicross.progress import announce
from bicross.ranking import weighted_sums
from bicross.second_stage import SecondStage
from bicross.types import Encoder, Scorer


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
    beside: Sequence[Scorer] = (),
    teacher: Teacher = "cross_encoder",
    stage1_weight: float | None = None,
    timing: bool = True,
    cache_dir: str | Path | None = None,
    seed: int = 0,
    show_progress: bool | None = None,
) -> GapReport:
    """Measure the gap between a bi-encoder and the cross-encoder behind it on a corpus.

    The cross-encoder scores the bi-encoder's first ``pool`` documents of each query. Killed at any moment, the same
    call with the same ``cache_dir`` goes on; whatever is in that folder's caches isn't computed again.

    Args:
        bi_encoder: The student.
        cross_encoder: What reorders.
        data: A corpus and queries; judgments aren't needed, and add what only they can say. See `load_dataset`.
        split: The judgments' split, for folders.
        queries: How many, drawn with the seed; all where there are fewer.
        pool: How many of the bi-encoder's best documents are scored for each query. The teacher's top 10 is sought
            among them: the recall is an upper bound of that within the whole corpus.
        exhaustive: Score every document for every query instead; says how many pairs and minutes that is before it
            starts.
        candidates: On how many of the best the two orders are compared, and the weights tried.
        beside: Other scorers, such as a `LateInteractionReranker`, whose order of the same candidates is compared with
            the teacher's, too.
        teacher: ``"cross_encoder"``: its order alone, the default, because the final order holds the student's own
            score, and agreeing with oneself proves nothing. ``"final"``: the weighted sum, which is what users get.
        stage1_weight: Weight of the first stage in the final order. None: the one that the cross-encoder carries.
        timing: Measure milliseconds; scores up to 705 pairs of five queries outside of the cache, each time. Without
            it, ``exhaustive`` scores 65 pairs for its estimate of minutes.
        cache_dir: Folder of vectors and scores. None: nothing is kept.
        seed: Of the sample and the bootstrap intervals.
        show_progress: None: on a terminal, once it takes more than two seconds.

    Raises:
        ConfigurationError: An option that makes no sense, or a cross-encoder with several labels.
        InputError: No documents or no queries; or a vector or score that isn't finite: earlier ones are kept.
        MissingExtraError: The extra ``evaluation`` isn't installed.
    """
    _check_extra()
    _check(queries=queries, pool=pool, candidates=candidates)
    weight = SecondStage(cross_encoder, stage1_weight).stage1_weight
    for scorer in beside:
        SecondStage(scorer, 0.0)  # it must be one that can reorder
    if teacher not in get_args(Teacher):
        raise ConfigurationError(f"teacher must be one of {', '.join(get_args(Teacher))}, got {teacher!r}.")
    if teacher == "final" and weight == 1.0:
        raise ConfigurationError("With stage1_weight 1 the final order is the student's own. Take another teacher.")
    loaded = load_dataset(data, split, judged=False).sample(queries, seed=seed)
    with Stages(bi_encoder, cross_encoder, cache_dir=cache_dir) as stages:
        wanted = max(len(loaded.documents), 1) if exhaustive else pool
        positions, first = stages.candidates(loaded, wanted, show_progress=show_progress)
        measured = _timed(stages, loaded, positions) if timing else None
        pace = None if measured is None else measured.per_pair
        if pace is None and exhaustive and show_progress is not False:
            pace = _pace(cross_encoder, loaded, positions)
        _announce_cost(positions.size, pace, exhaustive, show_progress)
        cross = stages.cross_scores(loaded, positions, show_progress=show_progress)
    count = min(candidates, positions.shape[1])
    others = []
    for scorer in beside:
        with Stages(bi_encoder, scorer, cache_dir=cache_dir) as stages:
            found = stages.cross_scores(loaded, positions[:, :count], show_progress=show_progress)
        others.append(Other(_name(scorer), raw_fingerprint(scorer), found))
    final = weighted_sums(first, cross, weight)
    chosen = final if teacher == "final" else cross.astype(np.float64)
    scores = Scores(positions, first, cross, final, chosen, count)
    own = isinstance(cross_encoder, CrossEncoder)
    setting = Setting(
        name=loaded.name,
        documents=len(loaded.documents),
        queries=len(loaded.queries),
        pool=positions.shape[1],
        exhaustive=exhaustive or positions.shape[1] == len(loaded.documents),
        candidates=scores.candidates,
        teacher=teacher,
        stage1_weight=weight,
        bi_encoder=_name(bi_encoder),
        cross_encoder=_name(cross_encoder),
        fingerprints={
            "bi_encoder": bi_encoder.document_fingerprint,
            "cross_encoder": raw_fingerprint(cross_encoder),
        },
        units={
            "student": str(getattr(bi_encoder, "similarity_name", "cosine")),
            "teacher": "logit" if own else str(getattr(cross_encoder, "score_unit", "score")),
        },
        seed=seed,
    )
    return findings(loaded, scores, setting, measured, wanted=wanted, others=others)


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


def _pace(cross: Scorer, data: Dataset, positions: npt.NDArray[np.int32]) -> float:
    """Milliseconds of a pair, by a sample from all that may be scored, outside of the cache."""
    texts, queries = list(data.documents.values()), list(data.queries.values())
    some = np.random.default_rng(0).integers(positions.size, size=SAMPLE).tolist()
    pairs = [(queries[place // positions.shape[1]], texts[positions.flat[place]]) for place in some]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TruncationWarning)  # as in _timed
        return 1e3 * seconds_each(lambda count: raw_scores(cross, pairs[:count]))


def _announce_cost(pairs: int, pace: float | None, exhaustive: bool, show_progress: bool | None) -> None:
    """**Unit** of pace: milliseconds of a pair; None where nothing was timed."""
    spent = "" if pace is None else f", about {max(pairs * pace / 60_000, 0.1):,.1f} minutes here"
    text = f"scoring at most {pairs:,} pairs{spent}; those in the cache are not scored again"
    announce(text, True if exhaustive and show_progress is None else show_progress)


def _check_extra() -> None:
    """Say before anything is scored that something is missing, not after."""
    if find_spec("scipy") is None or find_spec("ir_measures") is None:
        raise MissingExtraError('A gap report needs scipy and ir-measures: pip install "bicross[evaluation]"')


def _check(**counts: Any) -> None:
    for name, count in counts.items():
        check_count(count, name)


def _name(model: object) -> str:
    return str(getattr(model, "name", None) or type(model).__name__)
