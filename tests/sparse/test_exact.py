"""Brute-force sparse search, against dense arithmetic and against the embedded Qdrant."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from bicross.sparse import SparseVector
from bicross.sparse.exact import SparseIndex, inverse_document_frequency


def sparse(entries: dict[int, float]) -> SparseVector:
    items = sorted(entries.items())
    return SparseVector(np.array([i for i, _ in items], np.uint32), np.array([v for _, v in items], np.float32))


def random_vectors(count: int, seed: int) -> list[SparseVector]:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(0, 6, count)
    return [
        sparse(dict(zip(generator.choice(30, size, False).tolist(), generator.random(size).tolist(), strict=True)))
        for size in sizes
    ]


def dense(vectors: list[SparseVector]) -> np.ndarray:
    rows = np.zeros((len(vectors), 30))
    for row, vector in zip(rows, vectors, strict=True):
        row[vector.indices] = vector.values
    return rows


@pytest.mark.parametrize("idf", [False, True])
@pytest.mark.parametrize("top_k", [1, 7, 500])
def test_the_order_is_that_of_dense_arithmetic(idf: bool, top_k: int) -> None:
    documents, queries = random_vectors(200, 1), random_vectors(20, 2)
    rows = dense(documents)
    held = (rows != 0).sum(axis=0)
    weights = inverse_document_frequency(held, int((rows != 0).any(axis=1).sum())) if idf else np.ones(30)
    index = SparseIndex(documents, idf=idf)
    for query, row in zip(queries, dense(queries), strict=True):
        expected = rows @ (row * weights)
        order = [place for place in np.argsort(-expected, kind="stable") if expected[place] > 0][:top_k]
        positions, scores = index.search(query, top_k)
        assert scores == pytest.approx(expected[order], rel=1e-6)
        assert positions.tolist() == order


def test_the_embedded_qdrant_gives_the_same_scores(tmp_path: Path) -> None:
    import qdrant_edge as qdrant

    documents, queries = random_vectors(200, 3), random_vectors(20, 4)
    config = qdrant.EdgeConfig(
        vectors={"": qdrant.EdgeVectorParams(size=1, distance=qdrant.Distance.Dot)},
        sparse_vectors={"bm25": qdrant.EdgeSparseVectorParams(modifier=qdrant.Modifier.Idf)},
    )
    shard = qdrant.EdgeShard.create(str(tmp_path), config)
    points = [
        qdrant.Point(
            id=place,
            vector={"": [1.0], "bm25": qdrant.SparseVector(vector.indices.tolist(), vector.values.tolist())},
            payload={},
        )
        for place, vector in enumerate(documents)
    ]
    shard.update(qdrant.UpdateOperation.upsert_points(points))
    index = SparseIndex(documents, idf=True)
    for query in queries:
        asked = qdrant.Query.Nearest(qdrant.SparseVector(query.indices.tolist(), query.values.tolist()), using="bm25")
        answers = shard.query(qdrant.QueryRequest(query=asked, limit=500)) if len(query) else []
        positions, scores = index.search(query, 500)
        theirs = {answer.id: answer.score for answer in answers}
        assert theirs == pytest.approx(dict(zip(positions.tolist(), scores.tolist(), strict=True)), rel=1e-5)
    shard.close()


def test_equal_scores_keep_the_documents_order_at_the_cut() -> None:
    documents = [sparse({1: 1.0})] * 5 + [sparse({1: 2.0})] + [sparse({1: 1.0})] * 5
    positions, scores = SparseIndex(documents, idf=False).search(sparse({1: 1.0}), 4)
    assert positions.tolist() == [5, 0, 1, 2]
    assert scores.tolist() == [2.0, 1.0, 1.0, 1.0]


def test_only_allowed_documents_are_found() -> None:
    documents = [sparse({1: 3.0}), sparse({1: 2.0}), sparse({2: 1.0})]
    allowed = np.array([False, True, True])
    positions, _ = SparseIndex(documents, idf=False).search(sparse({1: 1.0}), 10, allowed=allowed)
    assert positions.tolist() == [1]


def test_a_shared_entry_with_a_negative_score_is_found_and_nothing_else_is() -> None:
    documents = [sparse({1: -1.0}), sparse({}), sparse({3: 1.0})]
    positions, scores = SparseIndex(documents, idf=False).search(sparse({1: 1.0}), 10)
    assert (positions.tolist(), scores.tolist()) == ([0], [-1.0])


def test_nothing_in_nothing_out() -> None:
    index = SparseIndex([], idf=True)
    positions, scores = index.search(sparse({1: 1.0}), 10)
    assert len(index) == len(positions) == len(scores) == 0
    assert SparseIndex([sparse({1: 1.0})], idf=True).search(sparse({}), 10)[0].tolist() == []
    assert SparseIndex([sparse({1: 1.0})], idf=True).search(sparse({1: 1.0}), 0)[0].tolist() == []


def test_the_weight_of_a_term_is_qdrants() -> None:
    assert inverse_document_frequency([2], 10)[0] == pytest.approx(math.log(1 + 8.5 / 2.5))
