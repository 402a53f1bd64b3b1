"""Pooling, projection and activation in numpy: what stands behind a graph, without torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from bicross.encoding.backends.protocol import Tokens
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.specs import DenseSpec, NormalizeSpec
from bicross.errors import CheckpointError
from bicross.types import Floats

Function = Callable[[Floats], Floats]


def pool(hidden: Floats, mask: Tokens, modes: Sequence[str], prompt_length: int = 0) -> Floats:
    """Pool token vectors as `bicross.encoding.pooling.pool` does.

    **Shape:** hidden (batch, length, width), mask (batch, length) → (batch, width × len(modes)).
    """
    positions = np.arange(hidden.shape[1])
    kept = mask * (positions >= prompt_length) if prompt_length else mask
    return np.concatenate([_pool_one(hidden, kept, positions, mode) for mode in modes], axis=1)


def _pool_one(hidden: Floats, kept: Tokens, positions: Tokens, mode: str) -> Floats:
    rows = np.arange(hidden.shape[0])
    if mode == "cls":
        return np.asarray(hidden[rows, kept.argmax(axis=1)])
    if mode == "lasttoken":
        return np.asarray(hidden[rows, (kept * (positions + 1)).argmax(axis=1)])
    if mode == "max":
        return np.asarray(np.where(kept[:, :, None] == 0, np.float32("-inf"), hidden).max(axis=1))
    weights = kept.astype(np.float32)
    if mode == "weightedmean":
        weights = weights * (positions + 1).astype(np.float32)
    total = np.matmul(weights[:, None, :], hidden)[:, 0]
    count = np.maximum(weights.sum(axis=1, keepdims=True), np.float32(1e-9))
    return np.asarray(total / (np.sqrt(count) if mode == "mean_sqrt_len_tokens" else count))


def head(spec: DenseSpec | NormalizeSpec) -> Function:
    """A module behind the pooling. **Shape:** (batch, in) → (batch, out).

    Raises:
        CheckpointError: Its weights aren't what its config.json says, or its activation isn't known without torch.
    """
    if isinstance(spec, NormalizeSpec):
        return normalize
    try:
        tensors = {name: tensor for file in weight_files(spec.folder) for name, tensor in load_file(file).items()}
        weight = tensors["linear.weight"].astype(np.float32).reshape(spec.out_features, spec.in_features).T
        bias = tensors["linear.bias"].astype(np.float32).reshape(spec.out_features) if spec.bias else np.float32(0)
        bridge = np.eye(1, dtype=np.float32)
        if spec.residual and spec.in_features != spec.out_features:
            bridge = tensors["residual.weight"].astype(np.float32).reshape(spec.out_features, spec.in_features).T
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise CheckpointError(
            f"{str(spec.folder)!r} doesn't hold the weights that its config.json says: {error}"
        ) from error
    activate_ = activation(spec.activation)

    def dense(vector: Floats) -> Floats:
        out = activate_(vector @ weight + bias)
        if not spec.residual:
            return out
        return out + (vector if spec.in_features == spec.out_features else vector @ bridge)

    return dense


def normalize(vector: Floats) -> Floats:
    """Scale to unit length. **Shape:** (batch, width) → the same."""
    return np.asarray(vector / np.maximum(np.linalg.norm(vector, axis=-1, keepdims=True), np.float32(1e-12)))


def sigmoid(values: Floats) -> Floats:
    """1 / (1 + exp(-x)), without overflow.

    >>> sigmoid(np.array([-1000.0, 0.0, 1000.0], dtype=np.float32)).tolist()
    [0.0, 0.5, 1.0]
    """
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1 / (1 + small), small / (1 + small)).astype(np.float32)


def softmax(values: Floats) -> Floats:
    """Along the last axis. **Shape:** (rows, labels) → the same."""
    powers = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


_NAMED: dict[str, Function] = {"identity": lambda values: values, "sigmoid": sigmoid, "softmax": softmax}
_CLASSES: dict[str, Function] = {
    "Identity": _NAMED["identity"],
    "Sigmoid": sigmoid,
    "Tanh": np.tanh,
    "ReLU": lambda values: np.maximum(values, np.float32(0)),
}


def activation(name: str) -> Function:
    """ "identity", "sigmoid", "softmax" or a class of torch.nn, whose rarer ones torch itself computes.

    Raises:
        CheckpointError: It isn't one of these.
    """
    known = _NAMED.get(name) or (_CLASSES.get(name.rsplit(".", 1)[-1]) if name.startswith("torch.nn.") else None)
    if known is not None:
        return known
    from bicross.encoding.backends.torch_heads import activation_function

    return activation_function(name)


def activate(logits: Floats, name: str) -> Floats:
    """Apply an activation to logits. **Shape:** (pairs, labels) → the same.

    Raises:
        CheckpointError: It isn't known; see `activation`.
    """
    return activation(name)(logits)
