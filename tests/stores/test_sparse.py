"""Sparse vectors over every transport, with the exact store as the oracle."""

from __future__ import annotations

import math
import uuid

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from bicross.errors import CollectionNotFoundError, ConfigurationError, InputError, InputTypeError, StoreError
from bicross.stores import ExactStore, QdrantStore
from bicross.stores.peers import HAYSTACK_NAMESPACE
from bicross.stores.schema import SparseRecord
from bicross.types import Passage, SparseVector

EMPTY = SparseVector(np.zeros(0, np.uint32), np.zeros(0, np.float32))
EVEN = {"field": "even", "operator": "==", "value": True}


def sparse(entries: dict[int, float]) -> SparseVector:
    return SparseVector(np.array(list(entries), np.uint32), np.array(list(entries.values()), np.float32))


def random_sparse(count: int, seed: int = 0, vocabulary: int = 60) -> list[SparseVector]:
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        indices = np.unique(rng.zipf(1.5, int(rng.integers(3, 15))) % vocabulary).astype(np.uint32)
        rows.append(SparseVector(indices, rng.uniform(0.1, 2.0, len(indices)).astype(np.float32)))
    return rows


def found(hits):
    return [(hit.passage.id, pytest.approx(hit.score, rel=1e-5, abs=1e-6)) for hit in hits]


def test_scores_are_dot_products_weighed_by_idf(store, make_passages):
    passages, vectors = make_passages(4)
    store.upsert(
        passages,
        vectors,
        [sparse({5: 1, 7: 2}), sparse({5: 1}), sparse({9: 1, 2**32 - 1: 1}), sparse({7: 1})],
    )
    hits = store.search_sparse(sparse({5: 2, 7: 1}))
    assert [hit.passage.id for hit in hits] == ["p0", "p1", "p3"]
    both = math.log((4 - 2 + 0.5) / (2 + 0.5) + 1)
    assert [hit.score for hit in hits] == pytest.approx([4 * both, 2 * both, both], rel=1e-6)
    assert [hit.stage1_rank for hit in hits] == [1, 2, 3]
    assert [hit.passage.id for hit in store.search_sparse(sparse({2**32 - 1: 1}))] == ["p2"]
    assert store.search_sparse(sparse({8: 1})) == store.search_sparse(EMPTY) == []


@pytest.mark.parametrize("seed", range(3))
def test_every_transport_agrees_with_the_oracle(store, make_passages, seed):
    passages, vectors = make_passages(300, seed=seed)
    rows = random_sparse(300, seed)
    oracle = ExactStore()
    for target in (store, oracle):
        target.upsert(passages[:200], vectors[:200], rows[:200])
        target.upsert(passages[200:], vectors[200:])
        target.update_sparse([p.id for p in passages[200:]], rows[200:])
    for query in random_sparse(4, seed + 100):
        for filter in (None, EVEN, {"field": "n", "operator": "<", "value": 40}):
            assert found(store.search_sparse(query, 25, filter)) == found(oracle.search_sparse(query, 25, filter))
            dense, lexical = store.search_both(vectors[3], query, 25, filter)
            assert found(dense) == found(store.search(vectors[3], 25, filter))
            assert found(lexical) == found(oracle.search_sparse(query, 25, filter))


def test_rewritten_sparse_vectors_leave_everything_else_alone(store, make_passages):
    passages, vectors = make_passages(5)
    store.upsert(passages, vectors, random_sparse(5), sync="one")
    before = store.vectors(["p1"])[1].tolist(), store.stamps(["p1"])
    new = sparse({3: 0.5, 1: 2.0})
    assert store.update_sparse(["p1", "absent", "p1"], [EMPTY, new, new]) == 1
    assert store.sparse_vectors(["p1", "absent"]) == {"p1": sparse({1: 2.0, 3: 0.5})}
    assert (store.vectors(["p1"])[1].tolist(), store.stamps(["p1"])) == before
    assert store.get(["p1"]) == [passages[1]]
    assert store.sparse_vectors(["p0"])["p0"] == random_sparse(5)[0]


def test_what_has_no_sparse_vector_is_counted_and_listed(store, make_passages):
    assert store.count_without_sparse() == 0
    assert list(store.scroll_without_sparse()) == []
    passages, vectors = make_passages(7)
    store.upsert(passages[:3], vectors[:3], [EMPTY, *random_sparse(2)])
    store.upsert(passages[3:], vectors[3:])
    assert store.count_without_sparse() == 4
    assert sorted(p.id for p in store.scroll_without_sparse(batch_size=2)) == ["p3", "p4", "p5", "p6"]
    store.upsert(passages[1:2], vectors[1:2])
    assert store.count_without_sparse() == 5
    for batch in iter(lambda: list(store.scroll_without_sparse(batch_size=2))[:2], []):
        store.update_sparse([p.id for p in batch], random_sparse(len(batch)))
    assert store.count_without_sparse() == 0
    store.set_payload([Passage("text 1", id="p1", meta={"x": 1})])
    assert store.count_without_sparse() == 0


def test_another_encoders_vectors_go_and_the_record_stays(store, make_passages):
    passages, vectors = make_passages(6)
    store.upsert(passages, vectors, [sparse({1: 1.0, i + 2: 2.0}) for i in range(6)])
    assert store.info().sparse is None
    record = SparseRecord("aaaa", name="bm25", language="en", mean_length=12.5)
    store.record_sparse(record)
    assert store.info().sparse == store.header().sparse == record
    other = SparseRecord("bbbb", idf=False, name="models/splade")
    store.begin_sparse(other)
    assert store.header().sparse == other
    assert store.count_without_sparse() == 6
    assert store.search_sparse(sparse({1: 1.0})) == []
    store.update_sparse([p.id for p in passages], [sparse({1: 1.0, i + 2: 2.0}) for i in range(6)])
    assert [hit.score for hit in store.search_sparse(sparse({1: 1.0, 4: 0.5}), 2)] == pytest.approx([2.0, 1.0])
    store.begin_sparse(record)
    store.update_sparse(["p0"], [sparse({1: 1.0})])
    assert store.search_sparse(sparse({1: 1.0}))[0].score == pytest.approx(math.log(0.5 / 1.5 + 1))
    assert store.count() == 6


def test_ties_come_in_a_fixed_order_and_short_lists_are_prefixes(store):
    passages = [Passage("t", id=f"{i:03}") for i in np.random.default_rng(3).permutation(120)]
    store.upsert(passages, np.ones((120, 2)), [sparse({4: 1.0, 9: float(p.id == "007")}) for p in passages])
    longest = [hit.passage.id for hit in store.search_sparse(sparse({4: 1.0, 9: 1.0}), 120)]
    assert longest == ["007", *sorted(p.id for p in passages if p.id != "007")]
    for top_k in (1, 5, 100):
        assert [hit.passage.id for hit in store.search_sparse(sparse({4: 1.0, 9: 1.0}), top_k)] == longest[:top_k]


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ({1: 2.0}, InputTypeError, "SparseVector"),
        (SparseVector([1, 1], [1.0, 2.0]), InputError, "has 1 more than once"),
        (SparseVector([1], [float("nan")]), InputError, "NaN"),
        (SparseVector([1], [1e300]), InputError, "infinity"),
        (SparseVector([1, 2], [1.0]), InputError, "as many values"),
        (SparseVector([-1], [1.0]), InputError, "32 bits"),
        (SparseVector([2**32], [1.0]), InputError, "32 bits"),
        (SparseVector([1.5], [1.0]), InputError, "whole numbers"),
        (SparseVector([1], ["a"]), InputTypeError, "numbers"),
    ],
)
def test_bad_sparse_vectors_are_refused_before_anything_is_written(bad, error, message):
    store = ExactStore()
    good = Passage("good", id="good")
    with pytest.raises(error, match=message) as caught:
        store.upsert([good, Passage("b", id="b")], np.eye(2), [EMPTY, bad])
    assert "sparse[1]" in str(caught.value)
    assert store.count() == 0
    store.upsert([good], np.eye(2)[:1])
    with pytest.raises(error, match=message):
        store.update_sparse(["good"], [bad])
    with pytest.raises(error, match=message):
        store.search_sparse(bad)
    with pytest.raises(InputError, match="1 passages need as many sparse vectors; got 2"):
        store.upsert([good], np.eye(2)[:1], [EMPTY, EMPTY])


def test_without_a_collection(store):
    assert store.search_sparse(sparse({1: 1.0})) == []
    assert store.search_both([1.0, 0.0], sparse({1: 1.0})) == ([], [])
    assert store.sparse_vectors(["a"]) == {}
    assert store.update_sparse(["a"], [EMPTY]) == 0
    with pytest.raises(CollectionNotFoundError):
        store.record_sparse(SparseRecord("aaaa"))


def test_the_record_survives_reopening(folder):
    record = SparseRecord("aaaa", idf=False, name="models/splade")
    with QdrantStore(path=folder) as store:
        store.upsert([Passage("t", id="a")], np.ones((1, 2)), [sparse({1: 2.0})])
        store.begin_sparse(record)
        store.update_sparse(["a"], [sparse({1: 2.0})])
    with QdrantStore(path=folder) as store:
        assert store.header().sparse == record
        assert store.search_sparse(sparse({1: 2.0}))[0].score == pytest.approx(4.0)


@pytest.mark.parametrize("values", [{"fingerprint": 3}, [], {}, {"fingerprint": "a", "state": "odd"}])
def test_a_damaged_record_is_refused(folder, values):
    import json

    with QdrantStore(path=folder) as store:
        store.upsert([Passage("t", id="a")], np.ones((1, 2)))
    sidecar = folder / "default" / "bicross.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"sparse": values}))
    with QdrantStore(path=folder) as store, pytest.raises(StoreError, match="damaged"):
        store.count()


def filled_by_another(name_to_idf: dict[str, bool], payload: dict) -> QdrantClient:
    client = QdrantClient(":memory:")
    modifiers = {True: models.Modifier.IDF, False: None}
    client.create_collection(
        "default",
        {"": models.VectorParams(size=2, distance=models.Distance.COSINE)},
        sparse_vectors_config={
            name: models.SparseVectorParams(modifier=modifiers[idf]) for name, idf in name_to_idf.items()
        },
    )
    point = str(uuid.uuid5(HAYSTACK_NAMESPACE, "a"))
    vector = {"": [1.0, 0.0]} | {name: models.SparseVector(indices=[7, 3], values=[2.0, 1.0]) for name in name_to_idf}
    client.upsert("default", [models.PointStruct(id=point, vector=vector, payload=payload)])
    return client


HAYSTACK_PAYLOAD = {"id": "a", "content": "cats", "meta": {}, "blob": None, "score": None}
LANGCHAIN_PAYLOAD = {"page_content": "cats", "metadata": {}}


@pytest.mark.parametrize(
    ("slots", "payload", "options", "slot"),
    [
        ({"text-sparse": True}, HAYSTACK_PAYLOAD, {}, "text-sparse"),
        ({"langchain-sparse": False, "other": True}, LANGCHAIN_PAYLOAD, {}, "langchain-sparse"),
        ({"mine": False}, LANGCHAIN_PAYLOAD, {}, "mine"),
        (
            {"mine": False, "yours": True},
            {"body": "cats"},
            {"text_key": "body", "sparse_vector_name": "yours"},
            "yours",
        ),
    ],
)
def test_other_programs_sparse_vectors_are_searched(slots, payload, options, slot):
    client = filled_by_another(slots, payload)
    with QdrantStore(client=client, **options) as store:
        assert (store.layout().sparse, store.layout().idf) == (slot, slots[slot])
        hit = store.search_sparse(sparse({7: 1.0}))[0]
        assert hit.passage.text == "cats"
        assert hit.score == pytest.approx(2.0 * (math.log(0.5 / 1.5 + 1) if slots[slot] else 1.0))
        assert store.sparse_vectors([hit.passage.id])[hit.passage.id] == sparse({3: 1.0, 7: 2.0})
        with pytest.raises(StoreError, match="read-only"):
            store.update_sparse([hit.passage.id], [EMPTY])
        store.claim(fingerprint="aaaa")
        assert store.layout().sparse == slot
        store.update_sparse([hit.passage.id], [sparse({9: 1.0})])
        assert store.search_sparse(sparse({9: 1.0}))[0].passage.text == "cats"
        store.record_sparse(SparseRecord("bbbb", idf=slots[slot]))
    with QdrantStore(client=client, **({} if "text_key" not in options else {"sparse_vector_name": slot})) as store:
        assert (store.layout().sparse, store.info().sparse.fingerprint) == (slot, "bbbb")


def test_which_of_several_unknown_sparse_vectors_has_to_be_said():
    client = filled_by_another({"mine": False, "yours": True}, LANGCHAIN_PAYLOAD)
    with QdrantStore(client=client) as store, pytest.raises(StoreError, match="sparse_vector_name="):
        store.search_sparse(sparse({7: 1.0}))
    with (
        QdrantStore(client=client, sparse_vector_name="his") as store,
        pytest.raises(StoreError, match=r"'mine', 'yours'"),
    ):
        store.count()
    with pytest.raises(ConfigurationError, match="sparse_vector_name is a vector's name"):
        QdrantStore(client=client, sparse_vector_name="")
