"""Exported graphs on disk: where they lie, what they were made from, and whether that is still so.

A graph's folder holds the graph, the tokenizer as it computes (so that serving needs no transformers) and
``graph.json``: the fingerprint of the weights, the versions that made it, a hash of every file, and how far its output
was from torch's.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bicross.encoding import hardware
from bicross.encoding.backends import onnx, openvino
from bicross.encoding.backends.choosing import Choice
from bicross.encoding.backends.protocol import Runner
from bicross.encoding.checkpoint import is_decoder, read_json
from bicross.encoding.fingerprint import GRAPHS, RECORD, digest, encoder_digest, recorded_encoder, tower_digest
from bicross.encoding.locate import Kind, user_cache
from bicross.encoding.specs import TowerSpec, TransformerSpec
from bicross.encoding.tokenizer import TextTokenizer
from bicross.encoding.tokenizer_files import TokenizerSettings, build_tokenizer, read_tokenizer_file
from bicross.errors import CheckpointError

logger = logging.getLogger(__name__)

FORMATS: Mapping[Kind, int] = {"bi-encoder": 1, "cross-encoder": 2}
_TOKENIZER_FILES = ("tokenizer*", "special_tokens_map.json", "vocab.*", "merges.txt", "*.model", "added_tokens.json")


@dataclass(frozen=True)
class Graph:
    """An exported graph.

    Attributes:
        folder: Where it lies.
        record: What its ``graph.json`` says.
    """

    folder: Path
    record: Mapping[str, Any]

    @property
    def choice(self) -> Choice:
        """The backend and precision that it is for."""
        return Choice(self.record["backend"], self.record["precision"])

    @property
    def positions(self) -> int | None:
        """The longest input that the model has positions for."""
        value = self.record["positions"]
        return None if value is None else int(value)

    @property
    def precision_class(self) -> str:
        """The graphs that share a fingerprint: all floats do; each way to quantise is another."""
        return "float" if self.choice.precision != "int8" else f"int8 {self.choice.backend} {self.record['scheme']}"

    def runner(self, threads: int) -> Runner:
        """The graph in memory.

        Raises:
            CheckpointError: The backend can't load it.
        """
        if self.choice.backend == "onnx":
            return onnx.OnnxRunner(self.folder / onnx.GRAPH, threads=threads)
        return openvino.OpenVinoRunner(self.folder / openvino.GRAPH, self.choice.precision, threads=threads)

    def tokenizer(self, spec: TransformerSpec) -> TextTokenizer:
        """The tokenizer that the graph's input comes from."""
        settings = TokenizerSettings(**self.record["tokenizer"])
        return build_tokenizer(read_tokenizer_file(self.folder / "tokenizer.json"), settings, spec, self.positions)


def key_of(kind: Kind, spec: TowerSpec) -> str:
    """What a graph is made from and checked with, as a digest: weights, tokenizer files, pooling, heads."""
    encoder = _transformer(spec)
    paths = sorted({path for pattern in _TOKENIZER_FILES for path in encoder.folder.glob(pattern) if path.is_file()})
    tokenizer = [(path.name, file_digest(path)) for path in paths]
    return digest(FORMATS[kind], kind, tower_digest(spec, json.dumps([tokenizer, encoder.lower_case])))


def find(kind: Kind, spec: TowerSpec, choice: Choice) -> tuple[Graph | None, list[str]]:
    """A graph that is whole and was made from these weights for this runtime.

    Sought beside the checkpoint, then in the user's cache.

    Returns:
        The graph, or None and what is wrong with each that isn't right.
    """
    key = key_of(kind, spec)
    wrong = []
    for folder in (beside(spec, choice), cached(key, choice)):
        if not (folder / RECORD).is_file():
            continue
        try:
            graph = Graph(folder, read_json(folder / RECORD))
            reason = _mismatch(graph, kind, key, choice)
        except (CheckpointError, KeyError, TypeError, AttributeError) as error:
            reason = f"{RECORD} can't be understood ({error!r})"
        if reason is None:
            return graph, []
        wrong.append(f"{str(folder)!r}: {reason}")
    return None, wrong


def obtain(kind: Kind, spec: TowerSpec, choice: Choice, *, trust_remote_code: bool = False) -> Graph:
    """A graph, exported into the user's cache where there is none yet.

    Raises:
        CheckpointError: There is none and it can't be made; says why and what to do.
    """
    graph, wrong = find(kind, spec, choice)
    if graph is not None:
        return graph
    folder = _transformer(spec).folder
    if is_decoder(folder):
        raise only_torch(folder, choice)
    if recorded_encoder(folder) is not None or find_spec("torch") is None:
        there = sorted(path.parent.name for path in folder.glob(f"{GRAPHS}/*/{RECORD}"))
        raise CheckpointError(
            f"backend={choice.backend!r}, precision={choice.precision!r} needs a graph in {str(folder)!r}, got "
            f"{'; '.join(wrong) or there or 'none'}, and exporting needs the weights and torch. "
            f"Run bicross export --backend {choice.backend} --precision {choice.precision} where both are."
        )
    for reason in wrong:
        logger.warning("Not used: %s. Exporting it again.", reason)
    from bicross.encoding.backends.exporting import export

    return export(kind, spec, choice, cached(key_of(kind, spec), choice), trust_remote_code=trust_remote_code)


def only_torch(folder: Path, choice: Choice) -> CheckpointError:
    """The error for a model that no graph is made of."""
    return CheckpointError(
        f"A decoder, or a model whose pairs are framed by a template, is computed by torch alone, got "
        f"backend={choice.backend!r} for {str(folder)!r}. Use backend='torch'."
    )


def beside(spec: TowerSpec, choice: Choice) -> Path:
    """Where a graph lies beside its checkpoint."""
    return _transformer(spec).folder / GRAPHS / choice.name


def cached(key: str, choice: Choice) -> Path:
    """Where a graph lies in the user's cache."""
    return user_cache() / GRAPHS / key[:32] / choice.name


def runtime_version(backend: str) -> str:
    """The version of the library that runs a backend's graphs."""
    return onnx.version() if backend == "onnx" else openvino.version()


def file_digest(path: Path) -> str:
    """SHA-256 of a file; computed once while its size and time stay the same."""
    state = path.stat()
    return _file_digest(path, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=256)
def _file_digest(path: Path, size: int, modified: int) -> str:
    del size, modified
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def scheme(choice: Choice) -> str:
    """How int8 weights are quantised for this CPU: where 8-bit sums may overflow, onnxruntime needs 7-bit weights."""
    narrow = choice.backend == "onnx" and hardware.is_x86() and not hardware.has_int8_dot()
    return "7-bit" if narrow else "8-bit"


def new_record(kind: Kind, spec: TowerSpec, choice: Choice, tokenizer: TokenizerSettings) -> dict[str, Any]:
    """The part of a graph's record that is known before it is made."""
    return {
        "format": FORMATS[kind],
        "kind": kind,
        "backend": choice.backend,
        "precision": choice.precision,
        "scheme": scheme(choice) if choice.precision == "int8" else None,
        "key": key_of(kind, spec),
        "encoder": encoder_digest(_transformer(spec).folder),
        "runtime": runtime_version(choice.backend),
        "tokenizer": dataclasses.asdict(tokenizer),
    }


def _mismatch(graph: Graph, kind: Kind, key: str, choice: Choice) -> str | None:
    """What keeps a graph from being used, or None."""
    record = graph.record
    wanted = {
        "format": FORMATS[kind],
        "kind": kind,
        "backend": choice.backend,
        "precision": choice.precision,
        "key": key,
        "runtime": runtime_version(choice.backend),
    }
    if choice.precision == "int8" and choice.backend == "onnx" and scheme(choice) == "7-bit":
        wanted["scheme"] = "7-bit"
    meanings = {
        "key": "it was made from other weights, another tokenizer or another pooling",
        "runtime": f"it was made for {choice.backend} {record['runtime']}, and here is {wanted['runtime']}",
        "scheme": "it was quantised for a CPU with 8-bit dot products",
    }
    for name, value in wanted.items():
        if record[name] != value:
            return meanings.get(name, f"its {name} is {record[name]!r}, not {value!r}")
    for name, recorded in record["files"].items():
        path = graph.folder / name
        if not path.is_file() or file_digest(path) != recorded:
            return f"{name} isn't the file that was exported"
    return None


def _transformer(spec: TowerSpec) -> TransformerSpec:
    if not isinstance(spec.encoder, TransformerSpec):
        raise CheckpointError(f"A table of token vectors needs no graph, got {str(spec.encoder.folder)!r}.")
    return spec.encoder
