"""Files, folders and installed Python packages become passages. Names load on first use (PEP 562)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bicross.lazy import lazy_names

if TYPE_CHECKING:
    from bicross.readers.reader import read
    from bicross.readers.reading import Document, Heading, Reading, Skipped
    from bicross.readers.splitter import split

# A submodule of the same name would take the place of the function, hence reader.py and splitter.py.
_HOMES = {
    "Document": "bicross.readers.reading",
    "Heading": "bicross.readers.reading",
    "Reading": "bicross.readers.reading",
    "Skipped": "bicross.readers.reading",
    "read": "bicross.readers.reader",
    "split": "bicross.readers.splitter",
}

__all__ = ["Document", "Heading", "Reading", "Skipped", "read", "split"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
