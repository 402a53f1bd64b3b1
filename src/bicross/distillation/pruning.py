"""A smaller student: some of a transformer's layers, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import nn

from bicross.errors import ConfigurationError


def prune_layers(model: Any, layers: int | Sequence[int]) -> tuple[int, ...]:
    """Keeps some of a transformer's layers; in place.

    Args:
        model: A transformers model.
        layers: How many, spread evenly from the first to the last (as DistilBERT takes every second one: Sanh et al.
            2019, arXiv 1910.01108, section 3); or which, counted from 0.

    Returns:
        The layers that are left, counted as before.

    Raises:
        ConfigurationError: There aren't so many, no list of layers is found, or a layer is built unlike the one whose
            place it would take.

    """
    owner, name, stack = layer_stack(model)
    kept = spread(len(stack), layers)
    # ModernBERT's first layer has no norm of its own: in its place another's would be lost when the model is loaded.
    if any(stack[old].state_dict().keys() != stack[new].state_dict().keys() for new, old in enumerate(kept)):
        raise ConfigurationError(
            f"A kept layer must be built like the one whose place it takes, and not all of {type(model).__name__} are "
            f"alike; got layers={kept!r}. Keep the first layer, or give a number of layers."
        )
    setattr(owner, name, nn.ModuleList(stack[position] for position in kept))
    for position, layer in enumerate(getattr(owner, name)):
        for module in layer.modules():
            if hasattr(module, "layer_idx"):
                module.layer_idx = position
    model.config.num_hidden_layers = len(kept)
    if types := getattr(model.config, "layer_types", None):
        model.config.layer_types = [types[position] for position in kept]
    return kept


def layer_stack(model: Any) -> tuple[nn.Module, str, nn.ModuleList]:
    """A transformer's layers: their owner, their name in it, and themselves.

    Raises:
        ConfigurationError: There is no list of ``config.num_hidden_layers`` modules.
    """
    count = model.config.num_hidden_layers
    for owner in model.modules():
        for name, child in owner.named_children():
            if isinstance(child, nn.ModuleList) and len(child) == count:
                return owner, name, child
    raise ConfigurationError(
        f"Pruning and freezing need a model with one list of layers; {type(model).__name__} has none of "
        f"{count} modules. Leave layers and freeze_layers out."
    )


def spread(count: int, layers: int | Sequence[int]) -> tuple[int, ...]:
    """Which of ``count`` layers are kept.

    Raises:
        ConfigurationError: There aren't so many, or the positions aren't rising.

    >>> spread(6, 2), spread(6, 3), spread(6, (0, 1))
    ((0, 5), (0, 2, 5), (0, 1))
    """
    if isinstance(layers, int):
        if not 1 <= layers <= count:
            raise ConfigurationError(f"layers must be from 1 to the model's {count}; got {layers!r}.")
        return tuple(np.linspace(0, count - 1, layers).round().astype(int).tolist())
    kept = tuple(layers)
    if not kept or list(kept) != sorted(set(kept)) or not 0 <= kept[0] <= kept[-1] < count:
        raise ConfigurationError(f"layers must be rising positions from 0 to {count - 1}; got {kept!r}.")
    return kept
