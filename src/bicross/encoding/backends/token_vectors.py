"""Late interaction in torch: token ids in, one vector a token out."""

from __future__ import annotations

import numpy as np
from safetensors import safe_open
from torch import Tensor, nn

from bicross.encoding.backends.protocol import Tokens
from bicross.encoding.backends.torch import TorchModel
from bicross.encoding.backends.torch_heads import dense_head
from bicross.encoding.backends.torch_loading import inference, load_transformer, max_positions, on_device
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.late_checkpoint import LateCheckpoint
from bicross.errors import CheckpointError
from bicross.types import Floats

_INLINE = "linear.weight"


class TorchTokenVectors(TorchModel):
    """Token ids in, unit vectors out.

    Args:
        spec: The model.
        options: How it computes.
    """

    def __init__(self, spec: LateCheckpoint, options: TorchOptions) -> None:
        self.precision = options.precision
        self._model, self.device = load_transformer(spec.encoder, "AutoModel", options)
        self.config = self._model.config
        self.positions = max_positions(self.config)
        self.dimension = int(self._model.config.hidden_size)
        heads: list[nn.Module] = [dense_head(head) for head in spec.heads]
        if spec.inline_head:
            inline = _inline_head(spec)
            heads, self.dimension = [inline], inline.out_features
        elif spec.heads:
            self.dimension = spec.heads[-1].out_features
        self._heads = nn.ModuleList(heads).to(self.device).eval()

    def vectors(self, ids: Tokens, mask: Tokens) -> Floats:
        """Unit vectors of the tokens of a padded batch. **Shape:** (batch, length) → (batch, length, dimension)."""
        with inference():
            ids_, mask_ = (on_device(part, self.device) for part in (ids, mask))
            states: Tensor = self._model(input_ids=ids_, attention_mask=mask_).last_hidden_state.to(self.device).float()
            for head in self._heads:
                states = head(states)
            return np.asarray(nn.functional.normalize(states, dim=-1).cpu().numpy(), dtype=np.float32)


def _inline_head(spec: LateCheckpoint) -> nn.Linear:
    for path in weight_files(spec.encoder.folder):
        with safe_open(path, "pt") as file:
            if _INLINE in file.keys():  # noqa: SIM118  # not a mapping
                weight = file.get_tensor(_INLINE).float()
                layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
                layer.weight.data.copy_(weight)
                return layer
    raise CheckpointError(
        f"A ColBERT checkpoint needs the tensor {_INLINE!r}, got none in {str(spec.encoder.folder)!r}. Fetch it again."
    )
