"""From token vectors to one vector per text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def pool(hidden: Tensor, mask: Tensor, modes: Sequence[str], prompt_length: int = 0) -> Tensor:
    """Pool token vectors; several modes are concatenated.

    Args:
        hidden: **Shape:** (batch, length, width).
        mask: 1 for a token, 0 for padding, which stands on the right. **Shape:** (batch, length).
        modes: Of `checkpoint.POOLING_MODES`.
        prompt_length: Leading tokens that are left out.

    Returns:
        float32. **Shape:** (batch, width × len(modes)).
    """
    hidden = hidden.float()
    positions = torch.arange(hidden.shape[1], device=hidden.device)
    kept = mask * (positions >= prompt_length) if prompt_length else mask
    weights = kept.unsqueeze(-1).float()
    return torch.cat([_pool_one(hidden, kept, weights, positions, mode) for mode in modes], dim=-1)


def _pool_one(hidden: Tensor, kept: Tensor, weights: Tensor, positions: Tensor, mode: str) -> Tensor:
    rows = torch.arange(hidden.shape[0], device=hidden.device)
    if mode == "cls":
        return hidden[rows, kept.argmax(dim=1)]
    if mode == "lasttoken":
        return hidden[rows, (kept * (positions + 1)).argmax(dim=1)]
    if mode == "max":
        return hidden.masked_fill(weights == 0, float("-inf")).max(dim=1).values
    if mode == "weightedmean":  # later tokens weigh more: SGPT, arXiv 2202.08904, §3.1
        weights = weights * (positions + 1).view(1, -1, 1)
    total = (hidden * weights).sum(dim=1)
    count = weights.sum(dim=1).clamp(min=1e-9)
    return total / (count.sqrt() if mode == "mean_sqrt_len_tokens" else count)
