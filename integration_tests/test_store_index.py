"""The approximate index of the embedded store, really built, against the exact answer."""

from __future__ import annotations

import numpy as np

from bicross.stores import ExactStore, QdrantStore
from bicross.types import Passage


def test_recall_with_the_default_settings(tmp_path):
    rng = np.random.default_rng(0)
    count = 12_000
    centres = rng.normal(size=(60, 64))
    vectors = (centres[rng.integers(0, 60, count)] + 0.6 * rng.normal(size=(count, 64))).astype(np.float32)
    vectors = np.repeat(vectors, 4, axis=1)  # 256 dimensions: the engine builds an index from 10 MB on
    passages = [Passage("t", id=str(i), meta={"third": i % 3}) for i in range(count)]
    third = {"field": "third", "operator": "==", "value": 0}
    with QdrantStore(path=tmp_path) as store, ExactStore() as oracle:
        for each in (store, oracle):
            each.upsert(passages, vectors)
        assert store.info().indexed_vectors_count == 0
        assert store.optimize() is True
        assert store.info().indexed_vectors_count == count
        assert store.optimize() is False
        recalls = {"all": [], "filtered": []}
        for i in range(0, count, 400):
            query = vectors[i] + 0.2 * rng.normal(size=256)
            for name, condition in (("all", None), ("filtered", third)):
                exact = {hit.passage.id for hit in oracle.search(query, 100, condition)}
                found = store.search(query, 100, condition)
                recalls[name].append(len(exact & {hit.passage.id for hit in found}) / 100)
                assert [hit.passage.id for hit in store.search(query, 10, condition)] == [
                    hit.passage.id for hit in found[:10]
                ]
        assert np.mean(recalls["all"]) >= 0.99
        assert np.mean(recalls["filtered"]) >= 0.99
        store.upsert([Passage("new", id="new")], vectors[:1])
        assert store.search(vectors[0], 2)[1].passage.id == "new"
