"""What encoding takes in each of its parts: tokenising, the transformer, what stands behind it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from bicross.encoding.backends.protocol import Tokens, TowerModel
from bicross.encoding.embedding import embed, tokenise
from bicross.encoding.towers import Tower
from bicross.types import Floats


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds of each part, and what went through.

    Attributes:
        tokenise: Texts to token ids.
        compute: The transformer; on a graphics card, which works on behind the call, also the pooling.
        pool: Pooling and projection; 0 on a graphics card.
        lengths: Of the texts, as the model reads them. **Unit:** tokens, special tokens included.
        padded: Tokens and padding together.
    """

    tokenise: float
    compute: float
    pool: float
    lengths: tuple[int, ...]
    padded: int


class _Timed:
    """A model that notes what its two halves take."""

    def __init__(self, model: TowerModel) -> None:
        self._model = model
        self.compute = self.pool = 0.0
        self.padded_tokens = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def vectors(self, ids: Tokens, mask: Tokens, prompt_length: int = 0) -> Floats:
        started = time.perf_counter()
        states = self._model.states(ids, mask)
        between = time.perf_counter()
        vectors = np.asarray(self._model.pooled(states, mask, prompt_length))
        ended = time.perf_counter()
        if self._model.device != "cpu":
            between = ended
        self.compute += between - started
        self.pool += ended - between
        self.padded_tokens += ids.size
        return vectors


def time_parts(tower: Tower, texts: Sequence[str], prompt: str) -> Parts:
    """Encode texts, one part after the other, which otherwise overlap."""
    started = time.perf_counter()
    slab = tokenise(tower, texts, prompt)
    tokenised = time.perf_counter() - started
    model = _Timed(tower.model)
    embed(replace(tower, model=cast("TowerModel", model)), slab, prompt, None, lambda _: None)
    return Parts(tokenised, model.compute, model.pool, tuple(len(row) for row in slab.rows), model.padded_tokens)
