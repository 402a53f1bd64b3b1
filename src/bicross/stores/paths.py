"""Places inside a payload, as paths of names; nothing here changes what it is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Path = tuple[str, ...]


def dig(tree: Any, path: Path) -> Any:
    """What is at a path; None where there is nothing.

    >>> dig({"a": {"b": 1}}, ("a", "b")), dig({"a": 3}, ("a", "b"))
    (1, None)
    """
    for name in path:
        tree = tree.get(name) if isinstance(tree, Mapping) else None
    return tree


def placed(tree: Mapping[str, Any], path: Path, value: Any) -> dict[str, Any]:
    """The tree with a value at a path.

    >>> placed({"a": {"b": 1}}, ("a", "c"), 2)
    {'a': {'b': 1, 'c': 2}}
    """
    name, *rest = path
    if not rest:
        return {**tree, name: value}
    inner = tree.get(name)
    return {**tree, name: placed(inner if isinstance(inner, Mapping) else {}, tuple(rest), value)}


def without(tree: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The tree without what is at a path.

    >>> without({"a": {"b": 1, "c": 2}}, ("a", "b"))
    {'a': {'c': 2}}
    """
    name, *rest = path
    if not rest:
        return {key: value for key, value in tree.items() if key != name}
    inner = tree.get(name)
    return {**tree, name: without(inner, tuple(rest))} if isinstance(inner, Mapping) else dict(tree)


def overlaid(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both trees in one; where both hold a value, the one above.

    >>> overlaid({"a": {"b": 1}, "c": None}, {"a": {"d": 2}, "c": 3})
    {'a': {'b': 1, 'd': 2}, 'c': 3}
    """
    both = dict(below)
    for name, value in above.items():
        under = both.get(name)
        inner = isinstance(under, Mapping) and isinstance(value, Mapping)
        both[name] = overlaid(under, value) if inner else value  # type: ignore[arg-type]
    return both


def parsed(key: str) -> Path:
    """A path as a user writes it: dots lead into nested objects."""
    return tuple(key.split("."))


def spelled(path: Path) -> str:
    """A path as a user writes it."""
    return ".".join(path)
