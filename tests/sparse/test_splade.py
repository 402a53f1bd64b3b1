"""SPLADE, against the masked language model's own logits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from bicross.errors import CheckpointError, ClosedError, ConfigurationError, InputTypeError, ModelNotFoundError
from bicross.sparse import SparseEncoder, SpladeEncoder
from bicross.types import SparseVector
from tiny_models import write_bi_encoder, write_inference_free_splade, write_json, write_masked_lm, write_splade

TEXTS = ["the cat sits on the old house", "a bird", "", "not every red fish sleeps under water near the big green city"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_splade(tmp_path_factory.mktemp("splade") / "model")


def dense(vector: SparseVector) -> np.ndarray:
    row = np.zeros(120, np.float32)
    row[vector.indices] = vector.values
    return row


def by_hand(folder: Path, text: str, *, twice: bool = False, sums: bool = False) -> np.ndarray:
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    inputs = AutoTokenizer.from_pretrained(folder)([text], return_tensors="pt", truncation=True, max_length=32)
    with torch.inference_mode():
        weights = AutoModelForMaskedLM.from_pretrained(folder).eval()(**inputs).logits[0].relu().log1p()
        weights = weights.log1p() if twice else weights
        return (weights.sum(dim=0) if sums else weights.amax(dim=0)).numpy()


@pytest.mark.parametrize(("pooling", "activation"), [("max", "relu"), ("max", "log1p_relu"), ("sum", "relu")])
def test_weights_are_the_pooled_logits_whatever_the_padding(tmp_path: Path, pooling: str, activation: str) -> None:
    folder = write_splade(tmp_path / "model", pooling=pooling, activation=activation)
    with SpladeEncoder.load(folder, device="cpu") as encoder:
        for text, vector in zip(TEXTS, encoder.encode_document(TEXTS), strict=True):
            expected = by_hand(folder, text, twice=activation == "log1p_relu", sums=pooling == "sum")
            assert dense(vector) == pytest.approx(expected, rel=1e-5, abs=1e-5)
            assert np.all(np.diff(vector.indices.astype(np.int64)) > 0)
            assert np.all(vector.values > 0)


def test_a_plain_masked_language_model_is_pooled_by_its_maximum(tmp_path: Path) -> None:
    folder = write_masked_lm(tmp_path / "model")
    with SpladeEncoder.load(folder, device="cpu") as encoder:
        assert dense(encoder.encode_query("a bird")) == pytest.approx(by_hand(folder, "a bird"), abs=1e-5)


def test_queries_may_only_look_up_weights(tmp_path: Path) -> None:
    folder = write_inference_free_splade(tmp_path / "model")
    weights = load_file(folder / "query_0_SparseStaticEmbedding/model.safetensors")["weight"]
    with SpladeEncoder.load(folder, device="cpu") as encoder:
        # "the" and "cat" are the tokens 4 and 15; token 5 ("a") weighs nothing.
        query = encoder.encode_query("the cat a the")
        document = encoder.encode_document("a bird")
        assert len(encoder.encode_query("")) == 0
    assert query.indices.tolist() == [4, 15]
    assert query.values.tolist() == weights[[4, 15]].tolist()
    assert dense(document) == pytest.approx(by_hand(folder / "document_0_Transformer", "a bird"), abs=1e-5)


def test_only_the_strongest_terms_are_kept(folder: Path) -> None:
    with (
        SpladeEncoder.load(folder, device="cpu") as whole,
        SpladeEncoder.load(folder, device="cpu", max_terms=5, max_query_terms=3) as cut,
    ):
        all_of, kept = whole.encode_document(TEXTS[0]), cut.encode_document(TEXTS[0])
        assert len(all_of) > 5
        assert sorted(kept.values) == sorted(all_of.values)[-5:]
        assert set(kept.indices) <= set(all_of.indices)
        assert len(cut.encode_query(TEXTS[0])) == 3
        assert cut.fingerprint != whole.fingerprint


def test_prompts_stand_in_front(tmp_path: Path, folder: Path) -> None:
    prompted = write_splade(tmp_path / "model", prompts={"query": "find ", "document": ""})
    with SpladeEncoder.load(prompted, device="cpu") as one, SpladeEncoder.load(folder, device="cpu") as other:
        assert one.encode_query("a bird") == other.encode_query("find a bird")
        assert one.encode_document("a bird") == other.encode_document("a bird")
        assert one.fingerprint != other.fingerprint


def test_many_texts_keep_their_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bicross.encoding.sparse_towers._SLAB_BYTES", 4 * 120 * 3)
    texts = [*TEXTS, "old stone", *TEXTS]
    with SpladeEncoder.load(folder, device="cpu", batch_tokens=16) as encoder:
        vectors = encoder.encode_document(texts)
        assert encoder.encode_document([]) == []
        for text, vector in zip(texts, vectors, strict=True):
            assert dense(vector) == pytest.approx(dense(encoder.encode_document(text)), abs=1e-5)


def test_it_is_a_sparse_encoder_with_a_stable_fingerprint(folder: Path) -> None:
    with SpladeEncoder.load(folder, device="cpu") as encoder, SpladeEncoder.load(folder, device="cpu") as again:
        assert isinstance(encoder, SparseEncoder)
        assert not encoder.idf
        assert encoder.fingerprint == again.fingerprint
        assert len(encoder.fingerprint) == 64
        with pytest.raises(InputTypeError, match="at position 1"):
            encoder.encode_document(["fine", None])  # type: ignore[list-item]
    with pytest.raises(ClosedError):
        encoder.encode_query("a bird")


def test_its_settings_load_it_again(folder: Path) -> None:
    options = {"max_terms": 5, "max_query_terms": 3, "batch_tokens": 64, "precision": "bfloat16"}
    options |= {"local_files_only": True, "cache_dir": str(folder.parent)}
    with SpladeEncoder.load(folder, device="cpu", **options) as encoder:
        settings = json.loads(json.dumps(encoder.settings))
        assert settings.items() >= (options | {"name_or_path": str(folder.resolve())}).items()
        with SpladeEncoder.load(**settings, device="cpu") as again:
            assert again.fingerprint == encoder.fingerprint
            assert again.settings == settings
            assert again.encode_document(TEXTS) == encoder.encode_document(TEXTS)


def test_texts_beyond_the_limit_are_counted(folder: Path) -> None:
    from bicross.errors import TruncationWarning

    with (
        SpladeEncoder.load(folder, device="cpu") as encoder,
        pytest.warns(TruncationWarning, match="2 of 3 texts were longer than the model's 32"),
    ):
        encoder.encode_document(["cat " * 40, "cat", "cat " * 40])


def refuse(folder: Path, message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        SpladeEncoder.load(folder, device="cpu")


def test_other_kinds_of_checkpoints_are_refused_by_name(tmp_path: Path) -> None:
    refuse(write_bi_encoder(tmp_path / "bi"), r"got 'Transformer \+ Pooling \+ Normalize'")
    plain = write_bi_encoder(tmp_path / "plain")
    (plain / "modules.json").unlink()
    refuse(plain, r"SPLADE needs a masked language model, got \['BertModel'\]")
    unknown = write_splade(tmp_path / "unknown", pooling="mean")
    refuse(unknown, "must have the pooling 'max' or 'sum'")
    listed = write_inference_free_splade(tmp_path / "listed")
    write_json(listed / "query_0_SparseStaticEmbedding/config.json", {"path": "idf.json"})
    refuse(listed, r"must be in a safetensors file, got the file 'idf\.json'")
    short = write_inference_free_splade(tmp_path / "short")
    save_file({"weight": np.ones(50, np.float32)}, str(short / "query_0_SparseStaticEmbedding/model.safetensors"))
    refuse(short, "Each of the 102 tokens needs a weight, got 50")
    headless = write_bi_encoder(tmp_path / "headless", vocab_size=120)
    config = json.loads((headless / "config.json").read_text())
    write_json(headless / "config.json", config | {"architectures": ["BertForMaskedLM"]})
    (headless / "modules.json").unlink()
    refuse(headless, "without a language-model head, which SPLADE needs")


def test_settings_and_names_that_make_no_sense_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="max_terms must be a positive whole number or None, got 0"):
        SpladeEncoder.load(folder, max_terms=0)
    with pytest.raises(ModelNotFoundError, match=r"A sparse encoder is a folder or a hub name, got './none'.*path\.$"):
        SpladeEncoder.load("./none")
