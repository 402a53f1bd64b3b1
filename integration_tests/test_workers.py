"""A bulk job in worker processes: the same results as in one process, also where a worker is killed."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bicross import BiEncoder, CrossEncoder
from tiny_models import WORDS, write_bi_encoder, write_cross_encoder


def texts(count: int) -> list[str]:
    random = np.random.default_rng(0)
    return [" ".join(random.choice(WORDS, random.integers(3, 50))) for _ in range(count)]


def kill_one(encoder: BiEncoder, killed: list[int]) -> None:
    pool = encoder._workers
    assert pool is not None
    deadline = time.monotonic() + 60
    while not (pids := pool.get().pids()):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    time.sleep(1.0)
    os.kill(pids[0], signal.SIGKILL)
    killed.append(pids[0])


def test_a_killed_workers_part_is_encoded_again(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "m", max_length=32)
    given = [*texts(6_000), "", "the cat"] * 2
    with BiEncoder.load(folder, device="cpu") as alone, BiEncoder.load(folder, device="cpu", workers=2) as shared:
        expected, expected_cut = alone.encode_document(given, return_truncation=True)
        killed: list[int] = []
        killer = threading.Thread(target=kill_one, args=(shared, killed))
        killer.start()
        found, cut = shared.encode_document(given, return_truncation=True)
        killer.join()
        assert killed
        assert shared._workers is not None
        assert killed[0] not in shared._workers.get().pids()
        assert shared.document_fingerprint == alone.document_fingerprint
    np.testing.assert_allclose(found, expected, atol=1e-6)
    np.testing.assert_array_equal(cut, expected_cut)
    assert cut.any()


def test_pairs_are_scored_by_workers(tmp_path: Path) -> None:
    folder = write_cross_encoder(tmp_path / "m")
    pairs = [("the cat", text) for text in texts(700)]
    with CrossEncoder.load(folder, device="cpu") as alone, CrossEncoder.load(folder, device=["cpu", "cpu"]) as shared:
        expected = alone.predict(pairs, return_truncation=True)[0]
        np.testing.assert_allclose(shared.predict(pairs, return_truncation=True)[0], expected, atol=1e-6)
        assert shared._workers is not None
        assert len(shared._workers.get().pids()) == 2


@pytest.mark.parametrize("count", [1, 20])
def test_small_jobs_stay_here(tmp_path: Path, count: int) -> None:
    with BiEncoder.load(write_bi_encoder(tmp_path / "m"), device="cpu", workers=2) as shared:
        assert shared.encode_document(texts(count)).shape == (count, 32)
        assert shared._workers is not None
        assert shared._workers.get().pids() == []
