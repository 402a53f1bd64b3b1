"""A gap report that is killed, and one that a browser opens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import word_models
from bicross.evaluation import gap_report
from word_models import WordEncoder, WordScorer, corpus


def test_a_kill_costs_at_most_the_batch_it_fell_into(tmp_path: Path) -> None:
    logs, out = [tmp_path / "killed", tmp_path / "resumed", tmp_path / "unbroken"], tmp_path / "report.json"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}

    def run(log: Path, dies_at: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, word_models.__file__, str(tmp_path / "cache"), str(log), str(dies_at), str(out)]
        return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)

    killed = run(logs[0], 3)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = run(logs[1], 0)
    assert resumed.returncode == 0, resumed.stderr
    data = corpus(documents=400, queries=6)
    unbroken = gap_report(WordEncoder(), WordScorer(logs[2]), data, pool=300, timing=False)
    assert out.read_text("utf-8") == unbroken.to_json()
    before, after, whole = (log.read_text("utf-8").splitlines() for log in logs)
    assert len(before) == 2 * 512  # two batches were acknowledged before the third was killed
    assert len(whole) == len(set(whole)) == 6 * 300
    assert sorted(before + after) == sorted(whole)  # no pair twice, none missing


@pytest.fixture(scope="module", params=["random", "xquad"])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of random sentences, and of xquad's paragraphs; by models that count words: the starters would take minutes."""
    out = tmp_path_factory.mktemp("gap") / "gap.html"
    if request.param == "random":
        data = corpus()
        qrels = {query_id: {"d1": 1, "d2": 2} for query_id in data["queries"]}
        return gap_report(WordEncoder(), WordScorer(), data | {"qrels": qrels}, pool=50).to_html(out)
    return gap_report(WordEncoder(), WordScorer(), request.getfixturevalue("xquad"), queries=20, pool=100).to_html(out)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_a_browser_shows_the_page_without_complaint(browser: Any, page: Path, width: int, scheme: str) -> None:
    errors: list[str] = []
    asked: list[str] = []
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        tab = context.new_page()
        tab.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
        tab.on("pageerror", lambda error: errors.append(str(error)))
        tab.on("request", lambda request: asked.append(request.url))
        tab.goto(page.as_uri(), wait_until="networkidle")
        assert tab.evaluate("innerWidth") == width
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.locator("figure svg").count() > 0
    assert errors == []
    assert asked == [page.as_uri()]
