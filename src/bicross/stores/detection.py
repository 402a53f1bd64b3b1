"""What a collection that this package may not have made holds: its vector, its layout, whether it may be written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from bicross.errors import ConfigurationError, StoreError
from bicross.stores.layouts import NATIVE, Layout
from bicross.stores.paths import dig, parsed, spelled
from bicross.stores.peers import HAYSTACK, LANGCHAIN, PeerLayout
from bicross.stores.schema import SPARSE, Header

RECORD = "bicross"
"""The entry of a collection's metadata that holds its header and its layout."""
PEEKED = 16
"""How many points are looked at to recognise a layout."""
_DISTANCES = {"Cosine": "cosine", "Dot": "dot"}
_SPARSE = ("bm25", "text-sparse", "langchain-sparse")
_MARKS = {"text-dense": HAYSTACK, "text-sparse": HAYSTACK, "langchain-sparse": LANGCHAIN}

Peeked = Sequence[tuple[str, Mapping[str, Any]]]


class VectorShape(NamedTuple):
    """A dense vector of a collection, as Qdrant describes it."""

    size: int
    distance: str
    multi: bool = False


@dataclass(frozen=True, slots=True)
class Keys:
    """Where a caller says that things are; None where that is to be found out."""

    text: str | None = None
    title: str | None = None
    meta: str | None = None
    vector: str | None = None
    sparse: str | None = None

    def check(self) -> None:
        """Check that they are names, and different ones.

        Raises:
            ConfigurationError: They aren't.
        """
        for name in ("text", "title", "meta"):
            key = getattr(self, name)
            if key is not None and (not isinstance(key, str) or not all(parsed(key))):
                raise ConfigurationError(
                    f"{name}_key is the name of a payload field, dots lead into objects; got {key!r}."
                )
        if self.vector is not None and not isinstance(self.vector, str):
            raise ConfigurationError(f"vector_name is a string, empty for the unnamed vector; got {self.vector!r}.")
        if self.sparse is not None and (not isinstance(self.sparse, str) or not self.sparse):
            raise ConfigurationError(f"sparse_vector_name is a vector's name; got {self.sparse!r}.")
        given = [key for key in (self.text, self.title, self.meta) if key is not None]
        if len(set(given)) < len(given):
            raise ConfigurationError(f"text_key, title_key and meta_key are different fields; got {given!r}.")

    def applied(self, found: Layout) -> Layout:
        """The layout that was found, with what the caller says instead.

        Raises:
            ConfigurationError: Keys for a layout that has none.
        """
        layout = found
        meta = None if self.meta is None else parsed(self.meta)
        if self.text is not None:
            text = parsed(self.text)
            known = isinstance(found, PeerLayout) and found.text == text and meta in (None, found.meta)
            layout = found if known else PeerLayout(name="custom", text=text, meta=meta or ())
        elif meta is not None and isinstance(layout, PeerLayout):
            layout = replace(layout, meta=meta)
        if self.title is not None and isinstance(layout, PeerLayout):
            layout = replace(layout, title=parsed(self.title))
        if not isinstance(layout, PeerLayout) and (self.title, self.meta) != (None, None):
            raise ConfigurationError(
                "This package's own layout has no title_key or meta_key. Leave them out, or say where the text is, "
                "too: text_key=…"
            )
        return layout if self.vector is None else replace(layout, vector=self.vector)


def understand(
    where: str,
    *,
    vectors: Mapping[str, VectorShape],
    sparse: Mapping[str, bool],
    metadata: Mapping[str, Any],
    peek: Callable[[], Peeked],
    keys: Keys,
) -> tuple[Header, Layout]:
    """Tell a collection's header and layout from its configuration and from a few of its points.

    Args:
        where: The collection, for messages.
        vectors: Its dense vectors by name, empty for the unnamed one.
        sparse: Its sparse vectors by name: whether their queries are weighed by inverse document frequency.
        metadata: Its metadata.
        peek: Gives the ids and payloads of some of its points.
        keys: What the caller says.

    Raises:
        StoreError: Its vectors can't be searched by this package, or what it says of itself is damaged.
        ConfigurationError: The caller's keys contradict what the collection says of itself.
    """
    record = metadata.get(RECORD)
    if record is not None:
        header = Header.from_dict(record, where)
        layout = read_layout(record.get("layout"), where)
        if keys.applied(layout) != layout:
            raise ConfigurationError(
                f"The layout of {where} is recorded since it was made or adopted: {layout.to_dict()!r}; got {keys!r}. "
                "Leave the keys out."
            )
        return header, _with_sparse(where, layout, sparse, keys.sparse)
    name = _chosen_vector(where, vectors, keys.vector)
    size, distance, _ = vectors[name]
    layout = replace(_detected(where, [*vectors, *sparse], peek(), keys), vector=name, adopted=False)
    return Header(dimension=size, distance=_DISTANCES[distance]), _with_sparse(where, layout, sparse, keys.sparse)


def _with_sparse(where: str, layout: Layout, sparse: Mapping[str, bool], wanted: str | None) -> Layout:
    """The layout with the collection's sparse vector: the one asked for, its program's usual one, or the only one."""
    if wanted is not None and wanted not in sparse:
        raise StoreError(
            f"{where} has the sparse vectors {sorted(sparse)!r}; got sparse_vector_name={wanted!r}. Name one of them."
        )
    usual = layout.sparse if layout.sparse in sparse else next((name for name in _SPARSE if name in sparse), None)
    name = wanted or usual or (next(iter(sparse)) if len(sparse) == 1 else None)
    return replace(layout, sparse=name, idf=bool(name) and sparse[str(name)])


def record_of(header: Header, layout: Layout) -> dict[str, Any]:
    """What the collection's metadata says under `RECORD`."""
    own = layout == NATIVE
    return header.to_dict() if own else {**header.to_dict(), "layout": layout.to_dict()}


def _chosen_vector(where: str, vectors: Mapping[str, VectorShape], wanted: str | None) -> str:
    rule = "bicross searches one dense vector a point, compared by cosine or dot product"
    shown = ", ".join(
        f"{name!r} ({shape.size}-d, {shape.distance}{', multivector' if shape.multi else ''})"
        for name, shape in vectors.items()
    )
    if wanted is not None and wanted not in vectors:
        raise StoreError(
            f"{where} has the dense vectors {shown or 'none'}; got vector_name={wanted!r}. Name one of them."
        )
    usable = [name for name, shape in vectors.items() if shape.distance in _DISTANCES and not shape.multi]
    if wanted is not None:
        usable = [name for name in usable if name == wanted]
    if len(usable) > 1:
        raise StoreError(f"{rule}; {where} has {shown}. Name one: vector_name={usable[0]!r}.")
    if not usable:
        raise StoreError(f"{rule}; {where} has {shown or 'no dense vector'}. Open another collection.")
    return usable[0]


def _detected(where: str, names: Sequence[str], points: Peeked, keys: Keys) -> Layout:
    if not points:
        marks = [_MARKS[name] for name in names if name in _MARKS]
        return keys.applied(marks[0] if marks else NATIVE)
    known = next((layout for point in points for layout in _KNOWN if _KNOWN[layout](*point)), None)
    if known is None and keys.text is None:
        return _unknown(where, points, keys)
    layout = keys.applied(known or NATIVE)
    if isinstance(layout, PeerLayout) and not any(isinstance(dig(item, layout.text), str) for _, item in points):
        return _unknown(where, points, keys)
    return layout


def _unknown(where: str, points: Peeked, keys: Keys) -> Layout:
    fields = sorted({name for _, payload in points for name in payload})
    lengths: dict[str, int] = {}
    for _, payload in points:
        for name, value in payload.items():
            for path, item in [((name,), value)] if isinstance(value, str) else _inside(name, value):
                lengths[spelled(path)] = lengths.get(spelled(path), 0) + len(item)
    strings = sorted(lengths, key=lambda name: -lengths[name])
    rule = (
        "bicross knows the layouts of its own, of qdrant-haystack and of langchain-qdrant"
        if keys.text is None
        else f"text_key={keys.text!r} must name a string"
    )
    remedy = (
        f"Say which field holds the text: QdrantStore(…, text_key={strings[0]!r}, title_key=…, meta_key=…); strings "
        f"are in {', '.join(map(repr, strings[:8]))}."
        if strings
        else "None of them holds a string: there is no text to read. Open another collection."
    )
    problem = f"{rule}; the points of {where} hold the fields {fields!r}. {remedy}"
    return Layout(name="unknown", problem=problem)


def _inside(name: str, value: Any) -> list[tuple[tuple[str, ...], str]]:
    if not isinstance(value, Mapping):
        return []
    return [((name, inner), item) for inner, item in value.items() if isinstance(item, str)]


def _is_native(point: str, payload: Mapping[str, Any]) -> bool:
    texts = all(isinstance(payload.get(name), str) for name in ("id", "text", "hash", "meta_hash"))
    return texts and NATIVE.point_id(payload["id"]) == point


def _is_haystack(point: str, payload: Mapping[str, Any]) -> bool:
    has_meta = isinstance(payload.get("meta"), (Mapping, type(None)))
    return "content" in payload and has_meta and HAYSTACK.passage_id(point, payload) is not None


def _is_langchain(point: str, payload: Mapping[str, Any]) -> bool:  # noqa: ARG001
    has_meta = "metadata" in payload and isinstance(payload["metadata"], (Mapping, type(None)))
    return isinstance(payload.get("page_content"), str) and has_meta


_KNOWN: dict[Layout, Callable[[str, Mapping[str, Any]], bool]] = {
    NATIVE: _is_native,
    HAYSTACK: _is_haystack,
    LANGCHAIN: _is_langchain,
}


def read_layout(values: Any, where: str) -> Layout:
    """Read what `Layout.to_dict` wrote; without values, this package's own layout.

    Raises:
        StoreError: It is damaged, or a newer release wrote it.
    """
    if values is None:
        return NATIVE
    try:
        if values["name"] == "native":
            return Layout(vector=str(values["vector"]), sparse=str(values.get("sparse", SPARSE)))
        title = values["title"]
        return PeerLayout(
            name=str(values["name"]),
            vector=str(values["vector"]),
            sparse=str(values.get("sparse", SPARSE)),
            text=tuple(map(str, values["text"])),
            title=None if title is None else tuple(map(str, title)),
            meta=tuple(map(str, values["meta"])),
            own=tuple(map(str, values["own"])),
            ids={"payload": "payload", "point": "point"}[values["ids"]],
        )
    except (KeyError, TypeError) as error:
        raise StoreError(
            f"The layout noted in {where} is damaged or of a newer release: it is {values!r}. Upgrade bicross."
        ) from error
