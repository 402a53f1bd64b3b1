"""What the machine's matrix products allow: a model's arithmetic, and the rate that torch's product reaches here."""

from __future__ import annotations

import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from safetensors import safe_open

from bicross.encoding.checkpoint import read_json, weight_files

_IN_A_LAYER = re.compile(r"\.(\d+)\.")
_TOKENS = 2_048
_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The matrix products of a transformer.

    Attributes:
        shapes: Of the weights of its first layer. **Shape:** (out, in) or (in, out).
        layers: How many such layers.
        width: Of a token's vector.
    """

    shapes: tuple[tuple[int, int], ...]
    layers: int
    width: int

    def operations(self, lengths: Sequence[int]) -> float:
        """Multiplications and additions for texts, padding left out: 2 a weight and token, 4 · width · length² a layer.

        >>> Arithmetic(((4, 2),), layers=3, width=2).operations([5])
        840.0
        """
        weights = sum(rows * columns for rows, columns in self.shapes)
        return float(sum(self.layers * (2 * weights * length + 4 * self.width * length * length) for length in lengths))


def arithmetic(folder: Path) -> Arithmetic | None:
    """Of a checkpoint of equal layers; None where it isn't one (shared layers, experts, a table of vectors)."""
    if not (folder / "config.json").is_file():
        return None
    config = read_json(folder / "config.json")
    layers, width = config.get("num_hidden_layers"), config.get("hidden_size")
    weights: dict[int, list[tuple[int, int]]] = {}
    for file in weight_files(folder):
        with safe_open(file, "np") as tensors:
            for name in tensors.keys():  # noqa: SIM118  # not a mapping
                shape = tuple(tensors.get_slice(name).get_shape())
                inside = _IN_A_LAYER.search(name)
                if inside is None or len(shape) != 2 or "embed" in name:
                    continue
                if "expert" in name:
                    return None
                weights.setdefault(int(inside[1]), []).append((shape[0], shape[1]))
    if not isinstance(width, int) or len(weights) != layers or len({tuple(each) for each in weights.values()}) != 1:
        return None
    return Arithmetic(tuple(next(iter(weights.values()))), layers, width)


def matrix_rate(shapes: Sequence[tuple[int, int]], precision: str, device: str) -> float:
    """Operations a second of torch's matrix product on a layer's weights and a full batch of tokens, at its best."""
    import torch

    kind = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]
    with torch.inference_mode():
        work = [
            (torch.randn(_TOKENS, columns).to(device, kind), torch.randn(rows, columns).to(device, kind))
            for rows, columns in shapes
        ]
        on_gpu = device.startswith("cuda")
        operations = sum(2 * _TOKENS * rows * columns for rows, columns in shapes)
        best, until = float("inf"), time.perf_counter() + _SECONDS
        while best == float("inf") or time.perf_counter() < until:
            started = time.perf_counter()
            for tokens, weight in work:
                torch.nn.functional.linear(tokens, weight)
            if on_gpu:
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
    return operations / best
