"""The life of a node: light to make, warm before it runs, saved as its arguments, closed as often as one likes."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable
from enum import Enum
from typing import Any, Generic, Self, TypeVar
from urllib.parse import urlsplit

from haystack import default_from_dict, default_to_dict
from haystack.utils import ComponentDevice, Secret

from bicross import pool
from bicross.errors import ConfigurationError
from bicross.remote.address import is_address

T = TypeVar("T")

HUB_TOKEN = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False)
"""What every node's `token` is unless it is set."""


class OnFirstUse(Generic[T]):
    """Something heavy: made once, by the first thread that needs it; made again after `close`."""

    def __init__(self, make: Callable[[], T], dispose: Callable[[T], None]) -> None:
        self._make = make
        self._dispose = dispose
        self._lock = threading.Lock()
        self._value: T | None = None

    def get(self) -> T:
        """The thing itself."""
        with self._lock:
            if self._value is None:
                self._value = self._make()
            return self._value

    def close(self) -> None:
        """Let go of it, if it was made."""
        with self._lock:
            value, self._value = self._value, None
        if value is not None:
            self._dispose(value)


class Node:
    """Base of all nodes. Every constructor argument is kept under its own name."""

    _heavy: tuple[OnFirstUse[Any], ...] = ()

    def warm_up(self) -> None:
        """Load what the node needs. Again and again is fine; `run` does it by itself."""
        for item in self._heavy:
            item.get()

    async def warm_up_async(self) -> None:
        """Load what the node needs, off the event loop."""
        await pool.computing(self.warm_up)

    def close(self) -> None:
        """Let go of the models; they leave memory with the last node that uses them. The next run loads them again."""
        for item in self._heavy:
            item.close()

    async def close_async(self) -> None:
        """Let go of the models, off the event loop."""
        await pool.waiting(self.close)

    def to_dict(self) -> dict[str, Any]:
        """The node as its class and arguments: devices as given, Secrets as the names of their variables."""
        return default_to_dict(self, **arguments(self))

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The node that `to_dict` wrote down."""
        return default_from_dict(cls, data)


def arguments(node: Any) -> dict[str, Any]:
    """The constructor's arguments, as they were given; members of an enumeration as their values."""
    names = list(inspect.signature(type(node).__init__).parameters)[1:]
    values = {name: getattr(node, name) for name in names}
    return {name: value.value if isinstance(value, Enum) else value for name, value in values.items()}


def load_options(node: Any, model: str) -> dict[str, Any]:
    """The arguments of a node that say how a model is loaded, in the engine's words.

    A hosted model gets the Secret as its key, unless it is the hub's, which every node has: that one goes nowhere else.
    """
    key = None if node.token == HUB_TOKEN else node.token
    secret = {"key": key} if is_address(model) else {"token": hub_token(node)}
    return {
        **secret,
        "device": torch_device(node.device),
        "backend": node.backend,
        "precision": node.precision,
        "local_files_only": node.local_files_only,
        "trust_remote_code": node.trust_remote_code,
        "model_options": node.model_options,
    }


def hub_token(node: Any) -> str | None:
    """The token for a model of the hub, resolved. A host's key doesn't go there, where one of the models is hosted."""
    token: Secret | None = node.token
    hosted = any(is_address(getattr(node, name, None)) for name in ("model", "ranker_model"))
    return None if token is None or (hosted and token != HUB_TOKEN) else token.resolve_value()


def check_one_host(token: Secret | None, *models: str | None) -> None:
    """Check that a node's token is the key of one host.

    :raises ConfigurationError: Its models are hosted by several.
    """
    hosts = {urlsplit(model).netloc for model in models if is_address(model)}
    if len(hosts) > 1 and token not in (None, HUB_TOKEN):
        raise ConfigurationError(
            f"token is the key of one host, got models of {sorted(hosts)!r}. Leave it out, and write the name of each "
            "key's environment variable into the address: https://host/v1?key_variable=NAME#model"
        )


def torch_device(device: ComponentDevice | None) -> str:
    """A device in the engine's words.

    :raises ConfigurationError: It isn't one device.
    """
    if device is None:
        return "auto"
    if not isinstance(device, ComponentDevice):
        raise ConfigurationError(f"device is a ComponentDevice; got {device!r}. Write ComponentDevice.from_str('cpu').")
    if device.has_multiple_devices:
        raise ConfigurationError(f"device is a single device; got {device!r}. Use model_options={{'device_map': …}}.")
    return device.to_torch_str()
