"""Our vectors and scores against sentence-transformers', on the same files."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder as TheirCrossEncoder
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import (
    Dense,
    Normalize,
    Pooling,
    Router,
    StaticEmbedding,
    Transformer,
)
from tokenizers import Tokenizer

from bicross import BiEncoder, CrossEncoder
from tiny_models import write_bi_encoder, write_cross_encoder

pytestmark = [
    pytest.mark.filterwarnings("default"),  # other packages' deprecations aren't this suite's matter
    pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning"),
]
POOLINGS = [
    ["cls"], ["max"], ["mean"], ["mean_sqrt_len_tokens"], ["weightedmean"], ["lasttoken"], ["cls", "mean"],
    ["mean", "cls"],
]  # fmt: skip
WORDS = """
the quick brown fox jumps over a lazy dog Zürich naïve 中文 antidisestablishmentarianism 3.14 don't e-mail
""".split()  # noqa: SIM905
SMALL = ["", " ", "the cat sits", "a dog . " * 20, "zebra 中 xyz", "w" * 300]


def texts(seed: int = 0, count: int = 60) -> list[str]:
    """From nothing to 2,000 words."""
    rng = random.Random(seed)
    return (
        ["", " ", "\n", "a"]
        + [" ".join(rng.choices(WORDS, k=rng.choice([1, 3, 10, 40, 150, 300]))) for _ in range(count)]
        + ["x " * 2_000]
    )


@pytest.fixture(scope="module")
def minilm() -> tuple[BiEncoder, SentenceTransformer]:
    ours = BiEncoder.load("minilm")
    return ours, SentenceTransformer(str(ours.checkpoint.folder), device="cpu")


def test_minilm_row_by_row(minilm: tuple[BiEncoder, SentenceTransformer]) -> None:
    ours, theirs = minilm
    batch = texts()
    expected = theirs.encode(batch)
    np.testing.assert_allclose(ours.encode_document(batch), expected, atol=1e-5)
    np.testing.assert_allclose(ours.encode_query(batch), expected, atol=1e-5)
    order = np.random.default_rng(0).permutation(len(batch))
    for budget in (1, 300, 10_000):
        shuffled = ours.encode_document([batch[i] for i in order], batch_tokens=budget)
        np.testing.assert_allclose(shuffled, expected[order], atol=1e-5)
    for i in (0, 1, 5, len(batch) - 1):
        np.testing.assert_allclose(ours.encode_document(batch[i]), expected[i], atol=1e-5)


def test_the_starter_is_a_student_with_the_same_vectors_there(minilm: tuple[BiEncoder, SentenceTransformer]) -> None:
    batch = texts(2, 20)
    with BiEncoder.load("starter") as ours:
        assert ours.checkpoint.folder.name == "starter-bi-encoder"
        assert (ours.name, ours.dimension) == ("starter", 384)
        assert ours.document_fingerprint != minilm[0].document_fingerprint
        theirs = SentenceTransformer(str(ours.checkpoint.folder), device="cpu")
        assert next(theirs.parameters()).dtype == torch.float32
        np.testing.assert_allclose(ours.encode_document(batch), theirs.encode(batch), atol=1e-5)


def test_minilm_similarity_and_truncated_dimensions(minilm: tuple[BiEncoder, SentenceTransformer]) -> None:
    ours, theirs = minilm
    batch = texts(1, 10)
    short = theirs.encode(batch, truncate_dim=128)
    np.testing.assert_allclose(ours.encode_document(batch, truncate_dim=128), short, atol=1e-5)
    full = ours.encode_document(batch)
    np.testing.assert_allclose(ours.similarity(full[:3], full), theirs.similarity(full[:3], full).numpy(), atol=1e-5)


def test_minilm_saved_by_either_loads_in_the_other(
    minilm: tuple[BiEncoder, SentenceTransformer], tmp_path: Path
) -> None:
    ours, theirs = minilm
    expected = theirs.encode(SMALL)
    ours.save(tmp_path / "ours")
    np.testing.assert_allclose(
        SentenceTransformer(str(tmp_path / "ours"), device="cpu").encode(SMALL), expected, atol=1e-6
    )
    theirs.save(str(tmp_path / "theirs"))
    loaded = BiEncoder.load(tmp_path / "theirs")
    np.testing.assert_allclose(loaded.encode_document(SMALL), expected, atol=1e-5)
    assert loaded.max_length == ours.max_length == 256


@pytest.mark.parametrize("modes", POOLINGS, ids="+".join)
@pytest.mark.parametrize("include_prompt", [True, False])
def test_every_pooling_with_prompts(tmp_path: Path, modes: list[str], include_prompt: bool) -> None:
    pooling = {"embedding_dimension": 32, "pooling_mode": modes, "include_prompt": include_prompt}
    folder = write_bi_encoder(
        tmp_path / "m", pooling=pooling, prompts={"query": "not every ", "document": ""}, normalize=False
    )
    ours, theirs = BiEncoder.load(folder), SentenceTransformer(str(folder), device="cpu")
    np.testing.assert_allclose(ours.encode_query(SMALL), theirs.encode_query(SMALL), atol=1e-5)
    np.testing.assert_allclose(ours.encode_document(SMALL), theirs.encode_document(SMALL), atol=1e-5)
    ours.save(tmp_path / "saved")
    again = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
    np.testing.assert_allclose(again.encode_query(SMALL), theirs.encode_query(SMALL), atol=1e-6)


def check_two_towers(theirs: SentenceTransformer, folder: Path) -> None:
    theirs.save(str(folder / "theirs"))
    ours = BiEncoder.load(folder / "theirs")
    ours.save(folder / "ours")
    again = SentenceTransformer(str(folder / "ours"), device="cpu")
    for role in ("encode_query", "encode_document"):
        expected = getattr(theirs, role)(SMALL)
        np.testing.assert_allclose(getattr(ours, role)(SMALL), expected, atol=1e-5)
        np.testing.assert_allclose(getattr(again, role)(SMALL), expected, atol=1e-5)


def test_two_towers_of_different_weights_and_architectures(tmp_path: Path) -> None:
    small = Transformer(str(write_bi_encoder(tmp_path / "q", seed=5, hidden_size=16)))
    large = Transformer(str(write_bi_encoder(tmp_path / "d", seed=6)))
    query = [small, Pooling(16, "mean"), Dense(16, 32, activation_function=torch.nn.Tanh())]
    router = Router.for_query_document(query, [large, Pooling(32, "cls")])
    check_two_towers(SentenceTransformer(modules=[router, Normalize()], device="cpu"), tmp_path)
    alone = SentenceTransformer(str(tmp_path / "ours" / "query"), device="cpu")
    both = SentenceTransformer(str(tmp_path / "ours"), device="cpu")
    np.testing.assert_allclose(alone.encode(SMALL), both.encode_query(SMALL), atol=1e-6)


def test_a_static_query_tower(tmp_path: Path) -> None:
    large = Transformer(str(write_bi_encoder(tmp_path / "d", seed=6)))
    # A tokenizer of its own: the transformer's would pad the static tower's texts.
    static = StaticEmbedding(Tokenizer.from_file(str(tmp_path / "d" / "tokenizer.json")), embedding_dim=32)
    router = Router.for_query_document([static], [large, Pooling(32, "mean")])
    check_two_towers(SentenceTransformer(modules=[router], device="cpu"), tmp_path)


def test_a_static_model_and_a_dense_layer(tmp_path: Path) -> None:
    large = Transformer(str(write_bi_encoder(tmp_path / "d", seed=6)))
    for name, modules in {
        "static": [StaticEmbedding(large.tokenizer, embedding_dim=8), Normalize()],
        "dense": [
            large,
            Pooling(32, "mean"),
            Dense(32, 8, bias=False, activation_function=torch.nn.Identity()),
            Normalize(),
        ],
        "residual": [large, Pooling(32, "mean"), Dense(32, 8, use_residual=True)],
    }.items():
        theirs = SentenceTransformer(modules=modules, device="cpu")
        theirs.save(str(tmp_path / name))
        ours = BiEncoder.load(tmp_path / name)
        np.testing.assert_allclose(ours.encode_document(SMALL), theirs.encode(SMALL), atol=1e-5)
        ours.save(tmp_path / f"{name}-saved")
        again = SentenceTransformer(str(tmp_path / f"{name}-saved"), device="cpu")
        np.testing.assert_allclose(again.encode(SMALL), theirs.encode(SMALL), atol=1e-6)


def test_a_plain_transformers_folder_is_mean_pooled_and_said_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    for name in ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json"):
        (folder / name).unlink()
    with caplog.at_level("INFO", logger="bicross"):
        ours = BiEncoder.load(folder)
    assert "mean pooling" in caplog.text
    np.testing.assert_allclose(
        ours.encode_document(SMALL), SentenceTransformer(str(folder), device="cpu").encode(SMALL), atol=1e-5
    )


@pytest.mark.parametrize(("labels", "activation"), [(1, None), (1, "torch.nn.modules.linear.Identity"), (3, None)])
def test_cross_encoders_saved_by_either(tmp_path: Path, labels: int, activation: str | None) -> None:
    pairs = [(a, b) for a in SMALL for b in SMALL] + [("the cat " * 100, "a dog " * 100)]
    theirs = TheirCrossEncoder(
        str(write_cross_encoder(tmp_path / "m", labels=labels, activation=activation)), device="cpu"
    )
    theirs.save(str(tmp_path / "theirs"))
    expected = theirs.predict(pairs)
    assert np.ptp(expected) > 0.1
    for folder in (tmp_path / "m", tmp_path / "theirs"):
        ours = CrossEncoder.load(folder)
        np.testing.assert_allclose(ours.predict(pairs), expected, atol=1e-5)
        np.testing.assert_allclose(ours.predict(pairs, prompt="the "), theirs.predict(pairs, prompt="the "), atol=1e-5)
    if labels == 1:
        ranked = theirs.rank("the cat", SMALL)
        assert [item.index for item in ours.rank("the cat", SMALL)] == [int(item["corpus_id"]) for item in ranked]
    ours.save(tmp_path / "ours")
    np.testing.assert_allclose(
        TheirCrossEncoder(str(tmp_path / "ours"), device="cpu").predict(pairs), expected, atol=1e-5
    )


@pytest.mark.parametrize(("name", "layers", "weight"), [("starter", 6, 0.7), ("fast", 2, 0.5)])
def test_the_starter_cross_encoders(name: str, layers: int, weight: float) -> None:
    ours = CrossEncoder.load(name)
    assert ours.stage1_weight == weight
    theirs = TheirCrossEncoder(str(ours.checkpoint.encoder.folder), device="cpu")
    batch = texts(2, 20)
    pairs = [("a lazy dog in Zürich", text) for text in batch]
    np.testing.assert_allclose(ours.predict(pairs), theirs.predict(pairs), atol=1e-4, rtol=1e-5)
    config = json.loads((ours.checkpoint.encoder.folder / "config.json").read_text())
    assert config["dtype"] == "float32"
    assert config["num_hidden_layers"] == layers
