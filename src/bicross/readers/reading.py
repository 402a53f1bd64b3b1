"""What a read returns: passages, what was skipped and why, and the marks that the splitter follows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from bicross.types import Passage, derive_id

DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, RuntimeError, SyntaxError),
    *(TypeError, ValueError, struct.error, zlib.error),
)
"""What parsers let through, besides their own errors, from files that break the format."""


class UnreadableError(Exception):
    """Inside the readers alone: this file can't be read, and the message is the reason that its ``Skipped`` gives."""


class AnotherKindError(UnreadableError):
    """Inside the readers alone: this file is none of those that are read."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file, or a module, that wasn't read.

    Attributes:
        path: The file's path, or the module's name.
        reason: Why, in words that a user can act on.
        failed: Whether it should have been read, so that passages are missing from the reading; False for what is
            of another kind, such as an image.
    """

    path: str
    reason: str
    failed: bool = True


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading inside a document.

    Attributes:
        start: Where it begins in the document's text. Unit: characters.
        end: Where it ends, its markup and line end included. Unit: characters.
        level: 1 is the outermost.
        title: Its text without markup.
    """

    start: int
    end: int
    level: int
    title: str


@dataclass(frozen=True, slots=True)
class Document(Passage):
    """A whole document, which the splitter cuts at its headings first.

    A form feed in the text begins a new page, as in Haystack.
    """

    headings: tuple[Heading, ...] = ()


@dataclass(frozen=True, slots=True)
class Reading(Sequence[Passage]):
    """The passages of a read, in a fixed order.

    Attributes:
        passages: The passages.
        skipped: Every file that wasn't read, with the reason.
        whole: Ids of the passages that are never split: records of a data set, whose ids its judgments name.
    """

    passages: tuple[Passage, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    whole: frozenset[str] = frozenset()

    def __len__(self) -> int:
        return len(self.passages)

    @overload
    def __getitem__(self, index: int) -> Passage: ...
    @overload
    def __getitem__(self, index: slice) -> Reading: ...
    def __getitem__(self, index: int | slice) -> Passage | Reading:
        if isinstance(index, slice):
            return replace(self, passages=self.passages[index])
        return self.passages[index]

    def __iter__(self) -> Iterator[Passage]:
        return iter(self.passages)


def file_document(path: Path, text: str, *, title: str | None = None, headings: Sequence[Heading] = ()) -> Document:
    """The document of a file.

    Its id depends on the path alone: an edited file is a changed document, not a new one beside the old.

    Raises:
        UnreadableError: The text holds nothing but white space.
    """
    if not text.strip():
        raise UnreadableError("empty: it holds no text")
    facts: dict[str, Any] = {"file_path": str(path), "file_name": path.name}
    return Document(
        text=text,
        id=derive_id(str(path), ""),
        title=(title or "").strip() or None,
        meta=facts,
        source=str(path),
        headings=tuple(headings),
    )
