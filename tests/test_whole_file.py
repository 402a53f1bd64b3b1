"""Files that appear once they are complete."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from bicross.errors import StorageFullError
from bicross.whole_file import whole_file


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
