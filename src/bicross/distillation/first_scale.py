"""Where the learned step from a similarity to a teacher's logit begins."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bicross.arrays import unit_rows
from bicross.distillation.list_batches import Lists, Row
from bicross.distillation.vector_losses import TeacherScale
from bicross.encoding.prompts import Role
from bicross.types import Floats

Doubles = npt.NDArray[np.float64]

_LISTS = 2000
"""So many of a set's lists are enough for two numbers."""
_LEAST_CORRELATION = 0.25
"""A student that hardly agrees with its teacher would begin with so flat a line that little comes back through it."""


def first_scale(lists: Lists, base: Mapping[Role, Floats], *, sharpness: float, cosine: bool) -> TeacherScale:
    r"""The scale and offset of every set by least squares, with the student's similarities before training.

    With what is learned, :math:`t` (the teacher's scores over their spread, times ``sharpness``), similarities
    :math:`s`, and the bar for deviations from a list's mean: :math:`\gamma = \sum \bar s \bar t / \sum \bar s^2`, the
    scale at which margins between any two candidates are nearest to the teacher's, and :math:`b` the mean of
    :math:`t - \gamma s`. A scale that is too large for the lists pulls everything together before it has fallen: wide
    lists end near 9, narrow ones near 14, in place of the 20 that are usual for labels, and that a set without scores
    gets (`benchmarks/results/mixes.json`).

    Args:
        lists: What is trained on, and chosen by.
        base: The student's vectors before training, by role, even where another query tower is trained; without them,
            all sets begin as one without scores. **Shape:** (texts, dimension).
        sharpness: See `StudentSettings`.
        cosine: Whether texts are compared by cosine; False: by dot product.

    Returns:
        A scale and an offset for every set, to be learned further.
    """
    scale = TeacherScale.usual(len(lists.spreads), cosine=cosine)
    lines = [(one, 0.0) for one in scale.scales.tolist()]
    if {"query", "document"} <= base.keys():
        for source, spread in enumerate(lists.spreads.tolist()):
            rows = [row for row in lists.rows if row.source == source and np.isfinite(row.scores).any()]
            some = [rows[i] for i in np.linspace(0, len(rows) - 1, min(len(rows), _LISTS)).astype(int)]
            if some:
                pairs = [_pair(row, base, sharpness / spread, cosine) for row in some]
                lines[source] = _line(pairs, lines[source][0], scale.bounds)
    scales, offsets = zip(*lines, strict=True)
    return TeacherScale(len(lines), initial=scales, bounds=scale.bounds, offsets=offsets)


def _pair(row: Row, base: Mapping[Role, Floats], factor: float, cosine: bool) -> tuple[Floats, Floats]:
    """Similarities of a list's scored candidates, and what is to be learned of them."""
    known = np.isfinite(row.scores)
    query, documents = base["query"][[row.query]], base["document"][row.documents[known]]
    if cosine:
        query, documents = unit_rows(query), unit_rows(documents)
    return (documents @ query.T)[:, 0], factor * row.scores[known]


def _line(pairs: list[tuple[Floats, Floats]], usual: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """Scale, within bounds, and offset."""
    similarities, targets = (np.concatenate(one).astype(np.float64) for one in zip(*pairs, strict=True))
    sizes = [len(one) for one, _ in pairs]
    owner = np.repeat(np.arange(len(pairs)), sizes) if max(sizes) > 1 else np.zeros(len(pairs), dtype=int)
    x, y = _deviations(similarities, owner), _deviations(targets, owner)
    scale = usual
    if (spread := x @ x) > 1e-9:
        least = _LEAST_CORRELATION * np.sqrt((y @ y) / spread)
        scale = float(np.clip(max(x @ y / spread, least), *bounds))
    return scale, float(targets.mean() - scale * similarities.mean())


def _deviations(values: Doubles, owner: npt.NDArray[np.int64]) -> Doubles:
    """From the mean of those with the same owner."""
    means = np.bincount(owner, weights=values) / np.maximum(np.bincount(owner), 1)
    return values - means[owner]
