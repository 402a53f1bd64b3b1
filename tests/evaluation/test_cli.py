from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bicross.cli import app
from bicross.evaluation import Stages, evaluate, gap_report

pytestmark = pytest.mark.long


@pytest.fixture
def run(tmp_path: Path, bi_folder: Path, cross_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, command: str = "evaluate") -> str:
        models = ["--bi", str(bi_folder), "--cross", str(cross_folder)]
        done = CliRunner().invoke(app, [command, *arguments, *models], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


def test_the_command_gives_what_the_function_gives(run, beir: Path, bi_encoder, cross_encoder, tmp_path: Path) -> None:
    value = json.loads(run(str(beir), "--json", "--run", "a.run", "--candidates", "3", "--measure", "nDCG@10"))
    with Stages(bi_encoder, cross_encoder) as stages:
        wanted = evaluate(stages, beir, candidates=3, measures=["nDCG@10"])
    assert value == json.loads(wanted.to_json())
    assert value["queries"] == 3
    assert value["two_stage"].keys() == value["first_stage"].keys() == {"nDCG@10"}
    assert (tmp_path / "a.run").read_text().count("\n") == 15
    assert {path.name for path in (tmp_path / ".bicross" / "cache").iterdir()} >= {"vectors.sqlite", "scores.sqlite"}


def test_the_table_compares_with_a_run(run, beir: Path) -> None:
    run(str(beir), "--run", "a.run", "--cache", "kept")
    text = run(str(beir), "--compare", "a.run", "--first-stage", "bm25", "--cache", "kept", "--exclude-self")
    assert "toy: 3 queries" in text
    assert "first stage" in text
    assert "both stages" in text
    assert "against a.run (paired randomisation test):" in text
    assert Path("kept/vectors.sqlite").is_file()


def test_gap_gives_what_the_function_gives_and_writes_the_page(run, beir: Path, bi_encoder, cross_encoder) -> None:
    options = ("--exhaustive", "--no-timing", "--teacher", "final", "--stage1-weight", "0.5", "--candidates", "3")
    value = json.loads(run(str(beir), *options, "--json", "--out", "new/gap.html", command="gap"))
    wanted = gap_report(
        bi_encoder, cross_encoder, beir, exhaustive=True, timing=False, teacher="final", stage1_weight=0.5, candidates=3
    )
    assert value == json.loads(wanted.to_json())
    assert value["setting"]["teacher"] == "final"
    assert Path("new/gap.html").read_text("utf-8").startswith("<!doctype html>")


def test_gap_sums_up_in_the_terminal(run, beir: Path) -> None:
    text = run(str(beir), "--queries", "2", command="gap")
    assert "Gap report: toy" in text
    assert "Recommended candidates" in text
    assert "A query may take" in text
