"""What transformers is told: data type, attention, placement, 4 and 8 bits."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from bicross import BiEncoder, CrossEncoder
from bicross.errors import CheckpointError, ConfigurationError, MissingExtraError
from tiny_families import write_modules, write_qwen, write_zembed, write_zerank
from tiny_models import write_json, write_tokenizer

TEXTS = ["the cat sits on the tree", "a dog", ""]
WIDE = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}
EIGHT_BIT = {
    "bitsandbytes": {"quant_method": "bitsandbytes", "load_in_8bit": True},
    "torchao": {"quant_method": "torchao", "quant_type": "Int8WeightOnlyConfig"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zembed(tmp_path_factory.mktemp("options") / "m")


@pytest.fixture(scope="module")
def plain(folder: Path):
    with BiEncoder.load(folder, device="cpu") as model:
        yield model


@pytest.mark.parametrize(
    "options", [{"attn_implementation": "eager"}, {"attn_implementation": "sdpa"}, {"device_map": "cpu"}]
)
def test_floats_are_one_class(folder: Path, plain: BiEncoder, options: dict) -> None:
    with BiEncoder.load(folder, device="cpu", model_options=options) as model:
        np.testing.assert_allclose(model.encode_query(TEXTS), plain.encode_query(TEXTS), atol=1e-5)
        assert model.query_fingerprint == plain.query_fingerprint


def test_dtype(folder: Path, plain: BiEncoder) -> None:
    with BiEncoder.load(folder, device="cpu", model_options={"dtype": "bfloat16"}) as model:
        assert model.precision == "bfloat16"
        cosines = (model.encode_query(TEXTS) * plain.encode_query(TEXTS)).sum(axis=1)
        assert 0.99 < cosines.min() < 0.999999
        np.testing.assert_allclose(np.linalg.norm(model.encode_query(TEXTS), axis=1), 1, atol=1e-6)
        assert model.query_fingerprint == plain.query_fingerprint


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("method", EIGHT_BIT)
def test_eight_bits(tmp_path: Path, method: str) -> None:
    pytest.importorskip(method)
    write_qwen(write_zerank(tmp_path / "m"), **WIDE)
    pairs = [("the cat", text) for text in TEXTS]
    options = {"quantization_config": EIGHT_BIT[method]}
    with (
        CrossEncoder.load(tmp_path / "m", device="cpu") as floats,
        CrossEncoder.load(tmp_path / "m", device="cpu", model_options=options) as model,
    ):
        kinds = {type(weight.data) for weight in model._lease.get().model._model.parameters()}
        integers = {weight.dtype for weight in model._lease.get().model._model.parameters()} - {torch.float32}
        assert kinds != {torch.Tensor} or integers
        difference = np.abs(model.predict(pairs) - floats.predict(pairs)).max()
        assert 0 < difference < 0.5
        assert model.fingerprint != floats.fingerprint


@pytest.mark.parametrize("method", EIGHT_BIT)
def test_a_library_that_is_not_there(folder: Path, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        "bicross.encoding.backends.quantization.find_spec", lambda name: None if name == method else find_spec(name)
    )
    with pytest.raises(MissingExtraError, match=f"pip install {method}"):
        BiEncoder.load(folder, device="cpu", model_options={"quantization_config": EIGHT_BIT[method]})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"quantization_config": {"quant_method": "gguf"}}, ConfigurationError, "quant_method"),
        ({"quantization_config": {"quant_method": "torchao", "quant_type": "int8"}}, ConfigurationError, "quant_type"),
        ({"attn_implementation": "none"}, CheckpointError, "attn_implementation"),
        ({"flash": True}, ConfigurationError, "model_options may hold"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_options_that_make_no_sense(folder: Path, options: dict, error: type[Exception], message: str) -> None:
    if options.get("quantization_config", {}).get("quant_method") == "torchao":
        pytest.importorskip("torchao")
    with pytest.raises(error, match=message):
        BiEncoder.load(folder, device="cpu", model_options=options)


def test_a_decoder_keeps_no_keys_and_values(plain: BiEncoder) -> None:
    model = plain._leases["query"].get().model._module.model
    ids = torch.tensor([[1, 2, 3]])
    assert model(input_ids=ids, attention_mask=torch.ones_like(ids)).past_key_values is None


def test_a_potion_folder(tmp_path: Path) -> None:
    """minishlab/potion-base-8M: model2vec's keys, and modules for sentence-transformers beside them."""
    from safetensors.numpy import save_file
    from sentence_transformers import SentenceTransformer

    folder = tmp_path / "m"
    folder.mkdir()
    write_tokenizer(folder)
    (folder / "tokenizer_config.json").unlink()
    table = np.random.default_rng(2).standard_normal((120, 16)).astype(np.float32)
    save_file({"embeddings": table}, str(folder / "model.safetensors"))
    write_json(folder / "config.json", {"model_type": "model2vec", "hidden_dim": 16, "normalize": True})
    root = "sentence_transformers.models"
    write_modules(folder, (".", f"{root}.StaticEmbedding"), ("1_Normalize", f"{root}.Normalize"))
    theirs = SentenceTransformer(str(folder), device="cpu")
    with BiEncoder.load(folder, device="cpu") as model:
        vectors = model.encode_document(TEXTS[:2])
        np.testing.assert_allclose(vectors, theirs.encode_document(TEXTS[:2]), atol=1e-6)
        short = model.encode_document(TEXTS[:2], truncate_dim=4, normalize=True)
        np.testing.assert_allclose(
            short, vectors[:, :4] / np.linalg.norm(vectors[:, :4], axis=1, keepdims=True), atol=1e-6
        )
