"""Markdown files, with their headings."""

from __future__ import annotations

import re
from itertools import accumulate, pairwise
from pathlib import Path

from bicross.readers.reading import Document, Heading, file_document
from bicross.readers.text import decode

_FRONT_MATTER = re.compile(r"---\n(.*?\n)---[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*(.+)$", re.MULTILINE)
# Inline markup is parsed in the headings alone, and only so far: nested brackets take quadratic time.
_LONGEST_HEADING = 300


def read_markdown(path: Path) -> Document:
    """A Markdown file as one document; its text keeps the markup, so that spans fit the file.

    Raises:
        UnreadableError: The file is empty or no text.
    """
    text = decode(path.read_bytes())
    title, body = _front_matter(text)
    return file_document(path, text, title=title, headings=markdown_headings(text, body))


def _front_matter(text: str) -> tuple[str | None, int]:
    """The title that a YAML block at the top gives, and where that block ends."""
    block = _FRONT_MATTER.match(text)
    if block is None:
        return None, 0
    title = _FRONT_TITLE.search(block[1])
    return (title[1].strip().strip("\"'") if title else None), block.end()


def markdown_headings(text: str, start: int = 0) -> list[Heading]:
    r"""The headings from ``start`` on, as CommonMark defines them: none in code, quotations or lists.

    >>> [(h.level, h.title) for h in markdown_headings("# A *b*\n\n```sh\n# no\n```\n\nC\n---\n")]
    [(1, 'A b'), (2, 'C')]
    """
    from markdown_it import MarkdownIt

    blocks = MarkdownIt("commonmark")
    blocks.core.ruler.enableOnly(["normalize", "block"])
    inline = MarkdownIt("commonmark")
    tokens = blocks.parse(text[start:])
    offsets = [*accumulate((len(line) + 1 for line in text[start:].split("\n")), initial=start)]
    headings = []
    for opening, content in pairwise(tokens):
        if opening.type != "heading_open" or opening.level or opening.map is None:
            continue
        first, after = opening.map
        children = inline.parseInline(content.content[:_LONGEST_HEADING])[0].children or []
        title = " ".join("".join(child.content or " " for child in children if child.type != "html_inline").split())
        headings.append(
            Heading(offsets[first], min(offsets[after], len(text)), int(opening.tag[1:]), title or content.content)
        )
    return headings
