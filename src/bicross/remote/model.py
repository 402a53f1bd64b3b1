"""What both hosted models are: an endpoint, a name there, and an address that leads to them again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self
from urllib.parse import urlsplit

from bicross.errors import ConfigurationError, MissingExtraError
from bicross.lifecycle import Closing
from bicross.remote.address import Calls, arguments_of, check_base, parse, written
from bicross.remote.keys import Key, Secret

if TYPE_CHECKING:
    import httpx


class RemoteModel(Closing):
    """The base of `RemoteBiEncoder` and `RemoteCrossEncoder`.

    Attributes:
        base_url: The endpoint without its last part.
        model: The model's name there.
        calls: How the endpoint is called.
        revision: None: an endpoint tells none.
    """

    revision: str | None = None
    _written: ClassVar[Mapping[str, type]]
    """The options that an address may hold, with their types."""

    def __init__(
        self,
        base_url: str,
        model: str,
        options: Mapping[str, Any],
        key: Secret | None,
        calls: Calls | None,
        client: httpx.Client | None,
    ) -> None:
        try:
            from bicross.remote.connection import Connection
        except ImportError as error:
            raise MissingExtraError('A hosted model needs httpx: pip install "bicross[remote]"') from error

        if not isinstance(model, str) or not model:
            raise ConfigurationError(f"model is the model's name at the endpoint, got {model!r}.")
        self.base_url = check_base(base_url)
        self.model = model
        self.calls = calls or Calls()
        self._options = options
        host = urlsplit(self.base_url).hostname or ""
        self._connection = Connection(self.base_url, Key(host, key, options["key_variable"]), self.calls, client)

    @classmethod
    def from_address(cls, address: str, *, key: Secret | None = None, client: httpx.Client | None = None) -> Self:
        """The model behind an address such as ``https://api.openai.com/v1?dimensions=256#text-embedding-3-small``.

        Raises:
            ConfigurationError: It isn't one, or holds an option that is unknown or makes no sense.
        """
        base_url, model, options = parse(address)
        arguments: dict[str, Any] = arguments_of(cls, options, cls._written)
        return cls(base_url, model, key=key, client=client, **arguments)

    @property
    def name(self) -> str:
        """The address that leads to this model again; holds no key."""
        return written(self.base_url, self.model, self._options, self.calls)

    def close(self) -> None:
        """Close the connections; twice is harmless."""
        self._connection.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"
