"""Weights in 4 or 8 bits, by bitsandbytes or torchao where one is installed."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bicross.errors import ConfigurationError, MissingExtraError

METHODS = ("bitsandbytes", "torchao")


def quantization_config(options: Mapping[str, Any]) -> Any:
    """What transformers takes, from JSON values.

    Args:
        options: ``quant_method`` of `METHODS`. For bitsandbytes the fields of transformers' ``BitsAndBytesConfig``
            (``load_in_4bit``, ``bnb_4bit_quant_type`` and so on). For torchao ``quant_type``, the name of a
            configuration in ``torchao.quantization``, and ``quant_type_kwargs`` for it.

    Raises:
        ConfigurationError: A method, or a field, that isn't known.
        MissingExtraError: The method's library isn't installed.
    """
    import transformers

    values = dict(options)
    method = values.pop("quant_method", None)
    if method not in METHODS:
        raise ConfigurationError(f"quantization_config needs 'quant_method' of {METHODS}, got {method!r}.")
    if find_spec(method) is None:
        raise MissingExtraError(f"{method} quantises the weights, and isn't installed: pip install {method}")
    try:
        if method == "bitsandbytes":
            kind: Any = transformers.BitsAndBytesConfig
            return kind(**values)
        name = values.pop("quant_type", None)
        library = import_module("torchao.quantization")
        if not isinstance(name, str) or not name.endswith("Config") or not hasattr(library, name):
            raise ConfigurationError(
                "quant_type must name a configuration of torchao.quantization such as 'Int8WeightOnlyConfig', got "
                f"{name!r}."
            )
        return transformers.TorchAoConfig(getattr(library, name)(**values.pop("quant_type_kwargs", {})), **values)
    except (TypeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"quantization_config isn't one that {method} takes: {error}") from error
