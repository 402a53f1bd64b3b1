"""What follows the pooling: linear layers with their weights and activations, and normalisation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bicross.encoding.checkpoint import weight_files
from bicross.encoding.specs import DenseSpec, NormalizeSpec
from bicross.errors import CheckpointError
from bicross.types import Floats


class _Normalize(nn.Module):
    def forward(self, vector: Tensor) -> Tensor:
        return nn.functional.normalize(vector, p=2.0, dim=-1)


class _Dense(nn.Module):
    def __init__(self, spec: DenseSpec) -> None:
        super().__init__()
        self.linear = nn.Linear(spec.in_features, spec.out_features, bias=spec.bias)
        self.residual: nn.Module | None = None
        if spec.residual:
            same = spec.in_features == spec.out_features
            self.residual = nn.Identity() if same else nn.Linear(spec.in_features, spec.out_features, bias=False)
        self.activation = activation(spec.activation)

    def forward(self, vector: Tensor) -> Tensor:
        out: Tensor = self.activation(self.linear(vector))
        return out if self.residual is None else out + self.residual(vector)


def head_module(spec: DenseSpec | NormalizeSpec) -> nn.Module:
    """What a tower does to its pooled vector, as a module."""
    return _Normalize() if isinstance(spec, NormalizeSpec) else dense_head(spec)


def dense_head(spec: DenseSpec) -> nn.Module:
    """A linear layer with its weights.

    Raises:
        CheckpointError: They aren't what its config.json says.
    """
    module = _Dense(spec)
    try:
        tensors = {name: tensor for file in weight_files(spec.folder) for name, tensor in load_file(file).items()}
        module.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except (RuntimeError, SafetensorError) as error:
        raise CheckpointError(
            f"{str(spec.folder)!r} doesn't hold the weights that its config.json says: {error}"
        ) from error
    return module


def activation(path: str) -> nn.Module:
    """The torch activation under a dotted name such as ``torch.nn.modules.linear.Identity``.

    Raises:
        CheckpointError: It isn't a class of torch.nn.
    """
    kind = getattr(nn, path.rsplit(".", 1)[-1], None)
    if not path.startswith("torch.nn.") or not (isinstance(kind, type) and issubclass(kind, nn.Module)):
        raise CheckpointError(f"An activation must be a class of torch.nn, got {path!r}.")
    return kind()


def activation_function(path: str) -> Callable[[Floats], Floats]:
    """A class of torch.nn as a function of arrays.

    Raises:
        CheckpointError: It isn't a class of torch.nn.
    """
    module = activation(path)
    return lambda values: np.asarray(module(torch.from_numpy(values)).numpy())
