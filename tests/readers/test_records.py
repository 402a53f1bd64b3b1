from __future__ import annotations

import json
from pathlib import Path

import pytest

from bicross.errors import ReadError
from bicross.readers import read
from bicross.types import derive_id


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_beir_needs_no_options_and_is_whole(tmp_path: Path) -> None:
    path = write(tmp_path, "corpus.jsonl", '{"_id": "a", "title": "T", "text": "one", "metadata": {"n": 1}}\n\n')
    reading = read(path)
    [passage] = reading
    assert (passage.id, passage.title, passage.text, passage.source) == ("a", "T", "one", str(path))
    assert passage.meta == {"metadata": {"n": 1}}
    assert reading.whole == {"a"}


def test_beir_folder_gives_its_corpus_alone(tmp_path: Path) -> None:
    write(tmp_path, "corpus.jsonl", '{"_id": "a", "text": "one"}\n')
    write(tmp_path, "queries.jsonl", '{"_id": "q", "text": "two"}\n')
    (tmp_path / "qrels").mkdir()
    write(tmp_path / "qrels", "test.tsv", "query-id\tcorpus-id\tscore\nq\ta\t1\n")
    reading = read(tmp_path)
    assert [passage.id for passage in reading] == ["a"]
    assert [Path(skipped.path).name for skipped in reading.skipped] == ["test.tsv", "queries.jsonl"]
    assert {skipped.reason for skipped in reading.skipped} == {"part of a BEIR data set, but not its corpus"}


def test_named_fields_and_the_rest_in_meta(tmp_path: Path) -> None:
    path = write(tmp_path, "x.ndjson", json.dumps({"key": 7, "body": "one", "name": "N", "year": 2020, "text": "no"}))
    reading = read(path, id_field="key", text_field="body", title_field="name")
    [passage] = reading
    assert (passage.id, passage.title, passage.text) == ("7", "N", "one")
    assert passage.meta == {"year": 2020, "text": "no"}
    assert reading.whole == frozenset()


def test_id_is_derived_where_there_is_none(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", '{"text": "one"}')
    assert read(path)[0].id == derive_id(str(path), "one")


def test_empty_text_is_a_text(tmp_path: Path) -> None:
    assert read(write(tmp_path, "x.jsonl", '{"_id": "a", "title": "T", "text": ""}'))[0].text == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"_id": "b", "text": ', "Expecting value"),
        ("[1]", "'list'"),
        ('{"_id": "b"}', "only ['_id']"),
        ('{"_id": "b", "text": null}', "text=None"),
        ('{"_id": "b", "text": NaN}', "text=None"),
        ('{"_id": "b", "text": 3}', "text=3"),
        ('{"_id": "b", "text": "x\\ud800y"}', "lone surrogates"),
        ('{"_id": "b", "text": "x", "more": ["\\udc00"]}', "lone surrogates"),
        ('{"_id": null, "text": "x"}', "_id=None"),
        ('{"_id": true, "text": "x"}', "_id=True"),
        ('{"_id": "", "text": "x"}', "_id=''"),
        ('{"_id": "b", "text": "x", "title": ["T"]}', "title=['T']"),
        ("[" * 100_000, "is not"),
    ],
)
def test_broken_line_fails_the_read_with_file_and_line(tmp_path: Path, line: str, said: str) -> None:
    path = write(tmp_path, "x.jsonl", f'{{"_id": "a", "text": "fine"}}\n\n{line}\n')
    with pytest.raises(ReadError) as error:
        read(path)
    assert f"line 3 of {str(path)!r}" in str(error.value)
    assert said in str(error.value)


def test_bytes_that_are_no_utf8_are_a_broken_line(tmp_path: Path) -> None:
    path = write(tmp_path, "x.jsonl", b'{"text": "a"}\n{"text": "\xff"}\n')
    with pytest.raises(ReadError, match="line 2 of"):
        read(path)


def test_escaped_pair_of_surrogates_is_a_character(tmp_path: Path) -> None:
    assert read(write(tmp_path, "x.jsonl", '\ufeff{"text": "\\ud83d\\ude00"}'))[0].text == "😀"


def test_csv(tmp_path: Path) -> None:
    path = write(tmp_path, "x.csv", '\ufeff_id,title,text,year\n1,T,"a, ""b""\nc",2020\n2,,d,\n')
    reading = read(path)
    assert [(p.id, p.title, p.text, dict(p.meta)) for p in reading] == [
        ("1", "T", 'a, "b"\nc', {"year": "2020"}),
        ("2", None, "d", {"year": ""}),
    ]
    assert reading.whole == {"1", "2"}


@pytest.mark.parametrize(("name", "delimiter"), [("x.csv", ";"), ("x.tsv", "\t")])
def test_other_delimiters(tmp_path: Path, name: str, delimiter: str) -> None:
    path = write(tmp_path, name, f"id{delimiter}text\na{delimiter}b\n")
    assert [(p.id, p.text) for p in read(path)] == [("a", "b")]


def test_large_cell(tmp_path: Path) -> None:
    assert len(read(write(tmp_path, "x.csv", "text\n" + "a" * 5_000_000))[0].text) == 5_000_000


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("body\na\n", "no column 'text', only ['body']"),
        ("text,b\na,b,c\n", "line 2"),
        ("b,text\na\n", "line 2"),
        ('text,b\n"a"x,b\n', "line 2"),
        (b"text\na\nb\xff\n", "line 3"),
    ],
)
def test_broken_table_fails_the_read(tmp_path: Path, content: str | bytes, said: str) -> None:
    path = write(tmp_path, "x.csv", content)
    with pytest.raises(ReadError) as error:
        read(path, text_field="text")
    assert said in str(error.value)
    assert repr(str(path)) in str(error.value)


def test_table_that_is_no_corpus_is_skipped(tmp_path: Path) -> None:
    [skipped] = read(write(tmp_path, "x.csv", "price\n3\n")).skipped
    assert skipped.reason == "no column 'text' among ['price']; name one by text_field (--text-field)"


@pytest.mark.parametrize("name", ["x.jsonl", "x.csv"])
def test_empty_file_is_skipped(tmp_path: Path, name: str) -> None:
    [skipped] = read(write(tmp_path, name, "")).skipped
    assert skipped.reason == "empty: it holds no record"
