"""A gap report that is killed, and one that a browser opens."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

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


@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_the_page_without_complaint(tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no browser: install chromium")
    data = corpus()
    qrels = {query_id: {"d1": 1, "d2": 2} for query_id in data["queries"]}
    page = gap_report(WordEncoder(), WordScorer(), data | {"qrels": qrels}, pool=50).to_html(tmp_path / "gap.html")
    shot = tmp_path / "shot.png"
    command = [
        *(browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"),
        *("--enable-logging=stderr", f"--window-size={width},1000", f"--screenshot={shot}", page.as_uri()),
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert shot.read_bytes().startswith(b"\x89PNG")
    assert "CONSOLE" not in done.stderr, done.stderr
