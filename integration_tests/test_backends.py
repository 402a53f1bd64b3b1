"""Graphs of onnxruntime and OpenVINO: what they compute, what is refused, and serving from them without torch."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from bicross import BiEncoder, CrossEncoder
from bicross.encoding import hardware
from bicross.encoding.backends import onnx, parity
from bicross.errors import CheckpointError
from tiny_models import write_bi_encoder, write_cross_encoder, write_json

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")
pytestmark = pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning")

BFLOAT16 = pytest.param(
    "openvino", "bfloat16", marks=pytest.mark.skipif(not hardware.has_bfloat16(), reason="this CPU has no bfloat16")
)
FLOATS = [("onnx", "float32"), ("openvino", "float32")]
ALL = [*FLOATS, BFLOAT16, ("onnx", "int8"), ("openvino", "int8")]
TEXTS = [
    "",
    "the cat sits",
    "a dog . " * 20,
    "stone",
    "zebra 中 xyz",
    "w" * 300,
    *("the sun " * n for n in range(1, 30)),
]
PAIRS = [(first, second) for first in ("the cat", "", "a red stone " * 9) for second in TEXTS]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "bicross" / "graphs"


def cosines(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    return (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)


@pytest.mark.parametrize(("backend", "precision"), ALL)
def test_vectors_of_a_tiny_model(tmp_path: Path, backend: str, precision: str) -> None:
    folder = write_bi_encoder(
        tmp_path / "m",
        prompts={"query": "the old "},
        pooling={"pooling_mode": ["mean", "cls"], "include_prompt": False, "embedding_dimension": 32},
    )
    with BiEncoder.load(folder) as theirs, BiEncoder.load(folder, backend=backend, precision=precision) as ours:
        assert (ours.backend, ours.precision, ours.dimension) == (backend, precision, 64)
        for encode, expected in (
            (ours.encode_query, theirs.encode_query(TEXTS)),
            (ours.encode_document, theirs.encode_document(TEXTS)),
        ):
            assert cosines(encode(TEXTS), expected).min() >= parity.LEAST_COSINE[precision]
        same = precision != "int8"
        assert (ours.document_fingerprint == theirs.document_fingerprint) == same
        assert (ours.query_fingerprint == theirs.query_fingerprint) == same


@pytest.mark.parametrize(("backend", "precision"), ALL)
def test_logits_of_a_tiny_model(tmp_path: Path, backend: str, precision: str) -> None:
    folder = write_cross_encoder(tmp_path / "m", labels=2)
    with CrossEncoder.load(folder) as theirs, CrossEncoder.load(folder, backend=backend, precision=precision) as ours:
        expected = theirs.predict(PAIRS)
        worst = np.abs(ours.predict(PAIRS) - expected).max() / expected.std()
        assert worst <= parity.MOST_DEVIATION[precision]
        assert (ours.fingerprint == theirs.fingerprint) == (precision != "int8")


def test_a_text_s_int8_vector_does_not_depend_on_its_batch_under_openvino(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    with BiEncoder.load(folder, backend="openvino", precision="int8") as model:
        alone = np.stack([model.encode_document(text) for text in TEXTS])
        np.testing.assert_allclose(model.encode_document(TEXTS), alone, atol=1e-2)


def test_two_towers_have_a_graph_each_and_a_table_none(tmp_path: Path, cache: Path) -> None:
    document = write_bi_encoder(tmp_path / "m" / "document", seed=3)
    write_bi_encoder(tmp_path / "m" / "query", seed=4, num_hidden_layers=1)
    modules = {"query": "query", "document": "document"}
    write_json(
        tmp_path / "m" / "modules.json",
        [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Router"}],
    )
    write_json(
        tmp_path / "m" / "router_config.json",
        {
            "types": {
                **dict.fromkeys(modules, "sentence_transformers.models.Transformer"),
                **{f"{name}/1_Pooling": "sentence_transformers.models.Pooling" for name in modules},
            },
            "structure": {name: [name, f"{name}/1_Pooling"] for name in modules},
        },
    )
    assert document.is_dir()
    with BiEncoder.load(tmp_path / "m") as theirs, BiEncoder.load(tmp_path / "m", backend="onnx") as ours:
        assert cosines(ours.encode_query(TEXTS), theirs.encode_query(TEXTS)).min() > 0.99999
        assert cosines(ours.encode_document(TEXTS), theirs.encode_document(TEXTS)).min() > 0.99999
        assert ours.query_fingerprint == theirs.query_fingerprint != ours.document_fingerprint
    assert len(list(cache.glob("*/onnx-float32/graph.json"))) == 2


SERVE = """
import json, sys
sys.modules["torch"] = sys.modules["transformers"] = None  # as if they weren't installed
from bicross import BiEncoder, CrossEncoder, Passage, QdrantStore, TwoStageRetriever
bi = BiEncoder.load(sys.argv[1], precision=sys.argv[3])
cross = CrossEncoder.load(sys.argv[2], precision=sys.argv[3])
out = {
    "query": bi.encode_query("the cat").tolist(),
    "document": bi.encode_document(["the dog sits", "stone"]).tolist(),
    "scores": cross.predict([("the cat", "a dog"), ("sun", "")]).tolist(),
    "fingerprints": [bi.document_fingerprint, bi.query_fingerprint, cross.fingerprint],
    "backends": [bi.backend, cross.backend],
}
with QdrantStore(path=sys.argv[4]) as store:
    both = TwoStageRetriever(bi, store, cross)
    both.index([Passage("the dog sits", id="a"), Passage("stone", id="b")])
    out["hits"] = sorted(hit.passage.id for hit in both.search("the cat", 2).hits)
out |= {
    "heavy": [name for name in sys.modules if name.startswith(("torch.", "transformers.", "openvino_telemetry"))],
}
print(json.dumps(out))
"""


@pytest.mark.parametrize(("backend", "precision"), [("onnx", "int8"), ("openvino", "float32")])
def test_serving_from_an_exported_folder_imports_no_torch(tmp_path: Path, backend: str, precision: str) -> None:
    bi = write_bi_encoder(tmp_path / "bi", prompts={"query": "the old "}, max_length=24)
    cross = write_cross_encoder(tmp_path / "cross")
    out = {}
    for kind, model in (("bi", bi), ("cross", cross)):
        out[kind] = tmp_path / "out" / kind
        command = [sys.executable, "-c", "from bicross.cli import main; main()", "export", str(model), "--kind", kind]
        command += ["--backend", backend, "--precision", precision, "--out", str(out[kind])]
        subprocess.run(command, check=True, capture_output=True, text=True)
        assert not list(out[kind].rglob("*.safetensors"))
        shutil.rmtree(model)
    shutil.rmtree(tmp_path / "cache")
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "none")}
    environment.pop("BICROSS_BACKEND")
    done = subprocess.run(
        [sys.executable, "-c", SERVE, str(out["bi"]), str(out["cross"]), precision, str(tmp_path / "s")],
        check=True, capture_output=True, text=True, env=environment,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["heavy"] == []
    assert found["backends"] == [backend, backend]
    assert found["hits"] == ["a", "b"]
    again = write_bi_encoder(tmp_path / "bi", prompts={"query": "the old "}, max_length=24)
    pairs = [("the cat", "a dog"), ("sun", "")]
    with BiEncoder.load(again) as theirs, CrossEncoder.load(write_cross_encoder(tmp_path / "cross")) as scorer:
        least = parity.LEAST_COSINE[precision]
        assert cosines(np.array([found["query"]]), theirs.encode_query(["the cat"])).min() >= least
        assert cosines(np.array(found["document"]), theirs.encode_document(["the dog sits", "stone"])).min() >= least
        np.testing.assert_allclose(found["scores"], scorer.predict(pairs), atol=1e-4 if precision == "float32" else 0.1)
        same = [theirs.document_fingerprint, theirs.query_fingerprint, scorer.fingerprint] == found["fingerprints"]
        assert same == (precision == "float32")
    with pytest.raises(CheckpointError, match="exporting needs the weights and torch"):
        BiEncoder.load(out["bi"], backend=backend, precision="float32" if precision == "int8" else "int8")
    (record,) = out["bi"].rglob("graph.json")
    record.write_text(json.dumps(json.loads(record.read_text()) | {"runtime": "0.1"}))
    with pytest.raises(CheckpointError, match=f"it was made for {backend} 0.1, and here is"):
        BiEncoder.load(out["bi"], backend=backend, precision=precision)


@pytest.mark.parametrize(("backend", "precision"), ALL)
def test_minilm_and_the_starter_cross_encoder(backend: str, precision: str) -> None:
    rng = np.random.default_rng(0)
    words = "the a of water patient city 1904 built drug river why is Zürich cell protein music not".split()  # noqa: SIM905
    texts = [" ".join(rng.choice(words, size=size)) for size in (0, 1, 5, 14, 40, 130, 300, 17, 64, 65)]
    with BiEncoder.load("minilm") as theirs, BiEncoder.load("minilm", backend=backend, precision=precision) as ours:
        least = {"float32": 0.99999, "bfloat16": 0.999, "int8": 0.97}[precision]
        assert cosines(ours.encode_document(texts), theirs.encode_document(texts)).min() >= least
    pairs = [("why is the city not built", text) for text in texts]
    with CrossEncoder.load("starter") as scorer:
        expected = scorer.predict(pairs, activation="identity")
    with CrossEncoder.load("starter", backend=backend, precision=precision) as quick:
        scores = quick.predict(pairs, activation="identity")
    differences = np.abs(scores - expected)
    if (backend, precision) == ("onnx", "int8"):
        # One scale for the batch: the worst of ten moves by a factor of four with the texts, whatever the weights.
        assert differences.mean() <= 0.25
    else:
        assert differences.max() <= {"float32": 1e-3, "bfloat16": 0.1, "int8": 0.5}[precision]
    assert len(set(scores.tolist())) == len(pairs)


def test_each_way_to_quantise_has_its_own_fingerprint(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "m")
    prints = {BiEncoder.load(folder, backend=name, precision="int8").query_fingerprint for name in ("onnx", "openvino")}
    assert len(prints) == 2


@pytest.mark.skipif(
    not 1 < hardware.usable_cores() == len(hardware.own_cores()) or onnx._release() < onnx._SPINS_SINCE,
    reason="threads are bound on Linux alone, from onnxruntime 1.26 on, and to two cores or more without a quota",
)
def test_a_sessions_threads_have_a_core_each(tmp_path: Path) -> None:
    folder, cores = write_bi_encoder(tmp_path / "m"), hardware.own_cores()

    def bound() -> list[int]:
        """Cores that a thread of this process is bound to."""
        masks = []
        for task in Path("/proc/self/task").iterdir():
            with suppress(ProcessLookupError):  # it has ended meanwhile
                masks.append(os.sched_getaffinity(int(task.name)))
        return [next(iter(mask)) for mask in masks if len(mask) == 1]

    with BiEncoder.load(folder, backend="onnx") as encoder:
        encoder.encode_query("the cat")
        assert set(cores[1:]) <= set(bound())
    assert hardware.own_cores() == cores, "the caller's thread is bound to none"


def test_how_a_sessions_threads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    asleep = {".allow_spinning": "0"}
    monkeypatch.setattr(onnx, "own_cores", lambda: [1, 4, 6])
    monkeypatch.setattr(onnx, "version", lambda: "1.26.0")
    assert onnx._waiting(3)["_thread_affinities"] == "5;7"
    assert onnx._waiting(2) == asleep, "they would share cores with others"
    monkeypatch.setattr(onnx, "version", lambda: "1.25.1")
    assert onnx._waiting(3) == asleep, "they would spin for tens of milliseconds"
    for cores in ([0], []):
        monkeypatch.setattr(onnx, "own_cores", lambda cores=cores: cores)
        assert onnx._waiting(1) == asleep
