"""What both encoders are: a name, the options they were loaded with, and a share in a loaded model."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.encoding.backends.protocol import Model
from bicross.encoding.loading import Lease, LoadOptions
from bicross.encoding.saving import push
from bicross.encoding.workers import Remote, share_in
from bicross.lifecycle import Closing
from bicross.types import Floats

Mask = npt.NDArray[np.bool_]


class LoadedModel(Closing):
    """The base of `BiEncoder`, `CrossEncoder` and `LateInteractionReranker`.

    Attributes:
        name: The name or folder that leads to the checkpoint again.
        revision: The commit, for a checkpoint of the model hub.
    """

    def __init__(
        self,
        name: str,
        revision: str | None,
        options: LoadOptions,
        leases: Iterable[Lease[Any]],
        devices: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.revision = revision
        self._options = options
        self.workers = max(len(devices), 1)
        self._workers = share_in(tuple(options.device if device == "auto" else device for device in devices))
        self._shares = (*leases, *([self._workers] if self._workers else []))

    @property
    def device(self) -> str:
        """Where the model computes."""
        return self._model.device

    @property
    def precision(self) -> str:
        """What the model computes in."""
        return self._model.precision

    @property
    def backend(self) -> str:
        """What computes: "torch", "onnx" or "openvino"; "numpy" for a table of token vectors."""
        return self._model.backend

    @property
    @abstractmethod
    def _model(self) -> Model:
        """The model that texts go through; a bi-encoder's is that of its documents."""

    @abstractmethod
    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write a checkpoint that sentence-transformers 5.3 to 6.x and bicross load.

        Raises:
            ConfigurationError: The folder holds files already.
        """

    def push_to_hub(self, repository: str, *, token: str | None = None, private: bool = True) -> str:
        """Upload the checkpoint to the model hub; returns its address."""
        return push(self.save, repository, token, private)

    def _remote(self) -> Remote | None:
        """The workers that share big jobs, where it was loaded with any."""
        return Remote(self._workers.get(), self._options) if self._workers else None

    def close(self) -> None:
        """Let go of the model; it leaves memory with its last user."""
        for lease in self._shares:
            lease.close()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name!r}, device={self._options.device!r}, "
            f"precision={self._options.precision!r})"
        )


class LoadedScorer(LoadedModel):
    """The base of `CrossEncoder` and `LateInteractionReranker`."""

    @abstractmethod
    def counted(self, pairs: Sequence[tuple[str, str]], batch_tokens: int | None = None) -> tuple[Floats, Mask]:
        """Scores before any activation, and which pairs were cut, without a warning of it.

        **Shape:** (len(pairs),) both.
        """
