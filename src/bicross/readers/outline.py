"""A document's headings as a tree of sections."""

from __future__ import annotations

from dataclasses import dataclass, field

from bicross.readers.reading import Document
from bicross.types import Passage

SEPARATOR = " > "


@dataclass(slots=True)
class Section:
    """A heading and all that stands under it, subsections included.

    Attributes:
        start: Where the heading begins. Unit: characters, like the other offsets.
        end: Where the section ends.
        body: Where the heading ends and its own text begins.
        path: The document's title and the headings above, outermost first, this one last.
    """

    start: int
    end: int
    body: int
    path: tuple[str, ...]
    children: list[Section] = field(default_factory=list)

    @property
    def own_end(self) -> int:
        """Where the text before the first subsection ends."""
        return self.children[0].start if self.children else self.end


def outline(passage: Passage) -> Section:
    """The tree of a passage; without headings it is a single section.

    A heading that repeats the title above it, or the beginning of that ("Install - Manual"), isn't added to the path.
    """
    text = passage.text
    root = Section(0, len(text), 0, (passage.title,) if passage.title else ())
    open_sections = [(0, root)]
    for heading in passage.headings if isinstance(passage, Document) else ():
        while open_sections[-1][0] >= heading.level:
            open_sections.pop()[1].end = heading.start
        parent = open_sections[-1][1]
        repeats = parent.path and parent.path[-1].casefold().startswith(heading.title.casefold())
        path = parent.path if repeats or not heading.title else (*parent.path, heading.title)
        section = Section(heading.start, len(text), heading.end, path)
        parent.children.append(section)
        open_sections.append((heading.level, section))
    for _, section in open_sections:
        section.end = len(text)
    return root


def path_of(section: Section, text: str) -> tuple[str, ...]:
    """The path of the innermost section that holds all of this one's text but headings."""
    while len(section.children) == 1 and not text[section.body : section.own_end].strip():
        section = section.children[0]
    return section.path
