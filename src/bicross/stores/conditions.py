"""A filter as a tree of conditions, and its answer for one payload: the reference that every engine must agree with."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bicross.stores.dates import parse_date
from bicross.stores.paths import Path, dig

_HOLDS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


@dataclass(frozen=True, slots=True)
class All:
    """Every condition holds."""

    conditions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one condition holds."""

    conditions: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """The condition doesn't hold."""

    condition: Node


@dataclass(frozen=True, slots=True)
class Ids:
    """The passage's id is one of these; nothing matches where there are none."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Missing:
    """The field is missing, null or an empty list."""

    path: Path


@dataclass(frozen=True, slots=True)
class Strings:
    """The field is one of these strings."""

    path: Path
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Exactly:
    """The field is this bool, or this integer beyond those that a float holds."""

    path: Path
    value: bool | int


@dataclass(frozen=True, slots=True)
class Numbers:
    """The field is a number within the bounds, named gt, gte, lt, lte."""

    path: Path
    bounds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Dates:
    """The field is an ISO date within the bounds, named gt, gte, lt, lte. **Unit:** datetimes in UTC."""

    path: Path
    bounds: Mapping[str, datetime]


Node = All | AnyOf | Not | Ids | Missing | Strings | Exactly | Numbers | Dates
NOTHING = Ids(())


def matches(node: Node | None, payload: Mapping[str, Any]) -> bool:  # noqa: PLR0911  (one per kind of node)
    """Whether a payload satisfies a filter: the reference that every transport must agree with."""
    match node:
        case None:
            return True
        case All(conditions):
            return all(matches(item, payload) for item in conditions)
        case AnyOf(conditions):
            return any(matches(item, payload) for item in conditions)
        case Not(condition):
            return not matches(condition, payload)
        case Ids(ids):
            return payload["id"] in ids
        case Missing(path):
            return dig(payload, path) in (None, [])
        case _:
            value = dig(payload, node.path)
            return any(_matches_value(node, item) for item in (value if isinstance(value, list) else [value]))


def _matches_value(node: Strings | Exactly | Numbers | Dates, value: Any) -> bool:
    match node:
        case Strings(_, values):
            return isinstance(value, str) and value in values
        case Exactly(_, wanted):
            return type(value) is type(wanted) and bool(value == wanted)
        case Numbers(_, bounds):
            return isinstance(value, (int, float)) and not isinstance(value, bool) and _within(float(value), bounds)
        case Dates(_, bounds):
            instant = parse_date(value) if isinstance(value, str) else None
            return instant is not None and _within(instant, bounds)


def _within(value: Any, bounds: Mapping[str, Any]) -> bool:
    return all(_HOLDS[name](value, bound) for name, bound in bounds.items())
