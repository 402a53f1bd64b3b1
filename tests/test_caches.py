from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from bicross import BiEncoder, caches
from bicross.caches import ScoreCache, VectorCache
from bicross.errors import ClosedError, InputError, StoreError
from bicross.types import Floats


class Encoder:
    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def __call__(self, texts: Sequence[str]) -> Floats:
        self.calls.append(list(texts))
        return np.array([[len(text), ord(text[0])] for text in texts], np.float32).reshape(-1, 2)


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[VectorCache]:
    with VectorCache(tmp_path / "cache") as made:
        yield made


def test_nothing_is_encoded_twice(cache: VectorCache) -> None:
    encode = Encoder()
    texts = ["cat", "dog", "cat", "bird"]
    first = cache.encode("f", texts, encode)
    assert encode.calls == [["cat", "dog", "bird"]]
    assert first.tolist() == [[3, 99], [3, 100], [3, 99], [4, 98]]
    again = cache.encode("f", [*texts, "fish"], encode)
    assert encode.calls[1:] == [["fish"]]
    assert again[:4].tolist() == first.tolist()
    assert (cache.hits, cache.misses, len(cache)) == (3, 4, 4)


def test_another_fingerprint_finds_nothing(cache: VectorCache) -> None:
    encode = Encoder()
    cache.encode("f", ["cat"], encode)
    cache.encode("g", ["cat"], encode)
    assert len(encode.calls) == 2


def test_vectors_outlive_the_process(tmp_path: Path) -> None:
    encode = Encoder()
    with VectorCache(tmp_path) as cache:
        cache.encode("f", ["cat"], encode)
    with VectorCache(tmp_path) as cache:
        assert cache.encode("f", ["cat"], encode).tolist() == [[3, 99]]
    assert len(encode.calls) == 1


def test_what_was_stored_before_an_error_is_kept(cache: VectorCache) -> None:
    encode = Encoder()

    def broken(texts: Sequence[str]) -> Floats:
        if "fish" in texts:
            raise RuntimeError("power cut")
        return encode(texts)

    with pytest.raises(RuntimeError):
        cache.encode("f", ["cat", "dog", "fish", "bird"], broken, batch_size=2)
    cache.encode("f", ["cat", "dog", "fish", "bird"], encode)
    assert encode.calls == [["cat", "dog"], ["fish", "bird"]]


def test_a_damaged_row_is_dropped_and_encoded_anew(tmp_path: Path) -> None:
    encode = Encoder()
    with VectorCache(tmp_path) as cache:
        cache.encode("f", ["cat", "dog"], encode)
    connection = sqlite3.connect(tmp_path / "vectors.sqlite")
    with connection:
        key, vector = connection.execute("SELECT key, vector FROM vectors LIMIT 1").fetchone()
        connection.execute("UPDATE vectors SET vector = ? WHERE key = ?", (bytes([vector[0] ^ 1]) + vector[1:], key))
    connection.close()
    with VectorCache(tmp_path) as cache:
        assert cache.encode("f", ["cat", "dog"], encode).tolist() == [[3, 99], [3, 100]]
        assert (cache.dropped, cache.misses) == (1, 1)


def test_threads_share_it(cache: VectorCache) -> None:
    encode = Encoder()
    texts = [f"{i} text" for i in range(200)]
    results: list[list] = []

    def work() -> None:
        results.append(cache.encode("f", texts, encode, batch_size=16).tolist())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(result == results[0] for result in results)


def test_no_texts_and_closed(cache: VectorCache) -> None:
    assert cache.encode("f", [], Encoder()).shape == (0, 2)
    cache.close()
    cache.close()
    with pytest.raises(ClosedError):
        cache.encode("f", ["cat"], Encoder())


def test_a_file_that_is_no_cache_is_named(tmp_path: Path) -> None:
    (tmp_path / "vectors.sqlite").write_bytes(b"something else entirely" * 100)
    with pytest.raises(StoreError, match="remove the folder"):
        VectorCache(tmp_path).encode("f", ["cat"], Encoder())


class Teacher:
    def __init__(self) -> None:
        self.calls: list[list[tuple[str, str]]] = []

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        self.calls.append(list(pairs))
        return np.array([len(query) - len(text) for query, text in pairs], np.float32)


def test_no_pair_is_scored_twice(tmp_path: Path) -> None:
    teacher = Teacher()
    pairs = [("ab", "c"), ("a", "bc"), ("ab", "c")]
    with ScoreCache(tmp_path) as cache:
        assert cache.score("f", pairs, teacher).tolist() == [1, -1, 1]
    with ScoreCache(tmp_path) as cache:
        assert cache.score("f", [*pairs, ("abc", "")], teacher).tolist() == [1, -1, 1, 3]
        assert (cache.hits, cache.misses, len(cache)) == (2, 1, 3)
        assert cache.score("f", [], teacher).shape == (0,)
    assert teacher.calls == [[("ab", "c"), ("a", "bc")], [("abc", "")]]


def test_what_is_known_is_told_from_what_is_not(tmp_path: Path) -> None:
    with ScoreCache(tmp_path) as cache:
        cache.score("f", [("a", "b")], lambda pairs: np.array([0.5], dtype=np.float32))
        found = cache.find("f", [("a", "c"), ("a", "b"), ("a", "b")])
        assert np.isnan(found[0])
        assert found[1:].tolist() == [0.5, 0.5]
        assert np.isnan(cache.find("g", [("a", "b")])).all()
        assert cache.find("f", []).shape == (0,)


def test_scores_before_an_error_are_kept_and_nan_never_is(tmp_path: Path) -> None:
    teacher = Teacher()

    def broken(pairs: Sequence[tuple[str, str]]) -> Floats:
        return np.array([np.nan if text == "poison" else 1.0 for _, text in pairs], np.float32)

    pairs = [("q", "a"), ("q", "b"), ("q", "poison"), ("q", "c")]
    with ScoreCache(tmp_path) as cache:
        with pytest.raises(InputError, match="nan for query 'q' and text 'poison'"):
            cache.score("f", pairs, broken, batch_size=2)
        assert len(cache) == 2
        assert cache.score("f", pairs, teacher).tolist() == [1, 1, -5, 0]
        with pytest.raises(InputError, match="one score for each of 1 pairs"):
            cache.score("g", pairs[:1], lambda _: np.zeros((1, 2), np.float32))


def test_a_million_pairs_are_looked_up_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caches, "_LOOKED_UP", 3)
    pairs = [("q", "t" * (i % 5)) for i in range(11)]
    teacher = Teacher()
    with ScoreCache(tmp_path) as cache:
        assert cache.score("f", pairs, teacher).tolist() == [1 - i % 5 for i in range(11)]
    assert sum(map(len, teacher.calls)) == 5


def test_a_vector_that_isnt_finite_is_named_and_not_kept(tmp_path: Path) -> None:
    def encode(texts):
        return np.array([[np.nan if text == "bad" else 1.0, 2.0] for text in texts], dtype=np.float32)

    with VectorCache(tmp_path) as cache:
        with pytest.raises(InputError, match="'bad'"):
            cache.encode("f", ["one", "two", "bad", "three"], encode, batch_size=2)
        assert len(cache) == 2  # the batch before


def test_what_is_no_text_comes_to_the_model_which_names_it(tmp_path: Path, bi_encoder: BiEncoder) -> None:
    with VectorCache(tmp_path) as cache, pytest.raises(InputError, match=r"lone surrogate .* at position 1"):
        cache.encode("f", ["a", "\ud800"], bi_encoder.encode_document)
    with ScoreCache(tmp_path) as cache:
        assert np.isnan(cache.find("f", [("\ud800", "b")])).all()
