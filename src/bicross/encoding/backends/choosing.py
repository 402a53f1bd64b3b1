"""Which backend computes, and in what precision: the rule behind "auto", and the pairs that exist.

On a graphics card it is torch. On a CPU it is the first of these that is installed, for documents, queries and pairs
alike (`docs/speed.md` has the measurements behind the order):

| precision | order |
|---|---|
| float32 | openvino, onnx, torch where the CPU has 8-bit dot products, else onnx, openvino, torch |
| bfloat16, and auto where the CPU is faster in it | openvino, torch |
| int8 | openvino, onnx where the CPU has 8-bit dot products, else onnx, openvino |
| float16 | torch |
"""

from __future__ import annotations

import importlib.util
import logging
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from bicross.encoding import hardware
from bicross.errors import ConfigurationError, MissingExtraError

logger = logging.getLogger(__name__)

PRECISIONS = ("float32", "auto", "bfloat16", "float16", "int8")
PAIRS = {
    "torch": ("float32", "bfloat16", "float16"),
    "onnx": ("float32", "int8"),
    "openvino": ("float32", "bfloat16", "int8"),
}
BACKENDS = ("auto", *PAIRS)
BACKEND_VARIABLE = "BICROSS_BACKEND"
"""The environment variable that says what backend="auto" stands for."""
_PACKAGES = {"onnx": "onnxruntime", "openvino": "openvino"}


class Choice(NamedTuple):
    """A backend and what it computes in."""

    backend: str
    precision: str

    @property
    def name(self) -> str:
        """As a folder's name."""
        return f"{self.backend}-{self.precision}"


def installed(backend: str) -> bool:
    """Whether a backend's library is there; doesn't import it."""
    return backend == "torch" or importlib.util.find_spec(_PACKAGES[backend]) is not None


def automatic() -> Choice:
    """What backend="auto" with precision="auto" comes to on this machine."""
    return choose("auto", "auto", "auto", {})[1][0]


def choose(backend: str, precision: str, device: str, options: Mapping[str, Any]) -> tuple[str, tuple[Choice, ...]]:
    """Settle what "auto" stands for.

    Args:
        backend: Of `BACKENDS`.
        precision: Of `PRECISIONS`.
        device: "auto" or a torch device.
        options: What is meant for transformers, and makes torch the only backend.

    Returns:
        The device, and the choices in order of preference: a later one is taken where an earlier one's graph can't be
        made.

    Raises:
        ConfigurationError: A name that isn't known, or a pair that doesn't exist; names the one that does.
        MissingExtraError: The backend isn't installed.
    """
    if precision not in PRECISIONS:
        raise ConfigurationError(f"precision must be one of {PRECISIONS}, got {precision!r}.")
    if backend not in BACKENDS:
        raise ConfigurationError(f"backend must be one of {BACKENDS}, got {backend!r}.")
    if backend == "auto" and (named := os.environ.get(BACKEND_VARIABLE)) and named != "auto":
        if named not in BACKENDS:
            raise ConfigurationError(f"${BACKEND_VARIABLE} must be one of {BACKENDS}, got {named!r}.")
        # It says what "auto" prefers, and nothing that only another backend can do becomes an error by it.
        if named == "torch" and precision == "int8":
            named = "auto"
        backend = named
    if backend == "auto":
        return _automatic(precision, device, options)
    if backend == "torch":
        return _on_torch(precision, device)
    _check_graph_backend(backend, device, options)
    settled = _graph_precision(backend, precision)
    _tell(precision, settled, "this CPU", backend)
    return "cpu", (Choice(backend, settled),)


def without_weights(backend: str, precision: str) -> tuple[Choice, ...]:
    """What may load a folder that holds graphs in place of the weights, in order of preference; torch can't."""
    backends = [backend] if backend != "auto" else [name for name in _graph_backends() if installed(name)]
    precisions = [precision]
    if precision == "auto":
        half = ["bfloat16"] if hardware.has_bfloat16() else []
        precisions = [*half, "float32"] if hardware.has_fast_bfloat16() else ["float32", *half]
    pairs = (Choice(name, each) for each in precisions for name in backends)
    return tuple(pair for pair in pairs if pair.backend != "torch" and pair.precision in PAIRS[pair.backend])


def _automatic(precision: str, device: str, options: Mapping[str, Any]) -> tuple[str, tuple[Choice, ...]]:
    on_cpu = device == "cpu" or (device == "auto" and not hardware.may_have_accelerator())
    if precision == "int8":
        return "cpu", (Choice(_int8_backend(device, options), "int8"),)
    if not on_cpu or options or precision == "float16" or not hardware.has_avx2():
        return _on_torch(precision, device)
    if precision == "bfloat16" or (precision == "auto" and hardware.has_fast_bfloat16()):
        names, settled = (["openvino"] if hardware.has_bfloat16() else []), "bfloat16"
    else:
        names, settled = _graph_backends(), "float32"
    if names := [name for name in names if installed(name)]:
        _tell(precision, settled, "this CPU", names[0])
        return "cpu", (*(Choice(name, settled) for name in names), Choice("torch", settled))
    return _on_torch(precision, device)


def _on_torch(precision: str, device: str) -> tuple[str, tuple[Choice, ...]]:
    if precision == "int8":
        raise _no_such_pair("torch", precision)
    if device == "auto" and not hardware.may_have_accelerator():
        device = "cpu"
    settled = precision
    if device == "cpu" and precision == "auto" and hardware.cpu_flags():
        settled = "bfloat16" if hardware.has_fast_bfloat16() else "float32"
    elif device != "cpu" or precision == "auto":
        from bicross.encoding.backends.torch_loading import pick_device, pick_precision

        device = pick_device(device)
        settled = pick_precision(precision, device)
    _tell(precision, settled, device, "torch")
    return device, (Choice("torch", settled),)


def _tell(asked: str, settled: str, where: str, backend: str) -> None:
    if asked == "auto":
        logger.info("precision 'auto' is %s on %s, computed by %s", settled, where, backend)


def _graph_backends() -> list[str]:
    """The faster one first; in float32 without 8-bit dot products both are as fast, and onnxruntime starts sooner."""
    return ["openvino", "onnx"] if hardware.has_int8_dot() else ["onnx", "openvino"]


def _int8_backend(device: str, options: Mapping[str, Any]) -> str:
    """One, never the other where the first fails: each quantises in its own way, which is another fingerprint."""
    order = _graph_backends()
    name = next((name for name in order if installed(name)), order[0])
    _check_graph_backend(name, device, options)
    return name


def _check_graph_backend(backend: str, device: str, options: Mapping[str, Any]) -> None:
    if not installed(backend):
        raise MissingExtraError(
            f"backend={backend!r} needs {_PACKAGES[backend]}, which isn't installed: pip install 'bicross[{backend}]'"
        )
    if device not in ("auto", "cpu"):
        raise ConfigurationError(
            f"backend={backend!r} computes on the CPU, got device={device!r}. Use backend='torch'."
        )
    if options:
        raise ConfigurationError(
            f"{sorted(options)[0]!r} is an option of the torch backend, got it with backend={backend!r}. "
            "Leave it out, or use backend='torch'."
        )
    if not hardware.has_avx2():
        raise ConfigurationError(
            f"backend={backend!r} needs a CPU with AVX2, which this one isn't. "
            "Use backend='torch' and precision='float32'."
        )


def _graph_precision(backend: str, precision: str) -> str:
    if precision == "auto":
        return "bfloat16" if hardware.has_fast_bfloat16() and "bfloat16" in PAIRS[backend] else "float32"
    if precision not in PAIRS[backend]:
        raise _no_such_pair(backend, precision)
    if precision == "bfloat16" and not hardware.has_bfloat16():
        raise ConfigurationError(
            f"backend={backend!r} computes in bfloat16 where the CPU has it (avx512_bf16 or amx_bf16), and this one "
            "hasn't. Use precision='auto', which is float32 here."
        )
    return precision


def _no_such_pair(backend: str, precision: str) -> ConfigurationError:
    able = [name for name, precisions in PAIRS.items() if precision in precisions]
    return ConfigurationError(
        f"backend={backend!r} computes in {PAIRS[backend]}, got precision={precision!r}. "
        f"Use backend={' or '.join(map(repr, able))} for it."
    )
