from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bicross.distillation import trainer as trainer_module
from bicross.distillation.fitting import TrainingSettings, training_arguments
from bicross.distillation.labels import Labels
from bicross.distillation.model_folder import centre_logits, load_base
from bicross.distillation.packing import pack, score_pairs
from bicross.distillation.reranker import train_reranker
from bicross.distillation.trainer import Group, train_groups
from bicross.errors import BicrossWarning, ConfigurationError

pytestmark = pytest.mark.long

SETTINGS = TrainingSettings(
    batch_size=8, learning_rate=5e-3, max_length=32, save_steps=2, dropout=0.1, bf16=False, show_progress=False
)


def run(toy: Labels, base: Path, encoder, out: Path, **changes):
    arguments = {"negatives": 3, "window": (1, 30), "candidates": 20, "epochs": 3, "held_out": 12}
    return train_reranker(
        toy,
        out=out,
        base=base,
        bi_encoder=encoder,
        inference_length=32,
        **{"settings": SETTINGS, **arguments, **changes},
    )


@pytest.mark.parametrize("loss", ["listwise", "bce"])
def test_training_beats_the_first_stage_on_a_task_it_cannot_do(
    toy: Labels, base: Path, encoder, tmp_path, loss, recwarn
) -> None:
    report = run(toy, base, encoder, tmp_path / "model", loss=loss, epochs=12)
    figures = report.ndcg["toy"]
    assert figures["cross_encoder"] > figures["first_stage"] + 0.1
    assert figures["both"] >= max(figures["cross_encoder"], figures["first_stage"])
    assert not [one for one in recwarn if "reorders nothing" in str(one.message)]
    assert report.held_out == {"toy": 12}
    assert report.queries["toy"] + 12 <= len(toy.queries)


class Oracle:
    """A teacher that knows what makes a document relevant in the toy task."""

    fingerprint = "oracle"

    def __init__(self) -> None:
        self.asked = 0

    def predict(self, pairs):
        self.asked += len(pairs)
        values = [5.0 * ("w0" in t.split()) + len({*q.split()} & {*t.split()}) - 3.0 for q, t in pairs]
        return np.array(values, dtype=np.float32)

    def rank(self, query, texts):
        raise NotImplementedError


def test_a_reranker_that_reorders_nothing_is_said_to(toy: Labels, base: Path, encoder, tmp_path) -> None:
    with pytest.warns(BicrossWarning, match="stage1_weight is 1, which reorders nothing"):
        report = run(toy, base, encoder, tmp_path / "model", epochs=1, weight_tolerance=1.0)
    assert report.stage1_weight == 1.0


@pytest.mark.parametrize("loss", ["margin_mse", "kl", "mse"])
def test_a_pruned_student_learns_its_teacher_s_scores(toy: Labels, base: Path, encoder, tmp_path, loss) -> None:
    teacher, out = Oracle(), tmp_path / "model"
    report = run(toy, base, encoder, out, loss=loss, epochs=12, teacher=teacher, layers=1, negatives=5)
    assert report.ndcg["toy"]["cross_encoder"] > report.ndcg["toy"]["first_stage"] + 0.1
    assert json.loads((out / "config.json").read_text())["num_hidden_layers"] == 1
    kept = json.loads((out / "bicross.json").read_text())
    assert (kept["teacher"], kept["layers"], kept["loss"]) == ("oracle", 1, loss)
    model, tokenizer = load_base(out, seed=0, dropout=0.0)
    pairs = [("w1 w2", text) for text in list(toy.documents.values())[:40]]
    scores, wanted = score_pairs(model, tokenizer, pairs, max_length=32, bf16=False), teacher.predict(pairs)
    assert np.corrcoef(scores, wanted)[0, 1] > 0.8
    if loss == "mse":  # on the teacher's scale
        assert np.abs(scores - wanted).mean() < 1.5
    else:  # around 0
        assert abs(float(scores.mean())) < abs(float(wanted.mean())) + 3.0


def test_the_teacher_is_asked_once(toy: Labels, base: Path, encoder, tmp_path) -> None:
    teacher = Oracle()
    first = run(toy, base, encoder, tmp_path / "model", teacher=teacher, layers=(1,), epochs=1)
    asked = teacher.asked
    assert asked > 0
    assert run(toy, base, encoder, tmp_path / "model", teacher=teacher, layers=(1,), epochs=1) == first
    assert teacher.asked == asked
    with pytest.raises(ConfigurationError, match="holds another run"):
        run(toy, base, encoder, tmp_path / "model", teacher=teacher, epochs=1)


def test_runs_share_vectors_and_the_teacher_s_scores(toy: Labels, base: Path, encoder, tmp_path) -> None:
    teacher, cache = Oracle(), tmp_path / "cache"
    run(toy, base, encoder, tmp_path / "first", teacher=teacher, layers=1, epochs=1, cache_dir=cache)
    asked, calls = teacher.asked, encoder.calls
    run(toy, tmp_path / "first", encoder, tmp_path / "second", teacher=teacher, epochs=1, cache_dir=cache)
    assert 0 < asked == teacher.asked
    assert 0 < calls == encoder.calls
    assert not (tmp_path / "first.run" / "vectors.sqlite").exists()


def test_the_folder_loads_in_sentence_transformers_with_equal_scores(
    toy: Labels, base: Path, encoder, tmp_path
) -> None:
    from sentence_transformers import CrossEncoder

    out = tmp_path / "model"
    report = run(toy, base, encoder, out)
    assert {path.name for path in out.iterdir()} == {
        "bicross.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert {value.dtype for value in load_file(out / "model.safetensors").values()} == {torch.float16}
    kept = json.loads((out / "bicross.json").read_text())
    assert kept["stage1_weight"] == report.stage1_weight
    assert kept["stage1_scale"] == "candidates"
    assert kept["trained_on"] == ["toy"]
    assert kept["held_out_ndcg"] == report.ndcg
    theirs = CrossEncoder(str(out), device="cpu")
    assert theirs.max_seq_length == 32
    pairs = [("w1 w2", text) for text in toy.documents.values()] + [("w1", ""), ("", " ".join(["w3"] * 90))]
    model, tokenizer = load_base(out, seed=0, dropout=0.0)
    ours = score_pairs(model, tokenizer, pairs, max_length=32, bf16=False)
    assert np.abs(ours - theirs.predict(pairs)).max() < 1e-5


def test_an_interrupted_run_ends_as_the_unbroken_one(toy, base, encoder, tmp_path, monkeypatch) -> None:
    whole = run(toy, base, encoder, tmp_path / "whole")
    training_step = trainer_step_counter(monkeypatch, stop_at=8)
    with pytest.raises(KeyboardInterrupt):
        run(toy, base, encoder, tmp_path / "broken")
    folder = tmp_path / "broken.run"
    assert [path.name for path in folder.glob("checkpoint-*/complete")]
    # What a kill in the middle of writing leaves behind.
    (folder / "checkpoint-999").mkdir()
    (folder / "checkpoint-999" / "model.safetensors").write_bytes(b"half")
    monkeypatch.undo()
    calls = encoder.calls
    resumed = run(toy, base, encoder, tmp_path / "broken")
    assert encoder.calls == calls  # nothing was mined twice
    assert training_step["taken"] == 8
    assert replace(resumed, folder=whole.folder) == whole
    a, b = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "broken"))
    assert all(torch.equal(a[name], b[name]) for name in a)


def trainer_step_counter(monkeypatch: pytest.MonkeyPatch, *, stop_at: int) -> dict[str, int]:
    forward, count = trainer_module.GroupScorer.forward, {"taken": 0}

    @functools.wraps(forward)  # the Trainer looks at the signature
    def counted(self, *args, **kwargs):
        if count["taken"] == stop_at:
            raise KeyboardInterrupt
        count["taken"] += 1
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(trainer_module.GroupScorer, "forward", counted)
    return count


def test_a_finished_run_is_not_repeated_and_a_different_one_refused(toy, base, encoder, tmp_path, monkeypatch) -> None:
    first = run(toy, base, encoder, tmp_path / "model", epochs=1)
    count = trainer_step_counter(monkeypatch, stop_at=10**9)
    assert run(toy, base, encoder, tmp_path / "model", epochs=1) == first
    assert count["taken"] == 0
    with pytest.raises(ConfigurationError, match="holds another run"):
        run(toy, base, encoder, tmp_path / "model", epochs=2)


def test_a_run_of_another_format_is_said_to_be_so(toy, base, encoder, tmp_path) -> None:
    run(toy, base, encoder, tmp_path / "model", epochs=1)
    manifest = tmp_path / "model.run" / "run.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 7}, indent=2))
    with pytest.raises(ConfigurationError, match=r"of format 3; .*model\.run' has format 7\. Go on with the version"):
        run(toy, base, encoder, tmp_path / "model", epochs=1)


def test_held_out_scores_are_kept_whole_or_not_at_all(toy, base, encoder, tmp_path, monkeypatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bicross.distillation.selection.np.save", killed)
    with pytest.raises(KeyboardInterrupt):
        run(toy, base, encoder, tmp_path / "model", epochs=1)
    assert not list((tmp_path / "model.run").rglob("held-out-*.npy"))
    monkeypatch.undo()
    assert run(toy, base, encoder, tmp_path / "model", epochs=1).epoch == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "hinge"}, "loss must be one of.*without a teacher; got 'hinge'"),
        ({"loss": "kl"}, "loss must be one of.*without a teacher; got 'kl'"),
        ({"loss": "bce", "teacher": Oracle()}, "loss must be one of.*with a teacher; got 'bce'"),
        ({"layers": 3}, "layers must be from 1 to the model's 2; got 3"),
        ({"window": (5, 4)}, r"window must be two ranks.*\(5, 4\)"),
        ({"negatives": 0}, "negatives must be at least 1; got 0"),
        ({"held_out": 0}, "held_out must be at least 1; got 0"),
        ({"settings": replace(SETTINGS, batch_size=1000)}, "batch_size=1000"),
    ],
)
def test_arguments_that_make_no_sense(toy, base, encoder, tmp_path, changes, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(toy, base, encoder, tmp_path / "model", **changes)
    with pytest.raises(ConfigurationError, match="at least one labelled set"):
        run([], base, encoder, tmp_path / "model")
    with pytest.raises(ConfigurationError, match="different names"):
        run([toy, toy], base, encoder, tmp_path / "model")


def test_centring_moves_every_logit_alike(base: Path) -> None:
    model, tokenizer = load_base(base, seed=0, dropout=0.0)
    pairs = [("w1", "w2 w3"), ("w4", "w5")]
    before = score_pairs(model, tokenizer, pairs, max_length=32, bf16=False)
    centre_logits(model, 2.5)
    assert score_pairs(model, tokenizer, pairs, max_length=32, bf16=False) == pytest.approx(before - 2.5, abs=1e-6)


def test_packing_pads_little_and_keeps_the_order(base: Path) -> None:
    model, tokenizer = load_base(base, seed=0, dropout=0.0)
    tokenizer.no_padding()
    tokenizer.enable_truncation(32)
    pairs = [("w1", " ".join(["w2"] * length)) for length in (9, 1, 30, 4, 2, 60)]
    chunks, place = pack(tokenizer, pairs, 40)
    assert all(chunk["input_ids"].numel() <= 40 for chunk in chunks)
    lengths = torch.cat([chunk["attention_mask"].sum(dim=1) for chunk in chunks])[place]
    assert lengths.tolist() == [13, 5, 32, 8, 6, 32]
    alone = [float(score_pairs(model, tokenizer, [pair], max_length=32, bf16=False)[0]) for pair in pairs]
    assert score_pairs(model, tokenizer, pairs, max_length=32, bf16=False) == pytest.approx(alone, abs=1e-6)
    assert score_pairs(model, tokenizer, [], max_length=32, bf16=False).shape == (0,)


def test_half_precision_keeps_apart_what_is_close(base: Path) -> None:
    model, tokenizer = load_base(base, seed=0, dropout=0.0)
    centre_logits(model, -6.0)
    pairs = [("w1", f"w{i} w{j}") for i in range(10) for j in range(10)]
    exact = score_pairs(model, tokenizer, pairs, max_length=32, bf16=False)
    half = score_pairs(model, tokenizer, pairs, max_length=32, bf16=True)
    assert len(set(half.tolist())) > 50  # as one bfloat16 number at 6, they would all be equal
    assert np.abs(half - exact).max() < 0.02
    # The layers are as they were afterwards.
    assert np.array_equal(score_pairs(model, tokenizer, pairs, max_length=32, bf16=False), exact)


def test_groups_of_different_width_train_together(base: Path, tmp_path: Path) -> None:
    from bicross.distillation.losses import listwise_cross_entropy

    model, tokenizer = load_base(base, seed=0, dropout=0.0)
    groups = [Group("w1", ("w1 w2", "w3"), (1.0, 0.0)), Group("w2", ("w2", "w4", "w5 w6"), (1.0, 0.0, 0.0))] * 4
    before = [parameter.clone() for parameter in model.parameters()]
    settings = replace(SETTINGS, batch_size=4)
    arguments = training_arguments(tmp_path, settings)
    ends = train_groups(model, tokenizer, [groups], loss=listwise_cross_entropy, arguments=arguments, settings=settings)
    assert [path.name for path in ends] == ["checkpoint-2"]
    assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def soft(toy: Labels, *, shares: tuple[float, ...] = (0.9, 0.1)) -> list[Group]:
    texts = tuple(toy.documents.values())
    return [Group(texts[i], texts[i : i + len(shares)], shares) for i in range(4)]


def test_further_groups_are_seen_in_every_epoch(toy: Labels, base: Path, encoder, tmp_path, monkeypatch) -> None:
    from bicross.distillation import reranker as module

    seen = []

    def spy(model, tokenizer, order, **keywords):
        seen.extend(order)
        return train_groups(model, tokenizer, order, **keywords)

    monkeypatch.setattr(module, "train_groups", spy)
    further = soft(toy)
    run(toy, base, encoder, tmp_path / "model", epochs=2, further=further)
    assert len(seen) == 2
    for epoch in seen:
        assert [epoch.count(group) for group in further] == [1] * len(further)
        assert not all(epoch[i - len(further)] == group for i, group in enumerate(further))
    assert json.loads((tmp_path / "model" / "bicross.json").read_text())["further_groups"] == len(further)


def test_a_run_with_other_further_groups_is_another_run(toy: Labels, base: Path, encoder, tmp_path) -> None:
    run(toy, base, encoder, tmp_path / "model", epochs=1, further=soft(toy))
    with pytest.raises(ConfigurationError, match="holds another run"):
        run(toy, base, encoder, tmp_path / "model", epochs=1, further=soft(toy, shares=(0.8, 0.2)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "bce"}, "loss='listwise' and no teacher"),
        ({"teacher": Oracle(), "loss": "kl"}, "loss='listwise' and no teacher"),
        ({"further": [Group("a", ("b", "c"), (1.0,))]}, r"further\[0\] has 2 texts"),
        ({"further": [Group("a", ("b",), (1.0,)), Group("a", ("b", "c"), (0.0, 0.0))]}, r"further\[1\]"),
        ({"further": [Group("a", ("b", "c"), (1.5, -0.5))]}, "a label from 0"),
        ({"further": [Group("a", ("b", "c"), (float("nan"), 1.0))]}, "a label from 0"),
    ],
)
def test_further_groups_that_make_no_sense_are_refused(
    toy: Labels, base: Path, encoder, tmp_path, changes, message
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(toy, base, encoder, tmp_path / "model", **{"further": soft(toy), **changes})
    assert not (tmp_path / "model.run").exists()
