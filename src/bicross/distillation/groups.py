"""A reranker's training groups: a relevant document with drawn ones, and what they are worth."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bicross.distillation.candidates import Candidates, sample_negatives
from bicross.distillation.labels import Labels
from bicross.distillation.scoring import scored_pairs
from bicross.distillation.trainer import Group
from bicross.types import Scorer


def draw_groups(
    sets: list[tuple[Labels, Candidates]],
    epoch: int,
    negatives: int,
    window: tuple[int, int],
    seed: int,
    further: Sequence[Group] = (),
) -> list[Group]:
    """All queries of all sets with new negatives, and further groups, in a new order.

    Queries for which no negatives are found are left out.
    """
    rng = np.random.default_rng((seed, epoch))
    groups = []
    for labels, mined in sets:
        for query_id, query in labels.queries.items():
            drawn = sample_negatives(labels, mined, query_id, count=negatives, window=window, rng=rng)
            positive = query.positives[int(rng.integers(len(query.positives)))]
            texts = tuple(labels.documents[document_id] for document_id in (positive, *drawn))
            if drawn:
                groups.append(Group(query.text, texts, (1.0,) + (0.0,) * len(drawn)))
    groups += further
    return [groups[i] for i in rng.permutation(len(groups)).tolist()]


def groups_fingerprint(groups: Sequence[Group]) -> str:
    """SHA-256 over all texts and labels."""
    digest = hashlib.sha256()
    for group in groups:
        digest.update(repr((group.query, group.texts, group.labels)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def score_groups(
    epochs: Sequence[Sequence[Group]], teacher: Scorer, folder: Path, *, show_progress: bool | None = None
) -> list[list[Group]]:
    """The same groups with a teacher's scores in the place of labels; pairs that were scored before cost nothing.

    Args:
        epochs: The groups of every epoch.
        teacher: Scores the pairs.
        folder: Where the score cache is.
        show_progress: None: on a terminal, once it takes more than two seconds.

    Returns:
        Groups whose labels are raw logits.
    """
    pairs = [(group.query, text) for groups in epochs for group in groups for text in group.texts]
    scores = iter(scored_pairs(teacher, pairs, folder, show_progress=show_progress).tolist())
    return [[replace(group, labels=tuple(next(scores) for _ in group.texts)) for group in groups] for groups in epochs]
