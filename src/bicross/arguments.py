"""Checks of arguments that several modules take."""

from __future__ import annotations

from typing import Any

from bicross.errors import ConfigurationError


def check_share(value: Any, name: str) -> float:
    """Check a share, or a weight in a sum of two.

    Raises:
        ConfigurationError: It isn't a number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError(f"{name} must be a number from 0 to 1, got {value!r}.")
    return float(value)


def check_count(value: Any, name: str) -> int:
    """Check how many are asked for.

    Raises:
        ConfigurationError: It isn't a whole number from 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} must be a positive whole number, got {value!r}.")
    return value
