"""SPLADE's half of the torch backend: token ids in, a weight for every token of the vocabulary out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from bicross.encoding.backends.protocol import Tokens
from bicross.encoding.backends.torch_loading import inference, load_transformer, max_positions, on_device
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.specs import SpladeSpec
from bicross.encoding.static import read_tensors
from bicross.errors import CheckpointError
from bicross.types import Floats


class TorchMaskedLM:
    """A masked language model whose logits are pooled into one weight for each token of its vocabulary.

    ``max`` (or the sum) over a text's tokens of ``log(1 + relu(logit))``: SPLADE v2 (Formal et al., 2021, equations 1
    and 6).
    """

    def __init__(self, spec: SpladeSpec, options: TorchOptions) -> None:
        self._spec = spec
        self._model, self.device = load_transformer(spec.encoder, "AutoModelForMaskedLM", options)
        self.positions = max_positions(self._model.config)
        self.vocabulary = int(self._model.config.vocab_size)

    def weights(self, ids: Tokens, mask: Tokens) -> Floats:
        """Weights of a padded batch. **Shape:** ids and mask (batch, length) → (batch, vocabulary)."""
        with inference():
            mask_ = on_device(mask, self.device)
            logits = self._model(input_ids=on_device(ids, self.device), attention_mask=mask_).logits
            logits = logits.masked_fill(mask_.unsqueeze(-1) == 0, 0.0)
            if self._spec.pooling == "max":  # the functions below grow with their input: the maximum may come first
                return self._saturate(logits.amax(dim=1)).float().cpu().numpy()
            return self._saturate(logits).sum(dim=1).float().cpu().numpy()

    def _saturate(self, logits: torch.Tensor) -> torch.Tensor:
        weights = logits.relu()
        for _ in range(self._spec.saturations):
            weights = weights.log1p()
        return weights


def token_weights(folder: Path) -> Floats:
    """The weight of each token of a SparseStaticEmbedding's folder. **Shape:** (vocabulary,).

    Raises:
        CheckpointError: The folder holds no such weights, or damaged ones.
    """
    tensors = read_tensors(folder)
    weights = tensors.get("weight")
    if weights is None or weights.ndim != 1 or not np.isfinite(weights).all():
        raise CheckpointError(
            f"Token weights need the tensor 'weight' of finite numbers, one for each token, got {sorted(tensors)} in "
            f"{str(folder)!r}."
        )
    return np.asarray(weights, np.float32)
