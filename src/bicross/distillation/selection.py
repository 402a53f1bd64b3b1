"""Scores the held-out queries' candidates with every epoch's weights, and names the best epoch."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from bicross.distillation.candidates import Candidates
from bicross.distillation.held_out import Reranked, weight_curve
from bicross.distillation.labels import Labels
from bicross.distillation.packing import score_pairs
from bicross.distillation.trainer import load_weights
from bicross.whole_file import whole_file

logger = logging.getLogger(__name__)


def best_epoch(
    model: Any,
    tokenizer: Tokenizer,
    checkpoints: list[Path],
    tests: list[tuple[Labels, Candidates]],
    *,
    max_length: int,
    bf16: bool,
) -> tuple[int, dict[float, dict[str, float]], float]:
    """The epoch whose best weighted sum is best on the held-out queries.

    Args:
        model: Filled with each epoch's weights in turn.
        tokenizer: The model's.
        checkpoints: One after every epoch; the scores are kept in them.
        tests: Held-out queries and their candidates, by set.
        max_length: Tokens of a pair.
        bf16: Whether to multiply in bfloat16.

    Returns:
        The epoch, counted from 0, its curve of weights, and the mean logit of all candidates.
    """
    best: tuple[float, int, dict[float, dict[str, float]], float] | None = None
    for epoch, checkpoint in enumerate(checkpoints):
        load_weights(model, checkpoint)
        results = []
        for labels, mined in tests:
            kept = checkpoint / f"held-out-{hashlib.sha256(labels.name.encode()).hexdigest()[:12]}.npy"
            results.append(rerank(model, tokenizer, labels, mined, max_length=max_length, bf16=bf16, keep=kept))
        curve = weight_curve(results)
        height = max(float(np.mean(list(by_set.values()))) for by_set in curve.values())
        logger.info("epoch %d: held-out nDCG@10 %.4f", epoch + 1, height)
        if best is None or height > best[0]:
            best = (height, epoch, curve, float(np.mean([result.cross.mean() for result in results])))
    assert best is not None  # epochs >= 1 was checked
    return best[1:]


def rerank(
    model: Any,
    tokenizer: Tokenizer,
    labels: Labels,
    mined: Candidates,
    *,
    max_length: int,
    bf16: bool,
    keep: Path | None = None,
) -> Reranked:
    """Scores every query's candidates.

    Args:
        model: With one label.
        tokenizer: The model's.
        labels: The queries.
        mined: Their candidates.
        max_length: Tokens of a pair.
        bf16: Whether to multiply in bfloat16.
        keep: A file for the scores, read where it exists.
    """
    if keep is not None and keep.exists():
        cross = np.load(keep)
    else:
        pairs = [(q.text, labels.documents[d]) for i, q in labels.queries.items() for d in mined.of(i)]
        cross = score_pairs(model, tokenizer, pairs, max_length=max_length, bf16=bf16).reshape(mined.scores.shape)
        if keep is not None:
            with whole_file(keep) as part, part.open("wb") as file:
                np.save(file, cross)
    gains = [[float(d in q.positives) for d in mined.of(i)] for i, q in labels.queries.items()]
    relevant = np.array([len(q.positives) for q in labels.queries.values()])
    return Reranked(labels.name, mined.scores, cross, np.array(gains, dtype=np.float32), relevant)
