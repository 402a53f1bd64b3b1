"""SHA-256 over everything that changes a vector or a score.

Not the device, the batch size or the backend; float32, float16 and bfloat16 are one class, int8 is another.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.encoding.checkpoint import read_json, weight_files
from bicross.encoding.specs import DenseSpec, PairTemplate, ScorerSpec, StaticSpec, TowerSpec
from bicross.encoding.static import static_table
from bicross.errors import CheckpointError

GRAPHS, RECORD = "graphs", "graph.json"
"""A model folder's sub-folder of exported graphs, and the file in each that says what it was made from."""
_WITHOUT_EFFECT = {
    "_name_or_path",
    "transformers_version",
    "dtype",
    "torch_dtype",
    "architectures",
    "use_cache",
    "auto_map",  # names code that isn't run
    "sentence_transformers",
    "sbert_ce_default_activation_function",  # the activation, which is hashed apart
}
_FLOATS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def digest(*parts: Any) -> str:
    """SHA-256 of JSON values, as 64 hexadecimal digits."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def tower_digest(spec: TowerSpec, tokenizer_state: str) -> str:
    """Everything in a tower but its prompt."""
    folder = spec.encoder.folder
    static = isinstance(spec.encoder, StaticSpec)
    encoder = hashlib.sha256(static_table(folder).tobytes()).hexdigest() if static else encoder_digest(folder)
    heads = [
        [head.activation, head.residual, weights_digest(head.folder)] if isinstance(head, DenseSpec) else "normalize"
        for head in spec.heads
    ]
    pooling = [spec.pooling.modes, spec.pooling.include_prompt] if spec.pooling else None
    return digest("static" if static else "transformer", encoder, tokenizer_state, pooling, heads)


def scorer_digest(spec: ScorerSpec, template: PairTemplate | None) -> str:
    """Everything in a scorer but its tokenizer, prompt and activation.

    Args:
        spec: Its transformer, and the tokens whose logits are the score.
        template: What pairs are framed with.
    """
    encoder = encoder_digest(spec.encoder.folder)
    if spec.answer is None and template is None:
        return encoder
    answer = None if spec.answer is None else [spec.answer.true_id, spec.answer.false_id]
    return digest(encoder, answer, None if template is None else asdict(template))


def encoder_digest(folder: Path) -> str:
    """A transformer's weights and the part of its config that changes what they compute.

    A folder that holds graphs in place of the weights has recorded it.
    """
    if recorded := recorded_encoder(folder):
        return recorded
    path = folder / "config.json"
    config = read_json(path) if path.is_file() else {}
    return digest({key: value for key, value in config.items() if key not in _WITHOUT_EFFECT}, weights_digest(folder))


def recorded_encoder(folder: Path) -> str | None:
    """What the graphs of a folder without weights were made from; None for any other folder.

    Raises:
        CheckpointError: They were made from different weights.
    """
    if any(folder.glob("*.safetensors")):
        return None
    recorded = {str(read_json(path).get("encoder")) for path in folder.glob(f"{GRAPHS}/*/{RECORD}")}
    if len(recorded) > 1:
        raise CheckpointError(
            f"The graphs in one folder must be made from the same weights, got {len(recorded)} kinds in "
            f"{str(folder)!r}. Export them again."
        )
    return recorded.pop() if recorded else None


def weights_digest(folder: Path) -> str:
    """SHA-256 of a folder's tensors by name, each as float32: the same before and after a lossless conversion."""
    files = weight_files(folder)
    return _weights_digest(tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files))


@lru_cache(maxsize=64)
def _weights_digest(files: tuple[tuple[str, int, int], ...]) -> str:
    whole = hashlib.sha256()
    tensors = sorted((name, Path(path)) for path, _, _ in files for name in _header(Path(path))[0])
    for name, path in tensors:
        header, start = _header(path)
        entry = header[name]
        whole.update(f"{name}{entry['shape']}".encode())
        for block in _as_float32(path, start, entry):
            whole.update(block.tobytes())
    return whole.hexdigest()


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """The header of a safetensors file, and where its data begins."""
    with path.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    return header, 8 + size


def _as_float32(path: Path, start: int, entry: dict[str, Any]) -> Iterator[npt.NDArray[Any]]:
    begin, end = entry["data_offsets"]
    if begin == end:
        return
    raw = np.memmap(path, np.uint8, "r", offset=start + begin, shape=(end - begin,))
    step = 1 << 24
    for offset in range(0, end - begin, step):
        block = np.ascontiguousarray(raw[offset : offset + step])
        if entry["dtype"] == "BF16":
            yield block.view("<u2").astype("<u4") << np.uint32(16)
        elif entry["dtype"] in _FLOATS:
            yield block.view(_FLOATS[entry["dtype"]]).astype("<f4", copy=False)
        else:
            yield block
