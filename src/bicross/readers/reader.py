"""`read`: files, folders and installed Python packages, each by the reader for its kind."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bicross.errors import ConfigurationError, MissingExtraError, ReadError
from bicross.readers.docx import read_docx
from bicross.readers.html import read_html
from bicross.readers.markdown import read_markdown
from bicross.readers.pdf import read_pdf
from bicross.readers.reading import AnotherKindError, Document, Reading, Skipped, UnreadableError
from bicross.readers.records import Fields, Records, read_csv, read_jsonl
from bicross.readers.text import read_text
from bicross.types import Passage

_DOCUMENTS: dict[str, Callable[[Path], Document]] = {
    ".txt": read_text,
    ".text": read_text,
    ".rst": read_text,
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".xhtml": read_html,
    ".pdf": read_pdf,
    ".docx": read_docx,
}
_RECORDS: dict[str, Callable[[Path, Fields], Records]] = {
    ".jsonl": read_jsonl,
    ".ndjson": read_jsonl,
    ".csv": read_csv,
    ".tsv": read_csv,
}


def read(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    *,
    python: bool = False,
    id_field: str | None = None,
    text_field: str | None = None,
    title_field: str | None = None,
) -> Reading:
    """Read files, folders (recursively, sorted) or the docstrings of installed Python packages.

    Documents come whole, one passage each: ``split`` cuts them to a model's limit. Records of ``.jsonl`` and ``.csv``
    files are passages as they stand, all their other fields in ``meta``; those in BEIR's layout (``_id``, ``title``,
    ``text``) are understood without options and are never split.

    Args:
        paths: Files and folders. Hidden names inside a folder are left out, and links that lead back are not followed.
        python: Take ``paths`` as import names, ``"numpy"`` or ``"collections.abc"``; ``"stdlib"``, or no name at all,
            is the whole standard library. Nothing is imported.
        id_field: Field of a record that holds its id.
        text_field: Field of a record that holds its text.
        title_field: Field of a record that holds its title.

    Raises:
        ReadError: A path or module doesn't exist, or a record is broken.
        ConfigurationError: No path was given.
        MissingExtraError: A file that was named itself needs an optional package.
    """
    # A PathLike isn't iterable, but the protocol class doesn't let the type checker know.
    named = [os.fspath(paths)] if isinstance(paths, str | os.PathLike) else [os.fspath(path) for path in paths]
    if python:
        from bicross.readers.python_source import read_python

        return read_python(named)
    if not named:
        raise ConfigurationError("A read needs at least one file or folder; got none. Name one.")
    gathered = _Gathered(Fields(id=id_field, text=text_field, title=title_field))
    for name in named:
        path = Path(os.path.abspath(name))  # noqa: PTH100  # resolve() would replace links, and with them the names
        if not name or not _exists(path):
            raise ReadError(
                f"A path names a file or a folder; {name!r} doesn't exist. Check its spelling; names of installed "
                f"Python packages need python=True (--python)."
            )
        if path.is_dir():
            for file, reason in _walk(path):
                gathered.add(file, named=False, reason=reason)
        else:
            gathered.add(path, named=True)
        gathered.note_if_empty(path)
    return Reading(tuple(gathered.passages), tuple(gathered.skipped), frozenset(gathered.whole))


class _Gathered:
    """What a read has found so far."""

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.passages: list[Passage] = []
        self.skipped: list[Skipped] = []
        self.whole: set[str] = set()
        self._seen: set[Path] = set()

    def note_if_empty(self, path: Path) -> None:
        """Say of a path that was named that nothing came out of it: it may be a disk that isn't mounted."""

        def inside(name: str | None) -> bool:
            return name == str(path) or (name or "").startswith(f"{path}{os.sep}")

        read = any(inside(passage.source) for passage in self.passages)
        told = any(skipped.failed and inside(skipped.path) for skipped in self.skipped)
        if not read and not told:
            self.skipped.append(Skipped(str(path), "nothing in it can be read"))

    def add(self, path: Path, *, named: bool, reason: UnreadableError | None = None) -> None:
        """Read one file, or note why not."""
        if path in self._seen:
            return
        self._seen.add(path)
        try:
            if reason is not None:
                raise reason
            str(path).encode("utf-8")
            self._read(path)
        except UnicodeEncodeError:
            name = os.fsencode(path).decode("utf-8", "backslashreplace")
            self.skipped.append(Skipped(name, "its name isn't UTF-8; rename it"))
        except UnreadableError as error:
            self.skipped.append(Skipped(str(path), str(error), failed=not isinstance(error, AnotherKindError)))
        except MissingExtraError as error:
            if named:
                raise
            self.skipped.append(Skipped(str(path), str(error)))
        except OSError as error:
            self.skipped.append(Skipped(str(path), f"can't be opened: {error.strerror or error}"))

    def _read(self, path: Path) -> None:
        suffix = path.suffix.lower()
        if not path.is_file():
            raise UnreadableError("a broken link" if path.is_symlink() else "not a regular file")
        if suffix in _DOCUMENTS:
            self.passages.append(_DOCUMENTS[suffix](path))
        elif suffix in _RECORDS:
            records = _RECORDS[suffix](path, self.fields)
            self.passages.extend(records.passages)
            self.whole |= records.whole
        else:
            known = ", ".join([*_DOCUMENTS, *_RECORDS])
            raise AnotherKindError(f"unknown suffix {path.suffix!r}; known are {known}")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long for the file system
        return False


def _walk(root: Path) -> Iterator[tuple[Path, UnreadableError | None]]:
    """The files under a folder, sorted, each with the reason to leave it out, if there is one."""
    top = root.resolve()
    seen: set[Path] = set()

    def files(folder: Path) -> Iterator[tuple[Path, UnreadableError | None]]:
        seen.add(folder.resolve())
        try:
            entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            yield folder, UnreadableError(f"can't be opened: {error.strerror or error}")
            return
        is_data_set = {"corpus.jsonl", "queries.jsonl"} <= {entry.name for entry in entries}
        for entry in entries:
            is_record = entry.suffix.lower() in _RECORDS
            if entry.is_dir():
                if not leads_back(entry):
                    yield from files(entry)
            elif is_record and (folder.name == "qrels" or (is_data_set and entry.name != "corpus.jsonl")):
                yield entry, AnotherKindError("part of a BEIR data set, but not its corpus")
            else:
                yield entry, None

    def leads_back(folder: Path) -> bool:
        """Whether a link's target is read by its own name, or holds the folder that is being read."""
        real = folder.resolve()
        return real in seen or (folder.is_symlink() and (real.is_relative_to(top) or top.is_relative_to(real)))

    return files(root)
