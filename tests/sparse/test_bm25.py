"""BM25 as sparse vectors, against the formula written out."""

from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import mmh3
import numpy as np
import pytest

from bicross.errors import ConfigurationError, InputError, InputTypeError
from bicross.sparse import BM25Encoder, SparseEncoder, SparseVector


def index(stem: str) -> int:
    return abs(mmh3.hash(stem))


def as_dict(vector: SparseVector) -> dict[int, float]:
    return dict(zip(vector.indices.tolist(), vector.values.tolist(), strict=True))


def test_a_documents_values_are_those_of_the_formula() -> None:
    encoder = BM25Encoder("en", k1=1.2, b=0.5, mean_length=4.0)
    vector = encoder.encode_document("The foxes, a fox, were running far.")
    # "the" and "a" are stop words: fox, fox, were, run, far.
    norm = 1.2 * (0.5 + 0.5 * 5 / 4)
    expected = {"fox": 2 * 2.2 / (2 + norm), "were": 2.2 / (1 + norm), "run": 2.2 / (1 + norm), "far": 2.2 / (1 + norm)}
    assert as_dict(vector) == pytest.approx({index(stem): value for stem, value in expected.items()})


def test_a_query_counts_its_terms() -> None:
    assert as_dict(BM25Encoder().encode_query("running fox foxes")) == {index("run"): 1.0, index("fox"): 2.0}


def test_vectors_are_sorted_and_typed_and_in_the_order_of_the_texts() -> None:
    encoder = BM25Encoder(mean_length=3.0)
    texts = ["one two three", "", "four", "the", "one two three four five six"] * 2_000
    vectors = encoder.encode_document(texts)
    assert [len(vector) for vector in vectors] == [3, 0, 1, 0, 6] * 2_000
    assert vectors[:5] == vectors[-5:] == [encoder.encode_document(text) for text in texts[:5]]
    assert vectors[4].indices.dtype == np.uint32
    assert vectors[4].values.dtype == np.float32
    assert np.all(np.diff(vectors[4].indices.astype(np.int64)) > 0)


def test_the_mean_length_is_measured_over_texts_that_hold_terms() -> None:
    encoder = BM25Encoder()
    assert encoder.measure(["one two three", "", "the four"]) == 2.0
    assert encoder.measure(["", "the"]) == 1.0
    with pytest.raises(ConfigurationError, match=r"Measure it: encoder\.with_mean_length"):
        encoder.encode_document(["one"])
    assert encoder.mean_length is None
    other = encoder.with_mean_length(2.0)
    assert other.mean_length == 2.0
    assert encoder.mean_length is None
    assert as_dict(other.encode_document("four five")) == pytest.approx({index("four"): 1.0, index("five"): 1.0})


def test_the_fingerprint_changes_with_what_changes_a_vector() -> None:
    encoders = [
        BM25Encoder(), BM25Encoder("de"), BM25Encoder("auto"), BM25Encoder(k1=1.2), BM25Encoder(b=0.5),
        BM25Encoder(stop_words=()), BM25Encoder(stop_words=["fox"]),
    ]  # fmt: skip
    assert len({encoder.fingerprint for encoder in encoders}) == len(encoders)
    assert BM25Encoder().with_mean_length(9.0).fingerprint == BM25Encoder().fingerprint
    assert BM25Encoder("english").fingerprint == BM25Encoder("en").fingerprint


@pytest.mark.parametrize("arguments", [{}, {"k1": 1.2, "b": 0.5, "mean_length": 7, "stop_words": ["The", "a"]}])
def test_its_settings_make_it_again(arguments: dict[str, Any]) -> None:
    encoder = BM25Encoder("de", **arguments)
    settings = json.loads(json.dumps(encoder.settings))
    again = BM25Encoder(**settings)
    assert (again.fingerprint, again.mean_length) == (encoder.fingerprint, encoder.mean_length)
    assert again.settings == settings
    assert settings["stop_words"] == (["a", "the"] if arguments else None)
    assert encoder.with_mean_length(3.0).settings == settings | {"mean_length": 3.0}


def test_copies_for_other_processes_encode_alike() -> None:
    encoder = BM25Encoder("auto", k1=1.2, mean_length=3.0, stop_words=["fox"])
    for again in (pickle.loads(pickle.dumps(encoder)), copy.deepcopy(encoder)):
        assert again.fingerprint == encoder.fingerprint
        assert again.encode_document("foxes and a fox лисы") == encoder.encode_document("foxes and a fox лисы")


def test_it_satisfies_the_protocol() -> None:
    assert isinstance(BM25Encoder(), SparseEncoder)
    assert BM25Encoder.idf


@pytest.mark.parametrize("bad", [None, 7, b"bytes", 1.5])
def test_what_isnt_text_is_named_by_its_position(bad: object) -> None:
    for encode in (BM25Encoder().encode_query, BM25Encoder(mean_length=1.0).encode_document, BM25Encoder().measure):
        with pytest.raises(InputTypeError, match="at position 1"):
            encode(["fine", bad])  # type: ignore[arg-type, list-item]


def test_a_lone_surrogate_is_named_by_its_position() -> None:
    with pytest.raises(InputError, match="at position 1"):
        BM25Encoder().encode_query(["fine", "broken \ud800"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"language": "xx"}, "language must be 'auto', 'none' or one of ar, ca"),
        ({"k1": -1.0}, "k1 must be"),
        ({"k1": math.nan}, "k1 must be"),
        ({"b": 1.5}, "b must be"),
        ({"mean_length": 0.0}, "mean_length must be"),
        ({"stop_words": ["fine", 3]}, "at position 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises((ConfigurationError, InputTypeError), match=message):
        BM25Encoder(**settings)  # type: ignore[arg-type]


def test_the_embedded_qdrants_own_bm25_makes_the_same_vectors() -> None:
    """So that collections which Qdrant's inference (or fastembed, which numbers terms alike) filled can be searched."""
    import qdrant_edge

    text = "The quick foxes were running over hills; foxes, 日本 and Überraschungen."
    theirs = qdrant_edge.Bm25(qdrant_edge.Bm25Config(k=1.5, b=0.75, avg_len=5.0))
    stop_words = ["the", "were", "over", "and"]  # of their list, in this text
    ours = BM25Encoder("en", mean_length=5.0, stop_words=stop_words)
    vector = theirs.embed_document(text.replace("日本", "ab"))
    expected = dict(zip(vector.indices, vector.values, strict=True))
    assert as_dict(ours.encode_document(text.replace("日本", "ab"))) == pytest.approx(expected)
    assert theirs.embed_query("foxes").indices == ours.encode_query("fox").indices.tolist()


def test_a_megabyte_is_one_vector() -> None:
    encoder = BM25Encoder("auto", mean_length=100.0)
    text = "The fox é und 漢字 42. " * 50_000
    assert len(encoder.encode_document(text)) == 7
    assert len(encoder.encode_document("a" * 5_000_000)) == 1
