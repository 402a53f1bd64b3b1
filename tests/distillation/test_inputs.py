"""What others have: rows in sentence-transformers' layouts, teacher scores, runs; read, and written again."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bicross.distillation.exporting import LAYOUTS, export_dataset, export_file, export_rows, export_run
from bicross.distillation.inputs import labels_from, lists_from_scores, read_lists, read_scores
from bicross.distillation.labels import LabelledQuery, Labels, read_labels
from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.errors import ConfigurationError, InputError, ReadError
from bicross.evaluation.runs import read_run

NAN = math.nan


def said(lists: CandidateLists) -> dict[str, list[tuple]]:
    """Text, label and score of every candidate, None for NaN."""

    def plain(values: np.ndarray) -> list[float | None]:
        return [None if math.isnan(value) else round(value, 4) for value in values.tolist()]

    return {
        one.query: [
            (lists.documents[d], label, score)
            for d, label, score in zip(one.document_ids, plain(one.labels), plain(one.scores), strict=True)
        ]
        for one in lists
    }


@pytest.mark.parametrize(
    ("row", "candidates"),
    [
        ({"anchor": "q", "positive": "a"}, [("a", 1, None)]),
        ({"question": "q", "answer": "a"}, [("a", 1, None)]),
        ({"sentence1": "q", "sentence2": "a", "label": 0}, [("a", 0, None)]),
        ({"query": "q", "text": "a", "label": 2}, [("a", 2, None)]),
        ({"query": "q", "text": "a", "label": -1}, [("a", 0, None)]),
        ({"query": "q", "text": "a", "score": -3.5}, [("a", None, -3.5)]),
        ({"query": "q", "text": "a", "label": 1, "score": 2.5}, [("a", 1, 2.5)]),
        ({"negative": "b", "query": "q", "positive": "a"}, [("a", 1, None), ("b", 0, None)]),
        ({"query": "q", "positive": "a", "negative": "b", "label": 4.5}, [("a", 1, 0), ("b", 0, -4.5)]),
        (
            {"query": "q", "positive": "a", "negative_1": "b", "negative_2": "c", "scores": [3, 2, -1]},
            [("a", 1, 3), ("b", 0, 2), ("c", 0, -1)],
        ),
        (
            {"query": "q", "positive": "a", "negative_1": "b", "negative_2": "c", "label": [1.0, 4.0]},
            [("a", 1, 0), ("b", 0, -1), ("c", 0, -4)],
        ),
        ({"query": "q", "docs": ["a", "b"], "labels": [1, 0]}, [("a", 1, None), ("b", 0, None)]),
        ({"query": "q", "docs": ["a", "b"], "scores": [1.5, 0]}, [("a", None, 1.5), ("b", None, 0)]),
        ({"first": "q", "second": "a", "third": "b"}, [("a", 1, None), ("b", 0, None)]),
    ],
)
def test_every_layout_is_read(row: dict, candidates: list[tuple]) -> None:
    assert said(read_lists([row])) == {"q": candidates}


def test_rows_of_one_query_become_one_list() -> None:
    rows = [
        {"query": "q", "positive": "a", "negative": "b"},
        {"query": "p", "positive": "b", "negative": "a"},
        {"query": "q", "positive": "b", "negative": "c"},
    ]
    lists = read_lists(rows)
    assert said(lists)["q"] == [("a", 1, None), ("b", 1, None), ("c", 0, None)]
    assert len(lists.documents) == 3
    assert lists[0].kinds == ("positive", "positive", "negative")


def test_files_and_datasets_hold_the_same(tmp_path: Path) -> None:
    from datasets import Dataset

    rows = [{"query": "q", "docs": ["a", "b"], "scores": [1.5, 0.5]}, {"query": "p", "docs": ["b"], "scores": [2.0]}]
    expected = said(read_lists(rows))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    for source in (tmp_path / "a.jsonl", str(tmp_path / "a.parquet"), Dataset.from_list(rows)):
        assert said(read_lists(source)) == expected
    assert read_labels(Dataset.from_list([{"anchor": "q", "positive": "a"}]), name="set").name == "set"


@pytest.mark.parametrize(
    ("row", "match"),
    [
        ({"query": "q", "docs": ["a"], "labels": [1, 2]}, "row 0: 'labels' must be a list of 1 numbers"),
        ({"query": "q", "docs": ["a", 3], "labels": [1, 2]}, "field 'docs' must be a string; got 3"),
        ({"query": "q", "positive": "a", "negative": "b", "scores": [1, 2, 3]}, "got 3 numbers"),
        ({"query": "q", "text": "a", "score": float("nan")}, "must be a number; got nan"),
        ({"query": "q"}, "needs the field 'positive'"),
    ],
)
def test_broken_rows_are_named(row: dict, match: str) -> None:
    with pytest.raises(ReadError, match=match):
        read_lists([row])


def test_nothing_and_strange_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="got none"):
        read_lists([])
    with pytest.raises(ConfigurationError, match=r"\.jsonl, \.csv and \.parquet"):
        read_lists(tmp_path / "rows.txt")


LABELS = Labels("set", {"a": "A", "b": "B", "c": "C"}, {"q1": LabelledQuery("one", ("a",), ("c",))})


@pytest.mark.parametrize("columns", [("query_id", "document_id"), ("query-id", "corpus-id"), ("qid", "pid")])
def test_scores_that_somebody_has_become_lists(tmp_path: Path, columns: tuple[str, str], caplog) -> None:
    rows = [("q1", "b", 5.5), ("q1", "a", 7.0), ("q1", "c", -1.0), ("q1", "gone", 1.0), ("q9", "a", 1.0)]
    pq.write_table(pa.Table.from_pylist([dict(zip((*columns, "score"), row, strict=True)) for row in rows]),
                   tmp_path / "scores.parquet")  # fmt: skip
    (tmp_path / "scores.run").write_text("".join(f"{q} Q0 {d} 0 {s} teacher\n" for q, d, s in rows))
    for name in ("scores.parquet", "scores.run"):
        with caplog.at_level(logging.WARNING):
            lists = lists_from_scores(read_scores(tmp_path / name), LABELS)
        (one,) = lists
        assert (one.query, one.document_ids, one.kinds) == ("one", ("a", "b", "c"), ("positive", "given", "negative"))
        assert one.scores.tolist() == [7.0, 5.5, -1.0]
        assert one.ranks.tolist() == [1, 2, 3]
        assert "left out 2 scores of unknown ids and 1 queries" in caplog.text


@pytest.mark.parametrize("as_stored", [pa.Array.dictionary_encode, lambda ids: ids, lambda ids: ids.cast(pa.uint32())])
def test_ids_that_are_whole_numbers_become_strings(tmp_path: Path, as_stored: Callable[[pa.Array], pa.Array]) -> None:
    query_ids, document_ids = as_stored(pa.array([7, 7, 8])), as_stored(pa.array([100, 20, 100]))
    table = pa.table({"qid": query_ids, "pid": document_ids, "score": [1.5, -2.0, 0.5]})
    pq.write_table(table, tmp_path / "s.parquet")
    assert read_scores(tmp_path / "s.parquet") == {"7": {"100": 1.5, "20": -2.0}, "8": {"100": 0.5}}


def test_scores_of_other_ids_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must share ids"):
        lists_from_scores({"q9": {"a": 1.0}}, LABELS)
    pq.write_table(pa.table({"query_id": ["q"], "document_id": ["d"], "score": [None]}), tmp_path / "s.parquet")
    with pytest.raises(InputError, match="have no score"):
        read_scores(tmp_path / "s.parquet")


@pytest.fixture
def lists() -> CandidateLists:
    def one(query: str, ids: str, scores: list[float], labels: list[float], kinds: tuple[str, ...]) -> ScoredList:
        arrays = np.array(scores, dtype=np.float32), np.array(labels, dtype=np.float32)
        return ScoredList(query, query, tuple(ids), *arrays, kinds, np.zeros(len(ids), dtype=np.int32))

    first = one("q1", "abc", [3.0, 2.0, -1.0], [1, NAN, 0], ("positive", "dense", "negative"))
    second = one("q2", "cbad", [1.0, 4.0, 2.0, 0.0], [NAN, NAN, NAN, NAN], ("dense", "positive", "easy", "bm25"))
    return CandidateLists([first, second], {"a": "A", "b": "B", "c": "C", "d": "D"})


def test_every_layout_is_written(lists: CandidateLists) -> None:
    def rows(layout: str) -> list[dict]:
        return list(export_rows(lists, layout))

    assert rows("pair") == [{"query": "q1", "positive": "A"}, {"query": "q2", "positive": "B"}]
    assert rows("triplet")[:2] == [{"query": "q1", "positive": "A", "negative": text} for text in "BC"]
    assert rows("n-tuple")[1] == {"query": "q2", "positive": "B", "negative_1": "C", "negative_2": "A"}
    assert rows("n-tuple-scores")[1]["scores"] == [4.0, 1.0, 2.0]
    assert rows("labeled-pair") == [
        {"query": "q1", "text": "A", "label": 1.0},
        {"query": "q1", "text": "C", "label": 0.0},
    ]
    assert len(rows("scored-pair")) == 7
    assert rows("labeled-list")[0] == {"query": "q1", "docs": ["A", "B", "C"], "labels": [1.0, 0.0, 0.0]}
    assert rows("scored-list")[0] == {"query": "q1", "docs": ["A", "B", "C"], "scores": [3.0, 2.0, -1.0]}
    assert [row["query"] for row in export_rows(lists, "n-tuple", negatives=3)] == ["q2"]
    with pytest.raises(ConfigurationError, match="layout must be"):
        rows("quadruple")
    with pytest.raises(InputError, match="needs a score"):
        list(export_rows(lists.with_scores(np.full(7, NAN, dtype=np.float32)), "scored-list"))


READ_BACK = {
    "pair": ([("A", 1, None)], [("B", 1, None)]),
    "triplet": (
        [("A", 1, None), ("B", 0, None), ("C", 0, None)],
        [("B", 1, None), ("C", 0, None), ("A", 0, None), ("D", 0, None)],
    ),
    "n-tuple": ([("A", 1, None), ("B", 0, None), ("C", 0, None)], [("B", 1, None), ("C", 0, None), ("A", 0, None)]),
    "n-tuple-scores": ([("A", 1, 3), ("B", 0, 2), ("C", 0, -1)], [("B", 1, 4), ("C", 0, 1), ("A", 0, 2)]),
    "labeled-pair": ([("A", 1, None), ("C", 0, None)], None),
    "scored-pair": (
        [("A", None, 3), ("B", None, 2), ("C", None, -1)],
        [("C", None, 1), ("B", None, 4), ("A", None, 2), ("D", None, 0)],
    ),
    "labeled-list": (
        [("A", 1, None), ("B", 0, None), ("C", 0, None)],
        [("C", 0, None), ("B", 0, None), ("A", 0, None), ("D", 0, None)],
    ),
    "scored-list": (
        [("A", None, 3), ("B", None, 2), ("C", None, -1)],
        [("C", None, 1), ("B", None, 4), ("A", None, 2), ("D", None, 0)],
    ),
}
"""What a layout keeps of the lists."""


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_written_is_read(lists: CandidateLists, layout: str, tmp_path: Path) -> None:
    expected = {query: one for query, one in zip(("q1", "q2"), READ_BACK[layout], strict=True) if one}
    files = [export_file(lists, tmp_path / f"rows.{suffix}", layout) for suffix in ("jsonl", "parquet")]
    for source in (list(export_rows(lists, layout)), export_dataset(lists, layout), *files):
        assert said(read_lists(source)) == expected
    assert sorted(tmp_path.iterdir()) == files


@pytest.mark.parametrize("name", ["rows.csv", "rows.json", "rows"])
def test_rows_are_written_to_what_their_suffix_says(lists: CandidateLists, name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=rf"\.jsonl and \.parquet files; got '.*{name}'"):
        export_file(lists, tmp_path / name, "pair")
    with pytest.raises(ConfigurationError, match="layout must be"):
        export_file(lists, tmp_path / "rows.jsonl", "quadruple")
    assert list(tmp_path.iterdir()) == []
    assert pq.read_table(export_file(lists, tmp_path / "rows.parquet", "pair")).to_pylist() == [
        {"query": "q1", "positive": "A"},
        {"query": "q2", "positive": "B"},
    ]


def test_the_scores_as_a_run(lists: CandidateLists, tmp_path: Path) -> None:
    run = read_run(export_run(lists, tmp_path / "teacher.run"))
    assert run["q2"] == {"b": 4.0, "a": 2.0, "c": 1.0, "d": 0.0}
    assert list(run["q2"]) == ["b", "a", "c", "d"]


def test_judgments_of_lists(lists: CandidateLists, tmp_path: Path) -> None:
    labels = labels_from(lists, "set")
    assert labels.queries["q1"] == LabelledQuery("q1", ("a",), ("c",))
    assert labels.queries["q2"] == LabelledQuery("q2", ())
    assert read_lists(lists.write(tmp_path / "l.parquet"))[1].kinds == lists[1].kinds
