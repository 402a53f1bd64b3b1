"""The page: whole without anything beside it, and every text in it harmless."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bicross.evaluation import gap_report
from bicross.evaluation.findings import GapReport
from bicross.evaluation.page import render
from word_models import WordEncoder, WordScorer, corpus

ATTACK = "<script>alert(1)</script> \"'><img src=x onerror=alert(2)> {{ 7 * 7 }} &amp; </style>"


@pytest.fixture(scope="module")
def found() -> GapReport:
    data = corpus(documents=30, queries=3)
    documents = {f"{ATTACK}{i}": {"title": ATTACK, "text": f"{text} {ATTACK}"} for i, text in data["documents"].items()}
    queries = {f"{ATTACK}{i}": f"{text} {ATTACK}" for i, text in data["queries"].items()}
    qrels = {next(iter(queries)): {next(iter(documents)): 1}}
    judged = {"documents": documents, "queries": queries, "qrels": qrels, "name": ATTACK}
    scorer = WordScorer()
    scorer.name = scorer.score_unit = ATTACK  # type: ignore[attr-defined]
    return gap_report(WordEncoder(), scorer, judged, pool=20, show_progress=False)


@pytest.fixture(scope="module")
def markup(found: GapReport) -> str:
    return render(found)


class Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_texts_are_shown_and_do_nothing(markup: str) -> None:
    page = Elements()
    page.feed(markup)
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "img", "iframe", "object", "embed", "form"}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") >= 4  # name, query, titles, texts
    assert "{{ 7 * 7 }}" in page.text


def test_the_page_needs_nothing_from_elsewhere(markup: str) -> None:
    page = Elements()
    page.feed(markup)
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_every_plot_is_inline_themed_and_has_ids_of_its_own(markup: str) -> None:
    assert markup.count("<svg ") == 5
    ids = re.findall(r'\bid="([^"]+)"', markup)
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r'xlink:href="#([^"]+)"', markup)) | set(re.findall(r"url\(#([^)]+)\)", markup))
    assert targets
    assert targets <= set(ids)
    plots = "".join(re.findall(r"<svg .*?</svg>", markup, flags=re.DOTALL))
    assert not re.findall(r"#[0-9a-f]{6}\b(?!\")", re.sub(r'"#[^"]*"|url\([^)]*\)', "", plots))
    assert "var(--one)" in plots
    assert "DejaVu" not in plots


def test_two_renderings_are_equal(found: GapReport, markup: str) -> None:
    assert render(found) == markup


def test_the_teacher_and_its_reason_are_stated(found: GapReport, markup: str) -> None:
    assert "The teacher is the cross-encoder alone" in markup
    assert "agreeing with oneself proves nothing" in markup
    final = render(replace(found, setting=replace(found.setting, teacher="final")))
    assert "The teacher is the final order" in final
    assert "proves nothing" not in final


@pytest.mark.parametrize("documents", [1, 7])
def test_a_page_of_almost_nothing(tmp_path: Path, documents: int) -> None:
    small = gap_report(WordEncoder(), WordScorer(), corpus(documents=documents, queries=1), show_progress=False)
    path = small.to_html(tmp_path / "sub" / "report.html")
    text = path.read_text("utf-8")
    assert "nan" not in text_of(text).lower().split()
    assert "None" not in text_of(text)


def text_of(markup: str) -> str:
    page = Elements()
    page.feed(markup)
    return page.text
