"""A corpus and the queries that belong to it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bicross.distillation.corpus import as_dataset, read_corpus
from bicross.distillation.labels import LabelledQuery
from bicross.errors import ConfigurationError, InputError
from tiny_data import write_beir


def jsonl(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_beir(tmp_path / "toy", split="train")


def test_a_folder_with_judgments(folder: Path) -> None:
    labels = read_corpus(folder)
    assert set(labels.queries) == {"q1", "q2", "q3"}
    assert labels.queries["q2"] == LabelledQuery("the fish in a river", ("d3",), ("d5",))
    assert labels.groups["d1"] == "cat"
    assert as_dataset(labels).qrels == {"q1": {"d1": 1, "d2": 1}, "q2": {"d3": 1, "d5": 0}, "q3": {"d4": 1}}


def test_without_a_training_split_no_query_is_taken(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    # The folder's queries may be those of its test.
    with caplog.at_level("WARNING"):
        assert read_corpus(folder, split="dev").queries == {}
    assert "no judgments of the split 'dev' (splits there: train)" in caplog.text
    assert read_corpus(folder / "corpus.jsonl").queries == {}
    assert read_corpus(folder / "corpus.jsonl").documents["d1"] == "cat the cat sits on the tree"


def test_queries_of_ones_own(folder: Path, tmp_path: Path) -> None:
    queries = jsonl(tmp_path / "mine.jsonl", [{"_id": "q1", "text": "cat?"}, {"_id": "x", "text": "new"}])
    labels = read_corpus(folder, queries)
    assert labels.queries == {"q1": LabelledQuery("cat?", ("d1", "d2")), "x": LabelledQuery("new", ())}
    (tmp_path / "mine.tsv").write_text("x\td5\t1\nx\tgone\t1\nq9\td1\t1\n")
    labels = read_corpus(folder / "corpus.jsonl", queries, tmp_path / "mine.tsv")
    assert labels.queries == {"q1": LabelledQuery("cat?", ()), "x": LabelledQuery("new", ("d5",))}
    assert labels.left_out == {"judgments of unknown documents": 1}
    assert set(as_dataset(labels).queries) == {"x"}


def test_pairs_find_their_texts_in_the_corpus(folder: Path, tmp_path: Path) -> None:
    rows = [{"query": "dog?", "positive": "a dog runs to the house", "negative": "something else"}]
    labels = read_corpus(folder, jsonl(tmp_path / "pairs.jsonl", rows))
    query = labels.queries["dog?"]
    assert query.positives == ("d2",)
    assert labels.documents[query.negatives[0]] == "something else"
    assert len(labels.documents) == 6


def test_bad_input(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="qrels without queries"):
        read_corpus(folder, qrels=tmp_path / "q.tsv")
    with pytest.raises(InputError, match="holds none"):
        read_corpus(jsonl(tmp_path / "empty.jsonl", []))
    with pytest.raises(InputError, match="file of queries holds at least one"):
        read_corpus(folder, jsonl(tmp_path / "nothing.jsonl", []))
