"""The towers of a student: copied, pruned, frozen, given adapters or turned into a table; and written at the end."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bicross.distillation.pruning import layer_stack, prune_layers
from bicross.distillation.student_settings import StudentSettings
from bicross.encoding.backends.torch import TowerModule
from bicross.encoding.backends.torch_loading import quiet_transformers
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.batching import pad
from bicross.encoding.checkpoint import optional_json
from bicross.encoding.files import make_empty, write_json
from bicross.encoding.prompts import Role
from bicross.encoding.saving import copy_tokenizer, save_bi_checkpoint
from bicross.encoding.specs import BiCheckpoint, DenseSpec, NormalizeSpec, StaticSpec, TowerSpec
from bicross.encoding.tokenizer import TextTokenizer
from bicross.encoding.tokenizer_files import load_static_tokenizer, load_tokenizer, read_tokenizer
from bicross.errors import ConfigurationError, MissingExtraError
from bicross.whole_file import whole_file

_SMOOTHING = 1e-3
"""How rare a token must be for its weight in a mean to be near 1: a of Arora et al. 2017, equation 1."""


def build_towers(
    checkpoint: BiCheckpoint, settings: StudentSettings, device: str, texts: Sequence[str], folder: Path
) -> tuple[dict[str, TowerModule], dict[str, TextTokenizer]]:
    """The towers that are trained, in float32, and their tokenizers.

    Args:
        checkpoint: What the student starts from.
        settings: Which towers, and what becomes of them.
        device: A torch device.
        texts: What tells rare tokens from common ones, for a static tower.
        folder: Where a static tower's first table is kept.

    Returns:
        Towers by role: "query" and "document", or "both" where they are one; "query" alone where documents are frozen.
        Tokenizers by role.

    Raises:
        ConfigurationError: A tower that can't be pruned or frozen so.
        MissingExtraError: peft isn't installed, and ``lora`` is asked for.
    """
    specs: dict[str, TowerSpec] = {"query": checkpoint.query}
    if settings.towers == "both":
        specs = specs | {"document": checkpoint.document} if checkpoint.two_towers else {"both": checkpoint.document}
    options = TorchOptions(device, model_options=settings.trainer.attention(torch.device(device).type))
    towers, tokenizers = {}, {}
    for name, spec in specs.items():
        tower = TowerModule(spec, options)
        tokenizer = _tokenizer(spec, tower.positions)
        if settings.static:
            tower, tokenizer = _as_table(tower, tokenizer, texts, folder)
        _prepare(tower, settings)
        towers[name] = tower
        for role in ("query", "document") if name == "both" else (name,):
            tokenizers[role] = tokenizer
    return towers, tokenizers


def _tokenizer(spec: TowerSpec, positions: int | None) -> TextTokenizer:
    if isinstance(spec.encoder, StaticSpec):
        return load_static_tokenizer(spec.encoder.folder)
    return load_tokenizer(spec.encoder, positions)


def _prepare(tower: TowerModule, settings: StudentSettings) -> None:
    """Prunes, freezes, gives adapters; switches dropout to what the settings say."""
    if isinstance(tower.spec.encoder, StaticSpec):
        if settings.layers is not None or settings.freeze_layers or settings.lora is not None:
            raise ConfigurationError("A table of token vectors has no layers to prune, freeze or adapt.")
        return
    model = tower.model
    for module in tower.modules():
        if isinstance(module, nn.Dropout):
            module.p = settings.trainer.dropout
    if settings.layers is not None:
        prune_layers(model, settings.layers)
    _freeze(model, settings)
    if settings.lora is not None:
        tower.model = _with_adapters(model, settings.lora)


def _freeze(model: Any, settings: StudentSettings) -> None:
    """Takes from the training what stays as it is, and the pooler, from which no bi-encoder's vector comes."""
    embeddings = model.get_input_embeddings()
    if settings.freeze_layers:
        _, _, stack = layer_stack(model)
        settings.check_frozen(len(stack))
        for layer in stack[: settings.freeze_layers]:
            layer.requires_grad_(False)
        embeddings = getattr(model, "embeddings", embeddings)
    if settings.freeze_layers or settings.freeze_embeddings:
        embeddings.requires_grad_(False)
    for name, module in model.named_children():
        if name == "pooler":
            module.requires_grad_(False)


def _with_adapters(model: Any, rank: int) -> Any:
    """The model with adapters of all linear layers but the frozen ones, whose weights a merge would change."""
    try:
        from peft import LoraConfig, LoraModel
    except ImportError:
        raise MissingExtraError(
            'lora needs peft, which is not installed. Run: pip install "bicross[distill]"'
        ) from None
    frozen = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not module.weight.requires_grad
    ]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", exclude_modules=frozen, bias="none")
    return LoraModel(model, config, "default")


def _as_table(
    tower: TowerModule, tokenizer: TextTokenizer, texts: Sequence[str], folder: Path
) -> tuple[TowerModule, TextTokenizer]:
    """A table of what the tower says to each token alone, weighted so that common tokens count little.

    The vectors are model2vec's (MinishLab 2024), the weight of a token of probability p is a / (a + p) (Arora et al.
    2017, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings", equation 1). Training goes on from there.
    """
    if isinstance(tower.spec.encoder, StaticSpec):
        return tower, tokenizer
    if not (folder / "model.safetensors").exists():
        counts = np.zeros(tokenizer.vocabulary)
        for start in range(0, len(texts), 4096):
            np.add.at(counts, np.concatenate(tokenizer.ids(texts[start : start + 4096])), 1)
        weights = _SMOOTHING / (_SMOOTHING + counts / max(counts.sum(), 1))
        folder.mkdir(parents=True, exist_ok=True)
        backend, _ = read_tokenizer(tower.spec.encoder)
        backend.no_padding()
        backend.no_truncation()
        backend.save(str(folder / "tokenizer.json"))
        table = _token_vectors(tower, tokenizer) * torch.from_numpy(weights).float().unsqueeze(1)
        _save_tensors({"embedding.weight": table}, folder / "model.safetensors")
    spec = TowerSpec(StaticSpec(folder), None, (NormalizeSpec(),) if tower.spec.normalizes else ())
    device = str(next(tower.parameters()).device)
    return TowerModule(spec, TorchOptions(device)), load_static_tokenizer(folder)


def _token_vectors(tower: TowerModule, tokenizer: TextTokenizer) -> Tensor:
    """What a tower says to each token alone. **Shape:** (token ids, dimension)."""
    device = next(tower.parameters()).device
    ids = np.arange(tokenizer.vocabulary, dtype=np.int32)
    vectors = []
    with torch.inference_mode():
        for start in range(0, len(ids), 1024):
            padded, mask = pad(
                [tokenizer.frame_single(ids[i : i + 1])[0] for i in range(start, min(start + 1024, len(ids)))], 0
            )
            vectors.append(tower(torch.from_numpy(padded).to(device), torch.from_numpy(mask).to(device)).float().cpu())
    return torch.cat(vectors)


def write_towers(
    checkpoint: BiCheckpoint,
    towers: Mapping[str, TowerModule],
    limits: Mapping[Role, int],
    folder: Path,
    *,
    half: bool,
    record: Mapping[str, Any],
) -> Path:
    """Writes the student's checkpoint; what wasn't trained is copied as it was.

    Args:
        checkpoint: What the student started from.
        towers: Those that were trained, by role; see `build_towers`. Adapters are merged into them.
        limits: Most tokens of a text, by role.
        folder: Where to; must be empty or not exist. It appears once it is complete.
        half: Whether trained weights are written as float16.
        record: JSON values about the training, for the folder's ``bicross.json``.

    Raises:
        ConfigurationError: The folder holds files already.
    """
    part = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    with tempfile.TemporaryDirectory() as root:
        specs = {role: _write_tower(tower, Path(root) / role, half) for role, tower in towers.items()}
        query, document = (
            specs.get("both") or specs.get(role) or original
            for role, original in (("query", checkpoint.query), ("document", checkpoint.document))
        )
        # What the base's folder says of its own training isn't true of the student.
        save_bi_checkpoint(replace(checkpoint, query=query, document=document, extras={}), part, limits)
    extras = part / "bicross.json"
    write_json(extras, {**optional_json(extras), **record})
    make_empty(folder)
    folder.rmdir()
    part.rename(folder)
    return folder


def _write_tower(tower: TowerModule, folder: Path, half: bool) -> TowerSpec:
    """A tower's trained weights and its other files, and the description of them."""
    folder.mkdir(parents=True)
    kind = torch.float16 if half else torch.float32
    spec, source = tower.spec, tower.spec.encoder.folder
    if isinstance(spec.encoder, StaticSpec):
        _save_tensors({"embedding.weight": tower.model.weight.to(kind)}, folder / "model.safetensors")
        shutil.copyfile(source / "tokenizer.json", folder / "tokenizer.json")
    else:
        if hasattr(tower.model, "merge_and_unload"):
            tower.model = tower.model.merge_and_unload()
        with quiet_transformers():
            tower.model.to(kind).save_pretrained(folder)
        tower.model.float()
        copy_tokenizer(source, folder)
    heads: list[DenseSpec | NormalizeSpec] = []
    for number, (head, module) in enumerate(zip(spec.heads, tower.heads, strict=True)):
        if isinstance(head, DenseSpec):
            place = folder / f"head-{number}"
            place.mkdir()
            shutil.copyfile(head.folder / "config.json", place / "config.json")
            _save_tensors({name: value.to(kind) for name, value in module.state_dict().items()}, place)
            head = replace(head, folder=place)  # noqa: PLW2901
        heads.append(head)
    return replace(spec, encoder=replace(spec.encoder, folder=folder), heads=tuple(heads))


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    from safetensors.torch import save_file

    path = path / "model.safetensors" if path.is_dir() else path
    with whole_file(path) as part:
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, part, {"format": "pt"})
