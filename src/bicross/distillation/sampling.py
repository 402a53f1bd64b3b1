"""Chooses which scored candidates are trained on: the hardest, or some of every level of the teacher's scores."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.errors import ConfigurationError, InputError

logger = logging.getLogger(__name__)

STRATEGIES = ("stratified", "hard")


def sample_lists(
    lists: CandidateLists,
    count: int = 16,
    *,
    strategy: str = "stratified",
    false_negatives: float | None = 0.95,
    seed: int = 0,
) -> CandidateLists:
    """Shorter lists, chosen by the teacher's scores.

    Judged positives stay, up to half of a list. Where there is none, the candidate that the teacher scores highest
    becomes the positive: its kind is ``positive``, its label stays NaN.

    **False negatives.** An unjudged candidate that the teacher scores nearly as high as the positive is probably
    relevant too, and is left out. NV-Retriever (de Souza P. Moreira et al. 2024, arXiv 2407.15831, "TopK-PercPos") cuts
    at 95 % of the positive's score. Logits have no zero that a percentage could refer to, and may be negative, so here
    it is 95 % of the way from the list's lowest score to the positive's (of several, the highest):
    ``low + 0.95 · (positive − low)``. A shift or a scaling of the scores changes nothing. Trained on the teacher's
    scores, such candidates do no harm and show what it prefers (``false_negatives=None``); trained on labels, they
    teach the opposite.

    Args:
        lists: With scores.
        count: Candidates of a list at most.
        strategy: "stratified": sorted by score and cut into equally many equal parts as there are places, one is drawn
            from each part, which keeps the spread of the scores (Jang et al. 2026, arXiv 2604.04734, found it better
            than the highest alone). "hard": the highest.
        false_negatives: See above; None keeps all.
        seed: Of the draws.

    Returns:
        The lists that still have two candidates; the others are counted in the log.

    Raises:
        ConfigurationError: ``count`` below 2, an unknown strategy, or a share outside 0 … 1.
        InputError: A candidate has no score, or no list is left.
    """
    if count < 2:
        raise ConfigurationError(f"A list to learn an order from has two candidates or more; got count={count!r}.")
    if strategy not in STRATEGIES:
        raise ConfigurationError(f"strategy must be one of {STRATEGIES!r}; got {strategy!r}.")
    if false_negatives is not None and not 0 < false_negatives <= 1:
        raise ConfigurationError(f"false_negatives is a share above 0 and up to 1, or None; got {false_negatives!r}.")
    if np.isnan(lists.scores).any():
        raise InputError("Sampling needs a score of every candidate; some have none. Run score_candidates first.")
    dropped: Counter[str] = Counter()
    kept = list(_sampled(lists, count, strategy, false_negatives, seed, dropped))
    if dropped:
        logger.warning("sampling: %s", ", ".join(f"{n} {what}" for what, n in dropped.items()))
    if not kept:
        raise InputError(
            f"No list has two candidates left after the false-negative filter at {false_negatives!r}: the teacher "
            "scores the positives lowest. Check the judgments and the teacher, or pass false_negatives=None."
        )
    how = {"count": count, "strategy": strategy, "false_negatives": false_negatives, "seed": seed}
    return CandidateLists(kept, lists.documents, {**lists.metadata, "sampling": how})


def _sampled(
    lists: CandidateLists, count: int, strategy: str, share: float | None, seed: int, dropped: Counter[str]
) -> Iterator[ScoredList]:
    for one in lists:
        digest = hashlib.sha256(one.query_id.encode("utf-8", "surrogatepass")).digest()
        rng = np.random.default_rng((seed, int.from_bytes(digest[:8], "big")))
        order = np.argsort(-one.scores, kind="stable")
        positive = [i for i in order.tolist() if one.labels[i] > 0]
        kinds = one.kinds
        if not positive and len(one):
            positive = [int(order[0])]
            kinds = tuple("positive" if i == positive[0] else kind for i, kind in enumerate(kinds))
        rest = np.array([i for i in order.tolist() if not one.labels[i] > 0 and i not in positive[:1]], dtype=np.int64)
        if share is not None and len(rest):
            low, high = float(one.scores.min()), float(one.scores[positive[0]])
            keep = (one.scores[rest] < low + share * (high - low)) | (one.labels[rest] == 0)
            dropped["probable false negatives left out"] += int((~keep).sum())
            rest = rest[keep]
        positive = positive[: max(count // 2, count - len(rest))]
        chosen = [*positive, *_chosen(rest, count - len(positive), strategy, rng)]
        if len(chosen) < 2:
            dropped["queries with fewer than two candidates left out"] += 1
            continue
        yield replace(one, kinds=kinds).part(chosen)


def _chosen(order: npt.NDArray[np.int64], count: int, strategy: str, rng: np.random.Generator) -> list[int]:
    """Positions of the chosen, best first; ``order`` is sorted by score. **Shape:** (candidates,)."""
    if strategy == "hard" or len(order) <= count:
        return [int(i) for i in order[:count]]
    return stratified(order, count, rng)


def stratified(order: npt.NDArray[np.int64], count: int, rng: np.random.Generator) -> list[int]:
    """One of each of ``count`` equal parts of an order, in the order; none where none is asked for.

    **Shape** of order: (candidates,), at least ``count`` of them.
    """
    return [int(part[rng.integers(len(part))]) for part in np.array_split(order, count)] if count > 0 else []
