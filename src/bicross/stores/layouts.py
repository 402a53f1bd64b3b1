"""The layout of a collection: how a point's payload becomes a passage and back. This package's own one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bicross.stores import schema
from bicross.stores.conditions import Node
from bicross.stores.paths import Path
from bicross.stores.stamps import Stamp, stamp_in
from bicross.types import Passage


@dataclass(frozen=True, slots=True)
class Layout:
    """This package's own layout, and what every layout can be asked.

    Attributes:
        name: ``native``, ``haystack``, ``langchain`` or ``custom``.
        vector: Name of the dense vector; empty for the unnamed one.
        sparse: Name of the sparse vector; None where there is none.
        idf: Whether the engine weighs a sparse query's entries by inverse document frequency.
        adopted: Whether the collection says which model filled it, or this package made it. Else it is read-only.
        problem: Why the points can't be read; None where they can.
    """

    name: str = "native"
    vector: str = ""
    sparse: str | None = schema.SPARSE
    idf: bool = True
    adopted: bool = True
    problem: str | None = None

    @property
    def id_fields(self) -> tuple[str, ...]:
        """The payload's fields that `passage_id` looks at."""
        return ("id",)

    @property
    def stamp_fields(self) -> tuple[str, ...] | None:
        """The payload's fields that `stamp` looks at; None = all."""
        return ("id", "hash", "meta_hash", "sync")

    @property
    def shares_payload(self) -> bool:
        """Whether a payload may hold more than the passage, to be kept when the passage is replaced."""
        return False

    @property
    def indexed(self) -> tuple[Path, ...]:
        """Where the fields are that a sync, and a hit's neighbours, are found by."""
        return (*((field,) for field in schema.INDEXED_FIELDS), ("meta", "source_id"))

    def point_id(self, passage_id: str) -> str:
        """The point that holds a passage: a UUID, or a whole number."""
        return schema.point_id(passage_id)

    def passage_id(self, point: str, payload: Mapping[str, Any]) -> str | None:  # noqa: ARG002
        """The passage that a point holds; None where the point isn't in this layout."""
        found = payload.get("id")
        return found if isinstance(found, str) else None

    def payload(self, passage: Passage, sync: str | None, where: str) -> dict[str, Any]:
        """What is stored with a passage's vector.

        Raises:
            InputError: The passage can't be stored; ``where`` names it.
        """
        return schema.payload_of(passage, sync, where=where)

    def passage(self, point: str, payload: Mapping[str, Any], where: str) -> Passage:  # noqa: ARG002
        """The passage that a point holds.

        Raises:
            StoreError: The point isn't in this layout.
        """
        return schema.passage_of(payload, where)

    def stamp(self, point: str, payload: Mapping[str, Any]) -> Stamp:  # noqa: ARG002
        """What a sync compares; a stamp that matches nothing where the point isn't in this layout."""
        return stamp_in(payload)

    def kept(self, old: Mapping[str, Any], new: dict[str, Any]) -> dict[str, Any]:  # noqa: ARG002
        """A new payload together with what the one that it replaces held for others."""
        return new

    def located(self, node: Node) -> Node:
        """A filter with the fields where this layout has them."""
        return node

    def to_dict(self) -> dict[str, Any]:
        """As JSON values, for the collection's metadata."""
        return {"name": self.name, "vector": self.vector, **self._noted_sparse()}

    def _noted_sparse(self) -> dict[str, str]:
        return {} if self.sparse in (None, schema.SPARSE) else {"sparse": str(self.sparse)}


NATIVE = Layout()
