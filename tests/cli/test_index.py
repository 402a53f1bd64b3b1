from __future__ import annotations

import logging
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bicross.cli import app
from bicross.cli.common import show_warnings_plainly


def test_every_skipped_file_is_listed_with_its_reason(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.txt").touch()
    done = CliRunner().invoke(app, ["index", str(tmp_path), "--store", str(tmp_path / ".store")])
    lines = [line for line in done.stderr.splitlines() if line.startswith("Skipped")]
    assert lines == sorted(f"Skipped {tmp_path / f'{number}.txt'}: empty: it holds no text" for number in range(30))


def test_what_pypdf_logs_of_a_file_is_not_said_twice(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger("pypdf"), "handlers", [])
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own
    monkeypatch.setattr("warnings.showwarning", None)
    show_warnings_plainly()
    logging.getLogger("pypdf._reader").warning("EOF marker not found")
    assert capsys.readouterr().err == ""
