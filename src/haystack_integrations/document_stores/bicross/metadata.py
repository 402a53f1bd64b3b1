"""Questions about the metadata of many Documents, answered in one pass."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Metas = Iterable[Mapping[str, Any]]

_KINDS = {bool: "boolean", int: "int", float: "float", str: "keyword"}


def count_unique(metas: Metas, fields: Iterable[str]) -> dict[str, int]:
    """How many different values each field has.

    >>> count_unique([{"a": 1}, {"a": 1.0}, {"a": 1, "b": "x"}], ["a", "meta.b", "c"])
    {'a': 2, 'meta.b': 1, 'c': 0}
    """
    seen: dict[str, set[str]] = {field: set() for field in fields}
    for meta in metas:
        for field, values in seen.items():
            values.update(_key(value) for value in _values(meta, field))
    return {field: len(values) for field, values in seen.items()}


def field_types(metas: Metas) -> dict[str, dict[str, str]]:
    """The type of each field, by its first value that isn't None.

    >>> field_types([{"a": None}, {"a": 2, "b": ["x"]}])
    {'a': {'type': 'int'}, 'b': {'type': 'keyword'}}
    """
    found: dict[str, dict[str, str]] = {}
    for meta in metas:
        for name, field in meta.items():
            value = next((item for item in (field if isinstance(field, list) else [field]) if item is not None), None)
            if value is not None and name not in found:
                found[name] = {"type": _KINDS.get(type(value), "object")}
    return found


def min_max(metas: Metas, field: str) -> dict[str, Any]:
    """Least and greatest value of a field: of its numbers, or of its strings where it has no number.

    >>> min_max([{"a": 10}, {"a": 9.5}, {"a": "x"}], "meta.a")
    {'min': 9.5, 'max': 10}
    """
    values = [value for meta in metas for value in _values(meta, field)]
    numbers: list[Any] = [value for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    comparable: list[Any] = numbers or [value for value in values if isinstance(value, str)]
    return {"min": min(comparable, default=None), "max": max(comparable, default=None)}


def unique_values(metas: Metas, field: str, search_term: str | None, start: int, size: int) -> tuple[list[Any], int]:
    """A page of a field's different values in a fixed order, and how many there are.

    >>> unique_values([{"a": "Tea"}, {"a": "Milk"}, {"a": "Tea"}], "a", "T", 0, 10)
    (['Tea'], 1)
    """
    found = {_key(value): value for meta in metas for value in _values(meta, field)}
    sought = (search_term or "").lower()
    keys = sorted((str(value), key) for key, value in found.items() if sought in str(value).lower())
    return [found[key] for _, key in keys[start : start + size]], len(keys)


def _values(meta: Any, field: str) -> Iterator[Any]:
    """The values of a field that aren't None; dots lead into nested objects, a list gives its elements."""
    for name in field.removeprefix("meta.").split("."):
        meta = meta.get(name) if isinstance(meta, Mapping) else None
    yield from (value for value in (meta if isinstance(meta, list) else [meta]) if value is not None)


def _key(value: Any) -> str:
    # JSON tells 1, 1.0, "1" and true apart; a hash doesn't.
    return json.dumps(value, sort_keys=True, default=str)
