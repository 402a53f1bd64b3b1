"""Vectors that a training run keeps in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bicross.distillation.vectors import kept_vectors
from bicross.errors import StorageFullError


def test_vectors_are_kept_block_by_block(encoder, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("bicross.distillation.vectors._BLOCK", 2)
    texts = ["w1 w2", "w3", "w4 w5 w6", "w7", "w8"]
    kept = kept_vectors(tmp_path / "v.npy", encoder, "document", texts, None)
    assert kept.dtype == np.float32
    assert np.array_equal(kept, encoder.encode_document(texts))
    calls = encoder.calls
    assert np.array_equal(kept_vectors(tmp_path / "v.npy", encoder, "document", texts, None), kept)
    assert encoder.calls == calls


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_vectors_on_a_full_disk_are_an_error_and_no_signal(encoder, tmp_path: Path) -> None:
    (tmp_path / "v.npy.part").symlink_to("/dev/full")
    with pytest.raises(StorageFullError, match=r"v\.npy can't be written"):
        kept_vectors(tmp_path / "v.npy", encoder, "document", ["w1"] * 5000, None)
