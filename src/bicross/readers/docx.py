"""Word files, by python-docx, with their headings and tables."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

from bicross.errors import MissingExtraError
from bicross.readers.reading import DAMAGE, Document, Heading, UnreadableError, file_document

_UNPACKED_BYTES = 200 << 20
"""What a file may hold, unpacked: one made to fill the memory is a few kilobytes."""
_STYLE = re.compile(r"heading ?([1-9])", re.IGNORECASE)


def read_docx(path: Path) -> Document:
    """A Word file's paragraphs and tables as one document.

    Raises:
        MissingExtraError: python-docx isn't installed.
        UnreadableError: The file is damaged, protected by a password, too large, or empty.
    """
    try:
        import docx
        from docx.opc.exceptions import OpcError
        from docx.table import Table
    except ImportError as error:
        raise MissingExtraError(
            f"DOCX is read by the package python-docx, which isn't installed: {path.name!r}. "
            f'Run: pip install "bicross[files]"'
        ) from error

    parts: list[str] = []
    headings: list[Heading] = []
    length = 0
    title = ""
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _UNPACKED_BYTES:
            raise UnreadableError(f"too large: it unpacks to {unpacked} bytes, and {_UNPACKED_BYTES} are read at most")
        document = docx.Document(str(path))
        for block in document.iter_inner_content():
            text = _table(block) if isinstance(block, Table) else block.text.strip()
            if not text:
                continue
            if not isinstance(block, Table):
                level = _level(block)
                if level == 0:
                    title = title or text
                elif level is not None:
                    headings.append(Heading(length, length + len(text), level, " ".join(text.split())))
            parts.append(text)
            length += len(text) + 2
        title = title or document.core_properties.title
    except (OpcError, zipfile.BadZipFile, *DAMAGE) as error:
        raise UnreadableError(f"damaged, or protected by a password: {error}") from None
    return file_document(path, "\n\n".join(parts), title=title, headings=headings)


def _level(paragraph: Any) -> int | None:
    """1 to 9 for a heading, 0 for the document's title. The style's id stays English in translated files."""
    style = paragraph.style
    names = (style.name or "", style.style_id or "") if style is not None else ()
    if "Title" in names:
        return 0
    found = next((match for name in names if (match := _STYLE.fullmatch(name))), None)
    return int(found[1]) if found else None


def _table(table: Any) -> str:
    """One line a row. A merged cell is listed once for each column that it spans, and written once."""
    lines = []
    for row in table.rows:
        cells = {id(cell._tc): " ".join(cell.text.split()) for cell in row.cells}
        lines.append(" | ".join(text for text in cells.values() if text))
    return "\n".join(line for line in lines if line)
