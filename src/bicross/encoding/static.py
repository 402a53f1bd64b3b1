"""Static models: one vector per token id, as sentence-transformers and model2vec store it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bicross.encoding.checkpoint import weight_files
from bicross.errors import CheckpointError
from bicross.types import Floats


def read_tensors(folder: Path) -> dict[str, Any]:
    """A folder's tensors by name, as arrays.

    Raises:
        CheckpointError: The folder holds none, or damaged ones.
    """
    try:
        tensors = {name: tensor for file in weight_files(folder) for name, tensor in load_file(file).items()}
    except (SafetensorError, TypeError) as error:
        raise CheckpointError(
            f"The weights in {str(folder)!r} can't be read: {error}. Fetch the model again."
        ) from error
    return tensors


def static_table(folder: Path) -> Floats:
    """The table of a static model's folder, model2vec's mapping and token weights folded in.

    Returns:
        **Shape:** (token ids, dimension).

    Raises:
        CheckpointError: The folder holds no such table, or a damaged one.
    """
    tensors = read_tensors(folder)
    table = tensors.get("embedding.weight", tensors.get("embeddings"))
    if table is None or table.ndim != 2:
        raise CheckpointError(
            f"A static model needs the tensor 'embedding.weight' or 'embeddings', got {sorted(tensors)} in "
            f"{str(folder)!r}."
        )
    table = table.astype(np.float32)
    if "mapping" in tensors:  # several tokens may share a row
        table = table[tensors["mapping"].astype(np.int64)]
    if "weights" in tensors:
        table = table * tensors["weights"].astype(np.float32)[:, None]
    if not np.isfinite(table).all():
        raise CheckpointError(f"Weights must be finite numbers, got NaN or infinity in {str(folder)!r}.")
    return np.ascontiguousarray(table)
