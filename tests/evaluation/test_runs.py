from __future__ import annotations

from pathlib import Path

import ir_measures
import pytest

from bicross.errors import InputError, ReadError
from bicross.evaluation.runs import read_run, write_run

RUN = {"q2": {"d3": 0.5, "d1": 0.25, "d2": 0.25}, "q1": {"d9": -1.5}}


def test_what_is_written_is_read_again_in_the_same_order(tmp_path: Path) -> None:
    path = write_run(tmp_path / "deep" / "a.run", RUN)
    assert path.read_text().splitlines()[0] == "q2 Q0 d3 1 0.5 bicross"
    again = read_run(path)
    assert again == RUN
    assert [list(found) for found in again.values()] == [["d3", "d1", "d2"], ["d9"]]
    assert not list(path.parent.glob("*.part"))


def test_ir_measures_reads_what_is_written(tmp_path: Path) -> None:
    rows = list(ir_measures.read_trec_run(str(write_run(tmp_path / "a.run", RUN))))
    assert [(row.query_id, row.doc_id, row.score) for row in rows] == [
        ("q2", "d3", 0.5), ("q2", "d1", 0.25), ("q2", "d2", 0.25), ("q1", "d9", -1.5),
    ]  # fmt: skip


def test_scores_that_do_not_fall_are_written_as_ranks(tmp_path: Path) -> None:
    """Distances, for example: every reader sorts by score, and would turn the ranking upside down."""
    path = write_run(tmp_path / "a.run", {"q": {"near": 0.1, "far": 0.9}})
    assert read_run(path) == {"q": {"near": 1.0, "far": 0.5}}


def test_lines_are_sorted_by_score_then_rank(tmp_path: Path) -> None:
    path = tmp_path / "other.run"
    path.write_text("q Q0 c 3 1.0 x\nq Q0 b 2 1.0 x\n\nq Q0 a 1 0.5 x\nq\tQ0\tz\t9\t2e0\tx\n")
    assert list(read_run(path)["q"]) == ["z", "b", "c", "a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("q Q0 d 1 0.5 x\nq Q0 e\n", "line 2: a line of a run"),
        ("q Q0 d one 0.5 x\n", "line 1: a line of a run"),
        ("q Q0 d 1 nan x\n", "line 1: a line of a run"),
        ("q Q0 d 1 2 x\nq Q0 d 2 1 x\n", "line 2: document 'd' is there twice for 'q'"),
    ],
)
def test_a_broken_file_is_named_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.run"
    path.write_text(text)
    with pytest.raises(ReadError, match=message):
        read_run(path)
    with pytest.raises(ReadError, match="no run file"):
        read_run(tmp_path / "missing.run")


def test_an_id_that_the_format_can_not_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"free of whitespace and not empty, got 'a b'"):
        write_run(tmp_path / "a.run", {"q": {"a b": 1.0}})
    assert not list(tmp_path.iterdir())
