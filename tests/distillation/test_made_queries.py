"""Queries made from passages, and the round trip to their source."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.distillation.made_queries import generate_queries, keep_round_trips, make_queries
from bicross.distillation.mining import MiningSettings, mine_candidates
from bicross.distillation.query_generators import Seq2SeqGenerator
from bicross.errors import CheckpointError, ConfigurationError, InputError, ModelNotFoundError

BODY = (
    "The common sentence number {} has words. What does a blue{} whale eat in winter? It eats the same krill as others."
)


def corpus(count: int = 6) -> tuple[dict[str, str], dict[str, str]]:
    titles = {f"d{i}": f"Title number {i}" for i in range(count)}
    return {d: f"{title} {BODY.format(i, i)}" for i, (d, title) in enumerate(titles.items())}, titles


def made(ways: tuple[str, ...], count: int = 100):
    documents, titles = corpus()
    return make_queries(documents, count, titles=titles, ways=ways)


def test_a_title_and_the_passage_without_it(caplog) -> None:
    with caplog.at_level(logging.INFO):
        labels = made(("title",))
    assert f"made 6 by title, such as {next(iter(labels.queries.values())).text!r}" in caplog.text
    assert len(labels.queries) == 6
    query = labels.queries["title:d3"]
    assert query.text == "Title number 3"
    assert (query.positives, query.source, query.excluded) == ((), "title:d3", ("d3",))
    assert labels.documents["title:d3"] == BODY.format(3, 3)
    assert labels.hidden == {f"title:d{i}" for i in range(6)}


def test_a_question_and_the_rest() -> None:
    labels = made(("question",))
    assert labels.queries["question:d2"].text == "What does a blue2 whale eat in winter?"
    assert labels.documents["question:d2"] == (
        "Title number 2 The common sentence number 2 has words. It eats the same krill as others."
    )


def test_a_sentence_and_the_rest() -> None:
    labels = made(("sentence",))
    for name, query in labels.queries.items():
        whole = labels.documents[query.excluded[0]]
        assert query.text in whole
        assert query.text not in labels.documents[name]
        assert len(query.text.split()) >= 6


def test_a_salient_span_is_of_rare_words_and_keeps_the_passage() -> None:
    documents = {f"d{i}": "the same words stand in all of these passages" for i in range(60)}
    documents |= {"x": "the same mass spectrometer of argon stands", "y": "words, mass. Spectrometer same, argon"}
    labels = make_queries(documents, 10, ways=("span",))
    assert {q: query.text for q, query in labels.queries.items()} == {"span:x": "mass spectrometer"}
    query = labels.queries["span:x"]
    assert (query.source, query.excluded) == ("x", ())


def test_a_span_says_no_word_twice() -> None:
    documents = {f"d{i}": "the same words stand in all of these passages" for i in range(60)}
    documents |= {"x": "spectrometer Spectrometer words", "y": "spectrometer words"}
    with pytest.raises(InputError, match="No query could be made"):
        make_queries(documents, 10, ways=("span",))


@pytest.mark.parametrize(
    "sentence",
    [
        "Opens a file, writes two lines (at least), and leaves.",
        "He said: “It's the well-known one of all.”",
        "In 1920 all of the mandates were nullified.",
        "यह एक वाक्य है जिसमें कई शब्द हैं।",
    ],
)
def test_prose_is_asked_about(sentence) -> None:
    documents = {"d": f"{sentence} And the rest of it here"}
    assert [q.text for q in make_queries(documents, 1, ways=("sentence",)).queries.values()] == [sentence]


@pytest.mark.parametrize(
    "line",
    [
        "tool --publickey path/to/key.pub --private --dump_all path/key.pem file.",
        "[-a|--addresses] address [-r|--range] start-end [-b|--batch-size] batch_size.",
        "graph -o output.gv input.gml file graph -?",
        "Between 18.5 and 24.9, 20 to 30, 40 to 50.",
        "no end to these eight words of a heading",
    ],
)
def test_what_is_no_prose_is_not(line) -> None:
    documents = {"d": f"{line} and the rest of it here"}
    for way in ("sentence", "question"):
        with pytest.raises(InputError, match="No query could be made"):
            make_queries(documents, 1, ways=(way,))


def test_the_ways_take_turns_and_the_seed_decides() -> None:
    documents, titles = corpus(40)
    labels = make_queries(documents, 40, titles=titles, seed=1)
    ways = [name.partition(":")[0] for name in labels.queries]
    assert 12 <= ways.count("title") <= 14
    assert {ways.count(way) for way in ("title", "question", "sentence")} <= {13, 14}
    assert list(make_queries(documents, 40, titles=titles, seed=1).queries) == list(labels.queries)
    assert list(make_queries(documents, 40, titles=titles, seed=2).queries) != list(labels.queries)
    texts = [query.text for query in labels.queries.values()]
    assert len(set(texts)) == len(texts)


def test_more_queries_than_passages() -> None:
    assert len(made(("title", "question", "sentence"), 15).queries) == 15


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ways must be"):
        made(("titles",))
    with pytest.raises(ConfigurationError, match="count must be"):
        made(("title",), 0)
    with pytest.raises(InputError, match="No query could be made of the 1 passages"):
        make_queries({"d": "short"}, 5)


def test_a_generator_writes_them() -> None:
    documents, _ = corpus()

    def generator(texts):
        return [[f"about {text.split()[2]}", "the same for all", ""] for text in texts]

    labels = generate_queries(documents, generator, 5)
    assert len(labels.queries) == 5
    assert len({query.text for query in labels.queries.values()}) == 5
    assert all(query.source in documents for query in labels.queries.values())
    with pytest.raises(InputError, match="answers for each of 6 texts; got 1"):
        generate_queries(documents, lambda texts: [["q"]], 5)


def scored(query_id: str, source: float, rivals: list[float], bm25: float = 99.0) -> ScoredList:
    n = len(rivals)
    ids = ("s", *(f"d{i}" for i in range(n)), "b")
    scores = np.array([source, *rivals, bm25], dtype=np.float32)
    kinds = ("source",) + ("dense",) * n + ("bm25",)
    ranks = np.array([0, *range(1, n + 1), 1], dtype=np.int32)
    return ScoredList(query_id, query_id, ids, scores, np.full(n + 2, np.nan, dtype=np.float32), kinds, ranks)


def test_the_round_trip_keeps_what_the_teacher_takes_back(caplog) -> None:
    texts = dict.fromkeys(("s", "b", *(f"d{i}" for i in range(40))), "text")
    lists = [
        scored("title:1", 5, [9, 8, 1]),  # third: bm25's candidates don't count
        scored("title:2", 5, [9, 8, 7]),
        scored("span:3", 5, [0] * 29 + [9, 9, 9]),  # only the first 29 rivals count
        scored("span:4", 5, [5, 5, 5]),  # a tie is no defeat
    ]
    with caplog.at_level(logging.INFO):
        kept = keep_round_trips(CandidateLists(lists, texts))
    assert [one.query_id for one in kept] == ["title:1", "span:3", "span:4"]
    assert "span 2 of 2, title 1 of 2" in caplog.text
    assert kept.metadata["round_trip"]["kept"] == {"title": 1, "span": 2}
    with pytest.raises(InputError, match="none of 1 made queries"):
        keep_round_trips(CandidateLists(lists[1:2], texts))
    nothing = ScoredList("q", "q", ("s",), *np.zeros((2, 1), np.float32), ("dense",), np.ones(1, np.int32))
    with pytest.raises(InputError, match="needs made queries"):
        keep_round_trips(CandidateLists([nothing], texts))


def test_from_the_corpus_to_lists(encoder) -> None:
    documents, titles = corpus(12)
    labels = make_queries(documents, 20, titles=titles, ways=("title", "question"))
    lists = mine_candidates(labels, encoder, settings=MiningSettings(dense=((1, 9, 9),), bm25=(), easy=2))
    for one in lists:
        query = labels.queries[one.query_id]
        assert one.kinds[0] == "source"
        assert not set(query.excluded) & set(one.document_ids)
        assert not (labels.hidden - {query.source}) & set(one.document_ids)


@pytest.fixture(scope="module")
def t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    from tiny_models import write_tokenizer

    folder = tmp_path_factory.mktemp("t5")
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=110, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0, pad_token_id=0
    )
    T5ForConditionalGeneration(config).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def test_a_local_seq2seq_model_writes_queries(t5: Path) -> None:
    generator = Seq2SeqGenerator(t5, per_text=2, query_length=6)
    texts = ["the cat sits on the tree", "a red fish"]
    first = generator(texts)
    assert len(first) == 2
    assert all(len(queries) == len(set(queries)) <= 2 and all(queries) for queries in first)
    assert generator(texts) == first


def test_a_folder_without_such_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="no folder"):
        Seq2SeqGenerator(tmp_path / "gone")(["text"])
    with pytest.raises(CheckpointError, match="safetensors"):
        Seq2SeqGenerator(tmp_path)(["text"])
