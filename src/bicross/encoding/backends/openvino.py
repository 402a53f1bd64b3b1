"""The OpenVINO backend: a graph file, compiled for this CPU."""

from __future__ import annotations

import sys
import threading
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bicross.encoding import hardware
from bicross.encoding.backends.protocol import Tokens
from bicross.encoding.backends.signal_stack import kept_signal_stack
from bicross.errors import CheckpointError
from bicross.types import Floats

GRAPH = "graph.xml"
_TELEMETRY = "openvino_telemetry"
_GROUPS = (128, 64, 32)
"""Inputs of a matrix product that share a scale under int8, where they divide its width."""


@cache
def openvino() -> Any:
    """The library, imported without its telemetry: that would report every import over the network."""
    absent = _TELEMETRY not in sys.modules
    if absent:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # "not installed", to whoever imports it now
    try:
        import openvino as library
    finally:
        if absent:
            del sys.modules[_TELEMETRY]
    return library


def version() -> str:
    """OpenVINO's version, the build left out."""
    return str(openvino().__version__).split("-", 1)[0]


class OpenVinoRunner:
    """A model compiled by OpenVINO.

    Args:
        path: The graph.
        precision: "float32" and "bfloat16" compute the same graph; "int8" one with 8-bit weights, whose inputs are
            quantised on the fly in groups of one token's values.
        threads: How many threads one call computes with.

    Raises:
        CheckpointError: OpenVINO can't load the graph.
    """

    def __init__(self, path: Path, precision: str, *, threads: int) -> None:
        library = openvino()
        half = precision == "bfloat16" or (precision == "int8" and hardware.has_fast_bfloat16())
        settings: dict[str, Any] = {
            # Without this hint OpenVINO takes bfloat16 wherever the CPU has it, and doesn't say so.
            "INFERENCE_PRECISION_HINT": "bf16" if half else "f32",
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
            "INFERENCE_NUM_THREADS": threads,
        }
        with kept_signal_stack():
            try:
                core = library.Core()
                model = core.read_model(path)
                if precision == "int8":
                    settings["DYNAMIC_QUANTIZATION_GROUP_SIZE"] = group_size(weight_widths(model))
                self._compiled = core.compile_model(model, "CPU", settings)
            except RuntimeError as error:
                raise CheckpointError(f"OpenVINO can't load {str(path)!r}: {error}. Export it again.") from error
            self._request = self._compiled.create_infer_request()
        self._inputs = len(self._compiled.inputs)
        self._lock = threading.Lock()

    def run(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Floats:
        """The graph's output. **Shape:** (batch, length) each → (batch, length, width) or (batch, labels)."""
        inputs = [ids, mask, types][: self._inputs]
        with self._lock:  # one request, since one stream computes one request at a time
            self._request.infer(inputs, share_inputs=True)
            return np.array(self._request.get_output_tensor(0).data, dtype=np.float32)

    def padded(self, length: int) -> int:
        """The next step: OpenVINO compiles kernels for every new shape, which takes longer than a short batch."""
        step = 4 if length <= 64 else 8
        return -(-length // step) * step


def weight_widths(model: Any) -> list[int]:
    """Input widths of the matrix products whose weights are 8-bit integers."""
    widths = []
    for node in model.get_ops():
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "u8":
            shape = list(node.get_output_shape(0))
            if len(shape) == 2 and shape[1] > 1:
                widths.append(shape[1])
    return widths


def group_size(widths: list[int]) -> int:
    """The largest group that divides every width; 32 where none does."""
    return next((size for size in _GROUPS if all(width % size == 0 for width in widths)), _GROUPS[-1])
