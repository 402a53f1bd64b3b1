"""What the classes that hold a model have in common: how it is named and loaded."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, PrivateAttr, SecretStr, model_validator

from bicross.errors import ConfigurationError
from bicross.remote.address import is_address

T = TypeVar("T")

LOADING = (
    "revision",
    "token",
    "local_files_only",
    "cache_folder",
    "device",
    "precision",
    "backend",
    "model_options",
    "trust_remote_code",
)
_loading = threading.Lock()


class ModelFields(BaseModel):
    """Which model, and how it is loaded: on first use, once for all that name it with the same options."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    # What an object must be able to do to stand for the model, what such an object is called, and what else is meant.
    _method: ClassVar[str]
    _kind: ClassVar[str]
    _sibling: ClassVar[str]
    _options: ClassVar[tuple[str, ...]] = LOADING

    model: Any = "starter"
    """A folder, a name on the model hub, "starter", a hosted model (``https://host/v1#model``), or an encoder that was
    loaded already."""
    revision: str | None = None
    """Branch, tag or commit on the hub."""
    token: SecretStr | None = None
    """Access token for the hub, or the key of a hosted model."""
    local_files_only: bool = False
    """Don't ask the hub; use its cache."""
    cache_folder: str | None = None
    """The hub's cache, where it isn't the usual one."""
    device: str = "auto"
    """"auto" or a torch device."""
    precision: str = "float32"
    """"float32", "bfloat16", "float16", "int8", or "auto"."""
    backend: str = "auto"
    """"auto", "torch", "onnx" or "openvino"; see `docs/speed.md`."""
    model_options: dict[str, Any] | None = None
    """JSON values for transformers: dtype, attn_implementation, device_map, quantization_config."""
    trust_remote_code: bool = False
    """Run the checkpoint's own code. Only for folders that you trust."""

    _loaded: Any = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _check_model(self) -> Any:
        if isinstance(self.model, str | os.PathLike):
            return self
        if not callable(getattr(self.model, self._method, None)):
            raise ConfigurationError(
                f"model must be a name, a folder or a {self._kind}, got {type(self.model).__name__}. {self._sibling}"
            )
        if unused := sorted(self.model_fields_set & set(self._options)):
            raise ConfigurationError(
                f"{unused[0]} belongs to a model that is named, got a {type(self.model).__name__} that was loaded "
                "already. Set it where that one is loaded."
            )
        return self

    def _load(self, load: Callable[..., T], **more: Any) -> T:
        """The model: the object that was given, or what `load` makes of the name, once."""
        if not isinstance(self.model, str | os.PathLike):
            found: T = self.model
            return found
        with _loading:
            if self._loaded is None:
                options = {name: getattr(self, name) for name in LOADING if name not in ("token", "cache_folder")}
                if is_address(self.model):
                    secret: dict[str, Any] = {"key": self.token}
                else:
                    secret = {"token": self.token.get_secret_value() if self.token else None}
                self._loaded = load(self.model, cache_dir=self.cache_folder, **secret, **options, **more)
            loaded: T = self._loaded
            return loaded
