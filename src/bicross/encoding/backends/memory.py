"""How many tokens of a batch a graphics card's free memory holds."""

from __future__ import annotations

import sys
from typing import Any

import torch

_USED = 0.5
"""Part of the free memory that a batch may take by the estimate, which leaves out what a family of models adds."""


def free_tokens(config: Any, longest: int, precision: str, device: str) -> int:
    """The padded tokens of one batch that a card has memory for at this moment; elsewhere no limit.

    A token passes a layer as eight vectors of its width (what came in and was added, query, key, value, output) and
    three of the inner width (a gated layer holds two and their product), and has a row of the attention mask; attention
    that isn't fused holds a row for each head, and its softmax.

    Args:
        config: The transformer's; None for a table of token vectors. One that doesn't tell its width sets no limit.
        longest: The batch's longest row. **Unit:** tokens.
        precision: "float32", or one of half the size.
        device: A torch device.
    """
    if config is None or not device.startswith("cuda"):
        return sys.maxsize
    fused = getattr(config, "_attn_implementation", None) != "eager"
    config = config.get_text_config()
    width = getattr(config, "hidden_size", None)
    if width is None:
        return sys.maxsize
    rows = 1 if fused else 2 * (getattr(config, "num_attention_heads", None) or 1)
    inner = getattr(config, "intermediate_size", None) or 4 * width
    values = int(8 * width + 3 * inner + rows * longest)
    return max(int(_USED * _free_bytes(device)) // (values * (4 if precision == "float32" else 2)), 1)


def _free_bytes(device: str) -> int:
    """What the driver has, and what torch keeps of what it freed."""
    free = int(torch.cuda.mem_get_info(device)[0])
    try:
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    except RuntimeError:  # an allocator of somebody else's that keeps no count
        return free
