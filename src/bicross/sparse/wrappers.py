"""Any function from a text to indices and values, as a sparse encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.errors import ConfigurationError, InputError
from bicross.sparse.encoder import TextEncoder
from bicross.types import SparseVector

SparseFunction = Callable[[str], tuple[npt.ArrayLike, npt.ArrayLike]]
"""A text in; whole numbers from 0 to 2³² - 1, each once, and as many finite values out."""


class SparseCallable(TextEncoder):
    """A function ``text -> (indices, values)`` as a sparse encoder.

    Args:
        document: What encodes a document.
        query: What encodes a query; `document` where it is None.
        fingerprint: A name that changes whenever the functions' vectors would: a collection refuses another one's.
        idf: Whether the store weighs a query's entries by inverse document frequency, as BM25 asks for.
    """

    def __init__(
        self,
        document: SparseFunction,
        *,
        fingerprint: str,
        query: SparseFunction | None = None,
        idf: bool = False,
    ) -> None:
        if not isinstance(fingerprint, str) or not fingerprint.strip():
            raise ConfigurationError(
                f"A sparse function needs a fingerprint, a name that changes whenever its vectors would, got "
                f"{fingerprint!r}."
            )
        self._functions = {False: document, True: query or document}
        self._name = fingerprint
        self.idf = idf

    @property
    def fingerprint(self) -> str:
        """The name that was given."""
        return self._name

    def _encode(self, texts: list[str], query: bool) -> list[SparseVector]:
        encode = self._functions[query]
        return [sparse_vector(encode(text), f"the text at position {place}") for place, text in enumerate(texts)]


def sparse_vector(output: Any, where: str) -> SparseVector:
    """Indices and values as a checked vector, in ascending order of its indices.

    Args:
        output: Two arrays or sequences of the same length.
        where: What they belong to, for the error.

    Raises:
        InputError: They aren't a sparse vector; says why.

    >>> sparse_vector(([7, 2], [0.5, 1.0]), "a text").indices.tolist()
    [2, 7]
    """
    try:
        indices, values = (np.asarray(part) for part in output)
        fault = _fault(indices, values)
    except (TypeError, ValueError) as error:
        fault = f"{output!r:.80} ({error})"
    if fault:
        raise InputError(
            "A sparse vector is a pair: indices, whole numbers from 0 to 4294967295 and each once, and as many finite "
            f"values. Got {fault} for {where}."
        )
    order = np.argsort(indices, kind="stable")
    return SparseVector(indices[order].astype(np.uint32), values[order].astype(np.float32))


def sparse_vectors(found: Sequence[Any], count: int, name: str) -> list[SparseVector]:
    """Another library's results, with ``indices`` and ``values`` each, as checked vectors.

    Args:
        found: The results.
        count: How many texts there were.
        name: Of what made them, for the error.

    Raises:
        InputError: There aren't as many, or one isn't a sparse vector.
    """
    if len(found) != count:
        raise InputError(f"Every text must get a sparse vector, got {len(found)} for {count} texts from {name}.")
    parts = ((getattr(each, "indices", None), getattr(each, "values", None)) for each in found)
    return [sparse_vector(pair, f"the text at position {place}, from {name}") for place, pair in enumerate(parts)]


def _fault(indices: npt.NDArray[Any], values: npt.NDArray[Any]) -> str | None:
    """What is wrong with indices and values, None where nothing is."""
    if indices.ndim != 1 or indices.shape != values.shape:
        return f"arrays of the shapes {indices.shape} and {values.shape}"
    if not len(indices):
        return None
    fault = None
    if not np.issubdtype(indices.dtype, np.integer):
        fault = f"indices of the type {indices.dtype}"
    elif int(indices.min()) < 0 or int(indices.max()) > np.iinfo(np.uint32).max:
        fault = f"indices from {int(indices.min())} to {int(indices.max())}"
    elif len(twice := np.flatnonzero(np.diff(np.sort(indices)) == 0)):
        fault = f"the index {int(np.sort(indices)[twice[0]])} more than once"
    elif not np.isfinite(values.astype(np.float32)).all():
        fault = "NaN, infinity or too large a number among the values"
    return fault
