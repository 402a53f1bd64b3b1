"""What a collection holds: its header, and the payload of a point."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from decimal import Decimal
from typing import Any

from bicross.errors import StoreError
from bicross.stores.inputs import clean_passage
from bicross.stores.stamps import sorted_json, stamp_hash
from bicross.types import Passage
from bicross.uuids import uuid5

SCHEMA_VERSION = 1
DISTANCES = ("cosine", "dot")
SPARSE = "bm25"
"""Name of the sparse vector slot that every collection has from the start; empty until a sparse encoder fills it."""
INDEXED_FIELDS = ("sync", "source")
_POINT_NAMESPACE = uuid.UUID("0d1f6d0a-56f5-5c36-9d0e-3f2b8f0f6a11")


@dataclass(frozen=True, slots=True)
class SparseRecord:
    """What a collection says about its sparse vectors.

    Attributes:
        fingerprint: The sparse encoder's fingerprint.
        idf: Whether a query's entries are weighed by inverse document frequency in the collection.
        name: ``bm25``, or the name or folder of a model; None where the encoder has none.
        language: Language of BM25's stemmer.
        mean_length: Mean document length that BM25's weights were made with. **Unit:** terms.
        measured: How many passages there were when it was measured last.
        state: ``ready``; ``reset``: those of another encoder have to go first; ``renew``: all have to be made anew,
            because the mean length has changed. The next sync does what is noted here, whatever killed the last one.
    """

    fingerprint: str
    idf: bool = True
    name: str | None = None
    language: str | None = None
    mean_length: float | None = None
    measured: int = 0
    state: str = "ready"

    @classmethod
    def from_dict(cls, values: Any) -> SparseRecord:
        """Read what `asdict` wrote; fields of a newer release are left out.

        Raises:
            ValueError: It is damaged.
        """
        if not isinstance(values, Mapping):
            raise ValueError("not an object")
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        record = cls(**{"fingerprint": None, **known})
        length = record.mean_length
        if (
            not isinstance(record.fingerprint, str)
            or not isinstance(record.idf, bool)
            or not all(text is None or isinstance(text, str) for text in (record.name, record.language))
            or not (length is None or (isinstance(length, (int, float)) and length > 0))
            or type(record.measured) is not int
            or record.state not in SPARSE_STATES
        ):
            raise ValueError("a value of the wrong type")
        return record


SPARSE_STATES = ("ready", "reset", "renew")


@dataclass(frozen=True, slots=True)
class Header:
    """What a collection says about itself: in the sidecar ``bicross.json`` or in the server's collection metadata.

    Attributes:
        dimension: Length of the dense vectors.
        distance: ``cosine`` or ``dot``.
        fingerprint: Document fingerprint of the encoder that fills the collection; None where nobody said.
        model: Name or folder of that encoder.
        revision: Its revision.
        schema_version: Layout of the payload.
        sparse: What made the sparse vectors; None where nothing has.
        witness: The encoder's vector of a fixed text, where its fingerprint is a name alone; see `bicross.witness`.
    """

    dimension: int
    distance: str = "cosine"
    fingerprint: str | None = None
    model: str | None = None
    revision: str | None = None
    schema_version: int = SCHEMA_VERSION
    sparse: SparseRecord | None = None
    witness: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; without an entry for what isn't there yet."""
        values = asdict(self)
        for name in ("sparse", "witness"):
            if values[name] is None:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: Any, where: str) -> Header:
        """Read what `to_dict` wrote.

        Raises:
            StoreError: It is damaged, or a newer release wrote it.
        """
        if not isinstance(values, Mapping) or not isinstance(values.get("schema_version"), int):
            raise StoreError(f"A collection's header is an object with a schema_version; {where} holds {values!r}.")
        if values["schema_version"] > SCHEMA_VERSION:
            raise StoreError(
                f"This release reads collections up to schema version {SCHEMA_VERSION}; {where} has version "
                f"{values['schema_version']!r}. Upgrade bicross."
            )
        damage = StoreError(f"The header of the collection in {where} is damaged: it holds {values!r}.")
        noted = values.get("sparse")
        try:
            sparse = None if noted is None else SparseRecord.from_dict(noted)
        except ValueError as error:
            raise damage from error
        plain: dict[str, Any] = {name: values.get(name) for name in cls.__slots__ if name != "sparse"}
        header = cls(**plain, sparse=sparse)
        texts = (header.fingerprint, header.model, header.revision, header.witness)
        if (
            type(header.dimension) is not int
            or header.dimension < 1
            or header.distance not in DISTANCES
            or not all(text is None or isinstance(text, str) for text in texts)
        ):
            raise damage
        return header


@dataclass(frozen=True, slots=True)
class CollectionInfo:
    """A collection as the store sees it now.

    Attributes:
        name: The collection's name.
        count: Number of passages.
        dimension: Length of the dense vectors.
        distance: ``cosine`` or ``dot``.
        fingerprint: Document fingerprint of the encoder that filled it; None where nobody said.
        model: Name or folder of that encoder.
        revision: Its revision.
        schema_version: Layout of the payload.
        indexed_vectors_count: How many vectors the approximate index (HNSW) covers; the rest is searched exactly.
        size_bytes: Space taken on this disk, None where a server holds it. Unit: bytes.
        layout: Whose layout the points have: ``native``, ``haystack``, ``langchain``, ``custom`` or ``unknown``.
        read_only: Whether another program filled it and nobody adopted it.
        sparse: What made the sparse vectors; None where nobody said.
    """

    name: str
    count: int
    dimension: int
    distance: str
    fingerprint: str | None
    model: str | None
    revision: str | None
    schema_version: int
    indexed_vectors_count: int
    size_bytes: int | None
    layout: str = "native"
    read_only: bool = False
    sparse: SparseRecord | None = None


def point_id(passage_id: str) -> str:
    """The point that holds a passage: UUIDv5 of its id, because Qdrant's points are named by UUIDs alone.

    >>> point_id("a.txt#3") == point_id("a.txt#3")
    True
    """
    return uuid5(_POINT_NAMESPACE, passage_id)


def payload_of(passage: Passage, sync: str | None, *, where: str) -> dict[str, Any]:
    """A passage as the JSON object that is stored with its vector.

    Raises:
        InputError: The passage can't be stored; ``where`` names it.
    """
    meta = clean_passage(passage, where)
    payload: dict[str, Any] = {
        "id": passage.id,
        "text": passage.text,
        "title": passage.title,
        "source": passage.source,
        "sync": sync,
        "meta": meta,
        "hash": stamp_hash(passage.title, passage.text),
        "meta_hash": stamp_hash(passage.source, sorted_json(meta)),
    }
    if has_fragile_float(meta):
        payload["meta_json"] = json.dumps(meta, ensure_ascii=False)
    return payload


def passage_of(payload: Mapping[str, Any] | None, where: str) -> Passage:
    """The passage that a payload holds.

    Raises:
        StoreError: The payload isn't in this package's layout.
    """
    payload = payload or {}
    if not isinstance(payload.get("id"), str) or not isinstance(payload.get("text"), str):
        raise StoreError(
            f"A point written by bicross holds id and text; one in {where} holds the fields {sorted(payload)!r}. "
            "Open a collection that bicross filled."
        )
    exact = payload.get("meta_json")
    return Passage(
        text=payload["text"],
        id=payload["id"],
        title=payload.get("title"),
        meta=json.loads(exact) if exact is not None else payload.get("meta") or {},
        source=payload.get("source"),
    )


def short_name(model: str | None, fingerprint: str | None, digits: int = 4) -> str:
    """A model in an error message: its last path component and the first digits of its fingerprint.

    >>> short_name("models/student", "9be2f00d")
    'student@9be2'
    """
    name = model.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1] if model else "unnamed model"
    return f"{name}@{fingerprint[:digits]}" if fingerprint else name


def survives_json(number: float) -> bool:
    """Whether Qdrant's JSON reader gives back exactly this number.

    It multiplies the digits by a power of ten, which is exact only where both are representable; other numbers come
    back up to 2 units in the last place off.

    >>> survives_json(0.1), survives_json(123456789.12345679)
    (True, False)
    """
    _, digits, exponent = Decimal(repr(number)).as_tuple()
    return isinstance(exponent, int) and -22 <= exponent <= 22 and int("".join(map(str, digits))) < 2**53


def has_fragile_float(value: Any) -> bool:
    """Whether a JSON value holds a number that doesn't survive JSON."""
    if isinstance(value, float):
        return not survives_json(value)
    if isinstance(value, dict):
        return any(map(has_fragile_float, value.values()))
    return isinstance(value, list) and any(map(has_fragile_float, value))
