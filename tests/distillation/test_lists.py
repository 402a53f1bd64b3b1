"""Candidate lists: columns in memory, Parquet on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bicross.distillation.lists import CandidateLists, ScoredList, documents_path
from bicross.errors import InputError, ReadError

DOCUMENTS = {"a": "Title text a", "b": "text b", "c": "text c", "unused": "never named"}


def scored(query_id: str = "q1", ids: tuple[str, ...] = ("a", "b"), **changed: object) -> ScoredList:
    n = len(ids)
    fields = {
        "scores": np.array([3.5, np.nan, -1.0][:n], dtype=np.float32),
        "labels": np.array([1.0, 0.0, np.nan][:n], dtype=np.float32),
        "kinds": ("positive", "negative", "dense")[:n],
        "ranks": np.array([0, 0, 7][:n], dtype=np.int32),
    }
    return ScoredList(query_id, f"text of {query_id}", ids, **{**fields, **changed})  # type: ignore[arg-type]


def same(a: ScoredList, b: ScoredList) -> bool:
    arrays = all(
        np.array_equal(getattr(a, name), getattr(b, name), equal_nan=True) for name in ("scores", "labels", "ranks")
    )
    return arrays and (a.query_id, a.query, a.document_ids, a.kinds) == (b.query_id, b.query, b.document_ids, b.kinds)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    given = [scored(), scored("q2", ("c", "a", "b"))]
    lists = CandidateLists(given, DOCUMENTS, {"seed": 3, "miners": {"dense": "3f1c"}})
    read = CandidateLists.read(lists.write(tmp_path / "sub" / "lists.parquet"))
    assert len(read) == 2
    assert read.pairs == 5
    assert all(same(a, b) for a, b in zip(read, given, strict=True))
    assert read.metadata == {"seed": 3, "miners": {"dense": "3f1c"}}
    assert read.documents == {name: DOCUMENTS[name] for name in "abc"}
    assert next(iter(read.iter_pairs())) == ("text of q1", "Title text a")
    assert read[-1].document_ids == ("c", "a", "b")
    assert [one.query_id for one in read[0:5]] == ["q1", "q2"]


def test_texts_can_be_elsewhere(tmp_path: Path) -> None:
    path = CandidateLists([scored()], DOCUMENTS).write(tmp_path / "lists.parquet", with_documents=False)
    assert [file.name for file in tmp_path.iterdir()] == ["lists.parquet"]
    assert CandidateLists.read(path, documents=DOCUMENTS).documents is DOCUMENTS
    with pytest.raises(ReadError, match=r"documents\.parquet is missing"):
        CandidateLists.read(path)


def test_the_file_can_be_inspected_by_others(tmp_path: Path) -> None:
    path = CandidateLists([scored()], DOCUMENTS).write(tmp_path / "lists.parquet")
    assert pq.read_table(path).to_pylist() == [
        {"query_id": "q1", "query": "text of q1", "document_id": "a", "score": 3.5, "label": 1.0, "kind": "positive",
         "rank": 0},
        {"query_id": "q1", "query": "text of q1", "document_id": "b", "score": None, "label": 0.0, "kind": "negative",
         "rank": 0},
    ]  # fmt: skip
    assert b'"format": 1' in pq.read_schema(path).metadata[b"bicross"]


def test_ids_that_are_whole_numbers_become_strings(tmp_path: Path) -> None:
    path = CandidateLists([scored("7", ("1", "2"))], {"1": "one", "2": "two"}).write(tmp_path / "lists.parquet")
    for file, columns in ((path, ("query_id", "document_id")), (documents_path(path), ("document_id",))):
        table = pq.read_table(file)
        for name in columns:
            numbers = table[name].cast(pa.int64())
            table = table.set_column(table.schema.get_field_index(name), name, numbers)
        pq.write_table(table, file)
    read = CandidateLists.read(path)
    assert same(read[0], scored("7", ("1", "2")))
    assert read.documents == {"1": "one", "2": "two"}


def test_scores_are_exchanged_and_noted() -> None:
    lists = CandidateLists([scored()], DOCUMENTS, {"seed": 3})
    other = lists.with_scores(np.array([1, 2], dtype=np.float32), teacher="9be2")
    assert other.scores.tolist() == [1.0, 2.0]
    assert np.isnan(lists.scores[1])
    assert other.metadata == {"seed": 3, "teacher": "9be2"}
    with pytest.raises(InputError, match="each of 2 pairs"):
        lists.with_scores(np.zeros(3, dtype=np.float32))


def test_no_lists_are_lists_too(tmp_path: Path) -> None:
    read = CandidateLists.read(CandidateLists([], {}).write(tmp_path / "none.parquet"))
    assert len(read) == read.pairs == 0


@pytest.mark.parametrize(
    ("lists", "match"),
    [
        ([scored(), scored()], "'q1' has several"),
        ([scored(ids=("a", "a"))], "has one twice"),
        ([scored(ids=("a", "gone"))], "'gone' of query 'q1'"),
        ([scored(kinds=("dense",))], "must have one length"),
    ],
)
def test_broken_lists_are_refused(lists: list[ScoredList], match: str) -> None:
    with pytest.raises(InputError, match=match):
        CandidateLists(lists, DOCUMENTS)


def test_broken_files_are_refused(tmp_path: Path) -> None:
    path = CandidateLists([scored()], DOCUMENTS).write(tmp_path / "lists.parquet")
    table = pq.read_table(path)
    other = tmp_path / "other.parquet"
    pq.write_table(table.drop_columns(["score"]), other)
    with pytest.raises(ReadError, match="needs the column 'score'"):
        CandidateLists.read(other)
    pq.write_table(table.set_column(0, "query_id", pa.array([1.5, 2.0])), other)
    with pytest.raises(ReadError, match="'query_id' must hold strings or whole numbers; it holds double"):
        CandidateLists.read(other)
    pq.write_table(table.set_column(0, "query_id", pa.array([1, None])), other)
    with pytest.raises(ReadError, match="'query_id' must have a value in every row"):
        CandidateLists.read(other)
    pq.write_table(table.set_column(1, "query", pa.array([1, 2])), other)
    with pytest.raises(ReadError, match="'query' must hold strings; it holds int64"):
        CandidateLists.read(other)
    pq.write_table(table.replace_schema_metadata({"bicross": '{"format": 2}'}), other)
    with pytest.raises(ReadError, match="isn't of format 1"):
        CandidateLists.read(other)
    other.write_bytes(b"PAR1 no more")
    with pytest.raises(ReadError, match="isn't a Parquet file"):
        CandidateLists.read(other)
