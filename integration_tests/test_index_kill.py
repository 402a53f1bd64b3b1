"""`index` killed at random moments, again and again: nothing acknowledged is lost, nothing is there twice."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from bicross import Passage, QdrantStore
from bicross.stores.stamps import stamp_of

KILLS = 20
COUNT = 20_000
CHILD = """
import sys, time
import numpy as np
from bicross import Passage, QdrantStore, TwoStageRetriever
from bicross import indexing

class Slow:
    begun = False
    document_fingerprint = "f" * 64
    def encode_query(self, texts):
        return self.encode_document(texts)
    def encode_document(self, texts):
        batch = [texts] if isinstance(texts, str) else texts
        if len(batch) > 1 and not Slow.begun:
            Slow.begun = True
            print("begun", flush=True)
        time.sleep(0.05)
        vectors = np.stack([np.random.default_rng(len(text)).normal(size=16) for text in batch]).astype(np.float32)
        return vectors[0] if isinstance(texts, str) else vectors

class Telling(QdrantStore):
    # What upsert returned from is acknowledged: written to a pipe that outlives the kill.
    def upsert(self, passages, vectors, sparse=None, *, sync=None):
        super().upsert(passages, vectors, sparse, sync=sync)
        print("\\n".join(passage.id for passage in passages), flush=True)

passages = [Passage(f"passage {i} " + "x" * (i % 97), id=str(i)) for i in range(COUNT)]
with Telling(path=sys.argv[1]) as store:
    report = TwoStageRetriever(Slow(), store).index(passages, source="all")
print("done", flush=True)
""".replace("COUNT", str(COUNT))


def run(folder: Path, seconds: float | None) -> tuple[set[str], bool]:
    """The ids that were acknowledged, and whether the run came to its end."""
    with subprocess.Popen([sys.executable, "-c", CHILD, str(folder)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() in ("begun\n", "done\n")
        if seconds is not None:
            time.sleep(seconds)
            os.kill(child.pid, signal.SIGKILL)
        said = child.stdout.read().splitlines()
    return {line for line in said if line != "done"}, "done" in said


def test_index_survives_kills_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(7)
    acknowledged: set[str] = set()
    in_the_middle = 0
    for _ in range(KILLS):
        told, ended = run(tmp_path / "store", rng.uniform(0.0, 0.4))
        assert not told & acknowledged, "what was acknowledged is not encoded again"
        acknowledged |= told
        in_the_middle += not ended and len(acknowledged) < COUNT
        if len(acknowledged) == COUNT:
            break
    assert in_the_middle >= 3, "too few kills landed while the index was being written"
    _, ended = run(tmp_path / "store", None)
    assert ended
    with QdrantStore(path=tmp_path / "store") as store:
        assert store.count() == COUNT
        found = {passage.id: passage for passage in store.scroll()}
        assert set(found) == {str(i) for i in range(COUNT)}
        for i in range(COUNT):
            expected = Passage(f"passage {i} " + "x" * (i % 97), id=str(i), source="all")
            assert stamp_of(found[str(i)], "all") == stamp_of(expected, "all")
