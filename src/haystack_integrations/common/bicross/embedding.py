"""A vector that says where it comes from, so that an index can refuse vectors of another model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Self


class Embedding(list[float]):
    """A list of floats that knows the model that made it, through pipelines and copies.

    :param values: The vector.
    :param fingerprint: Document fingerprint of the encoder whose documents it can be compared with; None: unknown.
    :param model: Name or folder of that encoder.
    :param revision: Its revision.
    :param similarity: How that encoder compares vectors: "cosine" or "dot".
    """

    def __init__(
        self,
        values: Iterable[float] = (),
        fingerprint: str | None = None,
        model: str | None = None,
        revision: str | None = None,
        similarity: str | None = None,
    ) -> None:
        super().__init__(values)
        self.fingerprint = fingerprint
        self.model = model
        self.revision = revision
        self.similarity = similarity

    @classmethod
    def like(cls, values: Iterable[float], other: Embedding) -> Self:
        """A vector of the same origin as another one."""
        return cls(values, other.fingerprint, other.model, other.revision, other.similarity)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Floats never change: a pipeline's copies need not go through them one by one.
        return self.like(self, self)


def origin(vector: Sequence[float] | None) -> Embedding:
    """The vector's origin as an empty `Embedding`; all None where nobody said."""
    return Embedding.like((), vector) if isinstance(vector, Embedding) else Embedding()
