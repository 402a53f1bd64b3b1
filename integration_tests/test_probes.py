"""The probes' files as they are, and probes made from real passages, on the command line and with real weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

from bicross import BiEncoder
from bicross.evaluation import grounding_probe, load_dataset, probe, quantifier_probe

Run = Callable[..., CompletedProcess[str]]
ROOT = Path(__file__).parents[1]


def test_the_command_measures_what_the_benchmark_does(
    data: Path, bicross: Callable[..., CompletedProcess[str]]
) -> None:
    done = bicross("probe", str(data / "probes" / "scone.jsonl"), "--failures", "1", "--json")
    found = json.loads(done.stdout)
    committed = json.loads((ROOT / "benchmarks" / "results" / "probes-starter.json").read_text("utf-8"))
    expected = committed["probes"]["negation-scope"]
    assert (found["rows"], found["groups"]) == (24, 12)
    for stage in ("bi_encoder", "cross_encoder", "two_stage"):
        for name in ("accuracy", "group_accuracy", "chance", "auc"):
            assert found[stage][name] == pytest.approx(expected[stage][name], abs=1e-4)
    assert len(found["failures"]["bi_encoder"]) == 1


def test_every_file_of_probes_is_read(data: Path) -> None:
    class Blind:
        fingerprint = "blind"

        def predict(self, pairs: list, /):
            return np.zeros(len(pairs), dtype=np.float32)

        rank = predict

    for name, rows in {"semantoneg": 6160, "scone": 24, "squad2-unanswerable": 1204}.items():
        report = probe(data / "probes" / f"{name}.jsonl", None, Blind())
        figures = report.cross_encoder
        assert report.rows == rows
        assert (figures.accuracy, figures.auc) == (0.5, 0.5)
        assert figures.group_accuracy == pytest.approx(figures.chance)


def test_words_alone_solve_no_probe_of_quantifiers(data: Path) -> None:
    squad = load_dataset(data / "squad")
    judged = {document for grades in squad.qrels.values() for document in grades}
    passages = {identity: text for identity, text in squad.documents.items() if identity in judged}
    rows = quantifier_probe(passages, titles=squad.titles, per_kind=10)
    with BiEncoder.load() as model:
        report = probe(rows[:40], model)
    assert len(rows) > 150
    assert (report.words.accuracy, report.words.group_accuracy) == (0.5, 0.25)
    assert report.bi_encoder.chance == 0.25


def test_real_articles_give_one_answer_among_many_sentences(data: Path) -> None:
    rows = grounding_probe(load_dataset(data / "squad-sent"), count=3)
    assert len({row["group"] for row in rows}) == 3
    assert len(rows) == 3 * (2 + 11 + 11 + 11)
