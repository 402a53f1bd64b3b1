"""Reads sparse encoders' folders: sentence-transformers' SparseEncoder, and plain masked language models."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bicross.encoding.checkpoint import (
    class_name,
    optional_json,
    read_json,
    read_routes,
    read_transformer,
    understood,
    unknown_module,
)
from bicross.encoding.specs import SparseCheckpoint, SpladeSpec, TokenWeightsSpec
from bicross.errors import CheckpointError

_SATURATIONS = {"relu": 1, "log1p_relu": 2}
_KNOWN = "Transformer or MLMTransformer with SpladePooling behind it, or SparseStaticEmbedding, or a Router over them"


def read_sparse_checkpoint(folder: Path) -> SparseCheckpoint:
    """Describe a sparse encoder's folder.

    Raises:
        CheckpointError: A file is missing or broken, or a module isn't known.
    """
    with understood(folder):
        settings = optional_json(folder / "config_sentence_transformers.json")
        prompts = {str(name): str(text or "") for name, text in (settings.get("prompts") or {}).items()}
        if (folder / "modules.json").is_file():
            return SparseCheckpoint(*_sides(folder), prompts)
        names = read_json(folder / "config.json").get("architectures") or ()
        if not any(str(name).endswith("ForMaskedLM") for name in names):
            raise CheckpointError(
                f"SPLADE needs a masked language model, got {list(names)} in {str(folder)!r}. Name a SPLADE checkpoint."
            )
        plain = SpladeSpec(read_transformer(folder))
        return SparseCheckpoint(plain, plain, prompts)


def _sides(folder: Path) -> tuple[SpladeSpec | TokenWeightsSpec, SpladeSpec | TokenWeightsSpec]:
    modules = sorted(read_json(folder / "modules.json"), key=lambda module: int(module["idx"]))
    flat = [(class_name(module), folder / str(module["path"])) for module in modules]
    if len(flat) == 1 and flat[0][0] in ("Router", "Asym"):
        routes = read_routes(flat[0][1])
        return _side(routes["query"], folder), _side(routes["document"], folder)
    side = _side(flat, folder)
    return side, side


def _side(modules: Sequence[tuple[str, Path]], folder: Path) -> SpladeSpec | TokenWeightsSpec:
    kinds = [kind for kind, _ in modules]
    if kinds == ["SparseStaticEmbedding"]:
        return _read_token_weights(modules[0][1])
    if len(kinds) == 2 and kinds[0] in ("Transformer", "MLMTransformer") and kinds[1] == "SpladePooling":
        return _read_splade(*(path for _, path in modules))
    raise unknown_module(" + ".join(kinds), folder, _KNOWN)


def _read_splade(encoder: Path, head: Path) -> SpladeSpec:
    config = read_json(head / "config.json")
    pooling, activation = config.get("pooling_strategy", "max"), config.get("activation_function", "relu")
    if pooling not in ("max", "sum") or activation not in _SATURATIONS:
        raise CheckpointError(
            f"SpladePooling must have the pooling 'max' or 'sum' and the activation 'relu' or 'log1p_relu', got "
            f"{pooling!r} and {activation!r} in {str(head)!r}."
        )
    return SpladeSpec(read_transformer(encoder), pooling, _SATURATIONS[activation])


def _read_token_weights(folder: Path) -> TokenWeightsSpec:
    if path := optional_json(folder / "config.json").get("path"):
        raise CheckpointError(
            f"Token weights must be in a safetensors file, got the file {path!r} in {str(folder)!r}. Load it in "
            "sentence-transformers and save it again."
        )
    return TokenWeightsSpec(folder)
