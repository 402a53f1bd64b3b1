"""A cross-encoder's last layer, computed for the one token that its head reads."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

_MODELS = {f"{name}ForSequenceClassification" for name in ("Bert", "Roberta", "XLMRoberta", "Camembert", "Electra")}
"""transformers' classes whose head reads the first token alone, and whose layers have BERT's parts."""
_ATTENTION = ("eager", "sdpa")
"""Those that give a layer its mask by pairs of tokens."""


def trim(model: Any) -> None:
    """Let a classifier's last layer compute its first token alone, which is all that the head reads.

    The other tokens are keys and values there. Of 12 products of the layer's width 2 are left for them: the logits are
    the same, for a sixth of the layer. Models of other kinds stay as they are.

    Args:
        model: Of transformers, for inference: dropout is left out.
    """
    config = model.config
    known = type(model).__name__ in _MODELS and type(model).__module__.startswith("transformers.models.")
    if not known or config.is_decoder or config._attn_implementation not in _ATTENTION:
        return
    layers = model.base_model.encoder.layer
    layers[-1] = FirstToken(layers[-1], fused=config._attn_implementation == "sdpa")


class FirstToken(nn.Module):
    """A layer of BERT's kind; its parts keep their names.

    Args:
        layer: The layer in full.
        fused: Whether torch's own function attends (its sums are in float32), or products that exporters know.
    """

    def __init__(self, layer: Any, *, fused: bool) -> None:
        super().__init__()
        self.fused = fused
        self.attention = layer.attention
        self.intermediate = layer.intermediate
        self.output = layer.output

    def forward(self, states: Tensor, mask: Tensor | None = None, *_: Any, **__: Any) -> Tensor:
        """The first token's new state.

        Args:
            states: **Shape:** (batch, length, width).
            mask: Added to the products of queries and keys; where `fused`, also which of them count.
                **Shape:** (batch, 1, 1 or length, length).

        Returns:
            **Shape:** (batch, 1, width).
        """
        own, first = self.attention.self, states[:, :1]

        def heads(values: Tensor) -> Tensor:
            return values.view(*values.shape[:2], -1, own.attention_head_size).transpose(1, 2)

        query, key, value = heads(own.query(first)), heads(own.key(states)), heads(own.value(states))
        row = None if mask is None else mask[:, :, :1]
        if self.fused:
            context = functional.scaled_dot_product_attention(query, key, value, row, scale=own.scaling)
        else:
            products = query @ key.transpose(2, 3) * own.scaling
            context = (products if row is None else products + row).softmax(-1) @ value
        attended = self.attention.output(context.transpose(1, 2).flatten(2), first)
        found: Tensor = self.output(self.intermediate(attended), attended)
        return found
