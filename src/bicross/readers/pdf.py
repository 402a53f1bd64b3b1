"""PDF files, by pypdf: the text page by page, the outline as headings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bicross.errors import MissingExtraError
from bicross.readers.reading import DAMAGE, Document, Heading, UnreadableError, file_document

if TYPE_CHECKING:
    from pypdf import PdfReader

_DEEPEST = 6
_SUFFIXES = frozenset({".doc", ".docx", ".dvi", ".indd", ".odt", ".pdf", ".ppt", ".pptx", ".tex", ".xls", ".xlsx"})


def read_pdf(path: Path) -> Document:
    r"""A PDF's text as one document, a form feed (``\f``) between pages.

    Raises:
        MissingExtraError: pypdf isn't installed.
        UnreadableError: The file is encrypted, damaged, or holds images of text alone.
    """
    try:
        from pypdf import PdfReader
        from pypdf.errors import DependencyError, PyPdfError
    except ImportError as error:
        raise MissingExtraError(
            f"PDF is read by the package pypdf, which isn't installed: {path.name!r}. "
            f'Run: pip install "bicross[files]"'
        ) from error

    try:
        with path.open("rb") as stream:
            reader = PdfReader(stream)
            if reader.is_encrypted and not reader.decrypt(""):
                raise UnreadableError("encrypted: it needs a password; save it without one")
            pages = [_clean(page.extract_text()) for page in reader.pages]
            headings = [*_headings(reader, pages)]
            title = str((reader.metadata and reader.metadata.title) or "")
    except DependencyError as error:
        raise UnreadableError(f"encrypted: {error}") from None
    except (PyPdfError, *DAMAGE) as error:
        raise UnreadableError(f"damaged: {error or type(error).__name__}") from None
    if not any(page.strip() for page in pages):
        raise UnreadableError("no text: its pages are images; run a text recognition such as ocrmypdf first")
    # Programs write the file's own name there.
    is_name = title.lower().startswith(("microsoft word", "untitled")) or Path(title).suffix.lower() in _SUFFIXES
    return file_document(path, "\f".join(pages), title=None if is_name else _clean(title), headings=headings)


def _clean(text: str) -> str:
    """Without the characters that would break a page's count or the encoder's UTF-8."""
    return text.replace("\f", "\n").replace("\0", "").encode("utf-8", "replace").decode()


def _headings(reader: PdfReader, pages: list[str]) -> Iterator[Heading]:
    """The outline's entries that are found as text on their page, in the order of the text."""
    starts = [0]
    for page in pages:
        starts.append(starts[-1] + len(page) + 1)
    found: dict[int, Heading] = {}
    for level, entry in _entries(reader.outline, 1):
        title = " ".join(_clean(str(entry.title or "")).split())
        number = reader.get_destination_page_number(entry)
        if not title or number is None or not 0 <= number < len(pages):
            continue
        place = pages[number].find(title)
        if place >= 0:
            start = starts[number] + place
            found.setdefault(start, Heading(start, start + len(title), level, title))
    yield from sorted(found.values(), key=lambda heading: heading.start)


def _entries(outline: list[Any], level: int) -> Iterator[tuple[int, Any]]:
    for entry in outline:
        if isinstance(entry, list):
            yield from _entries(entry, min(level + 1, _DEEPEST))
        else:
            yield level, entry
