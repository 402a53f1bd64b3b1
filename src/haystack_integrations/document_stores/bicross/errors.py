"""The engine's errors, where Haystack has a name for them, under both names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from haystack.errors import FilterError as HaystackFilterError

from bicross.errors import FilterError


class InvalidFilterError(FilterError, HaystackFilterError):
    """A filter that isn't understood: bicross's FilterError, and Haystack's."""


@contextmanager
def haystack_errors() -> Iterator[None]:
    """Errors about filters are Haystack's FilterError, too."""
    try:
        yield
    except FilterError as error:
        raise InvalidFilterError(str(error)) from error
