"""HTML files, by Beautiful Soup."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bicross.errors import MissingExtraError
from bicross.readers.reading import Document, Heading, UnreadableError, file_document
from bicross.readers.text import decode

if TYPE_CHECKING:
    from bs4 import Tag

_UNREAD = frozenset({"head", "script", "style", "template", "noscript", "svg", "nav", "iframe", "object", "button"})
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
# fmt: off
_BLOCKS = _HEADINGS | {
    "address", "article", "aside", "blockquote", "body", "center", "dd", "details", "dialog", "div", "dl", "dt",
    "fieldset", "figcaption", "figure", "footer", "form", "header", "hr", "html", "legend", "main", "ol", "p", "pre",
    "section", "summary", "table", "tbody", "tfoot", "thead", "ul",
}
# fmt: on
_LINES = frozenset({"br", "li", "tr", "option"})
_CELLS = frozenset({"td", "th"})


def read_html(path: Path) -> Document:
    """A page's text as one document: its ``<main>`` where there is one, without navigation and scripts.

    Raises:
        MissingExtraError: Beautiful Soup isn't installed.
        UnreadableError: The page holds no text, or markup that can't be parsed.
    """
    try:
        from bs4 import BeautifulSoup, MarkupResemblesLocatorWarning, ParserRejectedMarkup
    except ImportError as error:
        raise MissingExtraError(
            f"HTML is read by the package beautifulsoup4, which isn't installed: {path.name!r}. "
            f'Run: pip install "bicross[files]"'
        ) from error

    data = path.read_bytes()
    try:
        markup: str | bytes = decode(data)
    except UnreadableError as error:
        if str(error).startswith("binary"):
            raise
        markup = data  # Beautiful Soup reads the encoding that the page declares
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MarkupResemblesLocatorWarning)  # a short file is text, too
        try:
            page = BeautifulSoup(markup, "html.parser")
        except ParserRejectedMarkup:
            raise UnreadableError("damaged: it holds a '<!' that begins no comment and no declaration") from None
    mains = page.find_all("main")
    writer = _Writer()
    writer.read(mains[0] if len(mains) == 1 else page)
    title = page.title.get_text(" ", strip=True) if page.title else None
    text = writer.text()
    return file_document(path, text, title=" ".join((title or "").split()), headings=writer.headings)


class _Writer:
    """Collects a page's text: a blank line between blocks, a line for each item and row, headings with their places."""

    _BREAKS = ("", " ", " | ", "\n", "\n\n")  # weak to strong; of neighbours the strongest is written

    def __init__(self) -> None:
        self.headings: list[Heading] = []
        self._parts: list[str] = []
        self._length = 0
        self._break = ""
        self._bullet = ""

    def text(self) -> str:
        return "".join(self._parts)

    def read(self, root: Tag) -> None:
        """Walk the tree without recursion: pages nest deeper than Python's stack."""
        from bs4.element import NavigableString, PreformattedString, Tag

        stack: list[tuple[Any, bool]] = [(root, True)]
        preformatted = 0
        heading = 0
        while stack:
            node, opens = stack.pop()
            if isinstance(node, PreformattedString):  # comments, doctypes
                continue
            if isinstance(node, NavigableString):
                self._write(str(node), preformatted > 0)
                continue
            if not isinstance(node, Tag) or node.name in _UNREAD:
                continue
            self._pause(node.name)
            preformatted += (node.name == "pre") * (1 if opens else -1)
            if opens:
                stack.append((node, False))
                stack.extend((child, True) for child in reversed(node.contents))
                heading = len(self._parts) if node.name in _HEADINGS else heading
                self._bullet = "- " if node.name == "li" else self._bullet
            elif node.name in _HEADINGS:
                self._add_heading("".join(self._parts[heading:]).lstrip(), int(node.name[1]))

    def _add_heading(self, text: str, level: int) -> None:
        if text:
            self.headings.append(Heading(self._length - len(text), self._length, level, " ".join(text.split())))

    def _pause(self, name: str) -> None:
        wanted = "\n\n" if name in _BLOCKS else "\n" if name in _LINES else " | " if name in _CELLS else ""
        self._break = max(self._break, wanted, key=self._BREAKS.index)

    def _write(self, text: str, preformatted: bool) -> None:
        if preformatted:
            inner = text if self._parts and len(self._break) < 2 else text.lstrip("\n")
        else:
            inner = " ".join(text.split())
        if text[:1].isspace() and not preformatted:
            self._break = max(self._break, " ", key=self._BREAKS.index)
        if inner:
            for part in (self._break if self._parts else "", self._bullet, inner):
                self._parts.append(part)
                self._length += len(part)
            self._break = self._bullet = ""
            if text[-1:].isspace() and not preformatted:
                self._break = " "
