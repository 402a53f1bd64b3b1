"""A hosted model in one line: ``https://host/v1?dimensions=256#model``, wherever the name of a model is taken.

The part in front of ``?`` is the endpoint's base, the part behind ``#`` the model's name there, and what is between
them are options. The same line is what a collection records, and what a saved pipeline holds: no key is in it.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from bicross.arguments import check_count
from bicross.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Calls:
    """How an endpoint is called.

    Attributes:
        batch_size: Texts of a request; None: 32 to embed, 100 to score (32 by text-embeddings-inference).
        concurrency: Requests at the same time, of all threads that use the model.
        timeout: For an answer. **Unit:** seconds.
        retry_seconds: How long a request is tried again after 429, 5xx or a lost connection. **Unit:** seconds.
        allow_http: Send the key without encryption to another machine.
    """

    batch_size: int | None = None
    concurrency: int = 8
    timeout: float = 60.0
    retry_seconds: float = 60.0
    allow_http: bool = False

    def __post_init__(self) -> None:
        check_count(self.concurrency, "concurrency")
        if self.batch_size is not None:
            check_count(self.batch_size, "batch_size")
        if not self.timeout > 0 or not self.retry_seconds >= 0:
            raise ConfigurationError(
                f"timeout must be positive and retry_seconds at least 0, got {self.timeout!r}, {self.retry_seconds!r}."
            )


class Address(NamedTuple):
    """What an address says."""

    base_url: str
    model: str
    options: Mapping[str, str]


def is_address(name: object) -> bool:
    """Whether a model's name is the address of a hosted one.

    >>> is_address("http://localhost:8000/v1#starter"), is_address("sentence-transformers/all-MiniLM-L6-v2")
    (True, False)
    """
    return isinstance(name, str) and name.startswith(("http://", "https://"))


def parse(address: str) -> Address:
    """Read an address.

    Raises:
        ConfigurationError: It isn't one.
    """
    parts = _split(address)
    if not parts.fragment:
        raise ConfigurationError(
            f"A hosted model is written base#model, such as http://localhost:8000/v1#name; got {shown(address)!r}."
        )
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    if len(dict(pairs)) < len(pairs):
        raise ConfigurationError(f"An address has each option once, got {shown(address)!r}.")
    return Address(check_base(parts._replace(query="", fragment="").geturl()), unquote(parts.fragment), dict(pairs))


def check_base(base_url: str) -> str:
    """The base of an endpoint, without a slash at the end.

    Raises:
        ConfigurationError: It is no http address, or holds more than a base.
    """
    parts = _split(base_url)
    if parts.query or parts.fragment:
        raise ConfigurationError(
            f"base_url has no query and no fragment, got {shown(base_url)!r}. For base#model use from_address."
        )
    return base_url.rstrip("/")


def _split(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ConfigurationError(f"An endpoint is an http or https address, got {shown(address)!r}.") from error
    if parts.scheme not in ("http", "https") or not host:
        raise ConfigurationError(f"An endpoint is an http or https address, got {shown(address)!r}.")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(
            "An address holds no user and no password: it is saved and shown. Pass the key as key= or by an "
            "environment variable."
        )
    return parts


def shown(address: str) -> str:
    """An address without what may be secret in it, for messages."""
    scheme, separator, rest = address.partition("://")
    place, slash, path = rest.partition("/")
    return f"{scheme}{separator}{place.rpartition('@')[2]}{slash}{path.partition('?')[0]}"[:200]


def arguments_of(kind: Callable[..., Any], options: Mapping[str, str], own: Mapping[str, type]) -> dict[str, Any]:
    """An address's options as the arguments of a class.

    Args:
        kind: The class; names it in messages.
        options: As they stand in the address.
        own: The options of the class, with their types; those of `Calls` are known.

    Raises:
        ConfigurationError: An unknown option, or a value of another type.
    """
    known = {**own, **_CALLS}
    values: dict[str, Any] = {}
    for name, text in options.items():
        if name not in known:
            raise ConfigurationError(f"An address of this kind takes {', '.join(known)}; got the option {name!r:.60}.")
        try:
            values[name] = _BOOLEANS[text.lower()] if known[name] is bool else known[name](text)
        except (KeyError, ValueError):
            kind_name = known[name].__name__
            raise ConfigurationError(f"{name} is a {kind_name}, got {text!r:.60} in the address.") from None
    calls = Calls(**{name: values.pop(name) for name in _CALLS if name in values})
    assert set(values) <= set(inspect.signature(kind).parameters)
    return values | {"calls": calls}


def written(base_url: str, model: str, options: Mapping[str, Any], calls: Calls) -> str:
    """The address that leads to a hosted model again; options of None are left out."""
    plain = Calls()
    changed = {name: getattr(calls, name) for name in _CALLS if getattr(calls, name) != getattr(plain, name)}
    given = {name: value for name, value in {**options, **changed}.items() if value is not None}
    query = urlencode({name: str(value).lower() if value in (True, False) else value for name, value in given.items()})
    return f"{base_url}{'?' if query else ''}{query}#{quote(model, safe='/:@!$&()*+,;=-._~')}"


_BOOLEANS = {"true": True, "1": True, "false": False, "0": False}
_CALLS: dict[str, type] = {
    field.name: {"batch_size": int, "concurrency": int, "allow_http": bool}.get(field.name, float)
    for field in fields(Calls)
}
