from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bicross import BiEncoder, CrossEncoder
from bicross.errors import ConfigurationError, InputError, TruncationWarning
from bicross.evaluation import Dataset, Stages, load_dataset
from tiny_data import DOCUMENTS, QRELS, QUERIES


class Plain:
    """An encoder that isn't ours: cosine of letter counts."""

    document_fingerprint = "letters"

    def __init__(self) -> None:
        self.encoded: list[str] = []

    def encode_document(self, texts):
        self.encoded += list(texts)
        return np.array([[text.count(c) for c in "abcdefghij"] for text in texts], dtype=np.float32)

    encode_query = encode_document


class Lengths:
    fingerprint = "lengths"

    def __init__(self, value: float | None = None) -> None:
        self.value = value
        self.scored: list[tuple[str, str]] = []

    def predict(self, pairs):
        self.scored += pairs
        return np.array([len(text) if self.value is None else self.value for _, text in pairs], dtype=np.float32)

    def rank(self, query, texts):
        raise NotImplementedError


@pytest.fixture
def data(beir: Path) -> Dataset:
    return load_dataset(beir)


def test_candidates_are_those_of_the_models_own_similarity(data: Dataset, bi_encoder: BiEncoder) -> None:
    with Stages(bi_encoder) as stages:
        positions, scores = stages.candidates(data, 3)
    similarity = bi_encoder.similarity(
        bi_encoder.encode_query(list(data.queries.values())), bi_encoder.encode_document(list(data.documents.values()))
    )
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :3]
    assert positions.dtype == np.int32
    assert scores.dtype == np.float32
    assert np.array_equal(positions, order)
    assert np.allclose(scores, np.take_along_axis(similarity, order, axis=1), atol=1e-6)


def test_vectors_that_are_not_of_unit_length_are_compared_by_cosine(data: Dataset) -> None:
    with Stages(Plain()) as stages:
        _, scores = stages.candidates(data, 5)
    assert scores.shape == (3, 5)
    assert scores.max() <= 1.0 + 1e-6


def test_equal_documents_keep_their_order_and_fewer_than_k_are_all(bi_encoder: BiEncoder) -> None:
    documents = {f"d{i}": "the red fish" if i % 2 else "the blue bird" for i in range(40)}
    data = load_dataset({"documents": documents, "queries": {"q": "a red fish"}, "qrels": {"q": {"d1": 1}}})
    with Stages(bi_encoder) as stages:
        positions, scores = stages.candidates(data, 100)
    halves = positions[0, :20].tolist(), positions[0, 20:].tolist()
    assert halves == (sorted(halves[0]), sorted(halves[1]))
    assert len(set(scores[0].tolist())) == 2


def test_nothing_is_computed_twice(data: Dataset, tmp_path: Path) -> None:
    encoder, scorer = Plain(), Lengths()
    for _ in range(2):
        with Stages(encoder, scorer, cache_dir=tmp_path) as stages:
            positions, _ = stages.candidates(data, 2)
            scores = stages.cross_scores(data, positions)
    assert sorted(encoder.encoded) == sorted([*data.documents.values(), *data.queries.values()])
    assert len(scorer.scored) == 6
    texts = list(data.documents.values())
    assert scores.tolist() == [[len(texts[p]) for p in row] for row in positions.tolist()]


def test_a_temporary_cache_serves_until_the_end_and_is_gone_then(data: Dataset) -> None:
    encoder = Plain()
    stages = Stages(encoder)
    stages.candidates(data, 2)
    stages.candidates(data, 3)
    assert len(encoder.encoded) == len(data.documents) + len(data.queries)
    folder = stages._open()[0].folder
    assert folder.is_dir()
    stages.close()
    assert not folder.exists()
    stages.close()


def test_cross_scores_are_logits_whatever_the_activation(
    data: Dataset, bi_encoder: BiEncoder, cross_folder: Path
) -> None:
    with CrossEncoder.load(cross_folder, activation="sigmoid") as cross, Stages(bi_encoder, cross) as stages:
        positions = np.array([[4, -1], [0, 1]], dtype=np.int32)
        scores = stages.cross_scores(data, positions, query_ids=["q2", "q1"])
        texts = list(data.documents.values())
        pairs = [(QUERIES["q2"], texts[4]), (QUERIES["q1"], texts[0]), (QUERIES["q1"], texts[1])]
        logits = cross.predict(pairs, activation="identity")
    assert np.isnan(scores[0, 1])
    assert np.allclose(scores[[0, 1, 1], [0, 0, 1]], logits, atol=1e-6)


def test_what_was_cut_is_said_once(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    documents = {f"d{i}": "red fish " * 100 + str(i) for i in range(600)}
    data = load_dataset({"documents": documents, "queries": {"q": "fish"}, "qrels": {"q": {"d1": 1}}})
    with Stages(bi_encoder, cross_encoder) as stages:
        with pytest.warns(TruncationWarning) as caught:
            positions, _ = stages.candidates(data, 2)
        assert [str(one.message) for one in caught] == [
            "600 of 600 texts that were read now are longer than the model's limit and were cut."
        ]
        with pytest.warns(TruncationWarning, match="2 of 2 texts"):
            stages.cross_scores(data, positions)


def test_misuse_is_refused(data: Dataset, bi_encoder: BiEncoder) -> None:
    with Stages(bi_encoder, Lengths(float("nan"))) as stages:
        with pytest.raises(InputError, match="must be finite, got nan"):
            stages.cross_scores(data, np.zeros((3, 2), dtype=np.int32))
        with pytest.raises(InputError, match="a row for each of 3 queries, got 1"):
            stages.cross_scores(data, np.zeros((1, 2), dtype=np.int32))
        with pytest.raises(ConfigurationError, match="positive whole number, got 0"):
            stages.candidates(data, 0)
        with pytest.raises(InputError, match="needs documents and queries; 'none' holds 0 and 0"):
            stages.candidates(Dataset("none", {}, {}, {}, {}), 1)
    with Stages(bi_encoder) as stages, pytest.raises(ConfigurationError, match="needs a cross_encoder"):
        stages.cross_scores(data, np.zeros((3, 2), dtype=np.int32))
    assert list(DOCUMENTS) == list(data.documents)
    assert data.qrels == QRELS
