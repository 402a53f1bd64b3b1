"""How the torch backend computes, whatever it loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class TorchOptions:
    """What every model of the torch backend is told, besides what to load.

    Attributes:
        device: A torch device.
        precision: "float32", "float16" or "bfloat16".
        model_options: `dtype`, `attn_implementation`, `device_map`, `quantization_config`, handed to transformers.
        trust_remote_code: Whether the folder's own code may run.
    """

    device: str = "cpu"
    precision: str = "float32"
    model_options: Mapping[str, Any] = field(default_factory=dict)
    trust_remote_code: bool = False
