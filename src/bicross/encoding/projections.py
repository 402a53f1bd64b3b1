"""Learned matrices that make a vector shorter, one after the other, in place of keeping its leading entries."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bicross.arrays import unit_rows
from bicross.errors import CheckpointError, ConfigurationError
from bicross.types import Floats


def project(vectors: Floats, path: Path, dimension: int) -> Floats:
    """Shorten vectors by a chain of matrices and scale them to unit length.

    The matrices have no bias, so it makes no difference whether the vectors were scaled before.

    Args:
        vectors: **Shape:** (texts, width).
        path: The chain's file.
        dimension: One of the chain's.

    Returns:
        **Shape:** (texts, dimension).

    Raises:
        CheckpointError: The file is missing or damaged.
        ConfigurationError: A dimension that isn't in the chain.
    """
    width = vectors.shape[1]
    for matrix in chain(path, width)[: dimensions(path, width).index(check_dimension(path, width, dimension))]:
        vectors = vectors @ matrix
    return np.asarray(unit_rows(vectors), dtype=np.float32)


def check_dimension(path: Path, width: int, dimension: int) -> int:
    """The dimension, once it is known to be one of the chain's.

    Raises:
        CheckpointError: The file is missing or damaged.
        ConfigurationError: It isn't.
    """
    known = dimensions(path, width)
    if dimension not in known:
        raise ConfigurationError(
            f"truncate_dim must be one of {known}, the dimensions that this model has learned matrices for, got "
            f"{dimension}."
        )
    return dimension


def dimensions(path: Path, width: int) -> list[int]:
    """The model's own dimension and those of the chain, the longest first."""
    return [width, *(matrix.shape[1] for matrix in chain(path, width))]


def chain(path: Path, width: int) -> list[Floats]:
    """The matrices in the order in which they are applied. **Shape:** (width, first), (first, second), …

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    if not path.is_file():
        raise CheckpointError(
            f"This model's shorter vectors need the learned matrices in {path.name!r}, got no such file in "
            f"{str(path.parent)!r}. Fetch it, or leave truncate_dim out: the leading entries alone mean nothing."
        )
    return _chain(path, width, path.stat().st_mtime_ns)


@lru_cache(maxsize=8)
def _chain(path: Path, width: int, _: int) -> list[Floats]:
    try:
        left = [tensor.astype(np.float32) for tensor in load_file(path).values() if tensor.ndim == 2]
    except (SafetensorError, TypeError, ValueError) as error:
        raise CheckpointError(f"{str(path)!r} can't be read: {error}. Fetch the model again.") from error
    found: list[Floats] = []
    while left:
        # Each shortens, so its shape says where it stands and which way round it is.
        following = [matrix for matrix in left if max(matrix.shape) == width > min(matrix.shape)]
        if len(following) != 1:
            raise CheckpointError(
                f"The matrices in {str(path)!r} must be one chain that begins at {width}, got the shapes "
                f"{[matrix.shape for matrix in left]}. Fetch the model again."
            )
        (matrix,) = following
        left = [other for other in left if other is not matrix]
        found.append(np.ascontiguousarray(matrix if matrix.shape[0] == width else matrix.T))
        width = min(matrix.shape)
    return found
