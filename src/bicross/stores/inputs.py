"""Checks of everything that comes in, before anything is written: an engine half-applies a batch with a bad point."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

import numpy as np

from bicross.errors import ConfigurationError, DimensionMismatchError, InputError, InputTypeError
from bicross.types import Floats, Passage

MAX_DEPTH = 32
"""Deepest nesting of meta and filters: one of 128 levels makes Qdrant's write-ahead log unreadable."""
COLLECTION_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9_.-]{1,64}")
_INT64 = range(-(2**63), 2**63)


def check_collection(name: str) -> None:
    """Check a collection's name, which becomes a folder's.

    Raises:
        ConfigurationError: It isn't a name.
    """
    if not isinstance(name, str) or not COLLECTION_NAME.fullmatch(name):
        raise ConfigurationError(f"A collection's name has 1 to 64 letters, digits, '_', '-' or '.'; got {name!r}.")


def check_passages(passages: Sequence[Passage]) -> list[Passage]:
    """Check that this is a sequence of passages.

    Raises:
        InputTypeError: It isn't; the message names the position.
    """
    if isinstance(passages, (Passage, str, bytes, Mapping)):
        raise InputTypeError(f"Passages come as a sequence; got {type(passages).__name__}. Put it into a list.")
    for position, passage in enumerate(passages):
        if not isinstance(passage, Passage):
            raise InputTypeError(f"Every item must be a Passage; passages[{position}] is {passage!r}.")
    return list(passages)


def clean_passage(passage: Passage, where: str) -> dict[str, Any]:
    """Check a passage's strings, and give its meta as plain JSON values.

    Raises:
        InputError: Something can't be stored; ``where`` names the passage.
    """
    if not isinstance(passage.text, str):
        raise InputTypeError(f"A text is a string; {where} has {passage.text!r}.")
    if not passage.text.isascii():
        _check_text(passage.text, f"text of {where}")
    if not isinstance(passage.id, str) or not passage.id:
        raise InputTypeError(f"An id is a non-empty string; {where} has {passage.id!r}.")
    if not passage.id.isascii():
        _check_text(passage.id, f"id of {where}")
    for name in ("title", "source"):
        value = getattr(passage, name)
        if value is not None:
            if not isinstance(value, str):
                raise InputTypeError(f"A {name} is a string or None; {where} has {value!r}.")
            _check_text(value, f"{name} of {where}")
    if not isinstance(passage.meta, Mapping):
        raise InputTypeError(f"Meta is a mapping of JSON values; {where} has {passage.meta!r}.")
    cleaned: dict[str, Any] = _clean(passage.meta, "meta", where, 0)
    return cleaned


def check_sync(sync: str | None) -> None:
    """Check the name of a sync.

    Raises:
        InputError: It isn't a UTF-8 string or None.
    """
    if sync is not None:
        if not isinstance(sync, str):
            raise InputTypeError(f"sync is a string or None; got {sync!r}.")
        _check_text(sync, "sync")


def check_ids(ids: Sequence[str]) -> list[str]:
    """Check that this is a sequence of ids.

    Raises:
        InputError: It isn't; the message names the position.
    """
    if isinstance(ids, (str, bytes, Mapping)):
        raise InputTypeError(f"Ids come as a sequence of strings; got {ids!r}. Put it into a list.")
    for position, item in enumerate(ids):
        if not isinstance(item, str) or not item:
            raise InputTypeError(f"An id is a non-empty string; ids[{position}] is {item!r}.")
        if not item.isascii():
            _check_text(item, f"ids[{position}]")
    return list(ids)


def check_matrix(vectors: Any, rows: int) -> Floats:
    """Check document vectors.

    Args:
        vectors: Anything numpy understands as numbers. **Shape:** (rows, dimension).
        rows: How many there must be.

    Returns:
        **Shape:** (rows, dimension).

    Raises:
        InputError: Another shape, or a vector that isn't finite.
    """
    matrix = _as_floats(vectors, "vectors")
    if matrix.ndim != 2 or matrix.shape[0] != rows or matrix.shape[1] == 0:
        if rows == 0 and matrix.size == 0:
            return np.zeros((0, 0), dtype=np.float32)
        raise InputError(f"{rows} passages need vectors of shape ({rows}, dimension); got shape {matrix.shape!r}.")
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise InputError(f"Vectors must be finite in float32; vectors[{int(np.argmin(finite))}] holds NaN or infinity.")
    return matrix


def check_query(vector: Any) -> Floats:
    """Check a query vector. **Shape:** (dimension,).

    Raises:
        InputError: Another shape, or not finite.
    """
    query = _as_floats(vector, "vector")
    if query.ndim != 1 or query.size == 0:
        raise InputError(f"A query is one vector of shape (dimension,); got shape {query.shape!r}.")
    if not np.isfinite(query).all():
        raise InputError("A query vector must be finite in float32; this one holds NaN or infinity.")
    return query


def check_dimension(got: int, expected: int, collection: str) -> None:
    """Check vectors against the collection.

    Raises:
        DimensionMismatchError: They differ.
    """
    if got != expected:
        raise DimensionMismatchError(
            f"Collection {collection!r} holds {expected}-d vectors; got {got}-d. "
            "Use the encoder that filled it, or open another collection."
        )


def check_at_least_one(value: int, name: str) -> int:
    """Check a count.

    Raises:
        ConfigurationError: It isn't a whole number from 1.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ConfigurationError(f"{name} is a whole number from 1; got {value!r}.")
    return int(value)


def _as_floats(values: Any, name: str) -> Floats:
    try:
        with np.errstate(over="ignore"):
            array: Floats = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise InputTypeError(f"{name} must be an array of numbers with rows of one length ({error}).") from error
    return array


def _check_text(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"Strings must be valid UTF-8; the {where} has a lone surrogate at position {error.start}. "
            "Decode its source with errors='replace'."
        ) from error


def _clean(value: Any, path: str, where: str, depth: int) -> Any:  # noqa: PLR0911, PLR0912  (one per type)
    """A JSON value of plain types, for a value of meta."""
    if depth > MAX_DEPTH:
        raise InputError(f"Meta may be nested {MAX_DEPTH} levels deep; {path[:60]}… of {where} is deeper.")
    if isinstance(value, str):
        if not value.isascii():
            _check_text(value, f"{path} of {where}")
        return str(value)
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        if value not in _INT64:
            raise InputError(f"Whole numbers of meta must fit 64 bits; {path} of {where} is {value!r}. Use a string.")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"Numbers of meta must be finite; {path} of {where} is {value!r}. Use None.")
        return float(value)
    if isinstance(value, date):  # datetime is a date, too
        return value.isoformat()
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise InputTypeError(f"Names in meta are strings; {path} of {where} has {key!r}.")
            _check_text(key, f"name of a field in {path} of {where}")
        return {str(key): _clean(item, f"{path}.{key}", where, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item, f"{path}[{index}]", where, depth + 1) for index, item in enumerate(value)]
    raise InputTypeError(
        f"Meta holds JSON values, dates and lists of them; {path} of {where} is {value!r} ({type(value).__name__})."
    )
