"""Files that appear once they are complete."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from bicross.distillation.vectors import kept_vectors
from bicross.distillation.whole_file import whole_file
from bicross.errors import StorageFullError


def write_half(path: Path, error: OSError) -> None:
    with whole_file(path) as part:
        part.write_text("half")
        raise error


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    with whole_file(path) as part:
        part.write_text("first")
    error = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(StorageFullError, match="disk is full"):
        write_half(path, error)
    assert path.read_text() == "first"
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(PermissionError):
        write_half(tmp_path / "file", PermissionError(errno.EACCES, "no"))


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
