from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bicross.errors import ReadError
from bicross.readers import Reading, read


@pytest.fixture(scope="module")
def library() -> Reading:
    return read(["re", "json", "os", "random", "decimal", "collections", "math", "numpy"], python=True)


def titles(reading: Reading) -> set[str | None]:
    return {passage.title for passage in reading}


@pytest.mark.parametrize(
    "title",
    [
        "re",
        "re.split",
        "json.dumps",
        "json.JSONDecoder.raw_decode",  # from json.decoder
        "os.path.join",  # the module posixpath
        "random.randint",  # a bound method of an instance
        "decimal.Decimal.sqrt",  # from the fallback of a compiled module
        "collections.abc.Mapping.get",  # from _collections_abc
        "numpy.clip",  # from numpy._core.fromnumeric
        "numpy.linalg.norm",
        "numpy.where",
        "numpy.ndarray.clip",  # compiled, documented by add_newdoc
    ],
)
def test_public_title(library: Reading, title: str) -> None:
    assert title in titles(library)


def test_no_private_name_no_test_no_foreign_name(library: Reading) -> None:
    for title in titles(library):
        parts = str(title).split(".")
        assert parts[0] in {"re", "json", "os", "random", "decimal", "collections", "numpy"}
        assert not [part for part in parts if part.startswith("_") and not part.endswith("__")]
        assert "tests" not in parts
    assert len({passage.id for passage in library}) == len(library)


def test_facts(library: Reading) -> None:
    import re

    [split] = [passage for passage in library if passage.title == "re.split"]
    assert split.text == " ".join((re.split.__doc__ or "").split()) or split.text.startswith("Split the source string")
    assert split.id == "re.split"
    assert split.source == "python:re"
    assert split.meta["signature"].startswith("(pattern, string")
    assert split.meta["kind"] == "function"
    assert Path(split.meta["file_path"]).is_file()


def test_compiled_module_is_skipped(library: Reading) -> None:
    [math] = [skipped for skipped in library.skipped if skipped.path == "math"]
    assert math.reason.startswith("compiled: ")


def test_dotted_names_by_path_and_by_alias() -> None:
    found = titles(read(["os.path", "collections.abc"], python=True))
    assert {"os.path.join", "os.path.exists", "collections.abc.Mapping"} <= found
    assert "collections.OrderedDict" not in found


def test_missing_module() -> None:
    with pytest.raises(ReadError, match="no module 'no_such_module'"):
        read(["no_such_module"], python=True)
    with pytest.raises(ReadError, match=r"no module 're\.nothing'"):
        read(["re.nothing"], python=True)


SOURCES = {
    "pack/__init__.py": '''
        """The pack."""
        from ._core import run, Hidden as Shown
        from .tools import *
        import os
        raise SystemExit("imported")
    ''',
    "pack/_core.py": '''
        """Private."""
        class _Base:
            def go(self):
                """Go on."""
            def stop(self):
                """Stop it."""
        class Hidden(_Base):
            """Shown by another name."""
            def __init__(self, speed: int = 3): ...
            def stop(self):
                """Stop here."""
            @property
            def speed(self):
                """Speed, in m/s."""
            @speed.setter
            def speed(self, value):
                """No."""
            def _inner(self):
                """No."""
        def run(path, *, fast=False) -> int:
            r"""Run \\d.

            Parameters
            ----------
            path : str
            """
    ''',
    "pack/tools.py": '''
        __all__ = ["saw"]
        __all__ += ["plane"]
        def saw():
            """Saw."""
        if True:
            def plane():
                """Plane."""
        def hammer():
            """Not in __all__."""
    ''',
    "pack/broken.py": "def",
    "pack/tests/test_saw.py": '"""No."""',
    "pack/_native.so": "",
    "pack/native.so": "",
    "pack/inner/deep.py": '"""In a namespace."""',
}


def test_made_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import textwrap

    for name, source in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(textwrap.dedent(source))
    monkeypatch.syspath_prepend(tmp_path)
    reading = read("pack", python=True)
    assert "pack" not in sys.modules
    assert {passage.id: passage.text.partition("\n")[0] for passage in reading} == {
        "pack": "The pack.",
        "pack.Shown": "Shown by another name.",
        "pack.Shown.go": "Go on.",
        "pack.Shown.speed": "Speed, in m/s.",
        "pack.Shown.stop": "Stop here.",
        "pack.inner.deep": "In a namespace.",
        "pack.run": "Run \\d.",
        "pack.tools.plane": "Plane.",
        "pack.tools.saw": "Saw.",
    }
    by_id = {passage.id: passage for passage in reading}
    assert by_id["pack.run"].meta["signature"] == "(path, *, fast=False) -> int"
    assert by_id["pack.Shown"].meta["signature"] == "(self, speed: int=3)"
    assert [heading.title for heading in getattr(by_id["pack.run"], "headings", ())] == ["Parameters"]
    assert {skipped.path for skipped in reading.skipped} == {"pack.broken", "pack.native"}
