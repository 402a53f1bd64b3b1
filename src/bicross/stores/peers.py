"""Layouts of other programs: places in the payload, so that their collections can be read and written."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from bicross.errors import InputError, StoreError
from bicross.stores import schema
from bicross.stores.conditions import NOTHING, All, AnyOf, Ids, Node, Not
from bicross.stores.inputs import clean_passage
from bicross.stores.layouts import Layout
from bicross.stores.paths import Path, dig, overlaid, placed, spelled, without
from bicross.stores.stamps import Stamp, stamp_of
from bicross.types import Passage
from bicross.uuids import uuid5

OWN = "_bicross"
"""The one field that this package adds to other programs' payloads; left out where it has nothing to note."""
HAYSTACK_NAMESPACE = uuid.UUID("3896d314-1e95-4a3a-b45a-945f9f0b541d")


@dataclass(frozen=True, slots=True)
class PeerLayout(Layout):
    """A layout of another program, described by places in the payload.

    What a sync compares is computed from the payload itself, so that a change by the other program is noticed.

    Attributes:
        text: Where the text is.
        title: Where the title is, None where the other program knows none; those of passages that this package
            writes are among its own fields then.
        meta: Where the object is that filters reach as ``meta``; the empty path: every field that isn't another's.
        own: Where this package's own fields are.
        ids: ``payload``: the id is in the payload's field ``id``, as qdrant-haystack has it; ``point``: the point's.
    """

    text: Path = ()
    title: Path | None = None
    meta: Path = ()
    own: Path = (OWN,)
    ids: str = "point"

    @property
    def id_fields(self) -> tuple[str, ...]:
        """The payload's fields that `passage_id` looks at."""
        return ("id",) if self.ids == "payload" else (self.own[0],)

    @property
    def stamp_fields(self) -> tuple[str, ...] | None:
        """All of them."""
        return None

    @property
    def shares_payload(self) -> bool:
        """Whether a payload may hold more than the passage, to be kept when the passage is replaced."""
        return bool(self.meta)

    @property
    def indexed(self) -> tuple[Path, ...]:
        """Where the fields are that a sync, and a hit's neighbours, are found by."""
        return (*((*self.own, field) for field in schema.INDEXED_FIELDS), (*self.meta, "source_id"))

    def point_id(self, passage_id: str) -> str:
        """The peer's rule; where the point's id is the id, other strings than UUIDs and numbers get a UUIDv5."""
        if self.ids == "payload":
            return uuid5(HAYSTACK_NAMESPACE, passage_id)
        return _as_point(passage_id) or schema.point_id(passage_id)

    def passage_id(self, point: str, payload: Mapping[str, Any]) -> str | None:
        """The passage that a point holds; None where the point isn't in this layout."""
        noted = dig(payload, ("id",) if self.ids == "payload" else (*self.own, "id"))
        if isinstance(noted, str) and noted and self.point_id(noted) == point:
            return noted
        return None if self.ids == "payload" else point

    def payload(self, passage: Passage, sync: str | None, where: str) -> dict[str, Any]:
        """What is stored with a passage's vector.

        Raises:
            InputError: The passage can't be stored; ``where`` names it.
        """
        meta = clean_passage(passage, where)
        payload = placed({}, self.meta, meta) if self.meta else meta
        for path in filter(None, (self.text, self.title, self.own)):
            if dig(payload, path) is not None:
                raise InputError(
                    f"The collection keeps something else than meta in the field {spelled(path)!r}; the meta of "
                    f"{where} has it, too. Rename it there, or give a title as the passage's title."
                )
        payload = placed(payload, self.text, passage.text)
        own: dict[str, Any] = {"source": passage.source, "sync": sync}
        if self.title is None:
            own["title"] = passage.title
        elif passage.title is not None:
            payload = placed(payload, self.title, passage.title)
        if self.ids == "payload":
            nulls = ("blob", "score") if self.vector else ("blob", "score", "sparse_embedding")
            payload = {"id": passage.id, **dict.fromkeys(nulls), **payload}
        elif self.point_id(passage.id) != passage.id:
            own["id"] = passage.id
        if schema.has_fragile_float(meta):
            own["meta_json"] = json.dumps(meta, ensure_ascii=False)
        own = {name: value for name, value in own.items() if value is not None}
        return placed(payload, self.own, own) if own else payload

    def passage(self, point: str, payload: Mapping[str, Any], where: str) -> Passage:
        """The passage that a point holds.

        Raises:
            StoreError: The point isn't in this layout.
        """
        found, text = self.passage_id(point, payload), dig(payload, self.text)
        if found is None:
            raise StoreError(
                f"In the {self.name} layout a point's id is made of the field 'id'; point {point} in {where} has "
                f"{payload.get('id')!r} there. Remove it, or open the collection with text_key and meta_key."
            )
        if not isinstance(text, str):
            raise StoreError(
                f"In the {self.name} layout a text is a string in the field {spelled(self.text)!r}; point {point} in "
                f"{where} has {text!r} there, among the fields {sorted(payload)!r}. Leave such points out by the "
                "filter {'field': 'text', 'operator': '!=', 'value': None}, or open the collection with its text_key."
            )
        own = self._own(payload)
        title = dig(payload, self.title) if self.title else own.get("title")
        meta = self._meta(payload, own)
        if not isinstance(meta, Mapping) or not isinstance(title, (str, type(None))):
            wrong = ("meta is an object", meta) if not isinstance(meta, Mapping) else ("a title is a string", title)
            raise StoreError(
                f"In a payload {wrong[0]}; point {point} in {where} has {wrong[1]!r}. Open the collection with another "
                "meta_key or title_key."
            )
        return Passage(text=text, id=found, title=title, meta=meta, source=own.get("source"))

    def stamp(self, point: str, payload: Mapping[str, Any]) -> Stamp:
        """What a sync compares; a stamp that matches nothing where the point isn't in this layout."""
        sync = self._own(payload).get("sync")
        try:
            return stamp_of(self.passage(point, payload, ""), sync)
        except (StoreError, InputError):
            return Stamp("", "", sync)

    def kept(self, old: Mapping[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """A new payload together with what the one that it replaces held for others."""
        id_field = ("id",) if self.ids == "payload" else None
        for path in filter(None, (self.text, self.title, self.own, self.meta, id_field)):
            old = without(old, path)
        return overlaid(new, old)

    def located(self, node: Node) -> Node:
        """A filter with the fields where this layout has them."""
        match node:
            case All(conditions) | AnyOf(conditions):
                return type(node)(tuple(map(self.located, conditions)))
            case Not(condition):
                return Not(self.located(condition))
            case Ids():
                return node
            case _ if node.path == ("id",):
                return NOTHING  # every passage has an id, and it is a string
            case _:
                return replace(node, path=self._place(node.path))

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for the collection's metadata."""
        places = {name: getattr(self, name) for name in ("text", "title", "meta", "own")}
        written = {name: path if path is None else list(path) for name, path in places.items()}
        return {"name": self.name, "vector": self.vector, **self._noted_sparse(), **written, "ids": self.ids}

    def _place(self, path: Path) -> Path:
        match path:
            case ("meta", *rest):
                return (*self.meta, *rest)
            case ("text",):
                return self.text
            case ("title",) if self.title is not None:
                return self.title
        return (*self.own, *path)

    def _own(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        own = dig(payload, self.own)
        return own if isinstance(own, Mapping) else {}

    def _meta(self, payload: Mapping[str, Any], own: Mapping[str, Any]) -> Any:
        rest = dict(payload)
        for path in filter(None, (self.text, self.title, self.own)):
            rest = without(rest, path)
        meta = dig(rest, self.meta)
        if meta is None:
            return {}
        exact = own.get("meta_json")
        if isinstance(exact, str):
            noted = json.loads(exact)
            if _alike(noted, meta):  # else the other program has changed it since
                return noted
        return meta


HAYSTACK = PeerLayout(name="haystack", text=("content",), meta=("meta",), own=("meta", OWN), ids="payload")
"""What qdrant-haystack writes. Unknown fields of the payload would become meta there; so the own ones are in it."""
LANGCHAIN = PeerLayout(name="langchain", text=("page_content",), meta=("metadata",))
"""What langchain-qdrant writes. It doesn't look at other fields."""


def _as_point(text: str) -> str | None:
    """The point that a string names as it is: a whole number, or a UUID in any spelling."""
    if text.isascii() and text.isdecimal() and len(text) <= 20 and int(text) < 2**64:
        return text if str(int(text)) == text else None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def _alike(one: Any, other: Any) -> bool:
    """Equal up to what Qdrant's JSON reader does to fractions: two units in the last place."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_alike(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_alike, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= 2 * math.ulp(one)
    return type(one) is type(other) and bool(one == other)
