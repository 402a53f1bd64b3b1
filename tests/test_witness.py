"""A fixed text's vector, kept beside a fingerprint that is a name alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bicross import ExactStore, Passage, QdrantStore, TwoStageRetriever
from bicross.caches import ScoreCache, VectorCache, check_kept, check_kept_scores
from bicross.errors import FingerprintMismatchError, StoreError
from bicross.evaluation.stages import Stages
from bicross.witness import WITNESS_PAIRS, check_witness, check_witness_scores, packed, witness_of

VECTOR = np.array([3.0, 4.0, 0.0], np.float32)


def at(cosine: float) -> np.ndarray:
    return np.array([0.6 * cosine, 0.8 * cosine, np.sqrt(1 - cosine**2)], np.float32)


@pytest.mark.parametrize("kept", [VECTOR, packed(VECTOR)])
def test_the_border_is_a_cosine_of_0_999(kept) -> None:
    check_witness(kept, at(0.9992), "It", "Do.")
    check_witness(kept, 1e6 * VECTOR, "It", "Do.")
    for other in (at(0.9988), -VECTOR, np.zeros(3, np.float32), np.ones(4, np.float32), np.full(3, np.nan, np.float32)):
        with pytest.raises(FingerprintMismatchError, match=r"It was filled when .* at least 0.999 .* Do\."):
            check_witness(kept, other, "It", "Do.")


def test_a_damaged_witness_is_named() -> None:
    with pytest.raises(StoreError, match="damaged witness"):
        check_witness("%%", VECTOR, "It", "Do.")


class Named:
    """An encoder that is known by its name."""

    document_fingerprint = "name"

    def __init__(self, vector) -> None:
        self.vector = vector

    def witness(self):
        return self.vector


def test_an_encoder_whose_fingerprint_says_all_has_none(bi_encoder) -> None:
    assert witness_of(bi_encoder) is None
    assert witness_of(Named(VECTOR)).tolist() == VECTOR.tolist()


def test_a_cache_refuses_another_model_of_the_same_name(tmp_path) -> None:
    with VectorCache(tmp_path) as cache:
        check_kept(cache, Named(VECTOR))
        check_kept(cache, Named(at(0.9995)))
        with pytest.raises(FingerprintMismatchError, match="The cache in"):
            check_kept(cache, Named(at(0.99)))
    with VectorCache(tmp_path) as cache, pytest.raises(FingerprintMismatchError):
        check_kept(cache, Named(at(0.99)))


SCORES = np.array([0.9, 0.5, 0.2, 0.1], np.float32)


class NamedScorer:
    """A scorer that is known by its name; its scores are those of the witness, for any pair."""

    fingerprint = "name"

    def __init__(self, scores=SCORES) -> None:
        self.scores = scores

    def witness(self):
        return self.scores

    def predict(self, pairs):
        return np.resize(self.scores, len(pairs)).astype(np.float32)

    def rank(self, query, texts):
        raise NotImplementedError


def test_the_border_is_a_twentieth_of_the_range() -> None:
    assert len(WITNESS_PAIRS) == len(SCORES)
    check_witness_scores(SCORES, SCORES + np.float32(0.039), "It", "Do.")
    check_witness_scores(np.zeros(4, np.float32), np.zeros(4, np.float32), "It", "Do.")
    for other in (SCORES + np.float32(0.041), SCORES[::-1], np.full(4, np.nan, np.float32), 2 * SCORES):
        with pytest.raises(FingerprintMismatchError, match=r"It was filled when .* at most 0.05 .* Do\."):
            check_witness_scores(SCORES, other, "It", "Do.")


def test_a_cache_of_scores_refuses_another_model_of_the_same_name(tmp_path, cross_encoder) -> None:
    with ScoreCache(tmp_path) as cache:
        check_kept_scores(cache, cross_encoder)  # its fingerprint says all
        assert len(cache) == 0
        check_kept_scores(cache, NamedScorer())
        check_kept_scores(cache, NamedScorer(SCORES + np.float32(0.01)))
    with ScoreCache(tmp_path) as cache, pytest.raises(FingerprintMismatchError, match="The cache in"):
        check_kept_scores(cache, NamedScorer(SCORES[::-1].copy()))


def test_scores_are_compared_where_they_are_kept(tmp_path, bi_encoder) -> None:
    def search(scores, cache) -> None:
        retriever = TwoStageRetriever(bi_encoder, ExactStore(), NamedScorer(scores), score_cache=cache)
        retriever.index([Passage("the cat", id="1"), Passage("a dog", id="2")])
        retriever.search("cat")

    search(SCORES, tmp_path)
    search(SCORES, tmp_path)
    search(2 * SCORES, None)
    with pytest.raises(FingerprintMismatchError):
        search(2 * SCORES, tmp_path)
    with (
        Stages(bi_encoder, NamedScorer(2 * SCORES), cache_dir=tmp_path) as stages,
        pytest.raises(FingerprintMismatchError),
    ):
        stages._open()


def test_a_collection_on_disk_keeps_it(tmp_path) -> None:
    bound = {"dimension": 3, "fingerprint": "name", "model": "http://h.example#m"}
    with QdrantStore(path=tmp_path) as store:
        store.bind(**bound)  # as something that had no witness filled it
        store.bind(**bound, witness=VECTOR)
        assert "witness" not in json.dumps(str(store.info()))
    with QdrantStore(path=tmp_path) as store:
        store.bind(**bound, witness=at(0.9995))
        with pytest.raises(FingerprintMismatchError, match=r"Collection 'default' .* Re-index with recreate=True"):
            store.bind(**bound, witness=at(0.99))
        store.bind(**bound)
