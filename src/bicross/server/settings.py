"""What a server takes from its clients, and whom it listens to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from bicross.errors import ConfigurationError
from bicross.loopback import is_loopback

TOKEN_VARIABLE = "BICROSS_TOKEN"  # noqa: S105  # the variable's name
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]")
_LEAST_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Limits:
    """What a server takes at most; beyond it a request is refused, so that memory stays bounded.

    Attributes:
        queue: Requests that compute or wait; one more is answered by 429.
        queue_bytes: Bytes of the bodies of these requests, together; more is answered by 429.
        body_bytes: Bytes of a body; more is answered by 413.
        body_seconds: Time for a client to send its body; longer is answered by 408.
        texts: Texts, or documents, of a request.
        characters: Characters of a text. The models cut texts at their own, shorter limits.
        batch_tokens: Most tokens that a model computes at once, padding included; None: what suits the device.
        retry_seconds: What a refused client is asked to wait (``Retry-After``).
    """

    queue: int = 256
    queue_bytes: int = 64 << 20
    body_bytes: int = 8 << 20
    body_seconds: float = 30.0
    texts: int = 2_048
    characters: int = 100_000
    batch_tokens: int | None = None
    retry_seconds: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value <= 0:
                raise ConfigurationError(f"{field.name} must be positive, got {value!r}.")
        if self.body_bytes > self.queue_bytes:
            raise ConfigurationError(
                f"queue_bytes must hold a body of body_bytes, got {self.queue_bytes!r} and {self.body_bytes!r}."
            )


def check_hosts(hosts: Sequence[str]) -> list[str]:
    """Names that clients may reach a server by.

    Raises:
        ConfigurationError: One that no request can have, such as one with a port.
    """
    for host in hosts:
        bare = host.removeprefix("*.") if host != "*" else ""
        if "*" in bare or "/" in bare or (":" in bare and not bare.startswith("[")) or not host:
            raise ConfigurationError(
                f"An allowed host is a name without a port, such as 'models.example.com', '*.example.com' or '*'; got "
                f"{host!r}."
            )
    return list(hosts)


def allowed_hosts(host: str, named: Sequence[str] | None) -> tuple[str, ...]:
    """The names that clients may reach a server by: this machine's own and the named ones; all, where none is named
    and it listens on an address that other machines reach.
    """
    return (*LOOPBACK_HOSTS, *(named or ())) if named or is_loopback(host) else ("*",)


def read_token(host: str, environment: Mapping[str, str] | None = None) -> str | None:
    """The token that clients must send, from the environment; None where anyone on this machine may ask.

    Args:
        host: The address that the server listens on.
        environment: None: the process's own.

    Raises:
        ConfigurationError: The address is reached from other machines and there is no token, or one that can't serve.
    """
    token = (os.environ if environment is None else environment).get(TOKEN_VARIABLE)
    if not token:
        if is_loopback(host):
            return None
        raise ConfigurationError(
            f"{host!r} is reached from other machines, so clients must send a token, and ${TOKEN_VARIABLE} isn't set. "
            "Set it to a long random text, or listen on 127.0.0.1."
        )
    return check_token(token)


def check_token(token: str) -> str:
    """A token, once it is known to be one that a client can send and nobody guesses. No message shows it.

    Raises:
        ConfigurationError: It isn't.
    """
    if len(token) < _LEAST_TOKEN or not token.isascii() or any(not "!" <= character <= "~" for character in token):
        raise ConfigurationError(
            f"A token is {_LEAST_TOKEN} or more visible ASCII characters, got {len(token)} characters in "
            f"${TOKEN_VARIABLE}. Make one: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return token
