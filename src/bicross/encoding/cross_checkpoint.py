"""Reads a cross-encoder's folder: a sequence classifier, or a decoder whose answer is the score."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bicross.encoding.checkpoint import (
    class_name,
    generates,
    optional_json,
    read_json,
    read_transformer,
    transformer_settings,
    understood,
    unknown_module,
)
from bicross.encoding.families import qwen_reranker_by_its_name, zerank_by_its_code
from bicross.encoding.specs import AnswerSpec, ChatTemplateSpec, CrossCheckpoint, ScorerSpec
from bicross.errors import CheckpointError

STAGE1_SCALE = "candidates"
"""How a trained cross-encoder's scores were matched with the first stage's: see `bicross.ranking.weighted_sum`."""


def read_cross_checkpoint(folder: Path) -> CrossCheckpoint:
    """Describe a cross-encoder's folder.

    Raises:
        CheckpointError: A file is missing or broken, or a module isn't known.
    """
    with understood(folder):
        return _read_cross_checkpoint(folder)


def _read_cross_checkpoint(folder: Path) -> CrossCheckpoint:
    modules = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else None
    root = folder if modules is None else folder / _transformer_path(modules, folder)
    config = read_json(root / "config.json")
    settings = optional_json(folder / "config_sentence_transformers.json")
    own = config.get("sentence_transformers") or {}
    activation = (
        settings.get("activation_fn") or own.get("activation_fn") or config.get("sbert_ce_default_activation_function")
    )
    extras = optional_json(folder / "bicross.json")
    weight, scale = float(extras.get("stage1_weight", 0.0)), extras.get("stage1_scale", STAGE1_SCALE)
    if not 0.0 <= weight <= 1.0 or scale != STAGE1_SCALE:
        raise CheckpointError(
            f"bicross.json must hold a stage1_weight from 0 to 1 and the stage1_scale {STAGE1_SCALE!r}, got "
            f"{weight!r} and {scale!r} in {str(folder)!r}."
        )
    return CrossCheckpoint(
        scorer=_scorer(folder, root, modules, config),
        activation=activation,
        prompts={str(name): str(text or "") for name, text in (settings.get("prompts") or {}).items()},
        default_prompt_name=settings.get("default_prompt_name"),
        extras=extras,
    )


def _transformer_path(modules: Sequence[Mapping[str, Any]], folder: Path) -> str:
    """Where the transformer lies, once every module is one that a cross-encoder may have."""
    kinds = [class_name(module) for module in modules]
    if "Pooling" in kinds:
        raise CheckpointError(
            f"A cross-encoder scores pairs, got a bi-encoder in {str(folder)!r}. Name a cross-encoder, or make "
            "one from it: bicross train-reranker."
        )
    for kind, module, known in zip(kinds, modules, ("Transformer", "LogitScore"), strict=False):
        if kind != known:
            raise unknown_module(str(module["type"]), folder, "Transformer, or Transformer and LogitScore")
    if not 1 <= len(modules) <= 2:
        found = str(modules[-1]["type"]) if modules else "nothing"
        raise unknown_module(found, folder, "Transformer, or Transformer and LogitScore")
    return str(modules[0]["path"])


def _scorer(
    folder: Path, root: Path, modules: Sequence[Mapping[str, Any]] | None, config: Mapping[str, Any]
) -> ScorerSpec:
    encoder = read_transformer(root)
    settings = transformer_settings(root)
    template = None
    if "message" in (settings.get("modality_config") or {}):
        options = (settings.get("processing_kwargs") or {}).get("chat_template") or {}
        template = ChatTemplateSpec(json.dumps(options, sort_keys=True))
    if modules is not None and len(modules) == 2:
        return ScorerSpec(encoder, _answer(folder / str(modules[1]["path"])), template)
    if not generates(config):
        return ScorerSpec(encoder, None, template)
    for known in (zerank_by_its_code, qwen_reranker_by_its_name):
        if (spec := known(folder, config, encoder)) is not None:
            return spec
    raise CheckpointError(
        f"A decoder that scores pairs needs a LogitScore module, which says what token is the answer, got none in "
        f"{str(folder)!r} ({config['architectures'][0]}). Take a revision of the model that has modules.json and "
        "1_LogitScore, or one that was converted to a sequence classifier. Qwen3-Reranker as it was first published is "
        "known by its folder's name, which must hold 'Qwen3-Reranker'."
    )


def _answer(folder: Path) -> AnswerSpec:
    config = read_json(folder / "config.json")
    if (where := config.get("module_input_name", "causal_logits")) != "causal_logits":
        raise CheckpointError(f"LogitScore must read 'causal_logits', got {where!r} in {str(folder)!r}.")
    false_id = config.get("false_token_id")
    return AnswerSpec(int(config["true_token_id"]), None if false_id is None else int(false_id))
