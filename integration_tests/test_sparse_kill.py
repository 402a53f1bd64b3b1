"""Sparse vectors added to a dense collection, and replaced, by a process that is killed again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bicross import IndexReport, Passage, QdrantStore, TwoStageRetriever
from bicross.types import Floats, SparseVector

COUNT = 6_000
KILLS = 6
PASSAGES = [Passage(f"passage {i}", id=str(i)) for i in range(COUNT)]


class Dense:
    document_fingerprint = "f" * 64
    encoded = 0

    def encode_query(self, texts: str | list[str]) -> Floats:
        return self.encode_document(texts)

    def encode_document(self, texts: str | list[str]) -> Floats:
        if isinstance(texts, str):
            return np.ones(4, np.float32)
        self.encoded += len(texts)
        return np.random.default_rng(0).normal(size=(len(texts), 4)).astype(np.float32)


class Numbers:
    """A passage's number as its one entry, weighed as the encoder says."""

    def __init__(self, value: float, pause: float = 0.0) -> None:
        self.value, self.pause = value, pause
        self.fingerprint = f"numbers {value}"
        self.idf = value == 1.0

    def encode_query(self, texts: list[str]) -> list[SparseVector]:
        return self.encode_document(texts)

    def encode_document(self, texts: list[str]) -> list[SparseVector]:
        if self.pause:
            sys.stdout.write("begun\n")
            sys.stdout.flush()
            time.sleep(self.pause)
        value = np.array([self.value], np.float32)
        return [SparseVector(np.array([int(text.split()[1])], np.uint32), value) for text in texts]


def index(folder: Path, sparse: Numbers, *, reweight: bool) -> tuple[IndexReport, int]:
    dense = Dense()
    with QdrantStore(path=folder) as store:
        retriever = TwoStageRetriever(dense, store, first_stage="hybrid", sparse_encoder=sparse)
        return retriever.index(PASSAGES, reweight=reweight, optimize=False), dense.encoded


def killed_after(folder: Path, seconds: float, value: float, reweight: bool) -> None:
    """The same in a process of its own, which is killed."""
    command = [sys.executable, __file__, str(folder), str(value), "reweight" if reweight else ""]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "begun\n"
        time.sleep(seconds)
        os.kill(child.pid, signal.SIGKILL)


@pytest.mark.parametrize("replaced", [False, True])
def test_killed_while_sparse_vectors_are_made(tmp_path: Path, replaced: bool) -> None:
    rng = random.Random(3)
    with QdrantStore(path=tmp_path) as store:
        TwoStageRetriever(Dense(), store).index(PASSAGES, optimize=False)
    if replaced:
        assert index(tmp_path, Numbers(2.0), reweight=False)[0].weighted == COUNT
    missing = [COUNT]
    for kill in range(KILLS):
        # Only the first says that another encoder's vectors are to be replaced; what it began is gone on with.
        killed_after(tmp_path, rng.uniform(0.0, 0.4), 1.0, reweight=replaced and kill == 0)
        with QdrantStore(path=tmp_path) as store:
            header = store.header()
            assert header is not None
            if header.sparse is None or header.sparse.fingerprint != "numbers 1.0" or header.sparse.state == "reset":
                continue
            missing.append(store.count_without_sparse())
    assert missing == sorted(missing, reverse=True), "what was acknowledged is not made again"
    assert len(set(missing)) > 2, "too few kills landed while vectors were made"
    report, encoded = index(tmp_path, Numbers(1.0), reweight=replaced and len(missing) == 1)
    assert report == IndexReport(unchanged=COUNT, weighted=missing[-1])
    assert encoded == 0
    with QdrantStore(path=tmp_path) as store:
        assert store.count() == COUNT
        assert store.count_without_sparse() == 0
        found = store.sparse_vectors([str(i) for i in range(COUNT)])
        assert all(
            (found[str(i)].indices.tolist(), found[str(i)].values.tolist()) == ([i], [1.0]) for i in range(COUNT)
        )
        assert store.search_sparse(found["77"])[0].passage.id == "77"


if __name__ == "__main__":
    index(Path(sys.argv[1]), Numbers(float(sys.argv[2]), pause=0.1), reweight=sys.argv[3] == "reweight")
