"""A file that somebody sends, as passages."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from bicross import readers
from bicross.errors import InputError, ReadError
from bicross.readers import Document, Reading
from bicross.types import Passage, derive_id

SUFFIXES = (".txt", ".md", ".rst", ".html", ".pdf", ".docx", ".jsonl", ".csv", ".tsv")
_NAME_BYTES = 200


def check_name(name: str) -> str:
    """The name of a file, once it is known to be one and no path.

    Raises:
        InputError: It isn't.
    """
    encoded = name.encode("utf-8", "surrogatepass")
    if (
        not name.strip()
        or name in (".", "..")
        or any(letter in "/\\" or not letter.isprintable() for letter in name)
        or len(encoded) > _NAME_BYTES
    ):
        raise InputError(
            f"A file's name has 1 to {_NAME_BYTES} bytes, without '/', '\\' and control characters; got {name!r:.80}."
        )
    if Path(name).suffix.lower() not in SUFFIXES:
        raise InputError(f"A file's name ends in one of {', '.join(SUFFIXES)}; got {name!r:.80}.")
    return name


def source_of(name: str) -> str:
    """The source of an uploaded file's passages."""
    return f"upload:{name}"


def read_upload(name: str, content: bytes) -> Reading:
    """The passages of an uploaded file. The same name with another content replaces them.

    Raises:
        ReadError: It can't be read; says why.
    """
    with tempfile.TemporaryDirectory(prefix="bicross-upload-") as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            reading = readers.read(path)
        except ReadError as error:
            raise ReadError(str(error).replace(f"{folder}/", "")) from None
    if not reading.passages:
        reasons = "; ".join(skipped.reason for skipped in reading.skipped) or "it holds no text"
        raise ReadError(f"{name!r} can't be read: {reasons}.".replace(f"{folder}/", ""))
    own = {passage.id: _owned(passage, name) for passage in reading}
    # Ids of records may be those of another file's, so they are made anew; what isn't split stays so.
    return Reading(tuple(own[passage.id] for passage in reading), (), frozenset(own[id].id for id in reading.whole))


def _owned(passage: Passage, name: str) -> Passage:
    source = source_of(name)
    derived = passage.id == derive_id(passage.source, passage.text)
    # The folder that it was read from is another one each time.
    key = "" if isinstance(passage, Document) else passage.text if derived else passage.id
    meta = {key: value for key, value in passage.meta.items() if key != "file_path"} | {"file_name": name}
    return replace(passage, id=derive_id(source, key), source=source, meta=meta)
