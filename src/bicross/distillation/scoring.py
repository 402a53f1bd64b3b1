"""Scores candidate lists with the teacher: once, into the score cache, which the gap report and training share."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bicross.arrays import unit_rows
from bicross.caches import ScoreCache, VectorCache, check_kept, check_kept_scores
from bicross.cross_encoder import raw_fingerprint
from bicross.distillation.lists import CandidateLists
from bicross.errors import ConfigurationError, InputError
from bicross.evaluation.counted import CountedEncoder, CountedScorer, query_fingerprint
from bicross.progress import progress
from bicross.types import Encoder, Floats, Scorer

Teacher = Scorer | Encoder | Sequence[Scorer | Encoder]
"""A scorer, a bi-encoder (its similarity), or several of them whose weighted sum is the teacher."""

BATCH = 512
_LISTS = 512
"""Lists whose vectors are in memory together."""


def score_candidates(
    lists: CandidateLists,
    teacher: Teacher,
    *,
    weights: Sequence[float] | None = None,
    cache_dir: str | Path | None = None,
    batch_size: int = BATCH,
    show_progress: bool | None = None,
) -> CandidateLists:
    """Scores every (query, candidate) pair that the cache doesn't know yet.

    Scores are stored batch by batch: a kill, or a full disk, loses one batch at most, and the same call goes on from
    there. Once all are known, no model is called.

    Args:
        lists: Without scores, or with older ones, which are replaced.
        teacher: A scorer; or several models, of which `weighted_teacher` makes one score.
        weights: One for each of several; None: equal ones.
        cache_dir: Folder of the caches. None: a temporary one, gone at the end.
        batch_size: Pairs of one call of a scorer.
        show_progress: Bar with rate and time left. None: on a terminal, once it takes more than two seconds.

    Returns:
        The lists with the teacher's scores. **Unit:** the raw logit of the first model; a bi-encoder's similarity where
        it is the only one. The metadata holds the teacher's fingerprint.

    Raises:
        ConfigurationError: Weights that don't fit the teacher.
        InputError: The teacher returned NaN, or gives all candidates of every query one score.
        FingerprintMismatchError: The model behind a hosted teacher's name isn't the one that filled the cache.
        StorageFullError: The disk is full; what was scored before is kept.
    """
    models, shares = _parts(teacher, weights)
    with tempfile.TemporaryDirectory(prefix="bicross-") if cache_dir is None else nullcontext(cache_dir) as folder:
        columns = [_scores(model, lists, Path(folder), batch_size, show_progress) for model in models]
    scores = columns[0] if len(models) == 1 else _weighted(lists, columns, shares)
    check_telling(lists, scores)
    noted = [{"fingerprint": _fingerprint(m), "weight": w} for m, w in zip(models, shares, strict=True)]
    return lists.with_scores(scores, teacher=noted)


def weighted_teacher(scores: npt.ArrayLike, weights: Sequence[float]) -> npt.NDArray[np.float64]:
    """Several models' scores of one query's candidates as one score, on the first model's scale.

    With z-scores z over the candidates and weights w that are divided by their sum, it is
    ``mean(s₁) + std(s₁) · Σ wᵢ · zᵢ``; for two models, what `bicross.ranking.weighted_sum` gives. Models whose scores
    are all equal say nothing, and add nothing.

    Args:
        scores: **Shape:** (models, candidates).
        weights: One for each model.

    Returns:
        **Shape:** (candidates,). **Unit:** that of the first model.

    >>> weighted_teacher([[4.0, 0.0], [0.1, 0.3]], [3.0, 1.0]).tolist()
    [3.0, 1.0]
    """
    table = np.asarray(scores, dtype=np.float64)
    mean, spread = table.mean(axis=1, keepdims=True), table.std(axis=1, keepdims=True)
    z = np.divide(table - mean, spread, out=np.zeros_like(table), where=spread > 0)
    shares = np.asarray(weights, dtype=np.float64) / float(sum(weights))
    return np.asarray(mean[0] + spread[0] * (shares @ z))


def teacher_fingerprint(teacher: Teacher, weights: Sequence[float] | None = None) -> list[list[str | float]]:
    """What the teacher's scores depend on: fingerprint and weight of each of its models.

    Raises:
        ConfigurationError: Weights that don't fit the teacher.
    """
    return [[_fingerprint(model), share] for model, share in zip(*_parts(teacher, weights), strict=True)]


def _parts(teacher: Teacher, weights: Sequence[float] | None) -> tuple[list[Scorer | Encoder], list[float]]:
    models = list(teacher) if isinstance(teacher, Sequence) else [teacher]
    shares = [1.0] * len(models) if weights is None else [float(weight) for weight in weights]
    if not models or len(shares) != len(models):
        raise ConfigurationError(f"A teacher is one model or more, with a weight for each; got {len(models)} models "
                                 f"and {len(shares)} weights.")  # fmt: skip
    if min(shares) < 0 or not sum(shares) > 0:
        raise ConfigurationError(f"Weights of a teacher's models are 0 or more, and not all 0; got {shares!r}.")
    for model in models:
        if not isinstance(model, Scorer | Encoder):
            raise ConfigurationError(
                f"A teacher is a Scorer (such as a CrossEncoder) or an Encoder (such as a BiEncoder); got "
                f"{type(model).__name__}."
            )
    return models, shares


def _fingerprint(model: Scorer | Encoder) -> str:
    if isinstance(model, Scorer):
        return raw_fingerprint(model)
    return f"{model.document_fingerprint} {query_fingerprint(model)}"


def _scores(model: Scorer | Encoder, lists: CandidateLists, folder: Path, batch: int, show: bool | None) -> Floats:
    """One model's scores of all pairs. **Shape:** (pairs,)."""
    if not isinstance(model, Scorer):
        return _similarities(model, lists, folder, batch, show)
    return scored_pairs(model, list(lists.iter_pairs()), folder, batch_size=batch, show_progress=show)


def scored_pairs(
    scorer: Scorer,
    pairs: Sequence[tuple[str, str]],
    folder: Path,
    *,
    batch_size: int = BATCH,
    show_progress: bool | None = None,
) -> Floats:
    """A scorer's raw scores, from the score cache of a folder where it knows them. **Shape:** (len(pairs),).

    Raises:
        FingerprintMismatchError: The model behind a hosted scorer's name isn't the one that filled the cache.
        InputError: The scorer returned NaN.
    """
    counted = CountedScorer(scorer)
    with ScoreCache(folder) as cache:
        check_kept_scores(cache, scorer)
        scores = cache.score(raw_fingerprint(scorer), pairs, counted, batch_size, show_progress=show_progress)
    counted.warn()
    return scores


def _similarities(model: Encoder, lists: CandidateLists, folder: Path, batch: int, show: bool | None) -> Floats:
    """Similarity of all pairs, from cached vectors. **Shape:** (pairs,)."""
    queries, documents = CountedEncoder(model, "query"), CountedEncoder(model, "document")
    dot = getattr(model, "similarity_name", "cosine") == "dot"
    parts = [np.zeros(0, dtype=np.float32)]
    remaining = iter(lists)
    with VectorCache(folder) as cache, progress("similarities", len(lists), show) as advance:
        check_kept(cache, model)
        while block := list(islice(remaining, _LISTS)):
            ids = list(dict.fromkeys(d for one in block for d in one.document_ids))
            texts = [lists.documents[document_id] for document_id in ids]
            left = cache.encode(query_fingerprint(model), [one.query for one in block], queries, batch)
            right = cache.encode(model.document_fingerprint, texts, documents, batch)
            if not dot:
                left, right = unit_rows(left), unit_rows(right)
            place = {document_id: row for row, document_id in enumerate(ids)}
            parts += [
                right[[place[d] for d in one.document_ids]] @ vector for one, vector in zip(block, left, strict=True)
            ]
            advance(len(block))
    queries.warn()
    documents.warn()
    return np.concatenate(parts)


def _weighted(lists: CandidateLists, columns: Sequence[Floats], shares: Sequence[float]) -> Floats:
    table = np.stack(columns)
    total = np.empty(lists.pairs, dtype=np.float32)
    for start, end in lists.spans():
        if end > start:
            total[start:end] = weighted_teacher(table[:, start:end], shares)
    return total


def check_telling(lists: CandidateLists, scores: Floats) -> None:
    """Whether a teacher's scores tell the candidates of any query apart. **Shape** of scores: (pairs,).

    Raises:
        InputError: They don't; names what to do instead.
    """
    spans = [(start, end) for start, end in lists.spans() if end - start > 1]
    if spans and all(np.ptp(scores[start:end]) == 0 for start, end in spans):
        raise InputError(
            f"A teacher tells candidates apart; this one scores all candidates of each of {len(spans)} queries equally "
            f"({scores[spans[0][0]]:g}). There is nothing to distil. Check that the right model was loaded. Or train a "
            "teacher on labels: bicross train-reranker. Or train the student on labels without a teacher: bicross "
            "distill --loss contrastive=1."
        )
