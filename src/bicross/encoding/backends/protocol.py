"""What every backend offers: token ids in, pooled vectors or logits out."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from bicross.types import Floats

Tokens = npt.NDArray[np.int64]


class OnItsWay(Protocol):
    """A result that a device still computes or sends."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Floats:
        """Waits for it."""


Result = Floats | OnItsWay
"""What `numpy.asarray` makes an array of."""


class Model(Protocol):
    """What both kinds of model tell about themselves."""

    @property
    def backend(self) -> str:
        """ "torch", "onnx" or "openvino"."""

    @property
    def device(self) -> str:
        """Where it computes."""

    @property
    def precision(self) -> str:
        """What it computes in."""

    @property
    def positions(self) -> int | None:
        """The longest input that it has positions for, or None. **Unit:** tokens."""

    def padded(self, length: int) -> int:
        """The length that a batch with this longest row is padded to. **Unit:** tokens."""

    def room(self, longest: int) -> int:
        """How long a batch with this longest row may be, padding included, by the device's memory. **Unit:** tokens."""


class TowerModel(Model, Protocol):
    """Token ids in, vectors out."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def vectors(self, ids: Tokens, mask: Tokens, prompt_length: int = 0) -> Result:
        """Vectors of a padded batch: `states`, `pooled`. **Shape:** ids, mask (batch, length) → (batch, dimension)."""

    def states(self, ids: Tokens, mask: Tokens) -> Any:
        """A padded batch through the transformer: what `pooled` takes."""

    def pooled(self, states: Any, mask: Tokens, prompt_length: int = 0) -> Result:
        """What stands behind the transformer. **Shape:** mask (batch, length) → (batch, dimension)."""


class ClassifierModel(Model, Protocol):
    """Token ids of pairs in, logits out."""

    @property
    def labels(self) -> int:
        """How many logits a pair gets."""

    def logits(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Result:
        """Logits of a padded batch of pairs. **Shape:** ids, mask, types (batch, length) → (batch, labels)."""


class Runner(Protocol):
    """A graph in memory: what the onnx and openvino backends differ in. Safe to call from many threads."""

    def run(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Floats:
        """The graph's output. **Shape:** (batch, length) each → (batch, length, width) or (batch, labels)."""

    def padded(self, length: int) -> int:
        """See `Model.padded`."""
