"""From a checkpoint to a graph: traced by torch, fused, quantised where asked, compared with torch, then kept."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bicross.encoding.backends import graphs, onnx_export, openvino_export
from bicross.encoding.backends.choosing import Choice
from bicross.encoding.backends.graphs import Graph
from bicross.encoding.backends.parity import measure
from bicross.encoding.backends.torch_loading import load_transformer, max_positions
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.fingerprint import RECORD
from bicross.encoding.locate import Kind
from bicross.encoding.specs import TowerSpec, TransformerSpec
from bicross.encoding.tokenizer_files import read_tokenizer
from bicross.errors import CheckpointError, ConfigurationError

logger = logging.getLogger(__name__)

_CLASSES: dict[Kind, str] = {"bi-encoder": "AutoModel", "cross-encoder": "AutoModelForSequenceClassification"}


class _Traced(nn.Module):
    """The part of a transformers model that a graph holds: its hidden states, or its logits."""

    def __init__(self, model: Any, output: str) -> None:
        super().__init__()
        self.model = model
        self.output = output

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask}
        if token_type_ids is not None:
            inputs["token_type_ids"] = token_type_ids
        output: Tensor = getattr(self.model(**inputs), self.output)
        return output


def export(kind: Kind, spec: TowerSpec, choice: Choice, folder: Path, *, trust_remote_code: bool = False) -> Graph:
    """Make a graph and keep it, if it computes what torch computes.

    Args:
        kind: Whether vectors or logits come out.
        spec: What to export; for a cross-encoder its transformer alone.
        choice: The backend and precision.
        folder: Where the graph's folder goes; replaced where it is there already.
        trust_remote_code: Whether the checkpoint's own code may run.

    Raises:
        CheckpointError: The model can't be exported, or the graph's output is too far from torch's.
        ConfigurationError: The folder can't be written.
    """
    encoder = spec.encoder
    if not isinstance(encoder, TransformerSpec):
        raise CheckpointError(f"A table of token vectors needs no graph, got {str(encoder.folder)!r}.")
    started = time.perf_counter()
    logger.warning(
        "Exporting %s for %s in %s; this happens once for a model, and takes half a minute or more.",
        encoder.folder,
        choice.backend,
        choice.precision,
    )
    with _workplace(folder) as work, _silence():
        record = _write(kind, encoder, spec, choice, work, trust_remote_code)
        parity = measure(kind, spec, Graph(work, record), trust_remote_code)
        parity.check(choice, encoder.folder)
        files = {path.name: graphs.file_digest(path) for path in sorted(work.iterdir())}
        record |= {"files": files, "parity": parity.values}
        (work / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
        _move(work, folder)
    logger.warning("Exported in %.0f s to %s: %s.", time.perf_counter() - started, folder, parity)
    return Graph(folder, record)


def _write(
    kind: Kind, encoder: TransformerSpec, spec: TowerSpec, choice: Choice, work: Path, trust_remote_code: bool
) -> dict[str, Any]:
    """Graph and tokenizer; the record so far."""
    backend, settings = read_tokenizer(encoder, trust_remote_code)
    backend.no_truncation()
    backend.no_padding()
    # Not by its own save(), which raises a bare Exception where the disk is full.
    (work / "tokenizer.json").write_text(backend.to_str(pretty=True), encoding="utf-8")
    # Eager attention: the optimisers know its pattern, not that of torch's fused kernel.
    eager = TorchOptions(model_options={"attn_implementation": "eager"}, trust_remote_code=trust_remote_code)
    model, _ = load_transformer(encoder, _CLASSES[kind], eager)
    record = graphs.new_record(kind, spec, choice, settings) | {
        "positions": max_positions(model.config),
        "made_with": {name: version(name) for name in ("torch", "transformers")},
    }
    types = kind == "cross-encoder" and settings.type_ids
    if kind == "bi-encoder":
        record["width"] = int(model.config.hidden_size)
    else:
        record["labels"] = int(model.config.num_labels)
    traced = _Traced(model, "last_hidden_state" if kind == "bi-encoder" else "logits").eval()
    # Two rows of different length, so that no axis and no mask is taken for a constant.
    ids = torch.full((2, 16), settings.pad_id, dtype=torch.int64)
    ids[:, :12] = torch.arange(12) + 5
    mask = torch.ones_like(ids)
    mask[1, 12:] = 0
    example = (ids, mask, torch.zeros_like(ids))[: 3 if types else 2]
    exporter = onnx_export if choice.backend == "onnx" else openvino_export
    try:
        exporter.write(traced, example, choice.precision, record["scheme"], work)
    except Exception as error:  # tracers and optimisers raise anything
        raise CheckpointError(
            f"{str(encoder.folder)!r} can't be exported for {choice.backend}: {type(error).__name__}: "
            f"{str(error)[:300]}. Use backend='torch'."
        ) from error
    return record


@contextmanager
def _workplace(folder: Path) -> Iterator[Path]:
    """A folder beside the target, gone afterwards.

    Raises:
        ConfigurationError: It can't be made, or the disk is full before all is in it.
    """
    work = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        yield work
    except OSError as error:
        raise ConfigurationError(
            f"A graph needs a folder that can be written, got {error} for {str(folder)!r}. Set XDG_CACHE_HOME to one, "
            "export into one with bicross export --out, or use backend='torch'."
        ) from error
    finally:
        if work is not None:
            shutil.rmtree(work, ignore_errors=True)


def _move(work: Path, folder: Path) -> None:
    """Rename into place; what lay there goes, unless another process has just put the same graph there."""
    work.chmod(0o755)  # temporary folders are their owner's alone
    shutil.rmtree(folder, ignore_errors=True)
    try:
        work.rename(folder)
    except OSError:
        if not (folder / RECORD).is_file():
            raise


@contextmanager
def _silence() -> Iterator[None]:
    """The exporters' chatter is about matters that the comparison decides."""
    root, transformers = logging.getLogger(), logging.getLogger("transformers")
    level, silent = transformers.level, logging.NullHandler()
    root.addHandler(silent)  # onnxruntime's tools log by the root's name, and would install a handler for it
    root.addFilter(_nothing)
    transformers.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        transformers.setLevel(level)
        root.removeFilter(_nothing)
        root.removeHandler(silent)


def _nothing(record: logging.LogRecord) -> bool:
    del record
    return False
