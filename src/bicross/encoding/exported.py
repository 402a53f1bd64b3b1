"""Exports a model by name: into the user's cache, beside its checkpoint, or as a folder that needs no torch."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bicross.encoding.backends import graphs
from bicross.encoding.backends.choosing import Choice
from bicross.encoding.backends.graphs import Graph
from bicross.encoding.checkpoint import read_bi_checkpoint
from bicross.encoding.cross_checkpoint import read_cross_checkpoint
from bicross.encoding.fingerprint import RECORD
from bicross.encoding.loading import LoadOptions
from bicross.encoding.locate import Kind, locate
from bicross.encoding.prompts import Role
from bicross.encoding.saving import save_bi_checkpoint, save_cross_checkpoint
from bicross.encoding.specs import BiCheckpoint, CrossCheckpoint, TowerSpec, TransformerSpec
from bicross.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export gave.

    Attributes:
        backend, precision: What "auto" came to.
        folders: Where the graphs lie, or the one folder with all that serving needs.
        parity: How far each graph is from torch's float32 on sample texts: for a bi-encoder the worst cosine, for a
            cross-encoder the worst difference of a logit in standard deviations of the samples' logits.
        bytes: Size of the graphs.
    """

    backend: str
    precision: str
    folders: tuple[Path, ...]
    parity: tuple[Mapping[str, float], ...]
    bytes: int


def export_model(
    name_or_path: str | os.PathLike[str] = "starter",
    *,
    kind: Kind = "bi-encoder",
    backend: str = "auto",
    precision: str = "float32",
    out: str | os.PathLike[str] | None = None,
) -> ExportReport:
    """Export a model's transformers as graphs that were compared with torch.

    Args:
        name_or_path: A folder, a name on the model hub, or a starter.
        kind: Which of the two it is loaded as.
        backend: "onnx", "openvino", or "auto" for the one that loading would take.
        precision: As in `BiEncoder.load`.
        out: None: into the user's cache, where loading finds them. The checkpoint's own folder: beside the weights.
            A new folder: everything that serving needs, and no weights.

    Raises:
        ConfigurationError: "auto" is torch here, or the folder can't be written.
        CheckpointError: The model can't be exported, or its graph computes something else than torch.
        MissingExtraError: The backend isn't installed.
    """
    options = LoadOptions.check("cpu", precision, backend, None, False)
    choice = options.choices[0]
    if choice.backend == "torch":
        raise ConfigurationError(
            "An export is for the backends onnx or openvino, got 'torch', which reads the checkpoint itself. Name one "
            "of them, and install it: pip install 'bicross[openvino]'"
        )
    folder = locate(name_or_path, kind).folder
    checkpoint = read_bi_checkpoint(folder) if kind == "bi-encoder" else read_cross_checkpoint(folder)
    towers = [tower for tower in _towers(checkpoint) if isinstance(tower.encoder, TransformerSpec)]
    if not towers:
        raise ConfigurationError(f"A table of token vectors needs no graph, got {str(folder)!r}. Load it as it is.")
    made = [graphs.obtain(kind, tower, choice) for tower in towers]
    folders: tuple[Path, ...] = tuple(graph.folder for graph in made)
    if out is not None and Path(out).resolve() == folder.resolve():
        folders = tuple(_copy(kind, graph, tower, choice) for graph, tower in zip(made, towers, strict=True))
    elif out is not None:
        folders = (_write(kind, checkpoint, dict(zip(towers, made, strict=True)), choice, Path(out)),)
    return ExportReport(
        *choice,
        folders,
        tuple(graph.record["parity"] for graph in made),
        sum((graph.folder / name).stat().st_size for graph in made for name in graph.record["files"]),
    )


def _towers(checkpoint: BiCheckpoint | CrossCheckpoint) -> list[TowerSpec]:
    """A checkpoint's towers, each once."""
    if isinstance(checkpoint, CrossCheckpoint):
        return [TowerSpec(checkpoint.encoder)]
    return [checkpoint.document, checkpoint.query] if checkpoint.two_towers else [checkpoint.document]


def _write(
    kind: Kind,
    checkpoint: BiCheckpoint | CrossCheckpoint,
    made: Mapping[TowerSpec, Graph],
    choice: Choice,
    out: Path,
) -> Path:
    """A model's folder whose transformers are graphs."""

    def limit(tower: TowerSpec) -> int:
        return made[tower].tokenizer(tower.encoder).max_length if isinstance(tower.encoder, TransformerSpec) else 0

    written: BiCheckpoint | CrossCheckpoint
    if isinstance(checkpoint, CrossCheckpoint):
        save_cross_checkpoint(checkpoint, out, limit(TowerSpec(checkpoint.encoder)), weights=False)
        written = read_cross_checkpoint(out)
    else:
        limits: dict[Role, int] = {"query": limit(checkpoint.query), "document": limit(checkpoint.document)}
        save_bi_checkpoint(checkpoint, out, limits, weights=False)
        written = read_bi_checkpoint(out)
    for old, new in zip(_towers(checkpoint), _towers(written), strict=True):
        if old in made:
            _copy(kind, made[old], new, choice)
    return out


def _copy(kind: Kind, graph: Graph, tower: TowerSpec, choice: Choice) -> Path:
    """A graph beside a checkpoint, recorded as made from it."""
    target = graphs.beside(tower, choice)
    if target != graph.folder:
        shutil.copytree(graph.folder, target, dirs_exist_ok=True)
        # By the key of where it lies now: a copied checkpoint's tokenizer files may be written anew.
        record = {**graph.record, "key": graphs.key_of(kind, tower)}
        (target / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return target
