"""Students of the real starter: saved, they load in sentence-transformers with the same vectors; in two processes, they
learn the same, and so do rerankers."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file
from sentence_transformers import SentenceTransformer
from torch import Tensor

from bicross import BiEncoder
from bicross.distillation import (
    CandidateLists,
    LabelledQuery,
    Labels,
    ScoredList,
    StudentSettings,
    TrainingSettings,
    train_bi_encoder,
)
from tiny_models import write_bi_encoder

pytestmark = [
    pytest.mark.filterwarnings("default"),  # other packages' deprecations aren't this suite's matter
    pytest.mark.filterwarnings("ignore::bicross.errors.BicrossWarning"),
]
TOPICS = {
    "list files": "ls prints the names of the files in a directory.",
    "copy a file": "cp copies files and directories from one place to another.",
    "remove a folder": "rm -r deletes a directory and everything in it.",
    "show running processes": "ps reports a snapshot of the current processes.",
    "search text in files": "grep prints the lines that match a pattern.",
    "download a page": "curl transfers data from or to a server.",
    "compress a folder": "tar creates an archive of many files.",
    "change permissions": "chmod changes who may read, write and execute a file.",
}
TRAINING = TrainingSettings(batch_size=4, learning_rate=3e-5, max_length=32, bf16=False, show_progress=False)
SETTINGS = StudentSettings(held_out=2, epochs=1, training=TRAINING)
WORDS = [*TOPICS, *TOPICS.values(), "", "Zürich 中文 antidisestablishmentarianism", "a long one " * 90]


def topics() -> CandidateLists:
    documents = {f"d{i}": text for i, text in enumerate(TOPICS.values())}
    lists = []
    for i, query in enumerate(TOPICS):
        ids = tuple(documents)
        scores = np.where(np.arange(len(ids)) == i, 8.0, -np.arange(len(ids))).astype(np.float32)
        labels = np.where(np.arange(len(ids)) == i, 1.0, np.nan).astype(np.float32)
        lists.append(
            ScoredList(f"q{i}", query, ids, scores, labels, ("given",) * len(ids), np.zeros(len(ids), np.int32))
        )
    return CandidateLists(lists, documents)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(SETTINGS, id="both"),
        pytest.param(replace(SETTINGS, layers=3, lora=8), id="pruned-lora"),
        pytest.param(replace(SETTINGS, towers="query"), id="query"),
        pytest.param(replace(SETTINGS, towers="query", layers=1), id="light"),
        pytest.param(replace(SETTINGS, towers="query", static=True), id="static"),
    ],
)
def test_a_student_has_the_same_vectors_in_sentence_transformers(tmp_path: Path, settings: StudentSettings) -> None:
    with BiEncoder.load("starter", device="cpu") as starter:
        report = train_bi_encoder(topics(), starter, out=tmp_path / "student", settings=settings)
        kept = settings.towers == "query"
        assert (report.document_fingerprint == starter.document_fingerprint) == kept
        frozen = starter.encode_document(WORDS)
        queries_before = starter.encode_query(WORDS)
    theirs = SentenceTransformer(str(tmp_path / "student"), device="cpu")
    with report.load(device="cpu") as ours:
        queries, documents = ours.encode_query(WORDS), ours.encode_document(WORDS)
        copy = ours.save(tmp_path / "copy")
    np.testing.assert_allclose(queries, theirs.encode_query(WORDS), atol=1e-5)
    np.testing.assert_allclose(documents, theirs.encode_document(WORDS), atol=1e-5)
    assert np.abs(queries - queries_before).max() > 1e-4
    if kept:
        np.testing.assert_array_equal(documents, frozen)
    with BiEncoder.load(copy, device="cpu") as again:
        assert again.document_fingerprint == report.document_fingerprint


STUDENT = """
import sys
from dataclasses import replace
sys.path[:0] = {paths!r}
from integration_tests_students import SETTINGS, TRAINING, topics
from bicross import BiEncoder
from bicross.distillation import train_bi_encoder
size, out = int(sys.argv[1]), sys.argv[2]
settings = replace(SETTINGS, epochs=3, losses={{"kl": 1.0}}, half=False, training=replace(TRAINING, batch_size=size))
train_bi_encoder(topics(), BiEncoder.load({student!r}, device="cpu"), out=out, settings=settings)
"""


RERANKER = """
import os
import sys
from dataclasses import replace
from pathlib import Path
sys.path[:0] = {paths!r}
from integration_tests_students import TRAINING, Shared, labels
from bicross import BiEncoder
from bicross.distillation import train_reranker
size, out = int(sys.argv[1]), sys.argv[2]
report = train_reranker(
    labels(), out=out, base={student!r}, bi_encoder=BiEncoder.load({student!r}, device="cpu"), teacher=Shared(),
    window=(1, 8), candidates=8, negatives=3, held_out=2, epochs=3,
    settings=replace(TRAINING, batch_size=size, learning_rate=1e-3),
)
Path(out + "-report-" + os.environ.get("RANK", "0")).write_text(repr(replace(report, folder=None)))
"""


RANKS = (("one", 0), ("two", 0), ("two", 1))


class Shared:
    """A teacher that counts shared letters."""

    fingerprint = "shared"

    def predict(self, pairs):
        return np.array([len(set(query) & set(text)) for query, text in pairs], dtype=np.float32)

    def rank(self, query, texts):
        raise NotImplementedError


def labels() -> Labels:
    """Every topic's text answers its query."""
    documents = {f"d{i}": text for i, text in enumerate(TOPICS.values())}
    return Labels("topics", documents, {f"q{i}": LabelledQuery(query, (f"d{i}",)) for i, query in enumerate(TOPICS)})


def in_one_and_in_two_processes(folder: Path, script: str) -> None:
    """Runs a script alone, and in two processes with half the batch, as `accelerate launch` starts them."""
    student = write_bi_encoder(folder / "tiny", initializer_range=0.2)
    (folder / "integration_tests_students.py").write_text(Path(__file__).read_text(encoding="utf-8"))
    tests = Path(__file__).parents[1] / "tests"
    train = folder / "train.py"
    train.write_text(script.format(paths=[str(folder), str(tests)], student=str(student)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for command in ([sys.executable, str(train), "6", "one"], [*launch, str(train), "3", "two"]):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]


def check_equal(one: dict[str, Tensor], two: dict[str, Tensor]) -> None:
    for name, value in one.items():
        # Softmax doesn't see the one, nor margins the other: their gradient is rounding, which AdamW makes a step of.
        if not name.endswith(("key.bias", "classifier.bias")):
            np.testing.assert_allclose(value.numpy(), two[name].numpy(), atol=1e-5, err_msg=name)


def test_two_processes_train_the_reranker_that_one_does_with_twice_the_batch(tmp_path: Path) -> None:
    in_one_and_in_two_processes(tmp_path, RERANKER)
    # The checkpoints, since a reranker's folder holds half precision.
    check_equal(
        *(load_file(tmp_path / f"{name}.run" / "checkpoint-3" / "model.safetensors") for name in ("one", "two"))
    )
    alone, first, second = ((tmp_path / f"{name}-report-{rank}").read_text() for name, rank in RANKS)
    assert alone == first == second
    names = {"bicross.json", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}
    assert {path.name for path in (tmp_path / "two").iterdir()} == names
    assert not list(tmp_path.rglob("*.part"))


def test_two_processes_learn_what_one_does_with_twice_the_batch(tmp_path: Path) -> None:
    in_one_and_in_two_processes(tmp_path, STUDENT)
    losses = [json.loads((tmp_path / name / "bicross.json").read_text())["losses"] for name in ("one", "two")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    check_equal(*(load_file(tmp_path / name / "model.safetensors") for name in ("one", "two")))
