"""`split`: passages that a model reads to their end, cut at headings, paragraphs, sentences, words, in this order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bicross.errors import ConfigurationError, InputError, InputTypeError
from bicross.readers.counting import CountTokens, Title, TokenCounter, fit_titles
from bicross.readers.outline import SEPARATOR, Section, outline, path_of
from bicross.readers.packing import PARAGRAPH, SECTION, SENTENCE, WORD, Atom, Packer, Span
from bicross.readers.reading import Document, Reading
from bicross.readers.segments import paragraphs, parts, sentences
from bicross.types import Passage

# A text with more characters a token than any tokenizer reaches on average isn't counted as a whole first.
_CHARACTERS_A_TOKEN = 20


def split(
    passages: Iterable[Passage],
    *,
    limit: int,
    count_tokens: CountTokens,
    overlap: int | None = None,
    language: str = "en",
) -> Reading:
    """Cut what is longer than ``limit`` tokens, title included.

    A section that fits stays whole; its title is its heading path, ``"Guide > Install"``. What doesn't fit is cut at
    its subheadings, then at paragraphs, sentences, words. Each piece carries in ``meta`` what Haystack's splitter
    writes: ``source_id``, ``split_id`` (0, 1, …), ``split_count`` (pieces of the document), ``split_idx_start`` and
    ``split_idx_end`` (the characters of the document's text that the piece is) and, where the text has form feeds,
    ``page_number``. The first piece keeps the
    document's id, the others append ``#1``, ``#2``, ….

    Taken as they are: passages within the limit, the records that ``Reading.whole`` names, blank passages, and those
    that a splitter has made (``split_id`` or LangChain's ``start_index`` in ``meta``).

    Args:
        passages: A reading, or any passages. A title longer than half of the limit is shortened.
        limit: What the model reads, without its special tokens. Unit: tokens.
        count_tokens: The lengths of texts, without special tokens. Unit: tokens.
        overlap: Up to so many tokens of whole sentences are repeated at the start of the next piece of the same
            section. None: an eighth of the limit. Unit: tokens.
        language: Code of the language whose abbreviations aren't taken for ends of sentences.

    Raises:
        ConfigurationError: The limit is below 1 or too small for a single character, or the overlap above half of it.
        InputError: A text can't be UTF-8; the message names its position.
        InputTypeError: An item is no passage; the message names its position.
    """
    if limit < 1:
        raise ConfigurationError(f"A limit is at least 1 token; got limit={limit!r}. Give the model's maximum length.")
    repeated = limit // 8 if overlap is None else overlap
    if not 0 <= repeated <= limit // 2:
        raise ConfigurationError(
            f"An overlap is between 0 and half of the limit ({limit // 2} tokens); got overlap={overlap!r}. Lower it."
        )
    reading = passages if isinstance(passages, Reading) else Reading(tuple(passages))
    counter = TokenCounter(count_tokens, limit)
    work = _to_split(reading, counter)
    too_long = [item for item in work.values() if not item.fits]
    titles = fit_titles((path for item in too_long for path in _paths(item.section)), counter)
    _make_atoms(too_long, counter, titles, language)
    _make_pieces(too_long, counter, titles, repeated)
    results: list[Passage] = []
    for position, passage in enumerate(reading):
        results.extend(_passages(work[position]) if position in work else (passage,))
    return replace(reading, passages=tuple(results))


@dataclass(slots=True)
class _Work:
    """One passage on its way through the splitter."""

    passage: Passage
    section: Section
    fits: bool = False
    packer: Packer = field(default_factory=lambda: Packer([]))
    pieces: list[tuple[Span, str | None]] = field(default_factory=list)


def _to_split(reading: Reading, counter: TokenCounter) -> dict[int, _Work]:
    """By position, the passages that need work: what is too long, and documents, whose passages get their meta."""
    work: dict[int, _Work] = {}
    for position, passage in enumerate(reading):
        _check(passage, position)
        is_split = "split_id" in passage.meta or "start_index" in passage.meta
        if not is_split and passage.id not in reading.whole and passage.text.strip():
            work[position] = _Work(passage, outline(passage))
    short = [item for item in work.values() if len(item.passage.text) <= counter.limit * _CHARACTERS_A_TOKEN]
    titles = [SEPARATOR.join(path_of(item.section, item.passage.text)) or None for item in short]
    counts = counter(_joined(title, item.passage.text) for title, item in zip(titles, short, strict=True))
    for item, title, count in zip(short, titles, counts, strict=True):
        item.fits = count <= counter.limit
        if item.fits:
            item.pieces = [(Span(0, 0, len(item.passage.text)), title)]
    return {at: item for at, item in work.items() if not item.fits or isinstance(item.passage, Document)}


def _check(passage: Passage, position: int) -> None:
    if not isinstance(passage, Passage) or not isinstance(passage.text, str):
        raise InputTypeError(
            f"Only passages with a string as text are split; got {passage!r:.200} at position {position}. "
            f"Wrap the text: Passage(text)."
        )
    try:
        passage.full_text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"A text is Unicode without lone surrogates; the one at position {position} holds "
            f"{error.object[error.start]!r}. Remove it."
        ) from None


def _joined(title: str | None, text: str) -> str:
    return f"{title} {text}" if title else text


def _paths(section: Section) -> Iterator[tuple[str, ...]]:
    yield section.path
    for child in section.children:
        yield from _paths(child)


def _own_texts(section: Section) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """The stretches between headings, in the order of the text, each with its heading path."""
    yield section.start, section.own_end, section.path
    for child in section.children:
        yield from _own_texts(child)


def _make_atoms(
    work: list[_Work], counter: TokenCounter, titles: Mapping[tuple[str, ...], Title], language: str
) -> None:
    """Sentences, and words where a sentence doesn't fit. Each is counted once."""
    spans: list[tuple[_Work, int, int, int, int]] = []
    for item in work:
        for first, after, path in _own_texts(item.section):
            room = max(1, counter.limit - titles[path].tokens)
            spans += [(item, *found, room) for found in _sentences(item.passage.text, first, after, language)]
    atoms: dict[int, list[Atom]] = {id(item): [] for item in work}
    while spans:
        counts = counter(item.passage.text[start:end] for item, start, end, _, _ in spans)
        too_long = []
        for (item, start, end, begins, room), tokens in zip(spans, counts, strict=True):
            if tokens <= room or end - start == 1:
                atoms[id(item)].append(Atom(start, end, begins, tokens))
                continue
            # Parts of a quarter pack well, and few of them have to be cut again.
            wanted = min(4 * tokens // room + 1, end - start)
            for first, stop in parts(item.passage.text, start, end, wanted):
                too_long.append((item, first, stop, begins if first == start else WORD, room))
        spans = too_long
    for item in work:
        item.packer = Packer(sorted(atoms[id(item)], key=lambda atom: atom.start))


def _sentences(text: str, first: int, after: int, language: str) -> Iterator[tuple[int, int, int]]:
    """The sentences of a section's own text, each with what begins there."""
    kind = SECTION
    for start, end in paragraphs(text, first, after):
        for begin, stop in sentences(text, start, end, language):
            yield begin, stop, kind
            kind = SENTENCE
        kind = PARAGRAPH


def _make_pieces(
    work: list[_Work], counter: TokenCounter, titles: Mapping[tuple[str, ...], Title], overlap: int
) -> None:
    """Pack the atoms, count each piece as the model will read it, and halve those that are over after all."""
    unverified: list[tuple[_Work, Span, str | None]] = []
    for item in work:
        for start, end, path in _groups(item, item.section, 0, counter.limit, titles):
            budget = max(1, counter.limit - titles[path].tokens)
            spans = item.packer.pack(start, end, budget=budget, overlap=overlap)
            unverified += [(item, span, titles[path].text) for span in spans]
    while unverified:
        counts = counter(
            _joined(title, item.passage.text[span.start : span.end].strip()) for item, span, title in unverified
        )
        over: list[tuple[_Work, Span, str | None]] = []
        for (item, span, title), count in zip(unverified, counts, strict=True):
            if count <= counter.limit:
                item.pieces.append((span, title))
            else:
                over += [(item, smaller, title) for smaller in _smaller(item, span, counter.limit)]
        unverified = over


def _groups(
    item: _Work, section: Section, start: int, limit: int, titles: Mapping[tuple[str, ...], Title]
) -> Iterator[tuple[int, int, tuple[str, ...]]]:
    """Stretches that may share a passage: sections that fit, else their own text and their subsections."""
    text = item.passage.text
    path = path_of(section, text)
    fits = item.packer.tokens(start, section.end) + titles[path].tokens <= limit
    if fits or not section.children:
        yield start, section.end, path
        return
    if text[section.body : section.own_end].strip():
        yield start, section.own_end, section.path
        start = section.own_end
    # Otherwise the heading stands alone and goes along with its first subsection.
    for child in section.children:
        yield from _groups(item, child, start, limit, titles)
        start = child.end


def _smaller(item: _Work, span: Span, limit: int) -> Iterator[Span]:
    if span.start < span.fresh:
        yield Span(span.fresh, span.fresh, span.end)
        return
    halves = item.packer.halves(span)
    if halves is not None:
        yield from halves
        return
    if span.end - span.start <= 1:
        raise ConfigurationError(
            f"A limit has room for one character at least; limit={limit!r} has none for "
            f"{item.passage.text[span.start : span.end]!r}. Raise it."
        )
    for start, end in parts(item.passage.text, span.start, span.end, 2):
        yield Span(start, start, end)


def _passages(item: _Work) -> Iterator[Passage]:
    """The pieces as passages, in the order of the text."""
    passage = item.passage
    text = passage.text
    breaks = [at for at, character in enumerate(text) if character == "\f"] if "\f" in text else []
    pieces = sorted(item.pieces, key=lambda piece: piece[0].fresh)
    kept = [(span, title) for span, title in pieces if text[span.fresh : span.end].strip()]
    for number, (span, title) in enumerate(kept):
        piece = text[span.start : span.end]
        start = span.start + len(piece) - len(piece.lstrip())
        end = span.start + len(piece.rstrip())
        meta: dict[str, Any] = {
            **passage.meta,
            "source_id": passage.id,
            "split_id": number,
            "split_count": len(kept),
            "split_idx_start": start,
            "split_idx_end": end,
        }
        if breaks:
            meta["page_number"] = bisect_right(breaks, start) + 1
        yield Passage(
            text=text[start:end],
            id=f"{passage.id}#{number}" if number else passage.id,
            title=title,
            meta=meta,
            source=passage.source,
        )
