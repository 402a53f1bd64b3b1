from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from bicross import BiEncoder, CrossEncoder, Scorer
from bicross.errors import CheckpointError, ConfigurationError, InputTypeError, TruncationWarning
from tiny_models import write_cross_encoder

QUERY = "the cat"
TEXTS = ["the cat sits", "", "a dog runs to the old house", "fish", "the sun and the moon " * 5]


def reference(folder: Path, pairs: list[tuple[str, str]]) -> np.ndarray:
    """Logits one pair at a time, by transformers alone."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        rows = [model(**tokenizer([pair], truncation=True, return_tensors="pt")).logits[0] for pair in pairs]
    return torch.stack(rows).numpy()


def test_scores_equal_transformers_own(cross_folder: Path, cross_encoder: CrossEncoder) -> None:
    pairs = [(QUERY, text) for text in TEXTS] + [(text, QUERY) for text in TEXTS if text]
    logits = reference(cross_folder, pairs)[:, 0]
    assert np.ptp(logits) > 0.1
    np.testing.assert_allclose(cross_encoder.predict(pairs, activation="identity"), logits, atol=1e-5)
    np.testing.assert_allclose(cross_encoder.predict(pairs), 1 / (1 + np.exp(-logits)), atol=1e-6)
    np.testing.assert_allclose(cross_encoder.predict(pairs, batch_tokens=10), cross_encoder.predict(pairs), atol=1e-6)
    assert cross_encoder.score_unit == "probability"


def test_several_labels(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path / "m", labels=3)
    model = CrossEncoder.load(folder)
    pairs = [(QUERY, text) for text in TEXTS[:2]]
    np.testing.assert_allclose(model.predict(pairs), reference(folder, pairs), atol=1e-5)
    np.testing.assert_allclose(model.predict(pairs, activation="softmax").sum(axis=1), 1.0, atol=1e-6)
    assert model.predict([]).shape == (0, 3)
    assert model.score_unit == "logit"
    with pytest.raises(ConfigurationError, match="one label, got 3"):
        model.rank(QUERY, TEXTS)


def test_the_activation_comes_from_the_checkpoint_or_the_caller(tmp_path: Path, cross_folder: Path) -> None:
    model = CrossEncoder.load(write_cross_encoder(tmp_path / "m", activation="torch.nn.modules.linear.Identity"))
    assert model.score_unit == "logit"
    loud = CrossEncoder.load(cross_folder, activation="identity")
    np.testing.assert_allclose(model.predict([(QUERY, TEXTS[0])]), loud.predict([(QUERY, TEXTS[0])]), atol=1e-6)
    assert CrossEncoder.load(cross_folder, activation="torch.nn.Tanh").score_unit == "torch.nn.Tanh"
    with pytest.raises(CheckpointError, match=r"class of torch\.nn"):
        CrossEncoder.load(cross_folder, activation="os.system")


def test_rank_sorts_and_keeps_the_order_of_ties(cross_encoder: CrossEncoder) -> None:
    texts = [*TEXTS, TEXTS[0]]
    ranked = cross_encoder.rank(QUERY, texts)
    scores = cross_encoder.predict([(QUERY, text) for text in texts])
    assert [item.index for item in ranked] == np.argsort(-scores, kind="stable").tolist()
    assert [item.score for item in ranked] == sorted(scores.tolist(), reverse=True)
    assert [item.index for item in cross_encoder.rank(QUERY, texts, 2)] == [item.index for item in ranked[:2]]
    assert cross_encoder.rank(QUERY, []) == []
    assert isinstance(cross_encoder, Scorer)


def test_the_best_window_speaks_for_a_long_text(cross_encoder: CrossEncoder) -> None:
    long = "the old house near the river " * 60 + "fish"
    with pytest.warns(TruncationWarning):
        cut = cross_encoder.rank(QUERY, [long])[0]
    best = cross_encoder.rank(QUERY, [long, "fish"], windows=True)
    whole = next(item for item in best if item.index == 0)
    assert whole.score >= cut.score - 1e-6
    assert whole.span is not None
    start, end = whole.span
    assert 0 <= start < end <= len(long)
    window = cross_encoder.predict([(QUERY, long[start:end])])[0]
    assert window == pytest.approx(whole.score, abs=1e-5)
    short = next(item for item in best if item.index == 1)
    assert short.score == pytest.approx(float(cross_encoder.predict([(QUERY, "fish")])[0]), abs=1e-6)


def test_cut_pairs_are_counted_or_told(cross_encoder: CrossEncoder) -> None:
    pairs = [(QUERY, "the cat"), (QUERY, "the old house " * 60)]
    with pytest.warns(TruncationWarning, match="1 of 2 texts"):
        scores = cross_encoder.predict(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same, cut = cross_encoder.predict(pairs, return_truncation=True)
    assert cut.tolist() == [False, True]
    np.testing.assert_array_equal(scores, same)


@pytest.mark.parametrize("pairs", [["ab"], [("a",)], [("a", "b", "c")], [("a", None)], "ab", None, [("a", b"b")]])
def test_what_is_no_pair_is_refused(cross_encoder: CrossEncoder, pairs: object) -> None:
    with pytest.raises(InputTypeError):
        cross_encoder.predict(pairs)  # type: ignore[arg-type]


def test_the_position_of_a_bad_pair_is_named(cross_encoder: CrossEncoder) -> None:
    with pytest.raises(InputTypeError, match="text at position 1"):
        cross_encoder.predict([("a", "b"), ("a", 3)])  # type: ignore[list-item]


@pytest.mark.parametrize("extras", [{"stage1_weight": "x"}, {"stage1_weight": 2}, {"stage1_scale": "global"}])
def test_a_weight_that_is_not_understood_is_refused(tmp_path: Path, extras: dict) -> None:
    with pytest.raises(CheckpointError):
        CrossEncoder.load(write_cross_encoder(tmp_path / "m", extras=extras))


def test_it_is_no_bi_encoder(cross_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="got a cross-encoder"):
        BiEncoder.load(cross_folder)


def test_a_checkpoint_may_carry_a_weight(tmp_path: Path, cross_encoder: CrossEncoder) -> None:
    model = CrossEncoder.load(write_cross_encoder(tmp_path / "m", extras={"stage1_weight": 0.4}))
    assert model.stage1_weight == 0.4
    assert cross_encoder.stage1_weight == 0.0
    model.save(tmp_path / "saved")
    again = CrossEncoder.load(tmp_path / "saved")
    assert again.stage1_weight == 0.4
    assert again.fingerprint == model.fingerprint


LONG = "the red house near the river " * 12 + "a small dog sleeps under the tree " + "the old stone in the rain " * 12


def test_one_window_with_the_most_of_the_query_is_scored(cross_encoder: CrossEncoder) -> None:
    ranked = cross_encoder.rank("small dog", [LONG, "fish"], windows="best", window_tokens=16)
    by_index = {item.index: item for item in ranked}
    start, end = by_index[0].span or (0, 0)
    assert "small dog" in LONG[start:end]
    assert len(cross_encoder._lease.get().tokenizer.ids([LONG[start:end]])[0]) <= 16 + 8
    assert by_index[1].span == (0, 4)
    expected = cross_encoder.predict([("small dog", LONG[start:end]), ("small dog", "fish")])
    np.testing.assert_allclose([by_index[0].score, by_index[1].score], expected, atol=1e-6)


@pytest.mark.parametrize("options", [{"windows": "all"}, {"windows": 1}, {"windows": "best", "window_tokens": 0}])
def test_windows_that_make_no_sense_are_refused(cross_encoder: CrossEncoder, options: dict) -> None:
    with pytest.raises(ConfigurationError, match="must be"):
        cross_encoder.rank(QUERY, TEXTS, **options)
