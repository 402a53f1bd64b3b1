"""The options of `bicross distill`, as `distill` gets them."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from bicross import CrossEncoder
from bicross.cli import app
from bicross.distillation import flow
from bicross.errors import BicrossError, ConfigurationError
from bicross.remote import loading
from tiny_data import write_beir

pytestmark = pytest.mark.long


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, bi_folder: Path):
    """Runs the command, and returns what `distill` was called with."""
    corpus = write_beir(tmp_path / "toy", split="train")
    (corpus / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td3\t1\n")
    got: dict[str, Any] = {}

    def distill(labels, teacher, student, **options: Any) -> SimpleNamespace:
        got.update(options, labels=labels, teacher=teacher, student=student)
        return SimpleNamespace(after=None, skipped=[], model=tmp_path / "student")

    monkeypatch.setattr(flow, "distill", distill)

    def run(*options: str) -> dict[str, Any]:
        fixed = ["distill", "--corpus", str(corpus), "--student", str(bi_folder), "--out", str(tmp_path / "run")]
        done = CliRunner().invoke(app, [*fixed, *options])
        if isinstance(done.exception, BicrossError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return got

    return run


def test_options_reach_the_flow(called, cross_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "asked.jsonl").write_text('{"_id": "a1", "text": "an old train"}\n{"_id": "a2", "text": "no dog"}\n')
    (tmp_path / "asked.tsv").write_text("query-id\tcorpus-id\tscore\na1\td5\t1\na2\td2\t0\n")
    got = called(
        "--teacher", str(cross_folder), "--queries", str(tmp_path / "asked.jsonl"), "--qrels",
        str(tmp_path / "asked.tsv"), "--test-split", "dev", "--rounds", "2", "--layers", "1", "--freeze-layers", "1",
        "--max-length", "48", "--matryoshka", "8", "--matryoshka", "16", "--stage1-weight", "0.3", "--strategy", "hard",
        "--sentences", "70",
    )  # fmt: skip
    assert [(query.positives, query.negatives) for query in got["labels"].queries.values()] == [
        (("d5",), ()),
        ((), ("d2",)),
    ]
    assert got["test"].qrels == {"q2": {"d3": 1}}
    assert (got["rounds"], got["scores"], got["query_generator"]) == (2, None, None)
    assert (got["settings"].stage1_weight, got["settings"].strategy, got["settings"].sentences) == (0.3, "hard", 70)
    chosen = got["settings"].student
    assert (chosen.layers, chosen.freeze_layers, chosen.static, chosen.matryoshka) == (1, 1, False, (8, 16))
    assert (chosen.trainer.max_length, chosen.trainer.batch_size) == (48, 16)
    assert isinstance(got["teacher"], CrossEncoder)


def test_a_light_tower_and_a_teacher_that_nobody_asks(called, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(loading, "load_cross_encoder")
    chosen = called("--towers", "query", "--static", "--loss", "contrastive=1")["settings"].student
    assert (chosen.towers, chosen.static, chosen.weights) == ("query", True, {"contrastive": 1.0})
    assert chosen.trainer.learning_rate == 2e-3
    scores = tmp_path / "teacher.run"
    got = called("--scores", str(scores))
    assert (got["scores"], got["teacher"]) == (scores, None)


def test_the_generator_computes_where_the_models_do(called, cross_folder: Path, tmp_path: Path) -> None:
    got = called("--teacher", str(cross_folder), "--query-generator", str(tmp_path), "--device", "cpu")
    assert (got["query_generator"].folder, got["query_generator"].device) == (tmp_path, "cpu")
    assert got["settings"].student.trainer.device == "cpu"
    assert called("--teacher", str(cross_folder))["settings"].student.trainer.device == "auto"


def test_a_prompt_for_a_teacher_that_nobody_asks_is_refused(called, tmp_path: Path) -> None:
    for reason in (("--loss", "contrastive=1"), ("--scores", str(tmp_path / "teacher.run"))):
        with pytest.raises(ConfigurationError, match=r"here none is; got 'Which film\?'.*--teacher.*--loss kl=1"):
            called("--teacher-prompt", "Which film?", *reason)


def test_the_ways_of_making_queries(called, cross_folder: Path) -> None:
    assert called("--teacher", str(cross_folder))["settings"].ways == ("title", "question", "span", "sentence")
    got = called("--teacher", str(cross_folder), "--way", "sentence", "--way", "question")
    assert got["settings"].ways == ("sentence", "question")
    with pytest.raises(ConfigurationError, match=r"ways must be some of .*got \('titles',\)"):
        called("--teacher", str(cross_folder), "--way", "titles")
