"""The key of an endpoint: known to this module and the requests' head, and to nothing that is shown or saved."""

from __future__ import annotations

import os
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

from bicross.errors import ConfigurationError
from bicross.loopback import is_loopback
from bicross.remote.address import is_address, shown

KEY_VARIABLE = "BICROSS_REMOTE_KEY"
VARIABLES = {
    "api.openai.com": "OPENAI_API_KEY",
    "api.zeroentropy.dev": "ZEROENTROPY_API_KEY",
    "api.cohere.com": "CO_API_KEY",
    "api.jina.ai": "JINA_API_KEY",
    "api.voyageai.com": "VOYAGE_API_KEY",
    "api.mistral.ai": "MISTRAL_API_KEY",
}
"""Where the owners' own clients look. A key never goes to another host than its own."""
HOSTS_VARIABLE = "BICROSS_REMOTE_HOSTS"


def check_recorded(name: str) -> None:
    """Refuse the address that a collection records, unless its host is known: whoever wrote the collection chose it,
    and it would get every query, and the key that the address names.

    Args:
        name: What the collection records as its model; names that are no address pass.

    Raises:
        ConfigurationError: The host isn't this machine, none of `VARIABLES`, and not in ``$BICROSS_REMOTE_HOSTS``.
    """
    if not is_address(name):
        return
    host = urlsplit(name).hostname or ""
    named = os.environ.get(HOSTS_VARIABLE, "").replace(",", " ").split()
    if is_loopback(host) or host in VARIABLES or host in named:
        return
    raise ConfigurationError(
        f"A collection may only name a host that is known here; this one was filled through {shown(name)!r}, which "
        f"would get your queries and its key. If that is right, set {HOSTS_VARIABLE}={host}."
    )


@runtime_checkable
class HaystackSecret(Protocol):
    """Haystack's `Secret`."""

    def resolve_value(self) -> str | None:
        """The key."""
        ...


@runtime_checkable
class PydanticSecret(Protocol):
    """Pydantic's `SecretStr`."""

    def get_secret_value(self) -> str:
        """The key."""
        ...


Secret = HaystackSecret | PydanticSecret


class Key:
    """Where a key comes from; it is looked up for every request, so that a renewed one counts at once.

    Args:
        host: The host that it is for.
        secret: Holds it. None: an environment variable does.
        variable: Its name. None: the host's own, else `KEY_VARIABLE`; where that isn't set, no key is sent.

    Raises:
        ConfigurationError: A key as plain text, or two sources.
    """

    def __init__(self, host: str, secret: Secret | None, variable: str | None) -> None:
        if secret is not None and not isinstance(secret, HaystackSecret | PydanticSecret):
            raise ConfigurationError(
                f"key must be a Haystack Secret or a pydantic SecretStr, got a {type(secret).__name__} (not shown). "
                "Or put the key into an environment variable and pass its name: key_variable='…'"
            )
        if secret is not None and variable is not None:
            raise ConfigurationError(f"Pass key or key_variable, got a key and key_variable={variable!r}.")
        self._secret = secret
        self._required = variable is not None
        self.variable = variable or VARIABLES.get(host, KEY_VARIABLE)

    def value(self) -> str | None:
        """The key; None where there is none.

        Raises:
            ConfigurationError: The named variable isn't set, or what it holds can't be sent.
        """
        if self._secret is None:
            found = os.environ.get(self.variable)
            if not found and self._required:
                raise ConfigurationError(f"The key is read from ${self.variable}, which isn't set. Set it.")
        elif isinstance(self._secret, HaystackSecret):
            found = self._secret.resolve_value()
        else:
            found = self._secret.get_secret_value()
        found = (found or "").strip()
        if any(not "!" <= character <= "~" for character in found):
            raise ConfigurationError(
                f"A key is visible ASCII characters, got another one among the {len(found)} from {self!r}."
            )
        return found or None

    def __repr__(self) -> str:
        return f"Key(${self.variable})" if self._secret is None else "Key(***)"
