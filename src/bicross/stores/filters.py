"""Filters: Haystack's dict, validated, as a tree of conditions.

A comparison is ``{"field": "meta.lang", "operator": "==", "value": "en"}``, a combination
``{"operator": "AND" | "OR" | "NOT", "conditions": [...]}``. The rules, the same on every transport:

- ``id``, ``text`` (or ``content``), ``title``, ``source`` and ``sync`` are the passage's own fields; every other name
  is one of meta, with or without ``meta.`` in front; dots lead into nested objects.
- ``== None`` holds where the field is missing, null or an empty list. ``!=`` and ``not in`` are the negations of ``==``
  and ``in``, so they hold for passages without the field. An ordering operator never holds for a missing field, nor
  against None. ``NOT`` means "not all of these".
- A field that holds a list matches when any of its elements does.
- Numbers compare by value (1 equals 1.0); a bool is no number. Fractions that a JSON reader rounds are equal within
  two units in the last place.
- Ordering operators take numbers, datetimes and ISO 8601 strings. A date without an offset is in UTC. Where a meta
  field is compared for equality with a complete ISO date, the same instant in another spelling is equal, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

import numpy as np

from bicross.errors import FilterError
from bicross.stores.conditions import (
    NOTHING,
    All,
    AnyOf,
    Dates,
    Exactly,
    Ids,
    Missing,
    Node,
    Not,
    Numbers,
    Strings,
)
from bicross.stores.dates import as_utc, parse_date
from bicross.stores.inputs import MAX_DEPTH
from bicross.stores.paths import Path
from bicross.stores.schema import survives_json

Filter = Mapping[str, Any]

_OWN_FIELDS = {"id": "id", "text": "text", "content": "text", "title": "title", "source": "source", "sync": "sync"}
_BOUNDS = {">": "gt", ">=": "gte", "<": "lt", "<=": "lte"}
_OPERATORS = ("==", "!=", *_BOUNDS, "in", "not in")
_EXACT_INTEGERS = 2**53
_SPELL = "Write {'field': …, 'operator': …, 'value': …} or {'operator': 'AND'|'OR'|'NOT', 'conditions': […]}."


def parse(filter: Filter | None) -> Node | None:
    """Validate a filter. None and the empty dict ask for everything: None.

    Raises:
        FilterError: It isn't understood; the message says where.
    """
    if filter is None:
        return None
    if isinstance(filter, Mapping) and not filter:
        return None
    return _parse(filter, 0)


def _parse(condition: Any, depth: int) -> Node:
    if not isinstance(condition, Mapping):
        raise FilterError(f"A condition is a dict; got {condition!r}. {_SPELL}")
    if depth > MAX_DEPTH:
        raise FilterError(f"A filter may be nested {MAX_DEPTH} levels deep; this one is deeper. Flatten it.")
    if "field" in condition:
        return _comparison(condition)
    for key in ("operator", "conditions"):
        if key not in condition:
            raise FilterError(
                f"A condition without 'field' needs 'operator' and 'conditions'; got {condition!r}. {_SPELL}"
            )
    kind, conditions = condition["operator"], condition["conditions"]
    if kind not in ("AND", "OR", "NOT"):
        raise FilterError(f"A combination's operator is 'AND', 'OR' or 'NOT'; got {kind!r}. {_SPELL}")
    if not isinstance(conditions, (list, tuple)):
        raise FilterError(f"'conditions' is a list; got {conditions!r}. {_SPELL}")
    nodes = tuple(_parse(item, depth + 1) for item in conditions)
    if kind == "OR":
        return _any_of(nodes)
    every: Node = All(nodes) if nodes else Not(NOTHING)
    return every if kind == "AND" else Not(every)


def _comparison(condition: Mapping[str, Any]) -> Node:
    for key in ("operator", "value"):
        if key not in condition:
            raise FilterError(f"A comparison needs 'field', 'operator' and 'value'; got {condition!r}. {_SPELL}")
    path, sign, value = field_path(condition["field"]), condition["operator"], _plain(condition["value"])
    if sign not in _OPERATORS:
        raise FilterError(f"A comparison's operator is one of {', '.join(_OPERATORS)}; got {sign!r}.")
    if sign in _BOUNDS:
        return _ordering(path, sign, value)
    if sign in ("==", "!="):
        node = _equals(path, value)
    else:
        if not isinstance(value, list):
            raise FilterError(f"{sign!r} takes a list; got {value!r} for field {condition['field']!r}.")
        node = _one_of(path, [_plain(item) for item in value])
    return Not(node) if sign in ("!=", "not in") else node


def field_path(field: Any) -> Path:
    """Where a field is that a user names.

    Raises:
        FilterError: It names none.
    """
    if not isinstance(field, str) or not field:
        raise FilterError(f"A field is a non-empty string; got {field!r}.")
    if field in _OWN_FIELDS:
        return (_OWN_FIELDS[field],)
    parts = tuple(field.split("."))
    if any('"' in part or "\\" in part for part in parts):
        raise FilterError(f"The store can't address a field with a double quote or a backslash; got {field!r}.")
    if parts[0] != "meta":
        parts = ("meta", *parts)
    if len(parts) == 1:
        raise FilterError("A filter compares one field of meta, not meta itself. Write 'meta.<name>'.")
    _utf8(field)
    return parts


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _utf8(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise FilterError(f"Strings of a filter must be valid UTF-8; {text!r} has a lone surrogate.") from error


def _any_of(nodes: Sequence[Node]) -> Node:
    # An empty OR matches nothing, but an empty list of alternatives is no restriction at all to Qdrant.
    if not nodes:
        return NOTHING
    return nodes[0] if len(nodes) == 1 else AnyOf(tuple(nodes))


def _one_of(path: Path, values: list[Any]) -> Node:
    strings = tuple(value for value in values if isinstance(value, str))
    nodes = [_equals(path, value) for value in values if not isinstance(value, str)]
    return _any_of([*_string_nodes(path, strings), *nodes])


def _equals(path: Path, value: Any) -> Node:
    if value is None:
        return Missing(path)
    if isinstance(value, bool):
        return Exactly(path, value)
    if isinstance(value, str):
        return _any_of(_string_nodes(path, (value,)))
    if isinstance(value, (int, float)):
        return _number(path, value)
    if isinstance(value, date):
        instant = _instant(value)
        return Dates(path, {"gte": instant, "lte": instant})
    raise FilterError(
        f"Equality takes a string, number, bool, date or None; got {value!r} for field {'.'.join(path)!r}. "
        "To match one of several values, use the operator 'in'."
    )


def _string_nodes(path: Path, strings: tuple[str, ...]) -> list[Node]:
    for text in strings:
        _utf8(text)
    if not strings:
        return []
    if path == ("id",):
        return [Ids(strings)]
    nodes: list[Node] = [Strings(path, strings)]
    if path[0] == "meta":
        instants = [instant for text in strings if (instant := parse_date(text)) is not None]
        nodes.extend(Dates(path, {"gte": instant, "lte": instant}) for instant in instants)
    return nodes


def _number(path: Path, value: int | float) -> Node:
    if isinstance(value, int) and abs(value) > _EXACT_INTEGERS:
        return Exactly(path, value) if -(2**63) <= value < 2**63 else NOTHING
    number = _finite(path, value)
    return Numbers(path, {"gte": number - _slack(number), "lte": number + _slack(number)})


def _slack(number: float) -> float:
    """How far Qdrant's JSON reader may have moved a number that was stored: two units in the last place."""
    return 0.0 if survives_json(number) else 2 * math.ulp(number)


def _finite(path: Path, value: int | float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise FilterError(f"Numbers of a filter must be finite; got {value!r} for field {'.'.join(path)!r}.")
    return number


def _ordering(path: Path, sign: str, value: Any) -> Node:
    if value is None:
        return NOTHING
    if isinstance(value, (str, date)):
        return Dates(path, {_BOUNDS[sign]: _instant(value)})
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        number = _finite(path, value)
        outwards = sign in (">", "<=")  # so that what counts as equal is left out of > and <, and is part of >= and <=
        return Numbers(path, {_BOUNDS[sign]: number + (_slack(number) if outwards else -_slack(number))})
    raise FilterError(
        f"{sign!r} takes a number, a datetime or an ISO date; got {value!r} for field {'.'.join(path)!r}."
    )


def _instant(value: str | date) -> datetime:
    if isinstance(value, datetime):
        return as_utc(value)
    if isinstance(value, date):
        return as_utc(datetime.combine(value, time()))
    instant = parse_date(value)
    if instant is None:
        try:
            instant = as_utc(datetime.fromisoformat(value))
        except ValueError as error:
            raise FilterError(
                f"Strings can be ordered only as dates; got {value!r}. Write an ISO date like '2026-11-24T10:00:00'."
            ) from error
    return instant
