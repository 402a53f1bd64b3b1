"""Exported graphs of tiny models: equal to torch, made once, and never used where they don't fit."""

from __future__ import annotations

import ctypes
import errno
import json
from pathlib import Path

import numpy as np
import pytest

from bicross import BiEncoder, CrossEncoder
from bicross.encoding.backends import graphs, parity
from bicross.encoding.backends.choosing import Choice
from bicross.encoding.backends.signal_stack import Stack
from bicross.encoding.checkpoint import read_bi_checkpoint
from bicross.errors import CheckpointError, ConfigurationError
from tiny_models import write_bi_encoder, write_cross_encoder

pytest.importorskip("onnxruntime", reason="the extra 'onnx' isn't installed")
pytest.importorskip("openvino", reason="the extra 'openvino' isn't installed")
pytestmark = pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")

TEXTS = ["", "the cat sits", "a dog . " * 20, "stone", "zebra 中 xyz", *("the sun " * n for n in range(1, 30, 4))]
PAIRS = [(first, second) for first in ("the cat", "", "a red stone " * 9) for second in TEXTS]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bicross" / "graphs"


@pytest.mark.parametrize(("backend", "precision"), [("onnx", "float32"), ("openvino", "float32")])
def test_vectors(tmp_path: Path, backend: str, precision: str) -> None:
    folder = write_bi_encoder(
        tmp_path / "m",
        prompts={"query": "the old "},
        pooling={"pooling_mode": ["mean", "cls"], "include_prompt": False, "embedding_dimension": 32},
    )
    with BiEncoder.load(folder) as theirs, BiEncoder.load(folder, backend=backend, precision=precision) as ours:
        assert (ours.backend, ours.precision, ours.dimension) == (backend, precision, 64)
        found, expected = ours.encode_query(TEXTS), theirs.encode_query(TEXTS)
        cosines = (found * expected).sum(axis=1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
        assert cosines.min() >= parity.LEAST_COSINE[precision]
        assert ours.query_fingerprint == theirs.query_fingerprint


def test_closing_in_the_order_of_loading_leaves_no_freed_signal_stack(tmp_path: Path) -> None:
    current = Stack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(current))
    before, seen = current.pointer, []
    folders = [write_bi_encoder(tmp_path / "a"), write_bi_encoder(tmp_path / "b")]
    models = [BiEncoder.load(folder, backend="openvino") for folder in folders]
    for model in models:
        model.encode_query("the cat")
    for model in models:
        model.close()
        ctypes.CDLL(None).sigaltstack(None, ctypes.byref(current))
        seen.append(current.pointer)
    assert seen == [before, before]


def test_logits(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path / "m", labels=2)
    with CrossEncoder.load(folder) as theirs, CrossEncoder.load(folder, backend="onnx") as ours:
        np.testing.assert_allclose(ours.predict(PAIRS), theirs.predict(PAIRS), atol=1e-4)
        assert ours.fingerprint == theirs.fingerprint


def test_an_export_that_computes_something_else_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    right = graphs.Graph.runner

    class Wrong:
        def __init__(self, runner) -> None:
            self.runner = runner
            self.padded = runner.padded

        def run(self, ids, mask, types):
            return self.runner.run(ids, np.ones_like(mask), types)  # a graph that ignores the mask

    monkeypatch.setattr(graphs.Graph, "runner", lambda self, threads: Wrong(right(self, threads)))
    with pytest.raises(
        CheckpointError, match=r"must have a cosine of at least 0\.99999 with torch's float32, got samp"
    ):
        BiEncoder.load(folder, backend="onnx")
    assert list(cache.glob("*/*")) == []  # nothing of it stays
    monkeypatch.delenv("BICROSS_BACKEND")
    with BiEncoder.load(folder, device="cpu") as model:  # "auto" goes on to what works
        assert model.backend == "torch"
    assert any("torch computes instead of" in message for message in caplog.messages)


def test_a_cache_that_can_not_be_written_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(
        ConfigurationError, match="Set XDG_CACHE_HOME to one, export into one with bicross export --out"
    ):
        BiEncoder.load(write_bi_encoder(tmp_path / "m"), backend="onnx")


def test_a_disk_that_fills_up_leaves_nothing_and_torch_computes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(path: Path, *_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    folder = write_bi_encoder(tmp_path / "m")
    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(ConfigurationError, match=r"A graph needs a folder that can be written, got .*No space left"):
        BiEncoder.load(folder, backend="onnx", device="cpu")
    assert list(cache.glob("*/*")) == []
    monkeypatch.delenv("BICROSS_BACKEND")
    with BiEncoder.load(folder, device="cpu") as model:
        assert model.backend == "torch"


def test_a_graph_is_made_once_and_never_used_where_it_does_not_fit(
    tmp_path: Path, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    BiEncoder.load(folder, backend="onnx").close()
    assert ["Exporting" in caplog.messages[0], "worst cosine" in caplog.messages[1]] == [True, True]
    caplog.clear()
    BiEncoder.load(folder, backend="onnx").close()
    assert caplog.messages == []

    spec, choice = read_bi_checkpoint(folder).document, Choice("onnx", "float32")
    [path] = cache.glob("*/onnx-float32/graph.json")
    record = json.loads(path.read_text())

    def reason(text: str) -> str:
        path.write_text(text)
        graph, [why] = graphs.find("bi-encoder", spec, choice)
        assert graph is None
        return why

    def with_(**changes: object) -> str:
        return json.dumps(record | changes)

    assert "made from other weights, another tokenizer or another pooling" in reason(with_(key="0"))
    assert "its format is 0, not 1" in reason(with_(format=0))
    assert "can't be understood" in reason("{}")
    assert "must be JSON" in reason("{")
    assert "graph.onnx isn't the file that was exported" in reason(with_(files={"graph.onnx": "0"}))
    assert "made for onnx 1.0.0, and here is" in reason(with_(runtime="1.0.0"))
    BiEncoder.load(folder, backend="onnx").close()  # made again
    assert "Not used" in caplog.messages[0]
    assert json.loads(path.read_text())["runtime"] == record["runtime"]
