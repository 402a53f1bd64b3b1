"""The values that travel between the layers, and the protocols that any model can satisfy."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, overload, runtime_checkable

import numpy as np
import numpy.typing as npt

from bicross.uuids import uuid5

Floats = npt.NDArray[np.float32]
"""A float32 array. Every place that uses it gives its shape."""

Windows = bool | Literal["best"]
"""How long passages are reranked: False: cut; True: in overlapping windows, of which the best counts; "best": one."""

Observer = Callable[[str], AbstractContextManager[dict[str, Any]]]
"""Opens a span named ``encode``, ``retrieve`` or ``rerank``; what is put into its dict before it ends are its tags."""

_PASSAGE_NAMESPACE = uuid.UUID("5b0b2c3e-9d0e-5f0a-8c53-2b1a6f7f3f10")


def derive_id(source: str | None, text: str) -> str:
    """The id of a passage that was given none: UUIDv5 of its source and its text.

    >>> derive_id("a.txt", "hello") == derive_id("a.txt", "hello")
    True
    """
    # A lone surrogate can't be UTF-8; the id must exist all the same, so that the encoder can name the passage.
    name = f"{source or ''}\x00{text}"
    if not name.isascii():
        name = name.encode("utf-8", "surrogatepass").decode("utf-8", "backslashreplace")
    return uuid5(_PASSAGE_NAMESPACE, name)


@dataclass(frozen=True, slots=True)
class Passage:
    """A piece of text that is embedded and found as a whole.

    Attributes:
        text: The text itself.
        id: Any non-empty string; UUIDv5 of source and text where none is given. Never None after construction.
        title: Read by both models in front of the text.
        meta: JSON values by name; filters reach them as ``meta.<name>``.
        source: Where the passage comes from, for example a file's path.
    """

    text: str
    id: str = None  # type: ignore[assignment]  # replaced in __post_init__
    title: str | None = None
    meta: Mapping[str, Any] = field(default_factory=dict)
    source: str | None = None

    def __post_init__(self) -> None:
        if self.id is None and isinstance(self.text, str):
            object.__setattr__(self, "id", derive_id(self.source, self.text))

    @property
    def full_text(self) -> str:
        """What the models read: title and text, joined by a space."""
        return f"{self.title} {self.text}" if self.title else self.text


@dataclass(frozen=True, slots=True)
class Leg:
    """What one of the searches of a hybrid first stage said of a hit.

    Attributes:
        name: ``dense`` or ``sparse``.
        rank: Its rank there, counted from 1.
        score: Its score there. Unit: the bi-encoder's similarity, or the dot product of the sparse vectors.
    """

    name: str
    rank: int
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that was found.

    Attributes:
        passage: The passage.
        score: What the hits are ordered by: ``rerank_score``, or its weighted sum with the first stage's score,
            where the hit was reranked; else ``stage1_score``.
        stage1_score: The first stage's score. Unit: that of the bi-encoder's similarity (cosine or dot product); of a
            sparse first stage the dot product, for example BM25; of a hybrid one that of its fusion, which compares
            hits of one query alone.
        stage1_rank: The first stage's rank, counted from 1.
        rerank_score: The cross-encoder's own score (unit: its ``score_unit``), None where it didn't score the hit.
        context: The neighbouring passages of the same document, where they were asked for, the hit's own included.
        span: Character span, in ``passage.text``, of the cross-encoder's best window; None without windows.
        legs: Which searches of a hybrid first stage found it, with its rank and score there; empty without fusion.
    """

    passage: Passage
    score: float
    stage1_score: float | None = None
    stage1_rank: int | None = None
    rerank_score: float | None = None
    context: tuple[Passage, ...] = ()
    span: tuple[int, int] | None = None
    legs: tuple[Leg, ...] = ()

    @property
    def document_id(self) -> str:
        """The document that the passage is a piece of, as its splitter noted it in ``source_id``; else its own id."""
        found = self.passage.meta.get("source_id")
        return str(found) if isinstance(found, str | int) else self.passage.id

    @property
    def document_span(self) -> tuple[int, int] | None:
        """Which characters of the document's text the passage is: all, unless a splitter noted where it starts.

        Read are ``split_idx_start`` and ``split_idx_end`` (bicross, Haystack) and ``start_index`` (LangChain); None
        where the passage is a piece, and neither says of what.
        """
        meta, length = self.passage.meta, len(self.passage.text)
        start = meta.get("split_idx_start", meta.get("start_index"))
        if not isinstance(start, int):
            return (0, length) if meta.get("source_id") is None else None
        end = meta.get("split_idx_end")
        return start, end if isinstance(end, int) else start + length


@dataclass(frozen=True, slots=True)
class SearchResult(Sequence[Hit]):
    """The hits of one query, best first.

    Attributes:
        hits: The hits.
        reranked: How many candidates the cross-encoder scored.
        milliseconds: Duration of each stage: ``encode``, ``retrieve``, ``rerank``. Unit: milliseconds.
        unscored: How many candidates were left out under a threshold because the cross-encoder hadn't scored them.
        truncated: How many candidates were longer than the cross-encoder reads, and were cut.
    """

    hits: tuple[Hit, ...] = ()
    reranked: int = 0
    milliseconds: Mapping[str, float] = field(default_factory=dict)
    unscored: int = 0
    truncated: int = 0

    def __len__(self) -> int:
        return len(self.hits)

    @overload
    def __getitem__(self, index: int) -> Hit: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hit]: ...
    def __getitem__(self, index: int | slice) -> Hit | Sequence[Hit]:
        return self.hits[index]

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an indexing run did. Every number counts passages.

    Attributes:
        new: Written for the first time.
        changed: Text, title, meta or source differed and was written.
        unchanged: Already there; not encoded.
        deleted: Removed because they are gone from the source.
        truncated: Longer than the encoder's limit: encoded up to it.
        skipped: Not indexed, because they hold nothing but whitespace or their file couldn't be read.
        duplicates: Replaced by a later passage with the same id in the same call.
        encoded: Passages that the bi-encoder encoded (a change of meta alone needs none).
        weighted: Passages that got a new sparse vector and kept their dense one.
    """

    new: int = 0
    changed: int = 0
    unchanged: int = 0
    deleted: int = 0
    truncated: int = 0
    skipped: int = 0
    duplicates: int = 0
    encoded: int = 0
    weighted: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector:
    """A vector of which only the entries other than zero are kept.

    Attributes:
        indices: Which entries: ascending, each once. **Shape:** (entries,), uint32.
        values: Their values, finite. **Shape:** (entries,), float32.
    """

    indices: npt.NDArray[np.uint32]
    values: Floats

    def __len__(self) -> int:
        return len(self.indices)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SparseVector):
            return NotImplemented
        return np.array_equal(self.indices, other.indices) and np.array_equal(self.values, other.values)

    __hash__ = None  # type: ignore[assignment]  # arrays can't be hashed


@runtime_checkable
class SparseEncoder(Protocol):
    """What the engine asks of an encoder whose vectors are sparse, such as BM25 or SPLADE.

    A document's score is the dot product of its vector with the query's; where `idf` is set, each of the query's
    entries is first multiplied by that index's inverse document frequency in the collection.
    """

    @property
    def fingerprint(self) -> str:
        """Changes whenever a vector would; BM25's mean document length apart, which a collection keeps itself."""
        ...

    @property
    def idf(self) -> bool:
        """Whether the store weighs a query's entries by inverse document frequency."""
        ...

    def encode_query(self, texts: Sequence[str], /) -> list[SparseVector]:
        """One vector for each query."""
        ...

    def encode_document(self, texts: Sequence[str], /) -> list[SparseVector]:
        """One vector for each document."""
        ...


@runtime_checkable
class Encoder(Protocol):
    """What the engine asks of a bi-encoder."""

    @property
    def document_fingerprint(self) -> str:
        """Changes whenever a document's vector would."""
        ...

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        """**Shape:** (dimension,) for a string, else (len(texts), dimension)."""
        ...

    def encode_document(self, texts: str | Sequence[str], /) -> Floats:
        """**Shape:** (dimension,) for a string, else (len(texts), dimension)."""
        ...


@runtime_checkable
class Scorer(Protocol):
    """What the engine asks of a cross-encoder."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever a score would."""
        ...

    def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
        """Score (query, text) pairs. **Shape:** (len(pairs),)."""
        ...

    def rank(self, query: str, texts: Sequence[str], /) -> Sequence[Ranked]:
        """Score and sort texts, best first."""
        ...


@dataclass(frozen=True, slots=True)
class Ranked:
    """A text's place in a cross-encoder's order.

    Attributes:
        index: Position of the text in the input.
        score: Unit: the cross-encoder's ``score_unit``.
        span: Character span of the best window, where windows were asked for.
    """

    index: int
    score: float
    span: tuple[int, int] | None = None
