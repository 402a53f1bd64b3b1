"""Records: JSON lines and CSV. A broken record fails the whole read, so that no half of a corpus is taken for all."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bicross.errors import ReadError
from bicross.readers.reading import UnreadableError
from bicross.types import Passage


@dataclass(frozen=True, slots=True)
class Fields:
    """Which fields of a record hold what; None stands for ``_id`` or ``id``, ``text``, ``title``."""

    id: str | None = None
    text: str | None = None
    title: str | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """The passages of one file, and the ids of those that follow BEIR's layout and so aren't split."""

    passages: tuple[Passage, ...]
    whole: frozenset[str]


def read_jsonl(path: Path, fields: Fields) -> Records:
    """One JSON object a line.

    Raises:
        ReadError: A line is no JSON object or lacks its text; the message names file and line.
        UnreadableError: The file holds no record.
    """
    return _records(path, _jsonl_rows(path), fields)


def _jsonl_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            raw = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
            if not raw.strip():
                continue
            try:
                # NaN isn't JSON, but common in exports of tables; like null it says that there is no value.
                record = json.loads(raw.decode(), parse_constant=lambda _: None)
            except (ValueError, RecursionError) as error:
                raise ReadError(
                    f"Every line of a .jsonl file is one JSON object in UTF-8; line {number} of {str(path)!r} is not: "
                    f"{error}. Repair or remove the line. Nothing of the file was read."
                ) from None
            if not isinstance(record, dict):
                raise ReadError(
                    f"Every line of a .jsonl file is one JSON object; line {number} of {str(path)!r} is of type "
                    f'{type(record).__name__!r}. Write it as {{"_id": …, "text": …}}.'
                )
            if b"\\ud" in raw.lower():
                _refuse_surrogates(record, f"line {number} of {str(path)!r}")
            yield number, record


def _refuse_surrogates(record: Mapping[str, Any], place: str) -> None:
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ReadError(
            f"A text is Unicode without lone surrogates; {place} holds {error.object[error.start]!r}, half of a "
            f"character. Write the other half or remove it."
        ) from None


def read_csv(path: Path, fields: Fields) -> Records:
    """A table with a header line; the delimiter is the comma, semicolon or tab that the header holds most of.

    Raises:
        ReadError: The table is broken, or a field that was asked for is missing; the message names file and line.
        UnreadableError: The file holds no record, or no column ``text`` although none was asked for.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ReadError(
            f"A table is UTF-8; line {line} of {str(path)!r} is not: byte {error.object[error.start]:#04x}. Convert "
            f"it, for example with iconv -t UTF-8."
        ) from None
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    # The limit of 131,072 characters a field is the csv module's, for the whole process.
    before = csv.field_size_limit(sys.maxsize)
    try:
        names = rows.fieldnames or []
        if fields == Fields() and names and "text" not in names:
            raise UnreadableError(f"no column 'text' among {names!r}; name one by text_field (--text-field)")
        for wanted in (fields.id, fields.text, fields.title):
            if wanted is not None and wanted not in names:
                raise ReadError(
                    f"A field that is asked for is a column of the table; {str(path)!r} has no column {wanted!r}, only "
                    f"{names!r}. Name one of these."
                )
        return _records(path, _csv_rows(path, rows), fields)
    except csv.Error as error:
        raise ReadError(
            f"A table keeps to CSV's rules of quoting; line {rows.reader.line_num} of {str(path)!r} does not: {error}. "
            f"Repair the line. Nothing of the file was read."
        ) from None
    finally:
        csv.field_size_limit(before)


def _csv_rows(path: Path, rows: csv.DictReader[str]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for row in rows:
        if None in row:
            raise ReadError(
                f"A row has as many cells as the header; line {rows.line_num} of {str(path)!r} has more: "
                f"{row[None]!r}. Quote cells that hold the delimiter."
            )
        yield rows.line_num, {name: value for name, value in row.items() if value is not None}


def _records(path: Path, rows: Iterator[tuple[int, Mapping[str, Any]]], fields: Fields) -> Records:
    passages = []
    whole = set()
    for number, record in rows:
        passage, is_beir = _passage(record, fields, str(path), number)
        passages.append(passage)
        if is_beir:
            whole.add(passage.id)
    if not passages:
        raise UnreadableError("empty: it holds no record")
    return Records(tuple(passages), frozenset(whole))


def _passage(record: Mapping[str, Any], fields: Fields, path: str, line: int) -> tuple[Passage, bool]:
    place = f"line {line} of {path!r}"
    text_field = fields.text if fields.text is not None else "text"
    text = record.get(text_field)
    if not isinstance(text, str):
        got = f"has {text_field}={text!r}" if text_field in record else f"has only {sorted(record)!r}"
        raise ReadError(
            f"Every record has a string {text_field!r}; {place} {got}. Repair the record or name another field by "
            f"text_field (--text-field). Nothing of the file was read."
        )
    id_field = fields.id if fields.id is not None else next((name for name in ("_id", "id") if name in record), None)
    identity = record.get(id_field) if id_field is not None else None
    if id_field is not None and (not isinstance(identity, str | int) or isinstance(identity, bool) or identity == ""):
        raise ReadError(
            f"An id is a non-empty string or a whole number; {place} has {id_field}={identity!r}. Repair the record or "
            f"name another field by id_field (--id-field)."
        )
    title_field = fields.title if fields.title is not None else "title"
    title = record.get(title_field)
    if isinstance(title, int | float):
        title = str(title)
    if title is not None and not isinstance(title, str):
        raise ReadError(f"A title is a string; {place} has {title_field}={title!r}. Name another field by title_field.")
    used = {text_field, id_field, title_field}
    passage = Passage(
        text=text,
        id=None if identity is None else str(identity),  # type: ignore[arg-type]  # derived where there is none
        title=title or None,
        meta={name: value for name, value in record.items() if name not in used},
        source=path,
    )
    return passage, id_field == "_id" and text_field == "text"
