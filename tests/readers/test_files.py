from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bicross.errors import ConfigurationError, ReadError
from bicross.readers import Document, Heading, Reading, Skipped, read
from bicross.types import Passage


def reasons(reading: Reading) -> dict[str, str]:
    return {Path(skipped.path).name: skipped.reason for skipped in reading.skipped}


def test_text_file_is_one_document(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\rthree")
    [document] = read(str(path))
    assert isinstance(document, Document)
    assert document.text == "one\ntwo\nthree"
    assert document.source == str(path)
    assert document.meta == {"file_path": str(path), "file_name": "a.txt"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.txt").write_bytes("åß漢😀".encode(encoding))
    assert read(tmp_path)[0].text == "åß漢😀"


def test_id_stays_when_the_text_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text("one")
    before = read(path)[0].id
    path.write_text("two")
    assert read(path)[0].id == before
    path.rename(tmp_path / "b.md")
    assert read(tmp_path)[0].id != before


def test_skipped_with_reasons(tmp_path: Path) -> None:
    (tmp_path / "binary.txt").write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00\xff")
    (tmp_path / "controls.txt").write_bytes(bytes(range(1, 32)) * 3)
    (tmp_path / "latin.txt").write_bytes("naïve".encode("latin-1"))
    (tmp_path / "cut.txt").write_bytes("ab".encode("utf-16")[:-1])
    (tmp_path / "empty.txt").touch()
    (tmp_path / "blank.md").write_text(" \n\t")
    (tmp_path / "photo.PNG").touch()
    (tmp_path / "link.txt").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe.txt")
    reading = read(tmp_path)
    assert len(reading) == 0
    found = reasons(reading)
    assert found.pop("photo.PNG").startswith("unknown suffix '.PNG'; known are .txt")
    assert found == {
        "binary.txt": "binary: it holds zero bytes",
        "blank.md": "empty: it holds no text",
        "controls.txt": "binary: it holds control characters",
        "cut.txt": "not UTF-16: byte 0x62 at offset 4; convert it, for example with iconv -t UTF-8",
        "empty.txt": "empty: it holds no text",
        "latin.txt": "not UTF-8: byte 0xef at offset 2; convert it, for example with iconv -t UTF-8",
        "link.txt": "a broken link",
        "pipe.txt": "not a regular file",
    }


def test_what_is_of_another_kind_has_not_failed(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"x")
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "b.txt").write_bytes(b"\x00")
    failed = {Path(skipped.path).name: skipped.failed for skipped in read(tmp_path).skipped}
    assert failed == {"photo.png": False, "b.txt": True}
    assert all(not skipped.failed for skipped in read(["json"], python=True).skipped)


def test_a_named_path_that_gives_nothing_has_failed(tmp_path: Path) -> None:
    for name in ("full", "empty", "pictures"):
        (tmp_path / name).mkdir()
    (tmp_path / "full/a.txt").write_text("text")
    (tmp_path / "pictures/b.png").write_bytes(b"x")
    reading = read([tmp_path / name for name in ("full", "empty", "pictures")])
    assert [Path(skipped.path).name for skipped in reading.skipped if skipped.failed] == ["empty", "pictures"]


def test_a_name_that_is_not_unicode_is_skipped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("text")
    with open(os.fsencode(tmp_path) + b"/\xff.txt", "w") as file:  # noqa: PTH123  # a Path can't spell it
        file.write("text")
    reading = read(tmp_path)
    assert len(reading) == 1
    assert [skipped.reason for skipped in reading.skipped] == ["its name isn't UTF-8; rename it"]
    with pytest.raises(ReadError, match="doesn't exist"):
        read("x" * 300)


def test_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("x")
    real = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "a.txt":
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert read(tmp_path).skipped == (Skipped(str(tmp_path / "a.txt"), "can't be opened: Permission denied"),)


def test_folders_sorted_without_hidden_names_and_loops(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ["b/c.txt", "a.txt", "b/a.txt", ".hidden/x.txt", ".x.txt"]:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (tmp_path / "other").mkdir()
    (tmp_path / "other/z.txt").write_text("other")
    (root / "b/up").symlink_to("..")
    (root / "b/top").symlink_to(tmp_path)
    (root / "again").symlink_to("b")
    (root / "beside").symlink_to("../other")
    reading = read([root, root / "a.txt"])
    assert [passage.text for passage in reading] == ["a.txt", "b/a.txt", "b/c.txt", "other"]
    assert reading.skipped == ()


@pytest.mark.parametrize("path", ["no/such/file.txt", ""])
def test_missing_path(path: str) -> None:
    with pytest.raises(ReadError, match=re.escape(f"{path!r} doesn't exist")):
        read([path])


def test_no_path() -> None:
    with pytest.raises(ConfigurationError, match="at least one"):
        read([])


def test_markdown_headings(tmp_path: Path) -> None:
    text = "---\ntitle: 'Guide'\n---\n# *A* `b` [c](d)\n\n```sh\n# no\n```\n\n> # no\n\n"
    text += "Sub\nline\n---\n\n- x\n\n  # no\n\n### E ###\n"
    (tmp_path / "a.md").write_text(text)
    [document] = read(tmp_path)
    assert isinstance(document, Document)
    assert document.title == "Guide"
    assert document.text == text
    assert [(h.level, h.title) for h in document.headings] == [(1, "A b c"), (2, "Sub line"), (3, "E")]
    assert [text[h.start : h.end] for h in document.headings] == [
        "# *A* `b` [c](d)\n",
        "Sub\nline\n---\n",
        "### E ###\n",
    ]


def test_slice_of_a_reading_keeps_its_marks() -> None:
    reading = Reading((Passage("a", id="a"), Passage("b", id="b")), (Skipped("x", "y"),), frozenset({"a"}))
    assert reading[:1] == Reading((Passage("a", id="a"),), reading.skipped, reading.whole)
    assert Heading(0, 1, 1, "x") in Document("t", headings=(Heading(0, 1, 1, "x"),)).headings


def test_import_loads_no_reader_library() -> None:
    code = (
        "import sys, bicross.readers.reader, bicross.readers.splitter\n"
        "print({'bs4', 'pypdf', 'docx', 'lxml', 'regex', 'sentencex', 'markdown_it', 'torch'} & set(sys.modules))"
    )
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": path}
    )
    assert done.stdout.strip() == "set()"
