"""Writes checkpoints in the older key set, which sentence-transformers 5.3 to 6.x and other servers read.

Weights and tokenizer are copied as files: saving changes no number.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors.numpy import save_file

from bicross.encoding.checkpoint import is_decoder, read_json
from bicross.encoding.files import copy_files, make_empty, write_json
from bicross.encoding.prompts import Role, role_prompt
from bicross.encoding.saving_decoders import write_decoder
from bicross.encoding.specs import (
    POOLING_MODES,
    BiCheckpoint,
    CrossCheckpoint,
    DenseSpec,
    PoolingSpec,
    StaticSpec,
    TowerSpec,
    TransformerSpec,
)
from bicross.encoding.static import static_table
from bicross.encoding.tokenizer_files import chat_tokenizer, read_tokenizer

_MODULES = "sentence_transformers.models."
_WEIGHT_FILES = ("*.safetensors", "model.safetensors.index.json")
_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "vocab.*", "merges.txt", "*.model", "added_tokens.json")
_POOLING_KEYS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}

Module = tuple[str, str]
"""A module's class name, and its folder relative to the model's."""


def save_bi_checkpoint(
    checkpoint: BiCheckpoint, folder: Path, limits: Mapping[Role, int], *, weights: bool = True
) -> Path:
    """Write a bi-encoder.

    Args:
        checkpoint: What was loaded; its files are copied.
        folder: Where to; must be empty or not exist.
        limits: The longest input of each tower.
        weights: Whether the transformers' weights are copied, or stand in graphs.
    """
    make_empty(folder)
    extras = dict(checkpoint.extras)
    if checkpoint.two_towers:
        # Each tower is a whole checkpoint of its own, for readers that don't know routers.
        towers: dict[Role, TowerSpec] = {"query": checkpoint.query, "document": checkpoint.document}
        routes: dict[str, list[Module]] = {}
        for role, tower in towers.items():
            modules = _write_tower(tower, folder / role, limits[role], weights)
            _write_modules(folder / role, modules, checkpoint)
            routes[role] = [(kind, f"{role}/{path}" if path else role) for kind, path in modules]
        router = {
            "types": {path: _MODULES + kind for modules in routes.values() for kind, path in modules},
            "structure": {role: [path for _, path in modules] for role, modules in routes.items()},
            "parameters": {"default_route": "document", "allow_empty_key": True},
        }
        write_json(folder / "router_config.json", router)
        _write_modules(folder, [("Router", "")], checkpoint)
    else:
        modules = _write_tower(checkpoint.document, folder, limits["document"], weights)
        _write_modules(folder, modules, checkpoint)
        if checkpoint.projections is not None:
            extras["projections"] = True
    if extras:
        write_json(folder / "bicross.json", extras)
    return folder


def save_cross_checkpoint(checkpoint: CrossCheckpoint, folder: Path, max_length: int, *, weights: bool = True) -> Path:
    """Write a cross-encoder; `folder` must be empty or not exist. For `weights` see `save_bi_checkpoint`."""
    make_empty(folder)
    _copy_transformer(checkpoint.encoder, folder, max_length, weights)
    config = read_json(folder / "config.json")
    if checkpoint.activation:
        config["sentence_transformers"] = {"activation_fn": checkpoint.activation}
    write_json(folder / "config.json", config)
    if checkpoint.scorer.answer is not None or checkpoint.scorer.template is not None:
        write_decoder(checkpoint.scorer, folder, max_length)
    if checkpoint.prompts or checkpoint.scorer.answer is not None:
        settings = {"prompts": dict(checkpoint.prompts), "default_prompt_name": checkpoint.default_prompt_name}
        settings |= {"activation_fn": checkpoint.activation, "model_type": "CrossEncoder", "__version__": {}}
        write_json(folder / "config_sentence_transformers.json", settings)
    if checkpoint.extras:
        write_json(folder / "bicross.json", dict(checkpoint.extras))
    return folder


def push(save: Callable[[Path], Path], repository: str, token: str | None, private: bool) -> str:
    """Save into a temporary folder and upload it; returns the repository's address."""
    from huggingface_hub import HfApi

    api = HfApi(token=token)
    with tempfile.TemporaryDirectory() as root:
        folder = save(Path(root) / "model")
        address = str(api.create_repo(repository, private=private, exist_ok=True))
        api.upload_folder(repo_id=repository, folder_path=folder)
    return address


def copy_tokenizer(source: Path, folder: Path) -> None:
    """Copy the tokenizer's files of a model folder."""
    copy_files(source, folder, _TOKENIZER_FILES)


def _write_modules(folder: Path, modules: list[Module], checkpoint: BiCheckpoint) -> None:
    entries = [
        {"idx": index, "name": str(index), "path": path, "type": _MODULES + kind}
        for index, (kind, path) in enumerate(modules)
    ]
    write_json(folder / "modules.json", entries)
    # sentence-transformers 6.2 has an empty prompt "document", which hides "passage" and "corpus".
    document = role_prompt(checkpoint.prompts, "document")
    settings = {
        "__version__": {},
        "prompts": dict(checkpoint.prompts) | ({"document": document} if document else {}),
        "default_prompt_name": checkpoint.default_prompt_name,
        "similarity_fn_name": checkpoint.similarity,
    }
    write_json(folder / "config_sentence_transformers.json", settings)


def _write_tower(tower: TowerSpec, folder: Path, max_length: int, weights: bool) -> list[Module]:
    """Write a tower's modules below a folder; their classes and paths."""
    folder.mkdir(parents=True, exist_ok=True)
    modules: list[Module] = []
    if isinstance(tower.encoder, StaticSpec):
        # One table, since sentence-transformers may not know how model2vec folds its parts.
        save_file({"embedding.weight": static_table(tower.encoder.folder)}, folder / "model.safetensors")
        copy_files(tower.encoder.folder, folder, ("tokenizer.json",))
        modules.append(("StaticEmbedding", ""))
    else:
        _copy_transformer(tower.encoder, folder, max_length, weights)
        modules.append(("Transformer", ""))
    if tower.pooling is not None:
        path = f"{len(modules)}_Pooling"
        modules.append(("Pooling", path))
        (folder / path).mkdir()
        write_json(folder / path / "config.json", _pooling(tower.pooling, folder))
    for head in tower.heads:
        kind = "Dense" if isinstance(head, DenseSpec) else "Normalize"
        path = f"{len(modules)}_{kind}"
        modules.append((kind, path))
        (folder / path).mkdir()
        if isinstance(head, DenseSpec):
            copy_files(head.folder, folder / path, ("config.json", "*.safetensors"))
    return modules


def _pooling(pooling: PoolingSpec, folder: Path) -> dict[str, Any]:
    width = read_json(folder / "config.json")["hidden_size"]
    if list(pooling.modes) != [mode for mode in POOLING_MODES if mode in pooling.modes]:
        # The older keys can't say in which order modes are concatenated.
        modes = {"embedding_dimension": width, "pooling_mode": list(pooling.modes)}
        return modes | {"include_prompt": pooling.include_prompt}
    keys = {_POOLING_KEYS[mode]: mode in pooling.modes for mode in POOLING_MODES}
    return {"word_embedding_dimension": width, **keys, "include_prompt": pooling.include_prompt}


def _copy_transformer(spec: TransformerSpec, folder: Path, max_length: int, weights: bool = True) -> None:
    copy_files(spec.folder, folder, (*(_WEIGHT_FILES if weights else ()), *_TOKENIZER_FILES))
    if spec.suffix:
        # Readers without our recipe append the suffix as they append any special token.
        read_tokenizer(spec)[0].save(str(folder / "tokenizer.json"))
    elif not (folder / "tokenizer.json").is_file():
        chat_tokenizer(spec.folder).save_pretrained(folder)
    config = read_json(spec.folder / "config.json")
    config = {key: value for key, value in config.items() if key not in ("torch_dtype", "auto_map")}
    if is_decoder(spec.folder):
        # Billions of weights: readers compute in what they are stored in, as the publisher meant it.
        config["dtype"] = config.get("dtype") or read_json(spec.folder / "config.json").get("torch_dtype", "float32")
    else:
        # Without it, transformers computes in the data type that the weights are stored in.
        config["dtype"] = "float32"
    write_json(folder / "config.json", config)
    settings = {"max_seq_length": max_length, "do_lower_case": spec.lower_case}
    write_json(folder / "sentence_bert_config.json", settings)
