"""Writes a graph for OpenVINO: converted straight from the torch module, weights in 8 bits where asked."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bicross.encoding.backends.openvino import GRAPH, openvino


def write(
    module: torch.nn.Module, example: tuple[torch.Tensor, ...], precision: str, scheme: str | None, folder: Path
) -> None:
    """Write `GRAPH` and its weights into a folder.

    Args:
        module: Takes token ids, mask and perhaps segment ids.
        example: Such inputs. **Shape:** (batch, length) each.
        precision: "float32" and "bfloat16" share a graph; "int8" is another.
        scheme: Not used: one scheme serves every CPU.
        folder: Where to.
    """
    del scheme
    library = openvino()
    model = library.convert_model(module, example_input=example)
    if precision == "int8":
        _compress(library, model)
    library.save_model(model, folder / GRAPH, compress_to_fp16=False)


def _compress(library: Any, model: Any) -> None:
    """Weights of the encoder's layers as 8-bit integers with a scale and a zero point for each output channel.

    OpenVINO multiplies such weights with inputs that it quantises as they come, by groups of one token's values
    (`OpenVinoRunner`). That is finer than one scale for a whole batch, and a text's vector doesn't depend on its
    neighbours in the batch.
    """
    ops = library.opset13
    for node in model.get_ops():
        weights = node.input_value(1).get_node() if node.get_type_name() == "MatMul" else None
        # transformers keeps its layers in numbered lists; a pooler or classifier isn't in one.
        if (
            weights is None
            or weights.get_type_name() != "Constant"
            or not re.search(r"\.\d+\.", node.get_friendly_name())
        ):
            continue
        values = np.asarray(weights.get_data(), dtype=np.float32)  # (out, in)
        if values.ndim != 2 or not node.get_attributes()["transpose_b"]:
            continue
        low = np.minimum(values.min(axis=1, keepdims=True), 0)
        scale = np.maximum((np.maximum(values.max(axis=1, keepdims=True), 0) - low) / 255, 1e-12).astype(np.float32)
        zero = np.clip(np.round(-low / scale), 0, 255)
        quantised = np.clip(np.round(values / scale) + zero, 0, 255).astype(np.uint8)
        centred = ops.subtract(
            ops.convert(ops.constant(quantised), "f32"), ops.convert(ops.constant(zero.astype(np.uint8)), "f32")
        )
        node.input(1).replace_source_output(ops.multiply(centred, ops.constant(scale)).output(0))
