"""Writes a graph for onnxruntime: torch's exporter, onnxruntime's own fusions, its dynamic quantisation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, cast

import torch

from bicross.encoding.backends.onnx import GRAPH

_OPSET = 17
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_FLOAT = 1
"""onnx.TensorProto.FLOAT"""


def write(
    module: torch.nn.Module, example: tuple[torch.Tensor, ...], precision: str, scheme: str | None, folder: Path
) -> None:
    """Write `GRAPH` into a folder.

    Args:
        module: Takes token ids, mask and perhaps segment ids.
        example: Such inputs. **Shape:** (batch, length) each.
        precision: "float32" or "int8".
        scheme: Of int8: "7-bit" weights where 8-bit sums may overflow, else "8-bit".
        folder: Where to.
    """
    from onnxruntime.transformers.optimizer import optimize_model

    names = list(_INPUTS[: len(example)])
    axes = {0: "batch", 1: "length"}
    raw = folder / "raw.onnx"
    # The TorchScript exporter: onnxruntime's optimiser doesn't find attention in what torch's newer one writes.
    torch.onnx.export(
        module,
        example,
        raw,
        input_names=names,
        output_names=["output"],
        dynamic_axes=dict.fromkeys(names, axes) | {"output": {0: "batch"} if module.output == "logits" else axes},
        opset_version=_OPSET,
        dynamo=False,
    )
    config = cast("Any", module.model).config
    optimised = optimize_model(
        str(raw),
        model_type="bert",
        num_heads=int(getattr(config, "num_attention_heads", 0) or 0),
        hidden_size=int(getattr(config, "hidden_size", 0) or 0),
        opt_level=0,
    )
    if precision == "int8":
        # By way of a file: saving adds the operator sets that the quantiser's shape inference asks for.
        optimised.save_model_to_file(str(raw))
        _quantise(raw, folder / GRAPH, narrow=scheme == "7-bit")
    else:
        optimised.save_model_to_file(str(folder / GRAPH))
    raw.unlink()


def _quantise(source: Path, target: Path, *, narrow: bool) -> None:
    """8-bit weights by channel, activations quantised as they come; the layers outside the encoder stay in float32."""
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # transformers keeps its layers in numbered lists; a pooler or classifier isn't in one.
    outside = [
        node.name
        for node in onnx.load(source).graph.node
        if node.op_type == "MatMul" and not re.search(r"[./]\d+/", node.name)
    ]
    quantize_dynamic(
        source,
        target,
        op_types_to_quantize=["MatMul", "Attention"],
        per_channel=True,
        reduce_range=narrow,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=outside,
        extra_options={"DefaultTensorType": _FLOAT},
    )
