"""The torch backend: every checkpoint, every device."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from bicross.encoding.backends.memory import free_tokens
from bicross.encoding.backends.protocol import Result, Tokens
from bicross.encoding.backends.torch_heads import head_module
from bicross.encoding.backends.torch_loading import fetched, inference, load_transformer, max_positions, on_device
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.pooling import pool
from bicross.encoding.specs import (
    DenseSpec,
    PoolingSpec,
    ScorerSpec,
    StaticSpec,
    TowerSpec,
)
from bicross.encoding.static import static_table


class TorchModel:
    """What the models of this backend share."""

    backend = "torch"
    device: str
    precision: str
    config: Any = None
    """transformers' configuration; None for a table of token vectors."""

    def padded(self, length: int) -> int:
        """The length that a batch with this longest row is padded to: no more."""
        return length

    def room(self, longest: int) -> int:
        """See `Model.room`."""
        return free_tokens(self.config, longest, self.precision, self.device)


class TowerModule(nn.Module):
    """A tower as a module: what inference runs, and what training changes.

    Args:
        spec: The tower's modules.
        options: How it computes.
    """

    def __init__(self, spec: TowerSpec, options: TorchOptions) -> None:
        super().__init__()
        self.spec = spec
        self.device = options.device
        self.positions: int | None = None
        self.model: Any
        if isinstance(spec.encoder, StaticSpec):
            table = torch.from_numpy(static_table(spec.encoder.folder)).to(self.device)
            self.model = nn.Embedding(table.shape[0], table.shape[1], _weight=table)
            width = table.shape[1]
        else:
            self.model, self.device = load_transformer(spec.encoder, "AutoModel", options)
            self.positions = max_positions(self.model.config)
            width = int(self.model.config.hidden_size) * len((spec.pooling or PoolingSpec()).modes)
        self.heads = nn.ModuleList([head_module(head) for head in spec.heads]).to(self.device).eval()
        dense = [head for head in spec.heads if isinstance(head, DenseSpec)]
        self.dimension = dense[-1].out_features if dense else width

    def forward(self, ids: Tensor, mask: Tensor, prompt_length: int = 0) -> Tensor:
        """Vectors of a padded batch.

        Args:
            ids: **Shape:** (batch, length).
            mask: 1 for a token, 0 for padding. **Shape:** (batch, length).
            prompt_length: Leading tokens that belong to a prompt; the checkpoint says whether they are pooled.

        Returns:
            float32. **Shape:** (batch, dimension).
        """
        return self.pooled(self.states(ids, mask), mask, prompt_length)

    def states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The tokens' vectors. **Shape:** (batch, length, width)."""
        if isinstance(self.spec.encoder, StaticSpec):
            found: Tensor = self.model(ids)
        else:
            found = self.model(input_ids=ids, attention_mask=mask).last_hidden_state
        return found

    def pooled(self, hidden: Tensor, mask: Tensor, prompt_length: int = 0) -> Tensor:
        """A batch's vectors from its tokens'. **Shape:** (batch, dimension)."""
        if isinstance(self.spec.encoder, StaticSpec):
            weights = mask.unsqueeze(-1).float()
            vector = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1.0)
        else:
            pooling = self.spec.pooling or PoolingSpec()
            skipped = 0 if pooling.include_prompt else prompt_length
            vector = pool(hidden.to(mask.device), mask, pooling.modes, skipped)
        with torch.autocast(vector.device.type, enabled=False):  # a few rows: exactness costs nothing
            for head in self.heads:
                vector = head(vector)
        return vector


class TorchTower(TorchModel):
    """Token ids in, vectors out; for the arguments see `TowerModule`."""

    def __init__(self, spec: TowerSpec, options: TorchOptions) -> None:
        self.spec = spec
        self.precision = options.precision
        self._module = TowerModule(spec, options)
        self.device = self._module.device
        self.positions = self._module.positions
        self.dimension = self._module.dimension
        self.config = getattr(self._module.model, "config", None)

    def vectors(self, ids: Tokens, mask: Tokens, prompt_length: int = 0) -> Result:
        """Vectors of a padded batch; see `TowerModule.forward`."""
        return self.pooled(self.states(ids, mask), mask, prompt_length)

    def states(self, ids: Tokens, mask: Tokens) -> tuple[Tensor, Tensor]:
        """The tokens' vectors, and the mask, on the device. **Shape:** (batch, length, width), (batch, length)."""
        with inference():
            ids_, mask_ = on_device(ids, self.device), on_device(mask, self.device)
            return self._module.states(ids_, mask_), mask_

    def pooled(self, states: tuple[Tensor, Tensor], mask: Tokens, prompt_length: int = 0) -> Result:
        """A batch's vectors from its tokens'. **Shape:** (batch, dimension)."""
        del mask  # that on the device is among the states
        with inference():
            return fetched(self._module.pooled(*states, prompt_length))


class TorchClassifier(TorchModel):
    """Token ids in, logits out: a sequence-classification checkpoint.

    Under half precision the layers behind the encoder stay in float32: in bfloat16 they would round the logits of 100
    pairs to a quarter as many numbers, and equal scores have no order.
    """

    def __init__(self, spec: ScorerSpec, options: TorchOptions) -> None:
        self.precision = options.precision
        self._model, self.device = load_transformer(spec.encoder, "AutoModelForSequenceClassification", options)
        if self.precision != "float32" and "quantization_config" not in options.model_options:
            _head_in_float32(self._model, spec.encoder.folder)
        self.config = self._model.config
        self.positions = max_positions(self.config)
        self.labels = int(self.config.num_labels)

    def logits(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Result:
        """Logits of a padded batch of pairs. **Shape:** ids, mask, types (batch, length) → (batch, labels)."""
        with inference():
            inputs = {"input_ids": ids, "attention_mask": mask}
            if types is not None:
                inputs["token_type_ids"] = types
            given = {name: on_device(value, self.device) for name, value in inputs.items()}
            return fetched(self._model(**given).logits)


def _head_in_float32(model: Any, folder: os.PathLike[str]) -> None:
    """Take a classifier's pooler and head back to the float32 that the checkpoint holds."""
    base = model.base_model
    heads = {name: module for name, module in model.named_children() if module is not base}
    if (pooler := getattr(base, "pooler", None)) is not None:
        heads[f"{model.base_model_prefix}.pooler"] = pooler
    stored = {name: tensor for file in weight_files(Path(folder)) for name, tensor in _tensors(file, heads)}
    for prefix, module in heads.items():
        module.float()
        module.register_forward_pre_hook(_arguments_as_float32)
        for name, weight in module.named_parameters(prefix):
            if name in stored:
                weight.data.copy_(stored[name])


def _tensors(path: Path, prefixes: Iterable[str]) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a safetensors file whose names begin so."""
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118  # not a mapping
            if name.startswith(tuple(prefixes)):
                yield name, file.get_tensor(name)


def _arguments_as_float32(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    del module
    return tuple(x.float() if isinstance(x, Tensor) and x.is_floating_point() else x for x in arguments)
