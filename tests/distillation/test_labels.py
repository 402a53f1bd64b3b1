from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from bicross.distillation.extracted import extract_halves, extract_sentences
from bicross.distillation.held_out import split_held_out
from bicross.distillation.labels import LabelledQuery, Labels, read_labels
from bicross.errors import ConfigurationError, InputError, ReadError


def jsonl(path: Path, rows: list[dict]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def beir(folder: Path, qrels: str = "q1\td1\t2\nq1\td2\t0\nq2\td2\t1\n") -> Path:
    jsonl(folder / "corpus.jsonl", [{"_id": "d1", "title": "T", "text": "one"}, {"_id": "d2", "text": "two"}])
    jsonl(folder / "queries.jsonl", [{"_id": f"q{i}", "text": f"query {i}"} for i in (1, 2, 3)])
    (folder / "qrels").mkdir()
    (folder / "qrels" / "train.tsv").write_text("query-id\tcorpus-id\tscore\n" + qrels)
    return folder


def test_a_beir_folder(tmp_path: Path) -> None:
    labels = read_labels(beir(tmp_path / "set"))
    assert labels.name == "set"
    assert labels.documents == {"d1": "T one", "d2": "two"}
    assert labels.queries == {
        "q1": LabelledQuery("query 1", ("d1",), ("d2",)),
        "q2": LabelledQuery("query 2", ("d2",)),
    }
    assert labels.groups == {"d1": "T"}
    assert labels.left_out == {}


def test_what_cannot_be_used_is_counted(tmp_path: Path) -> None:
    labels = read_labels(beir(tmp_path / "set", "q1\td1\t1\nq1\td9\t1\nq9\td1\t1\nq2\td1\t0\n"))
    assert list(labels.queries) == ["q1"]
    assert labels.left_out == {
        "judgments of unknown documents": 1,
        "judgments of unknown queries": 1,
        "queries without a relevant document": 1,
    }


def test_nothing_usable_is_an_error_with_the_counts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"at least one relevant document.*unknown documents"):
        read_labels(beir(tmp_path / "set", "q1\td9\t1\n"))


def test_pairs_with_labels(tmp_path: Path) -> None:
    rows = [{"query": "a", "text": "yes"}, {"query": "a", "text": "no", "label": 0}, {"query": "b", "text": "no"}]
    labels = read_labels(jsonl(tmp_path / "pairs.jsonl", rows))
    texts = labels.documents
    assert [texts[d] for d in labels.queries["a"].positives] == ["yes"]
    assert [texts[d] for d in labels.queries["a"].negatives] == ["no"]
    assert [texts[d] for d in labels.queries["b"].positives] == ["no"]
    assert len(texts) == 2


def test_a_score_is_no_judgment(tmp_path: Path, caplog) -> None:
    scored = [{"query": "a", "text": "best", "score": 3.5}, {"query": "b", "docs": ["x", "y"], "scores": [2, -1]}]
    with pytest.raises(InputError, match=r"'scores without a label': 3.*column 'label'.*read_lists"):
        read_labels(scored)
    both = {"query": "a", "docs": ["yes", "no"], "labels": [1, 0], "scores": [-4.0, 2.0]}
    with caplog.at_level(logging.WARNING):
        labels = read_labels([*scored, both])
    query = labels.queries["a"]
    assert [labels.documents[d] for d in (*query.positives, *query.negatives)] == ["yes", "no"]
    assert set(labels.documents.values()) == {"best", "x", "y", "yes", "no"}  # candidates still
    assert "left out 3 scores without a label, 1 queries without a relevant document" in caplog.text


def test_triplets_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "triplets.csv"
    path.write_text('query,positive,negative\nq,"yes, this",no\nq,also,no\n')
    query = read_labels(path).queries["q"]
    assert len(query.positives) == 2
    assert len(query.negatives) == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", '{"query": "q", "text": "t"}\n{"query": \n', "line 2: not JSON"),
        ("a.jsonl", "[1]\n", "line 1: a line must be a JSON object"),
        ("a.jsonl", '{"query": "q"}\n', "line 1: .*'positive'"),
        ("a.jsonl", '{"text": "t"}\n', "line 1: .*'query'"),
        ("a.jsonl", '{"query": 3, "text": "t"}\n', "line 1: field 'query' must be a string; got 3"),
        ("a.jsonl", '{"query": "q", "text": "t", "label": "x"}\n', "line 1: a label must be a number; got 'x'"),
        ("a.csv", "query,text\nq,t\nq\n", "line 3: a row must have 2 columns"),
        ("a.csv", "query,text\nq,t,u\n", "line 2: a row must have 2 columns"),
    ],
)
def test_a_corrupt_line_is_named(tmp_path: Path, name: str, content: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(ReadError, match=message):
        read_labels(path)


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"query": "\xff"}\n')
    with pytest.raises(ReadError, match="UTF-8"):
        read_labels(path)


def test_broken_qrels_and_missing_files(tmp_path: Path) -> None:
    with pytest.raises(ReadError, match=r"train\.tsv, line 2: a judgment is"):
        read_labels(beir(tmp_path / "a", "q1 d1 1\n"))
    with pytest.raises(ReadError, match=r"dev\.tsv is missing"):
        read_labels(beir(tmp_path / "b"), split="dev")
    with pytest.raises(ConfigurationError, match="BEIR"):
        read_labels(tmp_path / "labels.txt")


def test_the_fingerprint_follows_the_content(toy: Labels) -> None:
    assert toy.fingerprint == toy.only(toy.queries).fingerprint
    assert toy.fingerprint != toy.only(list(toy.queries)[1:]).fingerprint


def test_held_out_queries_share_no_document_and_no_article(toy: Labels) -> None:
    # Two articles become one through a query that both answer.
    queries = {**toy.queries, "both": LabelledQuery("w1", ("d0", "d20"))}
    labels = Labels("toy", toy.documents, queries, toy.groups)
    train, held = split_held_out(labels, 12, seed=3)
    articles = [{labels.groups[d] for q in part.queries.values() for d in q.positives} for part in (train, held)]
    assert len(held.queries) == 12
    assert not articles[0] & articles[1]
    assert train.documents == labels.documents
    again = split_held_out(labels, 12, seed=3)
    assert list(again[1].queries) == list(held.queries)
    with pytest.raises(ConfigurationError, match="held_out must leave queries"):
        split_held_out(labels, 1000, seed=3)


def test_halves_are_of_documents_in_use_and_cut_at_a_sentence(toy: Labels) -> None:
    text = " ".join(f"Sentence {i} has seven words in it." for i in range(8))
    documents = {f"d{i}": f"Nr {i}. {text}" for i in range(6)} | {"short": "Too short."}
    queries = {f"q{i}": LabelledQuery("?", (f"d{i}",)) for i in range(4)} | {"s": LabelledQuery("?", ("short",))}
    halves = extract_halves(Labels("set", documents, queries), 2, seed=0, words=(10, 40))
    assert halves.name == "set-halves"
    assert set(halves.documents) == {f"d{i}#half" for i in range(4)}
    assert len(halves.queries) == 2
    long, short = sorted(halves.queries.values(), key=lambda query: -len(query.text))
    assert long.text.startswith("Nr ")
    assert long.text.endswith(".")
    assert len(short.text.split()) == 7
    assert all(f"{halves.documents[q.positives[0]]}".startswith("Sentence 4") for q in (long, short))


def test_sentences_come_once_and_neither_too_short_nor_too_long() -> None:
    texts = ["Go. The cat sat on it. The dog ran away from here.", "The cat sat on it. One two three four five six."]
    found = extract_sentences(texts, 10, language="en", seed=0, words=(2, 5))
    assert found == ["The cat sat on it."]
    longer = extract_sentences(texts, 10, language="en", seed=0, words=(2, 9))
    assert set(longer) == {"The cat sat on it.", "The dog ran away from here.", "One two three four five six."}
    assert extract_sentences(texts, 2, language="en", seed=0, words=(2, 9)) == longer[:2]
    orders = {
        extract_sentences([f"{i} is a number here." for i in range(9)], 1, language="en", seed=s)[0] for s in range(9)
    }
    assert len(orders) > 1
