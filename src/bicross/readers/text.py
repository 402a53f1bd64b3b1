"""Plain text: bytes to characters, and .txt files."""

from __future__ import annotations

import codecs
from pathlib import Path

from bicross.readers.reading import Document, UnreadableError, file_document

# UTF-32's mark begins with UTF-16's, so it comes first.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CONTROLS = frozenset(map(chr, range(32))) - frozenset("\t\n\r\f\v\x1b")


def decode(data: bytes) -> str:
    r"""UTF-8, or what the byte order mark says, with every line end as ``\n``.

    Raises:
        UnreadableError: The bytes are no text, or text in an encoding that nothing in them names.

    >>> decode("å\r\n".encode("utf-16"))
    'å\n'
    """
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        if encoding == "utf-8" and b"\0" in data[:8192]:
            raise UnreadableError("binary: it holds zero bytes") from None
        raise UnreadableError(
            f"not {encoding.upper().removesuffix('-SIG')}: byte {data[error.start]:#04x} at offset {error.start}; "
            f"convert it, for example with iconv -t UTF-8"
        ) from None
    sample = text[:8192]
    if sum(character in _CONTROLS for character in sample) > len(sample) // 100:
        raise UnreadableError("binary: it holds control characters")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_text(path: Path) -> Document:
    """A text file as one document without headings.

    Raises:
        UnreadableError: As ``decode``, or the file is empty.
    """
    return file_document(path, decode(path.read_bytes()))
