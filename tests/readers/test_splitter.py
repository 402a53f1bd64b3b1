from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bicross.errors import ConfigurationError, InputError, InputTypeError
from bicross.readers import Document, Heading, Reading, Skipped, read, split
from bicross.readers.markdown import markdown_headings
from bicross.types import Passage


def words(texts: Sequence[str]) -> list[int]:
    """A tokenizer to reckon by: a token a word or mark, one a character in scripts without spaces."""
    return [len(re.findall(r"[^\W\u0e00-\u9fff]+|\S", text)) for text in texts]


def subwords(texts: Sequence[str]) -> list[int]:
    """One whose parts don't add up: a token for each begun group of three characters."""
    return [sum(-(-len(word) // 3) for word in text.split()) + 1 for text in texts]


def markdown(text: str, title: str | None = None) -> Document:
    return Document(text=text, id="d", title=title, source="d.md", headings=tuple(markdown_headings(text)))


def check(document: Passage, pieces: Sequence[Passage], limit: int, count: object = words) -> None:
    """What must hold for every split: spans, coverage, limit, ids."""
    covered = set()
    for number, piece in enumerate(pieces):
        start, end = piece.meta["split_idx_start"], piece.meta["split_idx_end"]
        assert document.text[start:end] == piece.text == piece.text.strip() != ""
        assert count([piece.full_text])[0] <= limit  # type: ignore[operator]
        assert piece.meta["source_id"] == document.id
        assert piece.meta["split_id"] == number
        assert piece.id == (f"{document.id}#{number}" if number else document.id)
        assert piece.source == document.source
        covered.update(range(start, end))
    assert {at for at, character in enumerate(document.text) if not character.isspace()} <= covered
    starts = [piece.meta["split_idx_start"] for piece in pieces]
    assert starts == sorted(starts)


GUIDE = """# Guide

Welcome here.

## Install

Get it. Run it now.

### Linux

Use the package manager.

## Use

Read the manual.
"""


def test_sections_that_fit_stay_whole() -> None:
    document = markdown(GUIDE)
    [piece] = split([document], limit=100, count_tokens=words)
    assert (piece.title, piece.text) == ("Guide", GUIDE.strip())
    pieces = split([document], limit=24, count_tokens=words)
    check(document, pieces, 24)
    assert [(piece.title, piece.text.splitlines()[0]) for piece in pieces] == [
        ("Guide", "# Guide"),
        ("Guide > Install", "## Install"),
        ("Guide > Use", "## Use"),
    ]
    pieces = split([document], limit=18, count_tokens=words)
    check(document, pieces, 18)
    assert [piece.title for piece in pieces] == ["Guide", "Guide > Install", "Guide > Install > Linux", "Guide > Use"]


def test_heading_alone_goes_with_its_first_subsection() -> None:
    document = markdown("# A\n\n## B\n\none two three four\n\n## C\n\nfive six seven eight\n", title="T")
    pieces = split([document], limit=14, count_tokens=words)
    check(document, pieces, 14)
    assert [(piece.title, piece.text) for piece in pieces] == [
        ("T > A > B", "# A\n\n## B\n\none two three four"),
        ("T > A > C", "## C\n\nfive six seven eight"),
    ]


def test_heading_that_repeats_the_title_stands_once() -> None:
    for title in ["guide", "Guide - The handbook"]:
        [piece] = split([markdown("# Guide\n\nx", title=title)], limit=10, count_tokens=words)
        assert piece.title == title


def test_paragraphs_before_sentences() -> None:
    text = "One two. Three four.\n\nFive six. Seven eight."
    pieces = split([Document(text, id="d")], limit=9, count_tokens=words, overlap=0)
    assert [piece.text for piece in pieces] == ["One two. Three four.", "Five six. Seven eight."]
    pieces = split([Document(text, id="d")], limit=4, count_tokens=words, overlap=0)
    assert [piece.text for piece in pieces] == ["One two.", "Three four.", "Five six.", "Seven eight."]


def test_overlap_repeats_whole_sentences() -> None:
    text = "One two. Three four. Five six. Seven eight. Nine ten."
    document = Document(text, id="d")
    pieces = split([document], limit=10, count_tokens=words, overlap=4)
    check(document, pieces, 10)
    assert [piece.text for piece in pieces] == [
        "One two. Three four. Five six.",
        "Five six. Seven eight. Nine ten.",
    ]
    assert [(piece.meta["split_idx_start"], piece.meta["split_idx_end"]) for piece in pieces] == [(0, 30), (21, 53)]


def test_overlap_stays_within_its_section() -> None:
    document = markdown("# A\n\nOne two. Three four.\n\n# B\n\nFive six. Seven eight.")
    pieces = split([document], limit=10, count_tokens=words, overlap=5)
    assert [piece.text for piece in pieces] == ["# A\n\nOne two. Three four.", "# B\n\nFive six. Seven eight."]


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("这是第一句。这是第二句！这是第三句吗？", 12, ["这是第一句。这是第二句！", "这是第三句吗？"]),
        ("これは一番目です。「はい。」二番目です！", 15, ["これは一番目です。「はい。」", "二番目です！"]),
        ("यह पहला है। यह दूसरा है।", 14, ["यह पहला है।", "यह दूसरा है।"]),
        ("នេះជាទីមួយ។នេះជាទីពីរ។", 14, ["នេះជាទីមួយ។", "នេះជាទីពីរ។"]),
        # Thai marks no ends: cut at the spaces between phrases.
        ("นี่คือหนึ่ง นี่คือสอง นี่คือสาม", 14, ["นี่คือหนึ่ง", "นี่คือสอง", "นี่คือสาม"]),
    ],
)
def test_scripts_without_spaces(text: str, limit: int, expected: list[str]) -> None:
    pieces = split([Document(text, id="d")], limit=limit, count_tokens=characters, overlap=0)
    assert [piece.text for piece in pieces] == expected


def test_never_inside_a_character() -> None:
    family, flag, accent = "👩\u200d👩\u200d👧", "🇩🇪", "e\u0301\u0323"
    text = (family + flag + accent) * 40
    document = Document(text, id="d")
    pieces = split([document], limit=20, count_tokens=characters, overlap=0)
    assert "".join(piece.text for piece in pieces) == text
    whole = re.compile(f"(?:{family}|{flag}|{accent})*")
    assert all(whole.fullmatch(piece.text) for piece in pieces)


def test_long_title_is_shortened() -> None:
    document = markdown("# " + "Very " * 10 + "long\n\n## Short name\n\n" + "word " * 20)
    pieces = split([document], limit=12, count_tokens=words)
    check(document, pieces, 12)
    assert {piece.title for piece in pieces} == {"Short name"}
    record = Passage("a b c d", id="r", title="one two three four five six seven eight")
    pieces = split([record], limit=6, count_tokens=words)
    assert [(piece.title, piece.text) for piece in pieces] == [("one two", "a b c d")]


def test_pages() -> None:
    document = Document("One two.\fThree four.\f\fFive six.", id="d", meta={"file_name": "x.pdf"})
    pieces = split([document], limit=3, count_tokens=words, overlap=0)
    check(document, pieces, 3)
    assert [(piece.text, piece.meta["page_number"]) for piece in pieces] == [
        ("One two.", 1),
        ("Three four.", 2),
        ("Five six.", 4),
    ]
    assert pieces[0].meta["file_name"] == "x.pdf"


def test_taken_as_they_are(tmp_path: Path) -> None:
    long = "word " * 50
    (tmp_path / "corpus.jsonl").write_text('{"_id": "beir", "text": "' + long + '"}\n')
    beir = read(tmp_path)
    mine = [
        Passage("short", id="a", meta={"x": 1}),
        Passage(long, id="h", meta={"source_id": "s", "split_id": 3}),
        Passage(long, id="l", meta={"start_index": 10}),
        Passage(" ", id="blank"),
    ]
    reading = Reading((*beir, *mine), (Skipped("f", "why"),), beir.whole)
    result = split(reading, limit=10, count_tokens=words)
    assert result == reading
    assert all(after is before for after, before in zip(result, reading, strict=True))


def test_splitting_twice_changes_nothing() -> None:
    once = split([markdown(GUIDE), Passage("word " * 50, id="p")], limit=18, count_tokens=words)
    assert split(once, limit=18, count_tokens=words) == once
    assert split(once, limit=5, count_tokens=words) == once


def test_passage_that_is_no_document_keeps_its_meta_and_title() -> None:
    passage = Passage("One two. Three four.", id="p", title="T", meta={"year": 3}, source="s")
    pieces = split([passage], limit=5, count_tokens=words, overlap=0)
    check(passage, pieces, 5)
    assert [(piece.id, piece.title, piece.meta["year"]) for piece in pieces] == [("p", "T", 3), ("p#1", "T", 3)]


def test_tokens_that_do_not_add_up_are_verified() -> None:
    text = "Abcd efgh ijkl. Mnop qrst. " * 40
    document = Document(text, id="d", title="Some title")
    pieces = split([document], limit=16, count_tokens=subwords)
    check(document, pieces, 16, subwords)


def test_superadditive_counts_are_halved() -> None:
    def joined_costs_more(texts: Sequence[str]) -> list[int]:
        return [len(text.split()) ** 2 // 4 + 1 for text in texts]

    document = Document("One two three. Four five. Six seven. Eight nine ten.", id="d")
    pieces = split([document], limit=6, count_tokens=joined_costs_more, overlap=2)
    check(document, pieces, 6, joined_costs_more)


def test_bad_arguments() -> None:
    passage = Passage("text")
    with pytest.raises(ConfigurationError, match="limit=0"):
        split([passage], limit=0, count_tokens=words)
    with pytest.raises(ConfigurationError, match="overlap=6"):
        split([passage], limit=10, count_tokens=words, overlap=6)
    with pytest.raises(InputTypeError, match="'text' at position 1"):
        split([passage, "text"], limit=10, count_tokens=words)  # type: ignore[list-item]
    with pytest.raises(InputError, match="position 1 holds"):
        split([passage, Passage("\ud800")], limit=10, count_tokens=words)
    with pytest.raises(ConfigurationError, match="one number for each"):
        split([passage], limit=10, count_tokens=lambda texts: [1, 2])
    with pytest.raises(ConfigurationError, match="one character"):
        split([passage], limit=2, count_tokens=lambda texts: [3 * len(text) for text in texts])


@pytest.mark.parametrize(
    "unit", ["word ", "字", "字。", "a. ", "\n", "x\n\n", "# h\n\n", "- a\n", " " * 50 + "x", "“a. "]
)
def test_work_grows_with_the_text_alone(unit: str) -> None:
    counted = 0

    def count(texts: Sequence[str]) -> list[int]:
        nonlocal counted
        counted += sum(map(len, texts))
        return words(texts)

    text = (unit * 20_000)[:20_000]
    document = markdown(text)
    pieces = split([document], limit=100, count_tokens=count)
    assert counted <= 6 * len(text) * (2 if unit.startswith("# ") else 1) + 1000
    if text.strip():
        check(document, pieces, 100)


TEXTS = st.lists(
    st.one_of(
        st.sampled_from(
            [
                "\n\n",
                "\n",
                " ",
                ". ",
                "。",
                "! ",
                "# h\n\n",
                "\n\n## i\n",
                "\f",
                "\u200d",
                "e\u0301",
                "👩",
                "\r\n",
                "、",
            ]
        ),
        st.text(max_size=12),
    ),
    max_size=40,
).map(lambda pieces: "".join(pieces).encode("utf-8", "ignore").decode())


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, title=st.sampled_from([None, "T", "a longer title"]), limit=st.integers(3, 40), data=st.data())
def test_any_text(text: str, title: str | None, limit: int, data: st.DataObject) -> None:
    starts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=4, unique=True)))
    headings = [
        Heading(start, min(start + 2, stop), data.draw(st.integers(1, 4)), text[start : start + 2].strip())
        for start, stop in zip(starts, [*starts[1:], len(text)], strict=False)
        if start < stop
    ]
    document = Document(text, id="d", title=title, headings=tuple(headings))
    overlap = data.draw(st.integers(0, limit // 2))
    pieces = split([document], limit=limit, count_tokens=words, overlap=overlap)
    if text.strip():
        check(document, pieces, limit)
    else:
        assert [*pieces] == [document]
