"""The files that data sets and labels are read from, line by line; a broken line is named by file and number."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bicross.errors import ReadError


def read_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Rows of a jsonl or csv file with their line numbers, counted from 1; empty lines are passed over.

    Raises:
        ReadError: The file can't be read, isn't UTF-8, or a line isn't a JSON object, holds half of a character, or has
            another number of columns.
    """
    rows = _csv_rows(path) if path.suffix == ".csv" else _json_rows(path)
    try:
        yield from rows
    except FileNotFoundError:
        raise ReadError(f"{path} is missing. Check the path and the split's name.") from None
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} must be UTF-8 text; got {error.reason} at byte {error.start}.") from None
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> ReadError:
    """What to raise for what the file system says of a file."""
    return ReadError(f"{path} must be a file that can be read; got: {error.strerror or error}. Name another.")


def _json_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8") as file:
        for line, text in enumerate(file, start=1):
            if not text.strip():
                continue
            try:
                row = json.loads(text)
            except json.JSONDecodeError as error:
                raise ReadError(f"{path}, line {line}: not JSON ({error.msg}).") from None
            if not isinstance(row, dict):
                raise ReadError(f"{path}, line {line}: a line must be a JSON object; got {type(row).__name__}.")
            if "\\ud" in text.lower():
                _refuse_lone_surrogates(row, path, line)
            yield line, row


def _refuse_lone_surrogates(row: Mapping[str, Any], path: Path, line: int) -> None:
    try:
        json.dumps(row, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ReadError(
            f"{path}, line {line}: a text is Unicode without lone surrogates; got {error.object[error.start]!r}, half "
            "of a character. Write the other half or remove it."
        ) from None


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        try:
            for row in reader:
                # DictReader files surplus values under the key None and fills missing ones with None.
                if None in row or None in row.values():
                    columns = len(reader.fieldnames or ())
                    raise ReadError(f"{path}, line {reader.line_num}: a row must have {columns} columns.")
                yield reader.line_num, row
        except csv.Error as error:
            raise ReadError(f"{path}, line {reader.line_num}: not CSV ({error}).") from None


def read_texts(path: Path, *, titles: bool) -> tuple[dict[str, str], dict[str, str]]:
    """Texts of a BEIR corpus or query file, and titles, both by id.

    Returns:
        The texts, with the title in front where ``titles`` asks for it; and the titles that there are.
    """
    texts: dict[str, str] = {}
    found: dict[str, str] = {}
    for line, row in read_rows(path):
        text_id, text, title = row.get("_id"), row.get("text"), row.get("title") or ""
        if not (isinstance(text_id, str) and isinstance(text, str) and isinstance(title, str)):
            raise ReadError(f"{path}, line {line}: '_id', 'text' and 'title' must be strings; got {row!r:.200}.")
        texts[text_id] = f"{title} {text}" if titles and title else text
        if title:
            found[text_id] = title
    return texts, found


def read_qrels(path: Path) -> Iterator[tuple[str, str, int]]:
    """Judgments of a BEIR qrels file, in tab-separated columns: query id, document id, grade.

    A first line whose grade is no number is the header.

    Raises:
        ReadError: The file is missing, or a line has other columns or a grade that isn't a whole number.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise ReadError(f"{path} is missing. Check the path and the split's name.") from None
    except UnicodeDecodeError as error:
        raise ReadError(f"{path} must be UTF-8 text; got {error.reason} at byte {error.start}.") from None
    except OSError as error:
        raise unreadable(path, error) from error
    for line, text in enumerate(lines, start=1):
        if not text.strip() or (line == 1 and not _is_number(text.rsplit("\t", 1)[-1])):
            continue
        try:
            query_id, document_id, grade = text.split("\t")
            yield query_id, document_id, int(grade)
        except ValueError:
            raise ReadError(
                f"{path}, line {line}: a judgment is query id, document id and whole-number grade, "
                f"separated by tabs; got {text!r:.200}."
            ) from None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
