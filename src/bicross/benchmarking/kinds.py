"""What is measured: the pairs of backend and precision that are there, and what a caller puts beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bicross.encoding import hardware
from bicross.encoding.backends.choosing import Choice, choose, installed
from bicross.errors import MissingExtraError
from bicross.types import Floats

REFERENCE = Choice("torch", "float32")
"""What the others are compared with."""
ASKED = ("float32", "auto", "int8")
"""What the rule behind backend="auto" is checked for."""


@dataclass(frozen=True, slots=True)
class Beside:
    """Another library, timed in the same rounds; what it doesn't do is None.

    Attributes:
        name: What its row is called.
        encode: Vectors of documents.
        encode_query: The vector of a query.
        predict: Logits of pairs.
    """

    name: str
    encode: Callable[[Sequence[str]], Floats] | None = None
    encode_query: Callable[[str], Floats] | None = None
    predict: Callable[[Sequence[tuple[str, str]]], Floats] | None = None


def settled_device(device: str) -> str:
    """The device that "auto" stands for."""
    return choose("torch", "float32", device, {})[0]


def installed_kinds(device: str = "cpu") -> list[Choice]:
    """Every backend and precision that computes here, `REFERENCE` first."""
    if device != "cpu":
        return [Choice("torch", precision) for precision in ("float32", "bfloat16", "float16")]
    precisions = ("float32", *(["bfloat16"] if hardware.has_bfloat16() else []), "int8")
    pairs = {
        "float32": ("torch", "onnx", "openvino"),
        "bfloat16": ("torch", "openvino"),
        "int8": ("onnx", "openvino"),
    }
    return [
        Choice(backend, precision)
        for precision in precisions
        for backend in pairs[precision]
        if backend == "torch" or (installed(backend) and hardware.has_avx2())
    ]


def automatic_kinds(device: str) -> dict[str, Choice]:
    """What backend="auto" takes for each of `ASKED`; those that no installed backend computes are left out."""
    found = {}
    for precision in ASKED if device == "cpu" else ASKED[:2]:
        try:
            found[precision] = choose("auto", precision, device, {})[1][0]
        except MissingExtraError:
            continue
    return found
