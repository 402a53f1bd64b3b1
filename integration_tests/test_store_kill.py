"""kill -9 of a process that writes to an embedded store: nothing acknowledged is lost, doubled or altered."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np

from bicross.stores import QdrantStore
from bicross.types import Passage

DIMENSION = 32
KILLS = 10

# Acknowledges every operation on stdout with one write of less than PIPE_BUF, which arrives whole or not at all.
CHILD = """if True:
    import os, random, sys
    import numpy as np
    sys.path.insert(0, sys.argv[4])
    from test_store_kill import passage_of, vector_of
    from bicross.stores import QdrantStore

    folder, first, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    rng = random.Random(seed)
    def acknowledge(kind, names):
        os.write(1, f"{kind} {' '.join(map(str, names))}\\n".encode())
    store = QdrantStore(path=folder)
    store.bind(dimension=32, fingerprint="3f1c", model="m")
    acknowledge("ready", [])
    written, number = [], first
    while True:
        choice = rng.random()
        if choice < 0.7 or len(written) < 50:
            names = list(range(number, number + rng.randint(1, 60)))
            number += len(names)
            store.upsert([passage_of(n, 0) for n in names], np.stack([vector_of(n) for n in names]), sync="kill")
            written += names
            acknowledge("upsert", names)
        elif choice < 0.8:
            names = rng.sample(written, 10)
            acknowledge("deleting", names)
            store.delete([f"p{n}" for n in names])
            written = [n for n in written if n not in names]
            acknowledge("delete", names)
        elif choice < 0.95:
            names = rng.sample(written, 10)
            acknowledge("changing", names)
            store.set_payload([passage_of(n, 1) for n in names], sync="kill")
            acknowledge("change", names)
        elif choice < 0.98:
            store.flush()
        else:
            store.optimize()
"""


def passage_of(number: int, version: int) -> Passage:
    meta = {"n": number, "version": version, "fraction": number / 7, "even": number % 2 == 0}
    return Passage(f"text {number} " + "x" * (number % 300), id=f"p{number}", title=f"t{number}", meta=meta, source="s")


def vector_of(number: int) -> np.ndarray:
    return np.random.default_rng(number).normal(size=DIMENSION).astype(np.float32)


class Expectation:
    """What must, and what may, be in the store after what was acknowledged so far."""

    def __init__(self) -> None:
        self.versions: dict[int, set[int]] = {}
        self.perhaps_gone: set[int] = set()
        self.gone: set[int] = set()

    def take(self, line: str) -> None:
        kind, *names = line.split()
        for n in map(int, names):
            if kind == "upsert":
                self.versions[n] = {0}
            elif kind == "deleting":
                self.perhaps_gone.add(n)
            elif kind == "delete":
                self.gone.add(n)
                del self.versions[n]
            elif kind == "changing":
                self.versions[n].add(1)
            elif kind == "change":
                self.versions[n] = {1}

    def check(self, store: QdrantStore, first_unknown: int) -> tuple[int, int]:
        """Compare, and take what is really there for the state to go on from."""
        found = {passage.id: passage for passage in store.scroll()}
        assert store.count() == len(found)
        lost = [n for n in self.versions if f"p{n}" not in found and n not in self.perhaps_gone]
        assert not lost, f"lost: {lost[:10]} of {len(self.versions)} acknowledged"
        risen = [n for n in self.gone if f"p{n}" in found]
        assert not risen, f"deleted and back: {risen[:10]}"
        surplus = 0
        for name, passage in found.items():
            n = int(name[1:])
            if n not in self.versions:
                assert n >= first_unknown, f"{name} was never there"
                surplus += 1  # of the batch that was written and not acknowledged
            versions = self.versions.get(n, {0})
            assert passage in [passage_of(n, version) for version in versions], f"{name} is altered"
            self.versions[n] = {passage.meta["version"]}
        self.versions = {n: v for n, v in self.versions.items() if f"p{n}" in found}
        self.perhaps_gone.clear()
        ids, vectors = store.vectors(list(found))
        assert len(ids) == len(found)
        expected = np.stack([vector_of(int(name[1:])) for name in ids])
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        assert np.abs(vectors - expected).max() < 1e-6
        return len(found), surplus


def test_ten_kills(tmp_path: Path) -> None:
    seed = int(os.environ.get("BICROSS_SEED", "0"))
    rng = random.Random(seed)
    expectation = Expectation()
    first = surplus = 0
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    for round_number in range(KILLS):
        arguments = [tmp_path / "store", first, 1000 * seed + round_number, Path(__file__).parent]
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready \n"
        threading.Timer(rng.uniform(0.05, 1.5), child.send_signal, [signal.SIGKILL]).start()
        lines = list(child.stdout)
        child.stdout.close()
        assert child.wait() == -signal.SIGKILL, f"seed {seed}, round {round_number}"
        for line in lines:
            expectation.take(line)
        with QdrantStore(path=tmp_path / "store") as store:
            info = store.info()
            assert info is not None
            assert (info.fingerprint, info.dimension) == ("3f1c", DIMENSION)
            count, unacknowledged = expectation.check(store, first)
        surplus += unacknowledged
        first = max(expectation.versions, default=first) + 10_000
    assert count > 500
    print(f"{KILLS} kills, {count} passages at the end, {surplus} written and not acknowledged")  # noqa: T201


def test_killed_while_it_creates_the_collection(tmp_path: Path) -> None:
    code = """if True:
        import sys
        import numpy as np
        from bicross.stores import QdrantStore, edge
        from bicross.types import Passage
        print("ready", flush=True)
        while True:
            with QdrantStore(path=sys.argv[1]) as store:
                store.upsert([Passage("t", id="a")], np.ones((1, 4)))
                assert store.count() == 1
                store.drop()
                assert store.info() is None
    """
    rng = random.Random(1)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        threading.Timer(rng.uniform(0.05, 1.0), child.send_signal, [signal.SIGKILL]).start()
        assert child.wait() == -signal.SIGKILL
        child.stdout.close()
        with QdrantStore(path=tmp_path) as store:
            assert store.count() in (0, 1)
            store.bind(dimension=4)
            store.upsert([Passage("t", id="b")], np.ones((1, 4)))
            assert store.get(["b"]) == [Passage("t", id="b")]
            store.drop()
    assert list(tmp_path.iterdir()) == []
