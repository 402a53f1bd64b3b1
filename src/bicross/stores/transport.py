"""What a store asks of the engine below it: three engines, one small set of operations on one collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from bicross.stores.conditions import All, AnyOf, Dates, Exactly, Ids, Missing, Node, Not, Numbers, Strings
from bicross.stores.layouts import Layout
from bicross.stores.paths import Path
from bicross.stores.schema import Header, point_id
from bicross.types import Floats, SparseVector


class Point(NamedTuple):
    """A point to write. **Shape** of vector: (dimension,)."""

    id: str
    payload: dict[str, Any]
    vector: Floats
    sparse: SparseVector | None = None


class Row(NamedTuple):
    """A point that was read: its payload or the asked fields of it, and where asked for its vectors and score."""

    id: str
    payload: dict[str, Any]
    vector: Sequence[float] | None = None
    score: float = 0.0
    sparse: SparseVector | None = None


class Search(NamedTuple):
    """What is sought: points near to a dense vector, of **shape** (dimension,), or sharing entries with a sparse one.

    Attributes:
        vector: The query.
        limit: How many points.
        ef: How many candidates the approximate index looks at; for a dense vector alone.
    """

    vector: Floats | SparseVector
    limit: int
    ef: int = 0


class Noteless:
    """The notes of a transport whose collection others can write to, too: there are none."""

    def writes(self) -> None:
        """Nobody knows."""
        return

    def noted(self, name: str) -> None:
        """Nothing is."""
        del name

    def note(self, name: str, value: str, writes: int) -> None:
        """Forgotten."""


class Transport(Protocol):
    """One collection of one engine. Everything it is given has been validated; all methods are thread-safe.

    Reading methods may be called only while `header` isn't None.
    """

    @property
    def place(self) -> str:
        """Where the collection is, for messages; holds no secret."""
        ...

    def header(self) -> Header | None:
        """None where there is no such collection."""
        ...

    def layout(self, *, fresh: bool = False) -> Layout:
        """How its points are laid out; where there is no such collection, how they would be.

        Args:
            fresh: Look again whether it has been adopted meanwhile, if it wasn't before.
        """
        ...

    def create(self, header: Header) -> Header:
        """Make the collection; where another caller was faster, give that one's header."""
        ...

    def write_header(self, header: Header) -> None:
        """Replace the header of an existing collection, which counts as adopted from then on."""
        ...

    def drop(self) -> None:
        """Remove the collection, if there is one."""
        ...

    def collections(self) -> Iterator[tuple[str, Transport]]:
        """Every collection at this place with its transport, which is open until the next one is asked for."""
        ...

    def sizes(self) -> tuple[int, int | None]:
        """Number of vectors in the approximate index; bytes on disk or None."""
        ...

    def upsert(self, points: Sequence[Point], size: int) -> None:
        """Write points; size is what they take at most. **Unit:** bytes."""
        ...

    def overwrite(self, payloads: Sequence[tuple[str, dict[str, Any]]], size: int) -> None:
        """Replace the payloads of existing points."""
        ...

    def delete(self, ids: Sequence[str]) -> None:
        """Remove points."""
        ...

    def update_sparse(self, vectors: Sequence[tuple[str, SparseVector]], size: int) -> None:
        """Replace the sparse vectors of existing points, and nothing else of them."""
        ...

    def reset_sparse(self, *, idf: bool) -> None:
        """Remove the sparse vectors of all points, and say whether queries are weighed from now on."""
        ...

    def retrieve(self, ids: Sequence[str], fields: Sequence[str] | None, *, vectors: str | None = None) -> list[Row]:
        """The points that exist, in any order; fields None = the whole payload; vectors = ``dense`` or ``sparse``."""
        ...

    def scroll(
        self, node: Node | None, fields: Sequence[str] | None, limit: int, start: Any, *, without_sparse: bool = False
    ) -> tuple[list[Row], Any]:
        """A page of points and where the next begins (None: nowhere)."""
        ...

    def count(self, node: Node | None, *, without_sparse: bool = False) -> int:
        """Number of points."""
        ...

    def query(self, searches: Sequence[Search], node: Node | None) -> list[list[Row]]:
        """For each search the best points with their payloads, best first; in one round trip."""
        ...

    def query_groups(
        self, vector: Floats, path: Path, limit: int, size: int, ef: int, node: Node | None
    ) -> list[list[Row]] | None:
        """The nearest points by the value at a path, the best group first; None where the engine can't group.

        Points whose value is neither a string nor a whole number may be left out.
        """
        ...

    def writes(self) -> int | None:
        """How often this process has written to the collection; None where others can, too."""
        ...

    def noted(self, name: str) -> str | None:
        """What was noted under a name, if nobody has written since; None where others can, too."""
        ...

    def note(self, name: str, value: str, writes: int) -> None:
        """Note something of what the collection holds, unless this process has written more often than that."""
        ...

    def optimize(self) -> bool:
        """Build the approximate index; whether there was anything to do."""
        ...

    def flush(self) -> None:
        """Force what was written to the disk."""
        ...

    def close(self) -> None:
        """Release everything; closing twice is fine."""
        ...


class Dialect(Protocol):
    """How one engine spells conditions. Keys are Qdrant's JSON paths."""

    def group(
        self, *, must: list[Any] | None = None, should: list[Any] | None = None, must_not: list[Any] | None = None
    ) -> Any:
        """A filter, which is a condition, too."""
        ...

    def has_id(self, ids: Iterable[str]) -> Any:
        """The point is one of these."""
        ...

    def has_vector(self, name: str) -> Any:
        """The point has a vector of this name."""
        ...

    def is_empty(self, key: str) -> Any:
        """Missing, null or an empty list."""
        ...

    def strings(self, key: str, values: Sequence[str]) -> Any:
        """One of these strings."""
        ...

    def exactly(self, key: str, value: bool | int) -> Any:
        """This bool or integer."""
        ...

    def numbers(self, key: str, bounds: Any) -> Any:
        """A number within bounds."""
        ...

    def dates(self, key: str, bounds: Any) -> Any:
        """A date within bounds."""
        ...


def translate(node: Node | None, dialect: Dialect, point: Callable[[str], str] = point_id) -> Any:
    """A filter in an engine's own classes, with passages' ids turned into points' ids; None for None."""
    return None if node is None else dialect.group(must=[_condition(node, dialect, point)])


def unless_sparse(condition: Any, slot: str, dialect: Dialect) -> Any:
    """A translated filter that also demands that a point has no sparse vector."""
    return dialect.group(must=None if condition is None else [condition], must_not=[dialect.has_vector(slot)])


def _condition(node: Node, dialect: Dialect, point: Callable[[str], str]) -> Any:  # noqa: PLR0911  (one per kind)
    match node:
        case All(conditions):
            return dialect.group(must=[_condition(item, dialect, point) for item in conditions])
        case AnyOf(conditions):
            return dialect.group(should=[_condition(item, dialect, point) for item in conditions])
        case Not(condition):
            return dialect.group(must_not=[_condition(condition, dialect, point)])
        case Ids(ids):
            return dialect.has_id(map(point, ids))
        case Missing(path):
            return dialect.is_empty(address(path))
        case Strings(path, values):
            return dialect.strings(address(path), values)
        case Exactly(path, value):
            return dialect.exactly(address(path), value)
        case Numbers(path, bounds):
            return dialect.numbers(address(path), bounds)
        case Dates(path, bounds):
            return dialect.dates(address(path), bounds)


def address(path: Path) -> str:
    """A path as Qdrant's JSON path."""
    # Quoted wherever a bare name might be read as syntax: spaces, brackets, hyphens.
    return ".".join(name if name.isascii() and name.replace("_", "a").isalnum() else f'"{name}"' for name in path)


def sparse_of(indices: Sequence[int], values: Sequence[float]) -> SparseVector:
    """A sparse vector as an engine gives it back, in the order of its indices."""
    found = np.asarray(indices, np.uint32)
    order = np.argsort(found, kind="stable")
    return SparseVector(found[order], np.asarray(values, np.float32)[order])


def as_lists(points: Sequence[Point]) -> list[list[float]]:
    """The vectors of points as Python lists. **Shape:** (len(points), dimension)."""
    rows: list[list[float]] = np.stack([point.vector for point in points]).tolist()
    return rows
