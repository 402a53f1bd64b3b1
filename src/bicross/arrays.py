"""What is done in many places to arrays of vectors and of scores."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

from bicross.types import Floats, Ranked

Rows = TypeVar("Rows", npt.NDArray[np.float32], npt.NDArray[np.float64])


def unit_rows(vectors: Rows) -> Rows:
    """Vectors scaled to length 1, in the precision that they have; zeros stay. **Shape:** (n, dimension) → the same."""
    scaled: Rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled


def ranked(scores: Floats, top_k: int | None = None) -> list[Ranked]:
    """The best scores, best first; equal ones keep their order.

    Args:
        scores: **Shape:** (n,).
        top_k: How many; None: all.
    """
    return [Ranked(int(i), float(scores[i])) for i in np.argsort(-scores, kind="stable")[:top_k]]
