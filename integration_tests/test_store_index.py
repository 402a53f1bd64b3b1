"""The approximate index of the embedded store, really built, against the exact answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bicross.stores import ExactStore, QdrantStore
from bicross.types import Passage


def test_recall_with_the_default_settings(tmp_path):
    rng = np.random.default_rng(0)
    count = 12_000
    centres = rng.normal(size=(60, 64))
    vectors = (centres[rng.integers(0, 60, count)] + 0.6 * rng.normal(size=(count, 64))).astype(np.float32)
    vectors = np.repeat(vectors, 4, axis=1)  # 256 dimensions: the engine builds an index from 10 MB on
    passages = [Passage("t", id=str(i), meta={"third": i % 3}) for i in range(count)]
    third = {"field": "third", "operator": "==", "value": 0}
    with QdrantStore(path=tmp_path) as store, ExactStore() as oracle:
        for each in (store, oracle):
            each.upsert(passages, vectors)
        assert store.info().indexed_vectors_count == 0
        assert store.optimize() is True
        assert store.info().indexed_vectors_count == count
        assert store.optimize() is False
        recalls = {"all": [], "filtered": []}
        for i in range(0, count, 400):
            query = vectors[i] + 0.2 * rng.normal(size=256)
            for name, condition in (("all", None), ("filtered", third)):
                exact = {hit.passage.id for hit in oracle.search(query, 100, condition)}
                found = store.search(query, 100, condition)
                recalls[name].append(len(exact & {hit.passage.id for hit in found}) / 100)
                assert [hit.passage.id for hit in store.search(query, 10, condition)] == [
                    hit.passage.id for hit in found[:10]
                ]
        assert np.mean(recalls["all"]) >= 0.99
        assert np.mean(recalls["filtered"]) >= 0.99
        store.upsert([Passage("new", id="new")], vectors[:1])
        assert store.search(vectors[0], 2)[1].passage.id == "new"


OPTIMISE = """
import sys
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from bicross.stores import QdrantStore, shards
from bicross.types import Passage
shards.MANY = 0
with QdrantStore(path=sys.argv[1]) as store:
    vectors = np.random.default_rng(0).normal(size=(12_000, 256)).astype(np.float32)
    store.upsert([Passage("t", id=str(i)) for i in range(len(vectors))], vectors)
    print("filled", flush=True)
    store.optimize()
"""


@pytest.mark.parametrize("victim", ["parent", "child"])
def test_a_kill_while_the_index_is_built_loses_nothing(tmp_path: Path, victim: str) -> None:
    command = [sys.executable, "-c", OPTIMISE, str(tmp_path)]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    assert parent.stdout.readline() == "filled\n"
    children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
    deadline = time.monotonic() + 30
    while not (pids := children.read_text().split()):
        assert time.monotonic() < deadline
    child = int(pids[0])
    segments = tmp_path / "default" / "shard" / "segments"
    before = {path.name for path in segments.iterdir()}
    while {path.name for path in segments.iterdir()} == before:  # until it has begun to build
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.3)
    os.kill(parent.pid if victim == "parent" else child, signal.SIGKILL)
    _, errors = parent.communicate(timeout=60)
    assert parent.returncode != 0
    if victim == "child":
        assert "built in a process of its own, and that failed: it ended with -9" in errors
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    vectors = np.random.default_rng(0).normal(size=(12_000, 256)).astype(np.float32)
    with QdrantStore(path=tmp_path) as store:
        assert store.count() == 12_000
        assert all(store.search(vectors[i], 1)[0].passage.id == str(i) for i in range(0, 12_000, 500))
        assert store.optimize() is True
        assert all(store.search(vectors[i], 1)[0].passage.id == str(i) for i in range(0, 12_000, 500))
