"""`distill` from a corpus to a student: stages, kills, checks, with a tiny model and a teacher that is a rule."""

from __future__ import annotations

import itertools
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from bicross.bi_encoder import BiEncoder
from bicross.cli import app
from bicross.cross_encoder import CrossEncoder
from bicross.distillation import cost as costs
from bicross.distillation import flow_checks, stages
from bicross.distillation.corpus import as_dataset
from bicross.distillation.cost import estimate_cost
from bicross.distillation.fitting import TrainingSettings
from bicross.distillation.flow import distill
from bicross.distillation.flow_checks import check_gain
from bicross.distillation.flow_queries import divided, kept_made_queries
from bicross.distillation.flow_settings import DistillSettings
from bicross.distillation.labels import LabelledQuery, Labels
from bicross.distillation.lists import CandidateLists
from bicross.distillation.mining import MiningSettings, Window, mine_candidates
from bicross.distillation.query_generators import Seq2SeqGenerator
from bicross.distillation.run_folder import RunFolder
from bicross.distillation.sampling import sample_lists
from bicross.distillation.stages import Flow
from bicross.distillation.student_settings import StudentSettings
from bicross.errors import ConfigurationError, InputError, MissingExtraError
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.runs import write_run
from bicross.evaluation.timing import SAMPLE
from judge import Judge
from tiny_data import write_beir
from tiny_models import WORDS, write_bi_encoder, write_cross_encoder

pytestmark = pytest.mark.long

TRAINING = TrainingSettings(
    batch_size=8, learning_rate=3e-3, max_length=16, save_steps=4, bf16=False, show_progress=False
)
SETTINGS = DistillSettings(
    mining=MiningSettings(dense=((1, 20, 6),), bm25=(), easy=4),
    candidates=8,
    student=StudentSettings(epochs=2, patience=2, held_out=6, training=TRAINING, freeze_embeddings=False),
    made=40,
    held_out=10,
    depth=20,
    gap_queries=3,
    gap_pool=30,
)

FROZEN = r"freeze_layers must be from 0 to {} \(lora needs one layer that isn't frozen\); got {}\."


def shared_words(query: str, text: str) -> float:
    return float(len(set(query.split()) & set(text.split())))


def toy() -> Labels:
    rng = np.random.default_rng(0)
    words = [word for word in WORDS if len(word) > 2]
    documents = {f"d{i}": " ".join(rng.choice(words, size=7, replace=False).tolist()) for i in range(90)}
    queries = {f"q{i}": LabelledQuery(" ".join(documents[f"d{i}"].split()[:3]), (f"d{i}",)) for i in range(70)}
    return Labels("toy", documents, queries)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bi_encoder(tmp_path_factory.mktemp("models") / "base", initializer_range=0.1)


@pytest.fixture
def student(base: Path):
    with BiEncoder.load(base, backend="torch", device="cpu") as encoder:
        yield encoder


def test_from_a_corpus_to_a_measured_student(student, tmp_path: Path) -> None:
    teacher = Judge(shared_words)
    report = distill(toy(), teacher, student, out=tmp_path / "run", settings=SETTINGS)
    assert report.before is not None
    assert report.after is not None
    assert report.before["queries"] == 10
    assert report.after["teacher"] == report.before["teacher"]
    assert report.done == [
        "measure before", "gap before", "mine 1", "score 1", "sample 1", "train 1", "measure after", "gap after",
        "model card",
    ]  # fmt: skip
    manifest = json.loads((tmp_path / "run" / "run.json").read_text())
    assert manifest["recipe"]["settings"]["seed"] == 0
    assert manifest["stages"]["mine 1"]["found"]["kinds"]["positive"] == 60
    card = (report.model / "README.md").read_text()
    assert "10 queries that training didn't see" in card
    assert f"{report.after['student']['nDCG@10']:.4f}" in card
    with report.load(backend="torch", device="cpu") as trained:
        assert trained.document_fingerprint != student.document_fingerprint
    assert (tmp_path / "run" / "gap-after.html").exists()
    asked = teacher.asked
    again = distill(toy(), teacher, student, out=tmp_path / "run", settings=SETTINGS)
    assert again.done == []
    assert again.skipped == report.done
    assert (again.after, teacher.asked) == (report.after, asked)


def test_a_bar_leaves_standard_output_alone(student, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = replace(SETTINGS, gap_queries=0)
    distill(toy(), Judge(shared_words), student, out=tmp_path, settings=settings, show_progress=True)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "scoring" in shown.err


def test_only_what_changed_is_done_again(student, tmp_path: Path) -> None:
    settings = replace(SETTINGS, gap_queries=0)
    distill(toy(), Judge(shared_words), student, out=tmp_path, settings=settings)
    changed = replace(settings, candidates=6)
    report = distill(toy(), Judge(shared_words), student, out=tmp_path, settings=changed)
    assert report.done == ["sample 1", "train 1", "measure after", "model card"]
    assert distill(toy(), Judge(shared_words), student, out=tmp_path, settings=changed, rounds=2).done[:2] == [
        "mine 2",
        "score 2",
    ]


def test_a_second_round_mines_with_the_first_rounds_student_and_scores_no_pair_again(student, tmp_path: Path) -> None:
    asked: list[tuple[str, str]] = []

    class Counting(Judge):
        def predict(self, pairs, /):
            asked.extend(pairs)
            return super().predict(pairs)

    settings = replace(SETTINGS, gap_queries=0, student=replace(SETTINGS.student, epochs=1))
    report = distill(toy(), Counting(shared_words), student, out=tmp_path, settings=settings, rounds=2)
    rounds = [CandidateLists.read(tmp_path / f"round-{number}" / "scored.parquet") for number in (1, 2)]
    with BiEncoder.load(tmp_path / "round-1" / "student", backend="torch", device="cpu") as first:
        prints = [[model.document_fingerprint, model.query_fingerprint] for model in (student, first)]
    assert [lists.metadata["miners"]["dense"] for lists in rounds] == prints
    assert prints[0] != prints[1]
    first_pairs, second_pairs = (set(lists.iter_pairs()) for lists in rounds)
    assert second_pairs - first_pairs  # it finds others
    assert second_pairs & first_pairs  # and some of the same, such as the positives
    assert len(asked) == len(set(asked))
    assert first_pairs | second_pairs <= set(asked)
    assert [found["lists"] for found in report.rounds] == [54, 54]
    trained = [tmp_path / f"round-{number}" / "student" / "model.safetensors" for number in (1, 2)]
    assert (report.model / "model.safetensors").read_bytes() == trained[1].read_bytes() != trained[0].read_bytes()


def test_a_run_and_its_student_say_what_all_of_it_was_trained_on(base: Path, tmp_path: Path) -> None:
    begun = shutil.copytree(base, tmp_path / "begun")
    (begun / "bicross.json").write_text('{"trained_on": {"data": ["tldr"], "base": [], "teacher": ["medquad"]}}')
    said = {"data": ["squad"], "base": [], "teacher": ["tldr"]}
    cross = write_cross_encoder(tmp_path / "cross", extras={"trained_on": said, "stage1_weight": 0.5})
    settings = replace(SETTINGS, gap_queries=0, student=replace(SETTINGS.student, epochs=1))

    def run(name: str, teacher: str | Path | None, began: Path, weight: float | None = None, **options):
        changed = replace(settings, stage1_weight=weight)
        with ExitStack() as stack:
            scorer = teacher and stack.enter_context(CrossEncoder.load(teacher, backend="torch", device="cpu"))
            encoder = stack.enter_context(BiEncoder.load(began, backend="torch", device="cpu"))
            report = distill(
                toy(), scorer, encoder, out=tmp_path / name, settings=changed, weak_teacher=True, **options
            )
        recipe = json.loads((tmp_path / name / "run.json").read_text())["recipe"]
        kept = json.loads((report.model / "bicross.json").read_text())
        assert kept["trained_on"] == recipe["trained_on"]
        assert kept["epoch"] == report.rounds[-1]["epoch"]  # the record of its training is still there
        return report.model, recipe

    first, recipe = run("first", cross, begun, rounds=2)
    assert recipe["teacher_trained_on"] == {"cross_encoder": ["squad", "tldr"], "bi_encoder": ["medquad", "tldr"]}
    assert recipe["trained_on"] == {
        "data": ["toy"], "base": ["medquad", "tldr"], "teacher": ["medquad", "squad", "tldr"]
    }  # fmt: skip
    card = (first / "README.md").read_text()
    assert "- Teacher: cross, trained on squad, tldr." in card
    assert "- With a share of begun, trained on medquad, tldr." in card
    _, alone = run("alone", cross, begun, 0.0)
    assert alone["trained_on"]["teacher"] == ["squad", "tldr"]
    _, second = run("second", write_cross_encoder(tmp_path / "silent"), first, 0.0)
    assert second["trained_on"] == {"data": ["toy"], "base": ["medquad", "squad", "tldr", "toy"], "teacher": [None]}
    settings = ALONE
    _, untaught = run("untaught", None, base)
    assert untaught["trained_on"] == {"data": ["toy"], "base": [None], "teacher": []}
    settings = replace(SETTINGS, false_negatives=None, gap_queries=0)
    labels = toy()
    given = {q: {d: i for i, d in enumerate([*query.positives, "d88", "d89"])} for q, query in labels.queries.items()}
    _, brought = run("brought", None, base, scores=given)
    assert brought["trained_on"] == {"data": ["toy"], "base": [None], "teacher": [None]}


def test_a_student_goes_up_with_its_card_and_nothing_of_its_run(student, tmp_path: Path, hub) -> None:
    settings = replace(SETTINGS, gap_queries=0, student=replace(SETTINGS.student, epochs=1), license="mit")
    report = distill(toy(), Judge(shared_words), student, out=tmp_path / "run", settings=settings)
    (report.model / ".env").write_text("HF_TOKEN=hf_secret")
    (report.model / ".git").mkdir()
    (report.model / ".git" / "config").write_text("hf_secret")
    assert report.push_to_hub("me/student", token="hf_secret") == "https://hub.example/me/student"
    assert hub.calls == [("token", "hf_secret"), ("create", "me/student", True, True), ("upload", "me/student")]
    assert set(hub.files) == {
        "1_Pooling/config.json", "README.md", "bicross.json", "config.json", "config_sentence_transformers.json",
        "model.safetensors", "modules.json", "sentence_bert_config.json", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    folders = (bytes(tmp_path), bytes(Path(student.name)))  # where things lie here is nobody's business
    assert not any(secret in content for content in hub.files.values() for secret in (b"hf_", *folders))
    assert hub.files["README.md"] == (report.model / "README.md").read_bytes()
    assert b'license: "mit"' in hub.files["README.md"]
    report.push_to_hub("me/public", private=False)
    assert hub.calls == [("token", None), ("create", "me/public", False, True), ("upload", "me/public")]


def test_queries_are_made_where_there_are_none(student, tmp_path: Path) -> None:
    corpus = Labels("toy", {d: f"{text}. {text} sun." for d, text in toy().documents.items()}, {})
    settings = replace(SETTINGS, gap_queries=0, ways=("sentence",))
    report = distill(corpus, Judge(shared_words), student, out=tmp_path, settings=settings)
    assert report.before is report.after is None
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert manifest["stages"]["queries"]["found"] == {"queries": 40}
    trip = manifest["stages"]["score 1"]["found"]["round_trip"]
    assert trip["made"] == {"sentence": 40}
    assert 0 < trip["kept"]["sentence"] <= 40
    assert "made from the corpus" in (report.model / "README.md").read_text()


def test_the_first_ranks_of_made_queries_are_all_mined() -> None:
    settings = DistillSettings().mining_for(made=True)
    assert settings.dense == (Window(1, 29, 29), Window(30, 100, 6))
    assert DistillSettings(seed=3).mining_for(made=False).seed == 3


def test_as_many_candidates_are_mined_as_are_trained_on(student) -> None:
    def lengths(settings: DistillSettings) -> set[int]:
        mined = mine_candidates(toy(), student, settings=settings.mining_for(made=False))
        ranked = mined.with_scores(np.arange(mined.pairs))
        return {len(one) for one in sample_lists(ranked, settings.candidates, false_negatives=None)}

    assert lengths(replace(SETTINGS, candidates=11)) == {11}  # the positive and the ten that are drawn
    assert lengths(replace(SETTINGS, candidates=40)) == {40}
    wide = DistillSettings(candidates=40)
    assert wide.mining_for(made=False) == wide.mining.widened(40)
    assert wide.mining_for(made=True).dense == (Window(1, 29, 29), Window(30, 100, 12))


def test_a_teacher_that_knows_no_more_is_refused(student, tmp_path: Path) -> None:
    class Same(Judge):
        """Scores as the student does, for all it matters."""

        def predict(self, pairs, /):
            queries = student.encode_query([q for q, _ in pairs])
            return (queries * student.encode_document([d for _, d in pairs])).sum(axis=1)

    with pytest.raises(InputError, match=r"nothing to distil.*train-reranker.*contrastive=1"):
        distill(toy(), Same(shared_words, "same"), student, out=tmp_path, settings=SETTINGS)
    report = distill(
        toy(), Same(shared_words, "same"), student, out=tmp_path, settings=replace(SETTINGS, gap_queries=0),
        weak_teacher=True,
    )  # fmt: skip
    assert report.skipped == ["measure before"]


def test_the_gain_is_checked_against_what_is_asked() -> None:
    before = {"queries": 9, "data": "d", "measure": "nDCG@10", "tests": {"teacher": {"difference": 0.02}}}
    before["tests"]["teacher"]["interval"] = [0.01, 0.03]  # type: ignore[index]
    check_gain(before, 0.02)
    with pytest.raises(InputError, match=r"gains \+2\.0 points of nDCG@10 \(\+1\.0 … \+3\.0\)"):
        check_gain(before, 0.03)


def test_a_teacher_that_scores_all_alike_is_refused(student, tmp_path: Path) -> None:
    teacher = Judge(lambda _query, _text: 1.0)
    with pytest.raises(InputError, match="nothing to distil"):
        distill(toy(), teacher, student, out=tmp_path, settings=SETTINGS, weak_teacher=True)


ALONE = replace(SETTINGS, student=replace(SETTINGS.student, losses={"contrastive": 1.0, "anchor": 0.1}))


def test_without_a_loss_of_its_scores_a_teacher_is_not_asked(student, tmp_path: Path) -> None:
    teacher = Judge(lambda _query, _text: 1.0)
    report = distill(toy(), teacher, student, out=tmp_path / "run", settings=ALONE)
    assert teacher.asked == 0
    assert report.done == ["measure before", "mine 1", "sample 1", "train 1", "measure after", "model card"]
    assert report.gap == {"before": None, "after": None}
    assert report.before is not None
    assert report.after is not None
    assert set(report.before) == {"data", "queries", "measure", "base", "tests"}
    assert report.after["base"] == report.before["base"] != report.after["student"]
    assert report.rounds[0]["after"]["agreement"] is None
    lists = CandidateLists.read(tmp_path / "run" / "round-1" / "lists.parquet")
    assert len(lists) == 60
    assert np.isnan(lists.scores).all()
    assert all(one.kinds[0] == "positive" and len(one) == 8 for one in lists)
    card = (report.model / "README.md").read_text()
    assert "on judged queries of *toy*" in card
    assert "teacher" not in card
    assert f"{report.after['student']['nDCG@10']:.4f}" in card
    assert distill(toy(), None, student, out=tmp_path / "run", settings=ALONE).done == []


def test_a_miners_first_finds_are_the_hardest_where_nothing_is_scored(student, tmp_path: Path) -> None:
    settings = replace(ALONE, candidates=4, strategy="hard", student=replace(ALONE.student, epochs=1))
    distill(toy(), None, student, out=tmp_path, settings=settings)
    mined = CandidateLists.read(tmp_path / "round-1" / "mined.parquet")
    lists = CandidateLists.read(tmp_path / "round-1" / "lists.parquet")
    for all_, chosen in zip(mined, lists, strict=True):
        ranks = sorted(rank for rank, kind in zip(all_.ranks, all_.kinds, strict=True) if kind == "dense")
        assert chosen.ranks.tolist()[1:] == ranks[:3]


def test_what_was_judged_irrelevant_stays_where_nothing_is_scored(student, tmp_path: Path) -> None:
    labels = toy()
    judged = {
        key: replace(query, negatives=(next(d for d in reversed(labels.documents) if d not in query.positives),))
        for key, query in labels.queries.items()
    }
    settings = replace(ALONE, candidates=4, strategy="hard", student=replace(ALONE.student, epochs=1))
    distill(replace(labels, queries=judged), None, student, out=tmp_path, settings=settings)
    for one in CandidateLists.read(tmp_path / "round-1" / "lists.parquet"):
        assert one.labels.tolist().count(0.0) == 1
        assert len(one) == 4


def test_a_student_without_a_teacher_needs_judgments(student, tmp_path: Path) -> None:
    labels = toy()
    unjudged = replace(labels, queries={q: replace(v, positives=()) for q, v in labels.queries.items()})
    with pytest.raises(InputError, match=r"learns from judgments; none of the 70 queries of 'toy'.*--qrels.*kl=1"):
        distill(unjudged, None, student, out=tmp_path, settings=ALONE)
    with pytest.raises(ConfigurationError, match=r"A teacher is needed.*got None.*contrastive"):
        distill(labels, None, student, out=tmp_path, settings=SETTINGS)


def test_made_queries_need_a_teacher_whatever_the_losses(student, tmp_path: Path, caplog) -> None:
    corpus = Labels("toy", {d: f"{text}. {text} sun." for d, text in toy().documents.items()}, {})
    settings = replace(ALONE, gap_queries=0, ways=("sentence",))
    with pytest.raises(ConfigurationError, match="where queries are made"):
        distill(corpus, None, student, out=tmp_path, settings=settings)
    with caplog.at_level(logging.WARNING):
        report = distill(corpus, Judge(shared_words), student, out=tmp_path, settings=settings)
    assert "score 1" in report.done
    assert "made queries have no judgments to measure on, so neither the teacher's gain" in caplog.text


def test_scores_that_are_there_already_are_the_lists(student, tmp_path: Path) -> None:
    labels, teacher = toy(), Judge(shared_words)
    run = {
        query_id: {d: shared_words(query.text, labels.documents[d]) + 0.01 * i for i, d in enumerate(pool)}
        for query_id, query in labels.queries.items()
        if (pool := [*query.positives, *(f"d{i}" for i in range(70, 90))])
    }
    path = write_run(
        tmp_path / "teacher.run", {q: dict(sorted(v.items(), key=lambda x: -x[1])) for q, v in run.items()}
    )
    settings = replace(SETTINGS, gap_queries=0, false_negatives=None)
    report = distill(labels, teacher, student, out=tmp_path / "a", scores=path, settings=settings)
    assert report.done == ["measure before", "sample 1", "train 1", "measure after", "model card"]
    assert teacher.asked <= 2 * 10 * 20
    lists = CandidateLists.read(tmp_path / "a" / "round-1" / "lists.parquet")
    assert len(lists) == 60
    assert all(
        score == np.float32(run[one.query_id][d])
        for one in lists
        for d, score in zip(one.document_ids, one.scores, strict=True)
    )
    alone = distill(labels, None, student, out=tmp_path / "b", scores=run, settings=settings)
    assert alone.rounds == report.rounds
    assert "trained on scores of candidates (a table)" in (alone.model / "README.md").read_text()
    with pytest.raises(ConfigurationError, match="one round"):
        distill(labels, None, student, out=tmp_path / "c", scores=run, settings=settings, rounds=2)
    with pytest.raises(ConfigurationError, match="'toy' has none"):
        distill(replace(labels, queries={}), None, student, out=tmp_path / "c", scores=run, settings=settings)
    same = {q: dict.fromkeys(found, 1.0) for q, found in run.items()}
    with pytest.raises(InputError, match="nothing to distil"):
        distill(labels, None, student, out=tmp_path / "c", scores=same, settings=settings)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"losses": {"kl": 1.0, "vectors": 1.0}}, "distill has none.*train_bi_encoder"),
        ({"matryoshka": (16, 64)}, "lengths from 1 to the student's 32; got 64"),
        ({"layers": 3}, "layers must be from 1 to the model's 2; got 3"),
        ({"freeze_layers": 3}, FROZEN.format(2, 3)),
        (
            {"layers": 1, "freeze_layers": 2},
            FROZEN.format(1, 2),
        ),
        (
            {"lora": 2, "freeze_layers": 2},
            FROZEN.format(1, 2),
        ),
        ({"towers": "query", "static": True, "freeze_layers": 1}, "table of token vectors has no layers"),
    ],
)
def test_what_training_would_refuse_is_refused_before_any_work(student, tmp_path, changed, message) -> None:
    teacher = Judge(shared_words)
    settings = replace(SETTINGS, student=replace(SETTINGS.student, **changed))
    with pytest.raises(ConfigurationError, match=message):
        distill(toy(), teacher, student, out=tmp_path / "run", settings=settings)
    assert teacher.asked == 0
    assert not (tmp_path / "run").exists()


def test_another_similarity_and_a_missing_package_are_said_before_any_work(student, tmp_path, monkeypatch) -> None:
    folder = write_bi_encoder(tmp_path / "far", similarity="euclidean")
    with (
        BiEncoder.load(folder, backend="torch", device="cpu") as far,
        pytest.raises(ConfigurationError, match="compares by cosine or dot product; this one by 'euclidean'"),
    ):
        distill(toy(), Judge(shared_words), far, out=tmp_path / "run", settings=SETTINGS)
    monkeypatch.setattr(flow_checks, "find_spec", lambda name: None if name == "peft" else name)
    adapted = replace(SETTINGS, student=replace(SETTINGS.student, lora=2))
    with pytest.raises(MissingExtraError, match=r"lora needs peft.*bicross\[distill\]"):
        distill(toy(), Judge(shared_words), student, out=tmp_path / "run", settings=adapted)
    assert not (tmp_path / "run").exists()


def test_a_generator_is_known_by_its_weights(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    before = Seq2SeqGenerator(base).fingerprint
    copy = shutil.copytree(base, tmp_path / "copy")
    assert Seq2SeqGenerator(copy).fingerprint == before != Seq2SeqGenerator(copy, per_text=2).fingerprint
    weights = load_file(copy / "model.safetensors")
    weights["embeddings.word_embeddings.weight"][3] += 1
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    assert Seq2SeqGenerator(copy).fingerprint != before


def test_test_queries_are_not_trained_on(student, tmp_path: Path) -> None:
    labels = toy()
    test = as_dataset(labels.only(["q1", "q2"]))
    with pytest.raises(ConfigurationError, match="2 of 2 are, such as 'q1'"):
        distill(labels, Judge(shared_words), student, out=tmp_path / "a", test=test, settings=SETTINGS)
    rest = labels.only([q for q in labels.queries if q not in test.queries])
    settings = replace(SETTINGS, gap_queries=0)
    report = distill(rest, Judge(shared_words), student, out=tmp_path / "b", test=test, settings=settings)
    assert report.after is not None
    assert report.after["queries"] == 2


def test_weights_are_counted_whatever_they_are_stored_in(base: Path, student, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    from bicross.distillation.cost import _parameters

    half = shutil.copytree(base, tmp_path / "half")
    weights = load_file(base / "model.safetensors")
    save_file({name: weight.half() for name, weight in weights.items()}, half / "model.safetensors", {"format": "pt"})
    with BiEncoder.load(half, backend="torch", device="cpu") as encoder:
        assert _parameters(encoder) == _parameters(student) == sum(weight.numel() for weight in weights.values())


def test_what_a_held_out_query_asks_is_not_trained_on_under_another_id() -> None:
    labels = toy()
    again = {f"again-{q}": replace(v, text=f" {v.text.upper()} ", positives=()) for q, v in labels.queries.items()}
    train, test = divided(replace(labels, queries={**labels.queries, **again}), None, SETTINGS)
    assert test is not None
    assert len(test.queries) == 10
    asked = {text.split()[0] + text.split()[1] + text.split()[2] for text in test.queries.values()}
    assert asked.isdisjoint("".join(query.text.casefold().split()) for query in train.queries.values())
    assert len(train.queries) == 2 * 60
    shouted = replace(test, queries={query_id: text.upper() for query_id, text in test.queries.items()})
    assert len(divided(labels, shouted, SETTINGS)[0].queries) == 60


def test_judgments_that_connect_all_queries_need_test_queries_of_their_own() -> None:
    labels = toy()
    joined = {q: replace(query, positives=(*query.positives, "d0")) for q, query in labels.queries.items()}
    with pytest.raises(ConfigurationError, match=r"form 1 articles.*--test-split"):
        divided(replace(labels, queries=joined), None, SETTINGS)


def test_gap_reports_are_about_queries_that_training_does_not_see(student, tmp_path: Path, monkeypatch) -> None:
    trained: set[str] = set()
    real = stages.train_bi_encoder

    def noting(lists, *args, **kwargs):
        trained.update(one.query for one in lists)
        return real(lists, *args, **kwargs)

    monkeypatch.setattr(stages, "train_bi_encoder", noting)
    reported: set[str] = set()
    gap = stages.gap_report

    def asked(model, teacher, data, **options):
        reported.update(data.queries.values())
        return gap(model, teacher, data, **options)

    monkeypatch.setattr(stages, "gap_report", asked)
    corpus = Labels("toy", {d: f"{text}. {text} sun." for d, text in toy().documents.items()}, {})
    settings = replace(SETTINGS, ways=("sentence",))
    report = distill(corpus, Judge(shared_words), student, out=tmp_path, settings=settings)
    assert len(reported) == 3
    assert trained
    assert trained.isdisjoint(reported)
    assert report.gap["after"]["queries"] == 3
    assert "On 3 queries that training didn't see" in (report.model / "README.md").read_text()


def test_made_queries_that_are_test_queries_are_left_out(student, tmp_path: Path) -> None:
    corpus = Labels("toy", {d: f"{text}. {text} sun." for d, text in toy().documents.items()}, {})
    settings = replace(SETTINGS, ways=("sentence",), queries=30)
    with RunFolder(tmp_path, {}) as run:
        made = kept_made_queries(run, corpus, settings, None, False)
        assert len(made.queries) == 30
        some = [query.text for query in list(made.queries.values())[:5]]
        test = Dataset("test", dict(corpus.documents), {}, {f"t{i}": q.upper() for i, q in enumerate(some)}, {})
        flow = Flow(run, corpus, Judge(shared_words), student, settings, tmp_path, test, None, False)
    assert len(flow.labels.queries) == 25
    assert flow.gap_data is test


def test_another_generator_or_other_titles_make_other_queries(tmp_path: Path) -> None:
    corpus = toy()
    corpus = replace(corpus, queries={}, documents={d: f"{text} {text}" for d, text in corpus.documents.items()})

    def first(texts):
        return [[text.split()[0]] for text in texts]

    def last(texts):
        return [[text.split()[-1]] for text in texts]

    def made(generator, labels=corpus) -> set[str]:
        with RunFolder(tmp_path, {}) as run:
            kept = kept_made_queries(run, labels, replace(SETTINGS, ways=("title",)), generator, False)
        return {query.text for query in kept.queries.values()}

    assert made(first) == {text.split()[0] for text in corpus.documents.values()}
    assert made(last) == {text.split()[-1] for text in corpus.documents.values()}
    two = {d: " ".join(text.split()[:2]) for d, text in corpus.documents.items()}
    three = {d: " ".join(text.split()[:3]) for d, text in corpus.documents.items()}
    assert {len(query.split()) for query in made(None, replace(corpus, groups=two))} == {2}
    assert {len(query.split()) for query in made(None, replace(corpus, groups=three))} == {3}


def test_a_kill_loses_one_call_of_a_generator(tmp_path: Path) -> None:
    corpus, asked = replace(toy(), queries={}), []

    def killed_once(texts):
        asked.append(len(texts))
        if len(asked) == 2:
            raise KeyboardInterrupt
        return [[text.split()[0]] for text in texts]

    def made() -> list[str]:
        with RunFolder(tmp_path, {}) as run:
            kept = kept_made_queries(run, corpus, replace(SETTINGS, made=1000), killed_once, False)
        return [query.text for query in kept.queries.values()]

    with pytest.raises(KeyboardInterrupt):
        made()
    with (tmp_path / "generated.jsonl").open("ab") as file:
        file.write(b'{"texts": "half')
    assert set(made()) == {text.split()[0] for text in corpus.documents.values()}
    assert asked == [64, 26, 26]
    made()
    assert asked == [64, 26, 26]


def test_few_lists_are_trained_in_smaller_batches(student, tmp_path: Path) -> None:
    large = replace(SETTINGS.student, training=replace(TRAINING, batch_size=64))
    report = distill(
        toy(), Judge(shared_words), student, out=tmp_path, settings=replace(SETTINGS, gap_queries=0, student=large)
    )
    assert report.rounds[0]["lists"] > 20
    manifest = json.loads((tmp_path / "run.json").read_text())
    assert manifest["stages"]["train 1"]["inputs"]["settings"]["training"]["batch_size"] == 27


def test_a_light_query_tower_keeps_the_vectors_of_the_corpus_sentences(student, tmp_path: Path) -> None:
    light = StudentSettings(towers="query", static=True, epochs=1, held_out=6, training=TRAINING)
    settings = replace(SETTINGS, gap_queries=0, sentences=50, student=light)
    report = distill(toy(), Judge(shared_words), student, out=tmp_path / "some", settings=settings)
    manifest = json.loads((tmp_path / "some" / "run.json").read_text())
    assert manifest["stages"]["train 1"]["inputs"]["sentences"][:2] == [50, "en"]
    none = distill(toy(), Judge(shared_words), student, out=tmp_path / "none", settings=replace(settings, sentences=0))
    assert report.rounds[0]["lists"] == none.rounds[0]["lists"] + 50
    of_scores_alone = replace(light, losses={"kl": 1.0})
    assert replace(settings, student=of_scores_alone).kept_sentences == 0
    assert replace(settings, student=replace(light, static=False)).kept_sentences == 0
    costs = [
        estimate_cost(toy(), Judge(shared_words), student, settings=replace(settings, sentences=count)).disk_megabytes
        for count in (0, 50, 90, 10**6)
    ]
    assert costs[0] < costs[1] < costs[2] == costs[3]


def test_layers_that_are_named_are_named_once(student, tmp_path: Path) -> None:
    second = replace(SETTINGS, gap_queries=0, student=replace(SETTINGS.student, layers=(1,), epochs=1))
    report = distill(toy(), Judge(shared_words), student, out=tmp_path, settings=second, rounds=2)
    assert len(report.rounds) == 2


def test_the_cost_is_said_and_nothing_written(student, tmp_path: Path) -> None:
    cost = estimate_cost(toy(), Judge(shared_words), student, settings=SETTINGS, rounds=2)
    assert (cost.documents, cost.queries) == (90, 60)
    assert cost.pairs == 2 * 60 * 11 + 2 * 20 * 10 + 2 * 3 * 30
    assert min(cost.encode_minutes, cost.teacher_minutes, cost.training_minutes, cost.disk_megabytes) > 0
    # Queries of their own to measure on, of which there may be many; and made ones, of which some are kept apart.
    labels, teacher = toy(), Judge(shared_words)
    tested = as_dataset(labels.only(f"q{i}" for i in range(40)))
    rest = labels.only(f"q{i}" for i in range(40, 70))
    assert estimate_cost(rest, teacher, student, test=tested, settings=SETTINGS).pairs == 30 * 11 + 40 * 40 + 180
    made = estimate_cost(replace(labels, queries={}), teacher, student, settings=replace(SETTINGS, queries=20))
    assert made.queries == 20
    assert made.pairs == 20 * (1 + 4 + 29) + 180
    assert estimate_cost(labels, teacher, student, scores={}, settings=SETTINGS).pairs == 2 * 20 * 10 + 180
    alone = estimate_cost(labels, None, student, settings=SETTINGS)
    assert (alone.pairs, alone.teacher_minutes) == (0, 0.0)
    assert cost.generator_minutes == 0.0
    assert not list(tmp_path.iterdir())


def test_the_cost_of_a_generator_is_that_of_the_passages_it_is_asked_for(student, monkeypatch) -> None:
    """Queries that others ask, or that are empty, aren't kept; passages are asked for 64 at a time."""

    def one_second_each(call: Callable[[int], object]) -> float:
        call(SAMPLE)
        return 1.0

    monkeypatch.setattr(costs, "seconds_each", one_second_each)
    labels = replace(toy(), queries={}, documents={str(i): f"passage number {i}" for i in range(300)})

    def seconds(own: int, same: int, made: int) -> float:
        """With a generator that gives each passage some queries of its own, and some that all have."""
        turn = itertools.count()

        def write(texts: Sequence[str]) -> list[list[str]]:
            return [[*(f"{next(turn)}?" for _ in range(own)), *["Why?", "why?", " "] * same] for _ in texts]

        estimate = estimate_cost(
            labels, Judge(shared_words), student, settings=replace(SETTINGS, made=made), query_generator=write
        )
        return 60 * estimate.generator_minutes

    assert seconds(1, 0, 60) == pytest.approx(64)
    assert seconds(1, 0, 150) == pytest.approx(192)
    assert seconds(3, 0, 150) == pytest.approx(64)
    assert seconds(1, 2, 60) == pytest.approx(64)
    assert seconds(0, 1, 60) == pytest.approx(300)
    assert seconds(0, 0, 60) == pytest.approx(300)
    assert seconds(1, 0, 5000) == pytest.approx(300)
    assert estimate_cost(toy(), Judge(shared_words), student, query_generator=None).generator_minutes == 0.0


def test_senseless_settings_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="strategy"):
        DistillSettings(strategy="soft")
    with pytest.raises(ConfigurationError, match="depth"):
        DistillSettings(depth=0)
    with pytest.raises(ConfigurationError, match="two candidates or more; got candidates=1"):
        DistillSettings(candidates=1)
    with pytest.raises(ConfigurationError, match="false_negatives is a share"):
        DistillSettings(false_negatives=1.5)
    with pytest.raises(ConfigurationError, match="sentences must be 0 or more; got -1"):
        DistillSettings(sentences=-1)


RUN = """
import sys, time
from pathlib import Path
import torch
torch.set_num_threads(1)
from judge import Judge
from test_flow import SETTINGS, shared_words, toy
from bicross.bi_encoder import BiEncoder
from bicross.distillation.flow import distill

with BiEncoder.load(sys.argv[1], backend="torch", device="cpu") as student:
    report = distill(toy(), Judge(shared_words), student, out=sys.argv[2], settings=SETTINGS)
    print(report.after["student"])
"""


def test_kill_9_in_every_stage_and_the_same_call_goes_on(base: Path, tmp_path: Path) -> None:
    path = ":".join([str(Path(__file__).parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def start(name: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", RUN, str(base), str(tmp_path / name)]
        with (tmp_path / f"{name}.txt").open("wb") as told:
            return subprocess.Popen(command, env=environment, stdout=told, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    stages = list(json.loads((tmp_path / "whole" / "run.json").read_text())["stages"])
    assert len(stages) == 9
    manifest = tmp_path / "killed" / "run.json"
    rng = np.random.default_rng(0)
    for stage in stages:
        process = start("killed")
        while not manifest.exists() or stage not in json.loads(manifest.read_text())["stages"]:
            assert process.poll() is None
            time.sleep(0.002)
        time.sleep(float(rng.uniform(0, 0.05)))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start("killed").wait() == 0
    assert (tmp_path / "killed.txt").read_text() == (tmp_path / "whole.txt").read_text() != ""


def test_the_command_says_what_it_would_cost_and_what_is_wrong(base: Path, tmp_path: Path, monkeypatch) -> None:
    corpus = write_beir(tmp_path / "toy", split="train")
    cross = write_cross_encoder(tmp_path / "cross")
    models = ["--teacher", str(cross), "--student", str(base), "--out", str(tmp_path / "run")]

    def run(*arguments: str):
        return CliRunner().invoke(app, ["distill", "--corpus", str(corpus), *models, *arguments])

    done = run("--dry-run", "--json", "--no-bm25")
    assert done.exit_code == 0, done.output
    cost = json.loads(done.stdout)
    assert (cost["documents"], cost["queries"]) == (5, 3)
    assert "pairs for the teacher" in run("--dry-run").stdout
    assert not (tmp_path / "run").exists()
    seen: dict[str, object] = {}

    def noting(*_: object, **options: object) -> None:
        seen.update(options)
        raise InterruptedError

    monkeypatch.setattr("bicross.distillation.flow.distill", noting)
    assert isinstance(run("--rounds", "2", "--license", "mit").exception, InterruptedError)
    assert (seen["rounds"], seen["settings"].license) == (2, "mit")  # type: ignore[attr-defined]
    assert isinstance(run("--towers", "one").exception, ConfigurationError)
    assert isinstance(run("--loss", "kl=much").exception, ConfigurationError)


def test_the_command_runs(base: Path, tmp_path: Path) -> None:
    labels = toy()
    documents = {d: ("", text) for d, text in labels.documents.items()}
    queries = {q: query.text for q, query in labels.queries.items()}
    qrels = {q: dict.fromkeys(query.positives, 1) for q, query in labels.queries.items()}
    corpus = write_beir(tmp_path / "toy", documents, queries, qrels, split="train")
    cross = write_cross_encoder(tmp_path / "cross")
    arguments = ["distill", "--corpus", str(corpus), "--teacher", str(cross), "--student", str(base), "--no-bm25"]
    options = ["--weak-teacher", "--epochs", "1", "--held-out", "6", "--batch-size", "16", "--out", str(tmp_path / "r")]
    loss = ["--loss", "kl=1", "--loss", "contrastive", "--candidates", "6", "--sample", "40", "--gap-queries", "0"]
    done = CliRunner().invoke(app, [*arguments, *options, *loss])
    assert done.exit_code == 0, done.output
    assert "of the teacher's gain" in done.stdout or "nDCG@10" in done.stdout
    assert (tmp_path / "r" / "student" / "README.md").exists()
    again = CliRunner().invoke(app, [*arguments, *options, *loss, "--json"])
    assert json.loads(again.stdout)["done"] == []
    alone = CliRunner().invoke(app, [*arguments, *options[:-1], str(tmp_path / "alone"), "--loss", "contrastive=1"])
    assert alone.exit_code == 0, alone.output
    assert "before" in alone.stdout
    assert "teacher" not in alone.stdout
