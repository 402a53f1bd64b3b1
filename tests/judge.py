"""A cross-encoder that is a function of query and text."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from bicross.types import Floats, Ranked


class Judge:
    """A scorer that is a function."""

    def __init__(self, score: Callable[[str, str], float], name: str = "judge", stage1_weight: float = 0.0) -> None:
        self.score = score
        self.fingerprint = name
        self.stage1_weight = stage1_weight
        self.asked = 0

    def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
        self.asked += len(pairs)
        return np.array([self.score(*pair) for pair in pairs], dtype=np.float32)

    def rank(self, query: str, texts: Sequence[str], /) -> Sequence[Ranked]:
        raise NotImplementedError
