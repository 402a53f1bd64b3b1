"""Students of the real starter: saved, they load in sentence-transformers with the same vectors; in two processes, they
learn the same."""

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

from bicross import BiEncoder
from bicross.distillation import CandidateLists, ScoredList, StudentSettings, TrainingSettings, train_bi_encoder
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


SCRIPT = """
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


def test_two_processes_learn_what_one_does_with_twice_the_batch(tmp_path: Path) -> None:
    """What `accelerate launch` starts: processes that share a step's lists."""
    student = write_bi_encoder(tmp_path / "tiny", initializer_range=0.2)
    (tmp_path / "integration_tests_students.py").write_text(Path(__file__).read_text(encoding="utf-8"))
    tests = Path(__file__).parents[1] / "tests"
    script = tmp_path / "train.py"
    script.write_text(SCRIPT.format(paths=[str(tmp_path), str(tests)], student=str(student)))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for command in ([sys.executable, str(script), "6", "one"], [*launch, str(script), "3", "two"]):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    losses = [json.loads((tmp_path / name / "bicross.json").read_text())["losses"] for name in ("one", "two")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)
    for name in one:
        if name.endswith("key.bias"):  # softmax doesn't see it: its gradient is rounding, which AdamW makes a step of
            continue
        np.testing.assert_allclose(one[name].numpy(), two[name].numpy(), atol=1e-5, err_msg=name)
