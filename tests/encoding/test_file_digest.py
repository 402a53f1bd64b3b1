from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from bicross.encoding.backends.graphs import file_digest


def test_a_file_is_read_once_while_it_stays_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "graph.bin"
    path.write_bytes(b"one")
    reads = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: reads.append(1) or digest(file, name))
    first = file_digest(path)
    assert first == hashlib.sha256(b"one").hexdigest()
    assert (file_digest(path), len(reads)) == (first, 1)
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))  # a clock that is too coarse to tell
    assert (file_digest(path), len(reads)) == (hashlib.sha256(b"two").hexdigest(), 2)
