"""One contract for every transport: the exact oracle, the embedded engine, qdrant-client's local mode, a server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import numpy as np
import pytest

from bicross.errors import (
    ClosedError,
    ConfigurationError,
    DimensionMismatchError,
    FilterError,
    FingerprintMismatchError,
    InputError,
    InputTypeError,
    StoreError,
)
from bicross.stores import ExactStore, Stamp, stamp_of
from bicross.types import Passage

from .conftest import SERVER

AWKWARD_IDS = [
    "a",
    "0",
    "-1",
    "a b",
    "ä/ö?&=#",
    "日本語",
    "🎉" * 40,
    "x" * 5000,
    "\x00",
    "'; drop",
    "A",
    "a\n",
    "..",
    "id",
]

BAD_PASSAGES = [
    (Passage("t", id=""), InputTypeError, "non-empty string"),
    (Passage("t", id=3), InputTypeError, "has 3"),
    (Passage(None, id="a"), InputTypeError, "text is a string"),
    (Passage("\ud800", id="a"), InputError, "surrogate"),
    (Passage("t", id="\udc00"), InputError, "surrogate"),
    (Passage("t", id="a", title=1), InputTypeError, "title"),
    (Passage("t", id="a", source=b"x"), InputTypeError, "source"),
    (Passage("t", id="a", meta=[1]), InputTypeError, "mapping"),
    (Passage("t", id="a", meta={"x": float("nan")}), InputError, r"meta\.x"),
    (Passage("t", id="a", meta={"x": [1, {2}]}), InputTypeError, r"meta\.x\[1\]"),
    (Passage("t", id="a", meta={"x": b"y"}), InputTypeError, "bytes"),
    (Passage("t", id="a", meta={"x": "\ud800"}), InputError, "surrogate"),
    (Passage("t", id="a", meta={"\ud800": 1}), InputError, "surrogate"),
    (Passage("t", id="a", meta={1: 1}), InputTypeError, "Names in meta"),
    (Passage("t", id="a", meta={"x": 2**63}), InputError, "64 bits"),
    ("text", InputTypeError, r"passages\[1\] is 'text'"),
]
BAD_VECTORS = [
    ([[1, 2], [float("nan"), 1]], r"vectors\[1\] holds NaN"),
    ([[1, 2], [float("inf"), 1]], r"vectors\[1\]"),
    ([[1, 2], [1e300, 1]], r"vectors\[1\]"),
    ([[1, 2]], r"shape \(2, dimension\)"),
    ([1, 2], "shape"),
    ([[1, 2], [1]], "rows of one length"),
    ([["a", "b"], ["c", "d"]], "array of numbers"),
    (np.zeros((2, 0)), "shape"),
]


def _is(field, value, operator="=="):
    return {"field": field, "operator": operator, "value": value}


@pytest.mark.skipif(SERVER is not None, reason="the server is one of the transports below")
def test_server():
    pytest.skip("this contract wasn't run against a Qdrant server: set QDRANT_URL to do so")


class TestCollection:
    def test_missing_collection_reads_as_empty(self, store):
        assert store.info() is None
        assert store.collections() == []
        assert store.search([1.0, 0.0]) == []
        assert store.count() == store.delete(["a"]) == store.delete(_is("n", 1)) == 0
        assert store.get(["a"]) == list(store.scroll()) == list(store.ids()) == []
        assert store.stamps(["a"]) == {}
        ids, vectors = store.vectors(["a"])
        assert ids == []
        assert vectors.shape == (0, 0)
        assert store.set_payload([Passage("t", id="a")]) == 0
        assert store.optimize() is False
        store.flush()
        store.drop()
        assert store.info() is None

    def test_info_after_bind_and_upsert(self, store, make_passages):
        store.bind(dimension=8, fingerprint="3f1cabcd", model="models/minilm", revision="r1")
        store.upsert(*make_passages(5))
        info = store.info()
        assert (info.name, info.count, info.dimension, info.distance) == (store.collection, 5, 8, "cosine")
        assert (info.fingerprint, info.model, info.revision) == ("3f1cabcd", "models/minilm", "r1")
        assert info.schema_version == 1
        assert info.indexed_vectors_count == 0
        assert info in store.collections()

    def test_upsert_without_bind_records_no_fingerprint(self, store, make_passages):
        store.upsert(*make_passages(2))
        assert (store.info().fingerprint, store.info().dimension) == (None, 8)

    def test_bind_twice_is_fine_and_keeps_the_record(self, store):
        store.bind(dimension=4, fingerprint="aaaa", model="one")
        store.bind(dimension=4, fingerprint="aaaa", model="moved/one")
        store.bind(dimension=4)
        assert store.info().model == "one"

    def test_another_model_is_refused(self, store, make_passages):
        store.bind(dimension=384, fingerprint="3f1c0000", model="sentence-transformers/minilm")
        with pytest.raises(FingerprintMismatchError) as caught:
            store.bind(dimension=384, fingerprint="9be20000", model="models/student")
        assert str(caught.value) == (
            f"Collection {store.collection!r} holds 384-d vectors of 'minilm@3f1c'; this encoder is 'student@9be2'. "
            "Re-index with recreate=True or open another collection."
        )

    def test_models_that_share_name_and_digits_are_told_apart(self, store):
        store.bind(dimension=4, fingerprint="3f1c00001111", model="m")
        with pytest.raises(FingerprintMismatchError, match=r"'m@3f1c000011.*'m@3f1c000022"):
            store.bind(dimension=4, fingerprint="3f1c00002222", model="m")

    def test_another_dimension_or_distance_is_refused(self, store, make_passages):
        store.bind(dimension=8, fingerprint="aa", model="m")
        with pytest.raises(DimensionMismatchError, match=r"holds 8-d vectors of 'm@aa'.*'n@bb' with 9 dimensions"):
            store.bind(dimension=9, fingerprint="bb", model="n")
        with pytest.raises(DimensionMismatchError):
            store.bind(dimension=9)
        with pytest.raises(StoreError, match="compares vectors by 'cosine'; asked for 'dot'"):
            store.bind(dimension=8, fingerprint="aa", model="m", distance="dot")
        with pytest.raises(DimensionMismatchError, match="holds 8-d vectors; got 5-d"):
            store.upsert([Passage("t", id="a")], np.ones((1, 5)))
        with pytest.raises(DimensionMismatchError):
            store.search(np.ones(5))
        assert store.count() == 0

    def test_a_filled_collection_of_unknown_model_is_not_claimed(self, store, make_passages):
        store.upsert(*make_passages(1))
        with pytest.raises(FingerprintMismatchError, match="an unknown model"):
            store.bind(dimension=8, fingerprint="aaaa", model="m")

    def test_an_empty_collection_of_unknown_model_is_claimed(self, store, make_passages):
        store.upsert(*make_passages(1))
        store.delete(["p0"])
        store.bind(dimension=8, fingerprint="aaaa", model="m", revision="r")
        assert (store.info().fingerprint, store.info().model, store.info().revision) == ("aaaa", "m", "r")

    def test_drop_and_begin_anew(self, store, make_passages):
        store.upsert(*make_passages(3))
        store.drop()
        assert store.info() is None
        assert store.count() == 0
        store.upsert(*make_passages(2, dimension=5))
        assert (store.count(), store.info().dimension) == (2, 5)

    def test_senseless_bind_is_refused(self, store):
        for arguments in ({"dimension": 0}, {"dimension": True}, {"dimension": 4, "distance": "l2"}):
            with pytest.raises(ConfigurationError):
                store.bind(**arguments)
        assert store.info() is None


class TestWriting:
    def test_round_trip(self, store):
        meta = {
            "str": "ä\u2028\x00🎉",
            "int": 2**63 - 1,
            "small": -(2**63),
            "floats": [0.1, 1.0, 1e300, 123456789.12345679, 5e-324, -0.5],
            "none": None,
            "bools": [True, False],
            "nested": {"a": {"b": [1, [2, {"c": None}]]}, "": 1, "a.b": 2, 'q"': 3},
            "empty": [[], {}, ""],
        }
        passage = Passage("text ä 🎉", id="one", title="Title", meta=meta, source="file.txt")
        bare = Passage("", id="two")
        store.upsert([passage, bare], np.eye(2))
        assert store.get(["one", "two"]) == [passage, bare]
        found = store.get(["one"])[0].meta
        assert [type(x) for x in found["floats"]] == [float] * 6
        assert found["bools"] == [True, False]
        assert found["floats"] == meta["floats"]

    def test_dates_become_iso_strings(self, store):
        moment = datetime(2026, 11, 24, 10, 30, tzinfo=UTC)
        store.upsert([Passage("t", id="a", meta={"at": moment, "days": [moment.date()]})], np.ones((1, 2)))
        assert store.get(["a"])[0].meta == {"at": "2026-11-24T10:30:00+00:00", "days": ["2026-11-24"]}
        assert store.count(_is("at", moment)) == 1
        assert store.stamps(["a"])["a"] == stamp_of(Passage("t", id="a", meta={"at": moment, "days": [moment.date()]}))

    def test_numpy_values_become_plain(self, store):
        store.upsert([Passage("t", id="a", meta={"n": np.int64(3), "f": np.float32(0.5)})], np.ones((1, 2)))
        assert store.get(["a"])[0].meta == {"n": 3, "f": 0.5}

    def test_any_string_is_an_id(self, store):
        passages = [Passage(f"t{i}", id=name) for i, name in enumerate(AWKWARD_IDS)]
        store.upsert(passages, np.eye(len(passages)))
        assert store.count() == len(AWKWARD_IDS)
        assert store.get(AWKWARD_IDS) == passages
        assert set(store.ids()) == set(AWKWARD_IDS)
        assert store.count(_is("id", AWKWARD_IDS[3:5], "in")) == 2
        assert store.delete(AWKWARD_IDS) == len(AWKWARD_IDS)

    def test_again_is_idempotent_and_replaces(self, store, make_passages):
        passages, vectors = make_passages(4)
        store.upsert(passages, vectors)
        store.upsert(passages, vectors)
        assert store.count() == 4
        assert store.get(["p2"]) == [passages[2]]
        changed = Passage("new", id="p2")
        store.upsert([changed], vectors[:1])
        assert store.count() == 4
        assert store.get(["p2"]) == [changed]
        assert np.array_equal(store.vectors(["p2"])[1], store.vectors(["p0"])[1])

    def test_last_duplicate_wins(self, store):
        store.upsert([Passage("first", id="a"), Passage("b", id="b"), Passage("last", id="a")], np.eye(3))
        assert store.count() == 2
        assert store.get(["a"])[0].text == "last"
        assert store.search([0, 0, 1], 1)[0].passage.id == "a"

    def test_empty_call_writes_nothing(self, store):
        store.upsert([], np.zeros((0, 4)))
        store.upsert([], [])
        assert store.info() is None

    def test_more_than_one_batch(self, store, make_passages):
        passages, vectors = make_passages(1203, dimension=4)
        store.upsert(passages, vectors)
        assert store.count() == 1203
        assert {p.id: p for p in store.scroll()} == {p.id: p for p in passages}
        assert set(store.ids(_is("even", True))) == {p.id for p in passages if p.meta["even"]}
        assert len(store.stamps([p.id for p in passages])) == 1203
        assert store.delete(_is("even", True)) == 602

    def test_batches_are_bounded_by_bytes(self, store, make_passages, monkeypatch):
        monkeypatch.setattr("bicross.stores.batches.MAX_BYTES", 2_000)
        passages, vectors = make_passages(30)
        store.upsert(passages, vectors)
        assert store.count() == 30
        with pytest.raises(InputError, match=r"passages\[1\] \(id 'big'\) takes"):
            store.upsert([Passage("a", id="new"), Passage("x" * 3000, id="big")], np.ones((2, 8)))
        assert store.get(["new"]) == []

    def test_set_payload_keeps_the_vector(self, store, make_passages):
        passages, vectors = make_passages(3)
        store.upsert(passages, vectors, sync="a")
        before = store.vectors(["p1"])[1]
        changed = Passage("text 1", id="p1", meta={"other": [1]})
        assert store.set_payload([changed, Passage("x", id="absent")], sync="b") == 1
        assert store.get(["p1"]) == [changed]
        assert store.count() == 3
        assert np.array_equal(store.vectors(["p1"])[1], before)
        assert store.stamps(["p1"])["p1"] == stamp_of(changed, "b")
        assert store.count(_is("n", 1)) == 0

    def test_the_callers_objects_stay_apart(self, store):
        meta, vector = {"tags": ["a"]}, np.array([[1.0, 0.0]], dtype=np.float32)
        store.upsert([Passage("t", id="a", meta=meta)], vector)
        meta["tags"].append("b")
        vector[:] = 0
        found = store.get(["a"])[0]
        found.meta["tags"].append("c")
        assert store.get(["a"])[0].meta == {"tags": ["a"]}
        assert store.search([1, 0], 1)[0].score == pytest.approx(1)

    def test_nothing_bad_is_written(self, store):
        store.bind(dimension=2)
        good = Passage("good", id="good")
        for bad, error, message in BAD_PASSAGES:
            with pytest.raises(error, match=message) as caught:
                store.upsert([good, bad], np.eye(2))
            assert "passages[1]" in str(caught.value)
            with pytest.raises(error):
                store.set_payload([good, bad])
        for vectors, message in BAD_VECTORS:
            with pytest.raises(InputError, match=message):
                store.upsert([good, Passage("b", id="b")], vectors)
        assert store.count() == 0

    def test_deep_meta_is_refused(self, store):
        deep: object = 1
        for _ in range(200):
            deep = [deep]
        with pytest.raises(InputError, match="32 levels"):
            store.upsert([Passage("t", id="a", meta={"x": deep})], np.ones((1, 2)))

    def test_single_values_instead_of_sequences_are_refused(self, store):
        with pytest.raises(InputTypeError, match="list"):
            store.upsert(Passage("a"), [[1, 2]])
        for method in (store.get, store.stamps, store.vectors, store.delete):
            with pytest.raises(InputTypeError):
                method("abc")
            with pytest.raises(InputTypeError, match=r"ids\[1\]"):
                method(["a", None])

    def test_sync_must_be_a_string(self, store):
        with pytest.raises(InputTypeError, match="sync"):
            store.upsert([Passage("a")], [[1, 2]], sync=3)


class TestReading:
    def test_get_keeps_the_order_asked_for(self, store, make_passages):
        store.upsert(*make_passages(5))
        assert [p.id for p in store.get(["p3", "absent", "p0", "p3"])] == ["p3", "p0", "p3"]

    def test_cosine_vectors_come_back_normalised(self, store):
        store.upsert([Passage("a", id="a"), Passage("b", id="b")], [[3, 4], [0, 0]])
        ids, vectors = store.vectors(["b", "absent", "a"])
        assert ids == ["b", "a"]
        assert vectors.dtype == np.float32
        assert vectors == pytest.approx(np.array([[0, 0], [0.6, 0.8]]))

    def test_dot_vectors_come_back_as_they_are(self, store):
        store.bind(dimension=2, distance="dot")
        store.upsert([Passage("a", id="a"), Passage("b", id="b")], [[3, 4], [1, 0]])
        assert store.vectors(["a"])[1].tolist() == [[3, 4]]
        assert [(h.passage.id, h.score) for h in store.search([2, 0])] == [("a", 6), ("b", 2)]

    def test_stamps_tell_what_changed(self, store):
        first = Passage("text", id="a", title="t", meta={"x": 1, "y": 2}, source="s")
        store.upsert([first], [[1, 0]], sync="job")
        stamp = store.stamps(["a", "absent"])
        assert stamp == {"a": stamp_of(first, "job")}
        assert isinstance(stamp["a"], Stamp)
        assert stamp_of(Passage("text", id="a", title="t", meta={"y": 2, "x": 1}, source="s"), "job") == stamp["a"]
        for other in (Passage("text2", id="a", title="t"), Passage("text", id="a"), Passage("ttext", id="a", title="")):
            assert stamp_of(other).content_hash != stamp["a"].content_hash
        for meta, source in (({"x": 1.0, "y": 2}, "s"), ({"x": True, "y": 2}, "s"), ({"x": 1, "y": 2}, None)):
            other = stamp_of(Passage("text", id="a", title="t", meta=meta, source=source))
            assert other.content_hash == stamp["a"].content_hash
            assert other.meta_hash != stamp["a"].meta_hash

    def test_search_finds_the_nearest_in_order(self, store, make_passages):
        passages, vectors = make_passages(60)
        store.upsert(passages, vectors)
        query = vectors[7] + 0.1
        hits = store.search(query, 10)
        cosines = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
        assert [h.passage.id for h in hits] == [f"p{i}" for i in np.argsort(-cosines)[:10]]
        assert [h.score for h in hits] == pytest.approx(np.sort(cosines)[::-1][:10].tolist(), abs=1e-6)
        assert [h.stage1_rank for h in hits] == list(range(1, 11))
        assert all(h.score == h.stage1_score and h.rerank_score is None for h in hits)
        assert hits[0].passage == passages[7]

    def test_search_with_filter(self, store, make_passages):
        passages, vectors = make_passages(40)
        store.upsert(passages, vectors)
        hits = store.search(vectors[0], 100, _is("even", True))
        assert sorted(h.passage.meta["n"] for h in hits) == list(range(0, 40, 2))
        assert store.search(vectors[0], 5, {"operator": "OR", "conditions": []}) == []
        assert store.search(vectors[0], 5, {}) == store.search(vectors[0], 5)

    def test_search_in_an_emptied_collection(self, store, make_passages):
        store.upsert(*make_passages(3))
        store.delete(["p0", "p1", "p2"])
        assert store.search(np.ones(8)) == []

    def test_ties_come_in_a_fixed_order_and_short_lists_are_prefixes(self, store):
        count = 120
        vectors = np.tile([1.0, 0.0], (count, 1))
        vectors[0] = [1, 0.5]
        passages = [Passage("t", id=f"{i:03}") for i in np.random.default_rng(3).permutation(count)]
        store.upsert(passages, vectors)
        longest = [h.passage.id for h in store.search([1, 0], count)]
        assert longest == [*sorted(p.id for p in passages[1:]), passages[0].id]
        for top_k in (1, 5, 10, 100):
            assert [h.passage.id for h in store.search([1, 0], top_k)] == longest[:top_k]

    def test_bad_query_is_refused(self, store):
        store.bind(dimension=2)
        for query in ([float("nan"), 1], [float("inf"), 1], [], [[1, 0]], "ab", None, [1e300, 0]):
            with pytest.raises(InputError):
                store.search(query)
        for top_k in (0, -1, 2.0, True, None):
            with pytest.raises(ConfigurationError, match="top_k"):
                store.search([1, 0], top_k)

    def test_zero_query_is_legal(self, store):
        store.upsert([Passage("a", id="a")], [[1, 0]])
        assert [h.score for h in store.search([0, 0])] == [0]

    def test_delete_counts(self, store, make_passages):
        store.upsert(*make_passages(6))
        assert store.delete(["p0", "p0", "absent"]) == 1
        assert store.delete(["p0"]) == 0
        assert store.delete(_is("n", 3, ">=")) == 3
        assert sorted(store.ids()) == ["p1", "p2"]
        assert store.delete([]) == 0

    def test_delete_by_no_filter_is_refused(self, store, make_passages):
        store.upsert(*make_passages(2))
        for nothing in ({}, {"field": "n"}, {"operator": "AND"}):
            with pytest.raises(FilterError):
                store.delete(nothing)
        assert store.count() == 2

    def test_ids_of_a_sync(self, store, make_passages):
        passages, vectors = make_passages(6)
        store.upsert(passages[:4], vectors[:4], sync="one")
        store.upsert(passages[4:], vectors[4:], sync="two")
        assert set(store.ids(_is("sync", "one"))) == {"p0", "p1", "p2", "p3"}
        assert store.delete(_is("sync", "one")) == 4
        assert set(store.ids()) == {"p4", "p5"}

    def test_scroll_in_small_batches(self, store, make_passages):
        passages, vectors = make_passages(11)
        store.upsert(passages, vectors)
        assert sorted(p.id for p in store.scroll(batch_size=2)) == sorted(p.id for p in passages)
        assert sorted(p.id for p in store.scroll(_is("even", False), batch_size=5)) == ["p1", "p3", "p5", "p7", "p9"]
        with pytest.raises(ConfigurationError):
            store.scroll(batch_size=0)

    def test_bad_filter_is_refused_at_once(self, store):
        for method in (store.count, store.scroll, store.ids, lambda bad: store.search([1, 0], 1, bad)):
            with pytest.raises(FilterError):
                method({"field": "n", "operator": "~", "value": 1})


class TestLife:
    def test_closed_store_says_so(self, store, make_passages):
        store.upsert(*make_passages(2))
        store.close()
        store.close()
        for call in (
            store.info,
            store.count,
            store.drop,
            store.flush,
            lambda: store.search([1] * 8),
            lambda: store.get([]),
        ):
            with pytest.raises(ClosedError, match="closed"):
                call()

    def test_context_manager(self, store):
        with store as inside:
            assert inside is store
        with pytest.raises(ClosedError):
            store.count()

    def test_sixteen_readers_and_a_writer(self, store, make_passages):
        passages, vectors = make_passages(200)
        store.upsert(passages[:50], vectors[:50])
        oracle = ExactStore()
        oracle.upsert(passages[:50], vectors[:50])
        fixed = {"field": "n", "operator": "<", "value": 50}
        expected = [h.passage for h in oracle.search(vectors[3], 5, fixed)]
        done = threading.Event()

        def read() -> int:
            reads = 0
            while not done.is_set() and reads < 15:
                assert [h.passage for h in store.search(vectors[3], 5, fixed)] == expected
                assert store.get(["p7"]) == [passages[7]]
                reads += 1
            return reads

        with ThreadPoolExecutor(16) as pool:
            readers = [pool.submit(read) for _ in range(16)]
            try:
                for i in range(50, 200, 30):
                    store.upsert(passages[i : i + 30], vectors[i : i + 30])
                    assert store.search(vectors[i], 1)[0].passage.id == f"p{i}"
            finally:
                done.set()
            assert sum(reader.result() for reader in readers) > 0
        assert store.count() == 200
