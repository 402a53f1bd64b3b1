from __future__ import annotations

import json
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from bicross.errors import ConfigurationError, InputError, InputTypeError, ReadError, UnknownIdsWarning
from bicross.evaluation import Dataset, load_dataset
from bicross.evaluation.files import read_qrels, read_rows
from bicross.evaluation.runs import read_run
from tiny_data import DOCUMENTS, QRELS, QUERIES, write_beir


def test_a_folder_and_a_mapping_give_the_same(beir: Path) -> None:
    read = load_dataset(beir)
    documents = {i: {"title": title, "text": text} for i, (title, text) in DOCUMENTS.items()}
    mapped = load_dataset({"name": "toy", "documents": documents, "queries": QUERIES, "qrels": QRELS})
    assert read == mapped
    assert read.name == "toy"
    assert read.documents["d1"] == "cat the cat sits on the tree"
    assert read.documents["d2"] == "a dog runs to the house"
    assert read.titles == {"d1": "cat", "d3": "fish", "d5": "train"}
    assert read.qrels == QRELS
    assert read.left_out == {}
    assert load_dataset(read) is read


def test_queries_without_judgments_of_the_split_are_no_part_of_it(tmp_path: Path) -> None:
    folder = write_beir(tmp_path, qrels={"q2": {"d3": 1}})
    write_beir(tmp_path, split="dev")
    assert list(load_dataset(folder).queries) == ["q2"]
    assert list(load_dataset(folder, "dev").queries) == ["q1", "q2", "q3"]


def test_a_language_of_the_queries_is_a_split(beir: Path) -> None:
    rows = [{"_id": f"de:{i}", "text": text} for i, text in QUERIES.items()]
    (beir / "queries.de.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (beir / "qrels" / "test.de.tsv").write_text("query-id\tcorpus-id\tscore\nde:q1\td1\t1\n")
    assert load_dataset(beir, "test.de").queries == {"de:q1": QUERIES["q1"]}


def test_judgments_may_be_missing_where_none_are_needed(beir: Path) -> None:
    (beir / "qrels" / "test.tsv").unlink()
    with pytest.raises(ReadError, match=r"test\.tsv is missing \(splits there: none\)"):
        load_dataset(beir)
    assert load_dataset(beir, judged=False) == Dataset(
        "toy", load_dataset(beir, judged=False).documents, {"d1": "cat", "d3": "fish", "d5": "train"}, QUERIES, {}
    )


def test_unknown_ids_are_counted_listed_and_kept_out_or_unfindable(tmp_path: Path) -> None:
    folder = write_beir(tmp_path / "toy", qrels=QRELS | {"lost": {"d1": 1}, "q3": {"d4": 3, "gone": 1, "away": 0}})
    with pytest.warns(
        UnknownIdsWarning, match=r"1 unknown queries \('lost'\) and 2 unknown documents \('gone', 'away'\)"
    ):
        data = load_dataset(folder)
    assert data.left_out == {"unknown queries in the judgments": 1, "unknown documents in the judgments": 2}
    assert list(data.queries) == ["q1", "q2", "q3"]
    assert data.qrels["q3"] == {"d4": 3, "gone": 1, "away": 0}


def test_files_that_do_not_belong_together_are_an_error(tmp_path: Path) -> None:
    write_beir(tmp_path, qrels={"x1": {"d1": 1}, "x2": {"d1": 1}})
    with pytest.raises(InputError, match=r"Judgments and queries must share ids.*'x1', 'x2'.*'q1', 'q2', 'q3'"):
        load_dataset(tmp_path)
    write_beir(tmp_path, qrels={"q1": {"e1": 1}})
    with pytest.raises(InputError, match=r"Judgments and documents must share ids.*'e1'.*'d1', 'd2', 'd3', 'd4', 'd5'"):
        load_dataset(tmp_path)


@pytest.mark.parametrize("grade", ["0.5", "high", "1.0", ""])
def test_a_grade_in_a_file_is_a_whole_number(beir: Path, grade: str) -> None:
    with (beir / "qrels" / "test.tsv").open("a") as file:
        file.write(f"q3\td1\t{grade}\n")
    with pytest.raises(ReadError, match=r"test\.tsv, line 7: a judgment is .* whole-number grade"):
        load_dataset(beir)


def test_the_header_of_the_judgments_may_be_missing(beir: Path) -> None:
    path = beir / "qrels" / "test.tsv"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:]))
    assert load_dataset(beir).qrels == QRELS
    path.write_text("q1\td1\t0.5\n")
    with pytest.raises(ReadError, match="line 1: a judgment"):
        load_dataset(beir)


@pytest.mark.parametrize("grade", [0.5, 1.0, "1", None])
def test_a_grade_in_a_mapping_is_a_whole_number(grade: object) -> None:
    with pytest.raises(InputTypeError, match=r"whole number; got .* for query 'q' and document 'd'"):
        load_dataset({"documents": {"d": "x"}, "queries": {"q": "x"}, "qrels": {"q": {"d": grade}}})
    data = load_dataset({"documents": {"d": "x"}, "queries": {"q": "x"}, "qrels": {"q": {"d": np.int64(2)}}})
    assert data.qrels == {"q": {"d": 2}}


@pytest.mark.parametrize(
    ("data", "kind", "message"),
    [
        ({"queries": {}}, InputTypeError, "without 'documents'"),
        ({"documents": {"d": 1}, "queries": {}}, InputTypeError, "strings; got 1 at 'd'"),
        ({"documents": {"d": "x"}, "queries": {"q": "x"}}, InputError, "holds no judgments"),
        (7, ConfigurationError, "got int"),
        ("no/such/folder", ReadError, "there is no folder 'no/such/folder'"),
    ],
)
def test_what_is_no_data_set_is_refused(data: object, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        load_dataset(data)  # type: ignore[arg-type]


def test_half_a_character_is_named(beir: Path) -> None:
    with (beir / "queries.jsonl").open("a") as file:
        file.write('\n{"_id": "x", "text": "whole \\ud83d\\ude00, half \\ud83d"}\n')
    with pytest.raises(ReadError, match=r"queries\.jsonl, line \d+: .* lone surrogates; got '\\ud83d', half"):
        load_dataset(beir)
    for kind in ("documents", "queries"):
        data = {"documents": {"d": "x"}, "queries": {"q": "x"}, "qrels": {"q": {"d": 1}}}
        data[kind] = dict.fromkeys(data[kind], "\ud83d")
        with pytest.raises(InputError, match=f"lone surrogate '.ud83d' in the {kind[0]}"):
            load_dataset(data)


def test_what_the_file_system_refuses_is_named(tmp_path: Path) -> None:
    for read in (lambda path: [*read_rows(path)], lambda path: [*read_qrels(path)], read_run):
        with pytest.raises(ReadError, match="must be a file that can be read; got: Is a directory"):
            read(tmp_path)


def test_a_sample_is_seeded_and_keeps_the_documents(beir: Path) -> None:
    data = load_dataset(beir)
    some = data.sample(2, seed=1)
    assert some == data.sample(2, seed=1)
    assert len(some.queries) == 2
    assert some.qrels.keys() == some.queries.keys() < data.queries.keys()
    assert some.documents is data.documents
    assert {tuple(data.sample(2, seed=seed).queries) for seed in range(20)} == {
        ("q1", "q2"),
        ("q1", "q3"),
        ("q2", "q3"),
    }
    assert data.sample(3) is data
    assert load_dataset(some) is some
    with pytest.raises(ConfigurationError, match="positive whole number of queries, got 0"):
        data.sample(0)


def test_the_fingerprint_sees_every_part(beir: Path) -> None:
    data = load_dataset(beir)
    others = [
        Dataset(data.name, data.documents | {"d1": "x"}, data.titles, data.queries, data.qrels),
        Dataset(data.name, data.documents, data.titles, data.queries | {"q1": "x"}, data.qrels),
        Dataset(data.name, data.documents, data.titles, data.queries, data.qrels | {"q1": {"d1": 1}}),
    ]
    assert len({data.fingerprint, *(other.fingerprint for other in others)}) == 4
    assert data.fingerprint == load_dataset(beir).fingerprint


def test_a_set_of_ir_datasets_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    """In a fresh process: the library reads its folder's place once."""
    code = (
        "import sys\nsys.path.insert(0, 'src')\n"
        "from bicross.evaluation import load_dataset\n"
        "try:\n    load_dataset('irds:beir/scifact/test')\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        # Nothing listens there: no test may depend on the network, whatever the machine.
        env={"PATH": "", "IR_DATASETS_HOME": str(tmp_path), "HTTPS_PROXY": "http://127.0.0.1:9"},
        cwd=Path(__file__).parents[2],
    )
    assert done.stdout.startswith("ReadError ir_datasets has no copy of 'beir/scifact/test' in " + repr(str(tmp_path)))
    assert "IR_DATASETS_HOME" in done.stdout
    assert time.monotonic() - started < 60


def test_ir_datasets_names_are_checked() -> None:
    with pytest.raises(ConfigurationError, match="knows no data set 'no-such-set'"):
        load_dataset("irds:no-such-set")
    with pytest.raises(ConfigurationError, match="try 'irds:beir/scifact/test'"):
        load_dataset("irds:beir/scifact")


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch):
    """A set of ir_datasets, in memory; what it has may be changed."""
    import ir_datasets
    from ir_datasets.datasets.beir import BeirTitleDoc
    from ir_datasets.formats import GenericQuery, TrecQrel

    class Source:
        def __init__(self) -> None:
            self.has_docs = self.has_queries = self.has_qrels = lambda: True

        def docs_iter(self):
            return (BeirTitleDoc(i, text, title) for i, (title, text) in DOCUMENTS.items())

        def queries_iter(self):
            return (GenericQuery(i, text) for i, text in QUERIES.items())

        def qrels_iter(self):
            return (TrecQrel(q, d, grade, "0") for q, grades in QRELS.items() for d, grade in grades.items())

    source = Source()
    monkeypatch.setattr(ir_datasets, "load", lambda name: source)
    return source


def test_a_set_of_ir_datasets_is_read_like_a_folder(toy) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = load_dataset("irds:toy")
    assert data.documents == {i: f"{title} {text}".strip() for i, (title, text) in DOCUMENTS.items()}
    assert (data.queries, data.qrels) == (QUERIES, QRELS)
    assert load_dataset("irds:toy", judged=False) == data


def test_a_set_of_ir_datasets_without_judgments_serves_where_none_are_needed(toy, monkeypatch) -> None:
    toy.has_qrels = lambda: False
    monkeypatch.setattr(toy, "qrels_iter", lambda: pytest.fail("read judgments that aren't there"))
    data = load_dataset("irds:toy", judged=False)
    assert (list(data.documents), data.queries, data.qrels) == (list(DOCUMENTS), QUERIES, {})
    with pytest.raises(ConfigurationError, match="documents, queries and judgments; it lacks judgments"):
        load_dataset("irds:toy")
    toy.has_queries = lambda: False
    with pytest.raises(ConfigurationError, match="must have documents and queries; it lacks queries"):
        load_dataset("irds:toy", judged=False)
