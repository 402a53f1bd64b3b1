from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from bicross import cli
from bicross.cli.common import check_output
from bicross.errors import ConfigurationError


def test_what_the_file_system_refuses_is_no_internal_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: list[str]) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", arguments[0])

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.setattr(cli, "show_warnings_plainly", lambda: None)
    monkeypatch.setattr(sys, "argv", ["bicross", "a.run"])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == 1
    assert capsys.readouterr().err == "Error: [Errno 28] No space left on device: 'a.run'\n"


def test_an_output_is_looked_at_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_output(None)
    check_output(tmp_path / "new" / "gap.html")
    assert list((tmp_path / "new").iterdir()) == []
    (tmp_path / "file").touch()
    for path, reason in ((tmp_path, "it is a folder"), (tmp_path / "file" / "a.run", "Not a directory|File exists")):
        with pytest.raises(ConfigurationError, match=reason):
            check_output(path)
    monkeypatch.setattr("os.access", lambda *_: False)
    with pytest.raises(ConfigurationError, match="its folder can't be written"):
        check_output(tmp_path / "a.run")
