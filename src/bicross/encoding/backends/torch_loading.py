"""A transformers model from its folder, with what can be wrong with it told."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from bicross.encoding import hardware
from bicross.encoding.backends.first_token import trim
from bicross.encoding.backends.protocol import Result, Tokens
from bicross.encoding.backends.quantization import quantization_config
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.specs import TransformerSpec
from bicross.errors import CheckpointError, ConfigurationError

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
    """The data type that "auto" stands for: bfloat16 where the hardware is faster in it, else float32."""
    if precision != "auto":
        return precision
    if device.startswith("cuda"):
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    if device != "cpu":
        return "float32"
    if hardware.cpu_flags():
        return "bfloat16" if hardware.has_fast_bfloat16() else "float32"
    fast = torch.ops.mkldnn._is_mkldnn_bf16_supported() and torch.cpu._is_avx512_bf16_supported()
    return "bfloat16" if fast else "float32"


def load_transformer(spec: TransformerSpec, kind: str, options: TorchOptions) -> tuple[Any, str]:
    """A transformers model in evaluation mode, refused where a weight is missing, misshapen or not a number.

    Returns:
        The model, and the device that its input goes to.

    Raises:
        CheckpointError: The weights are damaged, incomplete, pickled or belong to another kind of model.
        ConfigurationError: An option that isn't known.
    """
    import transformers

    weight_files(spec.folder)
    if options.device == "cpu":
        _keep_within_quota()
    given = {name: value for name, value in options.model_options.items() if name != "dtype"}
    if quantization := given.pop("quantization_config", None):
        given["quantization_config"] = quantization_config(quantization)
    try:
        with quiet_transformers():
            model, report = getattr(transformers, kind).from_pretrained(
                spec.folder,
                dtype=_DTYPES[options.precision],
                local_files_only=True,
                use_safetensors=True,
                trust_remote_code=options.trust_remote_code,
                output_loading_info=True,
                **given,
            )
    except Exception as error:  # transformers and safetensors raise a dozen kinds for a broken folder
        raise CheckpointError(
            f"{str(spec.folder)!r} can't be loaded as a model: {type(error).__name__}: {str(error)[:500]}"
        ) from error
    _check_weights(model, report, spec.folder, kind)
    if getattr(model.config, "use_cache", False):
        model.config.use_cache = False  # a decoder would keep every layer's keys and values, which nobody reads again
    if "device_map" in given or "quantization_config" in given:
        return model.eval(), str(model.device)
    if kind == "AutoModelForSequenceClassification":
        trim(model)
    return model.to(options.device).eval(), options.device


def _keep_within_quota() -> None:
    """Torch takes every core that it sees, also those that a container's quota doesn't grant."""
    if "OMP_NUM_THREADS" not in os.environ and torch.get_num_threads() > hardware.quota():
        torch.set_num_threads(hardware.quota())


@contextmanager
def inference() -> Iterator[None]:
    """Without gradients.

    Raises:
        MemoryError: A graphics card's memory is too small for the batch; the scheduler tries smaller ones.
    """
    try:
        with torch.inference_mode():
            yield
    except torch.OutOfMemoryError as error:
        torch.cuda.empty_cache()
        raise MemoryError(f"{str(error).split('. ', 1)[0]}. Use a smaller batch_tokens, or another device.") from error


def on_device(tokens: Tokens, device: str) -> Tensor:
    """Token ids or a mask on the device. A graphics card fetches them from pinned memory, while the code goes on.

    **Shape:** any → the same.
    """
    here = torch.from_numpy(tokens)
    return here.pin_memory().to(device, non_blocking=True) if device.startswith("cuda") else here.to(device)


class _OnItsWay:
    """What a graphics card still computes or sends: the next batch can be given to it meanwhile."""

    def __init__(self, result: Tensor) -> None:
        self._here = result.to("cpu", non_blocking=True)  # torch takes pinned memory for it
        self._sent = torch.cuda.current_stream(result.device).record_event()

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        del copy  # the memory belongs to nobody else
        self._sent.synchronize()
        found: npt.NDArray[Any] = self._here.numpy()
        return found if dtype is None else found.astype(dtype, copy=False)


def fetched(result: Tensor) -> Result:
    """A result in float32; a graphics card's is on its way. **Shape:** any → the same."""
    exact = result.float()
    return _OnItsWay(exact) if exact.is_cuda else exact.cpu().numpy()


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


def max_positions(config: Any) -> int | None:
    """The longest input that a model has positions for, or None where it has no such limit."""
    positions = getattr(config, "max_position_embeddings", None)
    if not positions or positions < 0:
        return None
    # RoBERTa's kind counts positions from padding_idx + 1, so its table is that much longer than its inputs.
    offset = (config.pad_token_id or 0) + 1 if config.model_type in _OFFSET_POSITIONS else 0
    return int(positions) - offset


_OFFSET_POSITIONS = {"roberta", "xlm-roberta", "camembert", "mpnet", "longformer", "xlm-roberta-xl", "xmod", "ibert"}
