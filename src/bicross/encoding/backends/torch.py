"""The torch backend: every checkpoint, every device."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from bicross.encoding.backends.protocol import Tokens
from bicross.encoding.backends.quantization import quantization_config
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.pooling import pool
from bicross.encoding.specs import (
    DenseSpec,
    NormalizeSpec,
    PoolingSpec,
    ScorerSpec,
    StaticSpec,
    TowerSpec,
    TransformerSpec,
)
from bicross.encoding.static import static_table
from bicross.errors import CheckpointError, ConfigurationError
from bicross.types import Floats

_quiet_lock = threading.Lock()
_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def pick_device(device: str) -> str:
    """The device that "auto" stands for: CUDA, then MPS, then the CPU.

    Raises:
        ConfigurationError: The device doesn't exist here.
    """
    if device == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"device must be 'auto' or one that torch has here, got {device!r}: {error}"
        ) from error
    return device


def pick_precision(precision: str, device: str) -> str:
    """The data type that "auto" stands for: bfloat16 where the hardware computes in it, else float32."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported() else "float32"
    fast = device == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


class TorchModel:
    """What the models of this backend share."""

    backend = "torch"

    def padded(self, length: int) -> int:
        """The length that a batch with this longest row is padded to: no more."""
        return length


class TowerModule(nn.Module):
    """A tower as a module: what inference runs, and what training changes.

    Args:
        spec: The tower's modules.
        device: A torch device.
        precision: "float32", "float16" or "bfloat16".
        model_options: `dtype`, `attn_implementation`, `device_map`, `quantization_config`, handed to transformers.
        trust_remote_code: Whether the folder's own code may run.
    """

    def __init__(
        self,
        spec: TowerSpec,
        *,
        device: str,
        precision: str,
        model_options: Mapping[str, Any],
        trust_remote_code: bool = False,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.device = device
        self.positions: int | None = None
        self.model: Any
        if isinstance(spec.encoder, StaticSpec):
            table = torch.from_numpy(static_table(spec.encoder.folder)).to(device)
            self.model = nn.Embedding(table.shape[0], table.shape[1], _weight=table)
            width = table.shape[1]
        else:
            self.model, self.device = load_transformer(
                spec.encoder, "AutoModel", device, precision, model_options, trust_remote_code
            )
            self.positions = max_positions(self.model.config)
            width = int(self.model.config.hidden_size) * len((spec.pooling or PoolingSpec()).modes)
        self.heads = nn.ModuleList([_head(head) for head in spec.heads]).to(self.device).eval()
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

    def __init__(
        self,
        spec: TowerSpec,
        *,
        device: str,
        precision: str,
        model_options: Mapping[str, Any],
        trust_remote_code: bool = False,
    ) -> None:
        self.spec = spec
        self.precision = precision
        self._module = TowerModule(
            spec,
            device=device,
            precision=precision,
            model_options=model_options,
            trust_remote_code=trust_remote_code,
        )
        self.device = self._module.device
        self.positions = self._module.positions
        self.dimension = self._module.dimension

    def vectors(self, ids: Tokens, mask: Tokens, prompt_length: int = 0) -> Floats:
        """Vectors of a padded batch; see `TowerModule.forward`."""
        return self.pooled(self.states(ids, mask), mask, prompt_length)

    def states(self, ids: Tokens, mask: Tokens) -> tuple[Tensor, Tensor]:
        """The tokens' vectors, and the mask, on the device. **Shape:** (batch, length, width), (batch, length)."""
        with torch.inference_mode():
            ids_, mask_ = torch.from_numpy(ids).to(self.device), torch.from_numpy(mask).to(self.device)
            return self._module.states(ids_, mask_), mask_

    def pooled(self, states: tuple[Tensor, Tensor], mask: Tokens, prompt_length: int = 0) -> Floats:
        """A batch's vectors from its tokens'. **Shape:** (batch, dimension)."""
        del mask  # that on the device is among the states
        with torch.inference_mode():
            return self._module.pooled(*states, prompt_length).float().cpu().numpy()


class TorchClassifier(TorchModel):
    """Token ids in, logits out: a sequence-classification checkpoint.

    Under half precision the layers behind the encoder stay in float32: in bfloat16 they would round the logits of 100
    pairs to a quarter as many numbers, and equal scores have no order.
    """

    def __init__(
        self,
        spec: ScorerSpec,
        *,
        device: str,
        precision: str,
        model_options: Mapping[str, Any],
        trust_remote_code: bool = False,
    ) -> None:
        self.precision = precision
        kind = "AutoModelForSequenceClassification"
        self._model, self.device = load_transformer(
            spec.encoder, kind, device, precision, model_options, trust_remote_code
        )
        if precision != "float32" and "quantization_config" not in model_options:
            _head_in_float32(self._model, spec.encoder.folder)
        self.positions = max_positions(self._model.config)
        self.labels = int(self._model.config.num_labels)

    def logits(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Floats:
        """Logits of a padded batch of pairs. **Shape:** ids, mask, types (batch, length) → (batch, labels)."""
        with torch.inference_mode():
            inputs = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
            if types is not None:
                inputs["token_type_ids"] = torch.from_numpy(types)
            logits = self._model(**{name: value.to(self.device) for name, value in inputs.items()}).logits
            return np.asarray(logits.float().cpu().numpy(), dtype=np.float32)


def load_transformer(
    spec: TransformerSpec,
    kind: str,
    device: str,
    precision: str,
    model_options: Mapping[str, Any],
    trust_remote_code: bool,
) -> tuple[Any, str]:
    """A transformers model in evaluation mode, refused where a weight is missing, misshapen or not a number.

    Returns:
        The model, and the device that its input goes to.

    Raises:
        CheckpointError: The weights are damaged, incomplete, pickled or belong to another kind of model.
        ConfigurationError: An option that isn't known.
    """
    import transformers

    weight_files(spec.folder)
    options = {name: value for name, value in model_options.items() if name != "dtype"}
    dtype = _DTYPES[precision]
    if quantization := options.pop("quantization_config", None):
        options["quantization_config"] = quantization_config(quantization)
    try:
        with quiet_transformers():
            model, report = getattr(transformers, kind).from_pretrained(
                spec.folder,
                dtype=dtype,
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=trust_remote_code,
                output_loading_info=True,
                **options,
            )
    except Exception as error:  # transformers and safetensors raise a dozen kinds for a broken folder
        raise CheckpointError(
            f"{str(spec.folder)!r} can't be loaded as a model: {type(error).__name__}: {str(error)[:500]}"
        ) from error
    _check_weights(model, report, spec.folder, kind)
    if getattr(model.config, "use_cache", False):
        model.config.use_cache = False  # a decoder would keep every layer's keys and values, which nobody reads again
    if "device_map" in options or "quantization_config" in options:
        return model.eval(), str(model.device)
    return model.to(device).eval(), device


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """No bar for reading or writing a file, and no report of unused weights: `_check_weights` raises what matters."""
    import transformers

    log: Any = transformers.utils.logging
    with _quiet_lock:  # these settings belong to the whole process
        level, bars = log.get_verbosity(), log.is_progress_bar_enabled()
        log.set_verbosity_error()
        log.disable_progress_bar()
        try:
            yield
        finally:
            log.set_verbosity(level)
            if bars:
                log.enable_progress_bar()


_MISSING_HEAD = {
    "AutoModelForSequenceClassification": (
        "It looks like a base model: bicross train-reranker makes a cross-encoder of it"
    ),
    "AutoModelForMaskedLM": "It looks like a model without a language-model head, which SPLADE needs",
}


def _check_weights(model: Any, report: Mapping[str, Any], folder: os.PathLike[str], kind: str) -> None:
    missing = [name for name in report["missing_keys"] if kind != "AutoModel" or "pooler" not in name]
    if missing:
        hint = _MISSING_HEAD.get(kind, "Fetch the model again")
        raise CheckpointError(
            f"Every weight must come from the checkpoint, got {len(missing)} without a value in {str(folder)!r} "
            f"({', '.join(sorted(missing)[:3])}). {hint}."
        )
    if report["mismatched_keys"]:
        raise CheckpointError(
            f"Weights must have the shapes that config.json gives, got others in {str(folder)!r}: "
            f"{sorted(map(str, report['mismatched_keys']))[:3]}. Fetch the model again."
        )
    for name, weight in model.named_parameters():
        plain = type(weight.data) is Tensor  # a quantised weight is of its library's own class
        if plain and weight.is_floating_point() and not bool(torch.isfinite(weight).all()):
            raise CheckpointError(
                f"Weights must be finite numbers, got NaN or infinity in {name!r} of {str(folder)!r}. "
                "The file is damaged: fetch the model again."
            )


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


def max_positions(config: Any) -> int | None:
    """The longest input that a model has positions for, or None where it has no such limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if not positions or positions < 0:
        return None
    # RoBERTa's kind counts positions from padding_idx + 1, so its table is that much longer than its inputs.
    offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
    return int(positions) - offset


_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl", "xmod", "ibert"}


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


def _head(spec: DenseSpec | NormalizeSpec) -> nn.Module:
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
