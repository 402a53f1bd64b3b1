"""What a Document has and a passage has no place for: kept in one hidden field of meta, only where it is needed."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

import numpy as np
from haystack.dataclasses import ByteStream, Document, SparseEmbedding

from bicross.errors import InputError
from bicross.types import Floats

EXTRAS = "_haystack"
_UNIT_LENGTH = 1e-6
"""How far from 1 a length may be before it is kept: float32 gives no unit vector more exactly."""


def extras_of(document: Document) -> dict[str, Any]:
    """What has to be kept beside text and meta, as JSON values; empty for an ordinary Document.

    :raises InputError: Its meta uses the hidden field's name.
    """
    if EXTRAS in document.meta:
        raise InputError(f"The field {EXTRAS!r} of meta is taken; Document {document.id!r} has it. Rename it.")
    extras: dict[str, Any] = {}
    if document.content is None:
        extras["no_content"] = True
    if document.score is not None:
        extras["score"] = document.score
    if document.blob is not None:
        data = base64.b64encode(document.blob.data).decode()
        extras["blob"] = {"data": data, "meta": document.blob.meta, "mime_type": document.blob.mime_type}
    if document.sparse_embedding is not None:
        extras["sparse_embedding"] = document.sparse_embedding.to_dict()
    if document.embedding is not None:
        length = float(np.linalg.norm(np.asarray(document.embedding, dtype=np.float64)))
        if abs(length - 1.0) > _UNIT_LENGTH:
            extras["length"] = length  # a cosine collection keeps the direction alone
    dates = dates_of(document.meta)
    if dates:
        extras["dates"] = dates
    return extras


def restored(meta: Mapping[str, Any], vector: Floats | None) -> dict[str, Any]:
    """The Document's fields but id and content, which ``no_content`` is about.

    :param meta: A passage's meta.
    :param vector: Its stored vector. **Shape:** (dimension,).
    """
    extras = meta.get(EXTRAS, {})
    plain = {name: value for name, value in meta.items() if name != EXTRAS}
    for *path, kind in extras.get("dates", ()):
        _read_date(plain, path, kind)
    fields: dict[str, Any] = {"meta": plain, "no_content": extras.get("no_content", False)}
    if "score" in extras:
        fields["score"] = extras["score"]
    if "blob" in extras:
        fields["blob"] = ByteStream(**extras["blob"] | {"data": base64.b64decode(extras["blob"]["data"])})
    if "sparse_embedding" in extras:
        fields["sparse_embedding"] = SparseEmbedding.from_dict(extras["sparse_embedding"])
    if vector is not None:
        stored = float(np.linalg.norm(vector)) if "length" in extras else 0.0
        fields["embedding"] = (vector * (extras["length"] / stored) if stored else vector).tolist()
    return fields


def dates_of(value: Any) -> list[list[Any]]:
    """Paths to all dates in a meta, each with its kind behind it: the store keeps dates as strings."""
    return list(_dates(value, []))


def _dates(value: Any, path: list[Any]) -> Iterator[list[Any]]:
    if isinstance(value, date):
        yield [*path, "datetime" if isinstance(value, datetime) else "date"]
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _dates(item, [*path, name])
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _dates(item, [*path, index])


def _read_date(meta: Any, path: list[Any], kind: str) -> None:
    """Turn the string at a path back into a date; a path that leads nowhere any more is left alone."""
    for step in path[:-1]:
        try:
            meta = meta[step]
        except (KeyError, IndexError, TypeError):
            return
    found = meta.get(path[-1]) if isinstance(meta, dict) else meta[path[-1]]
    if isinstance(found, str):
        meta[path[-1]] = (datetime if kind == "datetime" else date).fromisoformat(found)
