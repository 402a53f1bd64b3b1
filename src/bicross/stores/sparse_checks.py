"""Checks of sparse vectors: the embedded engine takes NaN and repeated indices without a word."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from bicross.errors import InputError, InputTypeError, StoreError
from bicross.stores.layouts import Layout
from bicross.types import SparseVector

SPARSE_BYTES_PER_ENTRY = 36
"""What an entry takes at most as JSON: an index of ten digits and a float. **Unit:** bytes."""


def check_sparse(vector: Any, where: str) -> SparseVector:
    """A sparse vector whose entries an engine can store, in the order of their indices.

    Raises:
        InputError: It can't be stored; ``where`` names it.
    """
    if not isinstance(vector, SparseVector):
        raise InputTypeError(f"A sparse vector is a SparseVector of indices and values; {where} is {vector!r}.")
    try:
        indices = np.asarray(vector.indices)
        with np.errstate(over="ignore"):
            values = np.asarray(vector.values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"Indices and values are arrays of numbers; {where} has others ({error}).") from error
    if indices.ndim != 1 or indices.shape != values.shape:
        raise InputError(
            f"A sparse vector has as many values as indices; {where} has shapes {indices.shape!r} and {values.shape!r}."
        )
    if len(indices) == 0:
        return SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))
    if not np.issubdtype(indices.dtype, np.integer) or indices.min() < 0 or indices.max() >= 2**32:
        raise InputError(f"Indices are whole numbers of 32 bits; {where} has {indices.min()!r} to {indices.max()!r}.")
    if not np.isfinite(values).all():
        raise InputError(f"Values must be finite in float32; {where} holds NaN or infinity.")
    order = np.argsort(indices, kind="stable")
    indices = indices[order].astype(np.uint32)
    repeated = np.flatnonzero(indices[1:] == indices[:-1])
    if len(repeated):
        raise InputError(f"Each index is there once; {where} has {int(indices[repeated[0]])} more than once.")
    return SparseVector(indices, values[order])


def check_sparse_rows(vectors: Sequence[SparseVector], rows: int, of: str) -> list[SparseVector]:
    """Check the sparse vectors of passages.

    Raises:
        InputError: One can't be stored, or there aren't as many as `rows`; the message names the position.
    """
    if isinstance(vectors, SparseVector) or not isinstance(vectors, Sequence):
        raise InputTypeError(f"Sparse vectors come as a sequence; got {type(vectors).__name__}. Put them into a list.")
    if len(vectors) != rows:
        raise InputError(f"{rows} {of} need as many sparse vectors; got {len(vectors)}.")
    return [check_sparse(vector, f"sparse[{i}]") for i, vector in enumerate(vectors)]


def check_slot(layout: Layout, collection: str) -> str:
    """The name of the collection's sparse vector.

    Raises:
        StoreError: It has none, or none of several is known to be the one.
    """
    if layout.sparse is None:
        raise StoreError(
            f"A sparse search needs a sparse vector; collection {collection!r} has none, or several that aren't known. "
            "Name one by sparse_vector_name=…, or index its texts into a collection of your own."
        )
    return layout.sparse
