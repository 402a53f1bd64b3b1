"""Collections that other programs filled, as their payloads are known to look; integration_tests ask the programs."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qdrant_client import QdrantClient, models

from bicross.errors import (
    BicrossWarning,
    CollectionNotFoundError,
    ConfigurationError,
    FingerprintMismatchError,
    InputError,
    StoreError,
)
from bicross.stores import ExactStore, QdrantStore, stamp_of
from bicross.stores.detection import RECORD
from bicross.types import Passage

from .stub_server import serve
from .test_round_trip import _exact, passages

pytestmark = pytest.mark.long

HAYSTACK_NAMESPACE = uuid.UUID("3896d314-1e95-4a3a-b45a-945f9f0b541d")
TEXTS = ["the cat", "the dog", "a bird", "a fish"]
VECTORS = np.eye(4, dtype=np.float32)


@dataclass(frozen=True)
class Peer:
    """How another program writes a document.

    Attributes:
        layout: What its layout is called.
        payload: The payload of (id, text, meta).
        point: The point's id of an id.
        ids: Ids that it can have.
        vector: Name of its dense vector.
        keys: What a user has to say to open it.
    """

    layout: str
    payload: Callable[[str, str, dict], dict[str, Any]]
    point: Callable[[str], str | int]
    ids: tuple[str, ...]
    vector: str = ""
    sparse: str | None = None
    keys: dict[str, str] = field(default_factory=dict)


def haystack_point(id: str) -> str:
    return uuid.uuid5(HAYSTACK_NAMESPACE, id).hex


def haystack_payload(id: str, text: str, meta: dict) -> dict[str, Any]:
    return {"id": id, "content": text, "blob": None, "meta": meta, "score": None, "sparse_embedding": None}


def haystack_sparse_payload(id: str, text: str, meta: dict) -> dict[str, Any]:
    return {"id": id, "content": text, "blob": None, "meta": meta, "score": None}


UUIDS = tuple(str(uuid.UUID(int=i)) for i in range(1, 5))
PEERS = {
    "haystack": Peer("haystack", haystack_payload, haystack_point, ("a", "b", "ä c", "d")),
    "haystack-sparse": Peer(
        "haystack", haystack_sparse_payload, haystack_point, ("a", "b", "c", "d"), "text-dense", "text-sparse"
    ),
    "langchain": Peer("langchain", lambda id, text, meta: {"page_content": text, "metadata": meta}, str, UUIDS),
    "langchain-numbers": Peer(
        "langchain",
        lambda id, text, meta: {"page_content": text, "metadata": meta},
        int,
        ("0", "7", "8", str(2**64 - 1)),
        sparse="langchain-sparse",
    ),
    "flat": Peer(
        "custom", lambda id, text, meta: {"body": text, **meta}, int, ("1", "2", "3", "4"), keys={"text_key": "body"}
    ),
    "nested": Peer(
        "custom",
        lambda id, text, meta: {"doc": {"text": text, "lang": "en"}, "attributes": meta, "more": [1, 2]},
        str,
        UUIDS,
        "dense",
        keys={"text_key": "doc.text", "meta_key": "attributes"},
    ),
}
METAS = [{"n": i, "even": i % 2 == 0, "tags": ["x", f"t{i}"], "inner": {"deep": f"d{i}"}} for i in range(4)]


def fill(client: QdrantClient, peer: Peer, count: int = 4) -> None:
    vector = models.VectorParams(size=4, distance=models.Distance.COSINE)
    client.create_collection(
        "default",
        {peer.vector: vector} if peer.vector else vector,
        sparse_vectors_config={peer.sparse: models.SparseVectorParams()} if peer.sparse else None,
        metadata={"owner": "somebody"},
    )
    for i in range(count):
        id = peer.ids[i]
        embedding = VECTORS[i].tolist()
        point = models.PointStruct(
            id=peer.point(id),
            vector={peer.vector: embedding} if peer.vector else embedding,
            payload=peer.payload(id, TEXTS[i], dict(METAS[i])),
        )
        client.upsert("default", [point])


@contextmanager
def filled(peer: Peer, transport: str, count: int = 4) -> Iterator[tuple[QdrantStore, QdrantClient]]:
    """A peer's collection, opened in one of two ways, and a client to look at it with."""
    if transport == "client-memory":
        client = QdrantClient(":memory:")
        fill(client, peer, count)
        with QdrantStore(client=client, **peer.keys) as store:
            yield store, client
    else:
        with serve() as stub:
            fill(stub.client, peer, count)
            with QdrantStore(url=stub.url, **peer.keys) as store:
                yield store, stub.client


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> Peer:
    return PEERS[request.param]


@pytest.fixture(params=["client-memory", "client-http"])
def transport(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def opened(peer: Peer, transport: str) -> Iterator[QdrantStore]:
    with filled(peer, transport) as (store, _):
        yield store


@pytest.fixture
def adopted(opened: QdrantStore) -> QdrantStore:
    opened.claim(fingerprint="3f1c", model="models/minilm", revision="r1")
    return opened


def _is(name, value, operator="=="):
    return {"field": name, "operator": operator, "value": value}


def content(peer: Peer) -> list[Passage]:
    return [Passage(TEXTS[i], id=peer.ids[i], meta=METAS[i]) for i in range(4)]


class TestReading:
    def test_every_way_to_read(self, peer, opened):
        expected = content(peer)
        info = opened.info()
        assert (info.count, info.dimension, info.layout, info.read_only) == (4, 4, peer.layout, True)
        assert (info.fingerprint, info.model) == (None, None)
        assert opened.collections() == [info]
        assert opened.count() == 4
        assert opened.get([*reversed(peer.ids), "absent"]) == list(reversed(expected))
        assert sorted(opened.scroll(batch_size=3), key=lambda p: peer.ids.index(p.id)) == expected
        assert sorted(opened.ids(), key=peer.ids.index) == list(peer.ids)
        ids, vectors = opened.vectors(["absent", peer.ids[2], peer.ids[0]])
        assert ids == [peer.ids[2], peer.ids[0]]
        assert vectors.tolist() == VECTORS[[2, 0]].tolist()
        hits = opened.search([0.1, 1, 0, 0.2], 2)
        assert [hit.passage for hit in hits] == [expected[1], expected[3]]
        assert opened.stamps([peer.ids[0], "absent"]) == {peer.ids[0]: stamp_of(expected[0])}

    def test_documents_are_found_by_a_field_of_meta(self, peer, opened):
        groups = opened.search_groups([0.3, 1, 0.2, 0.1], "inner.deep", 2)
        assert [[hit.passage.id for hit in group] for group in groups] == [[peer.ids[1]], [peer.ids[0]]]
        alone = opened.search_groups([0.3, 1, 0.2, 0.1], "source_id", 9)
        assert [group[0].passage.id for group in alone] == [peer.ids[i] for i in (1, 0, 2, 3)]
        numbers = opened.search_groups([0.3, 1, 0.2, 0.1], "meta.n", 9, filter=_is("even", True))
        assert [group[0].passage.id for group in numbers] == [peer.ids[0], peer.ids[2]]

    @pytest.mark.parametrize(
        ("filter", "expected"),
        [
            (_is("meta.n", 2, ">="), [2, 3]),
            (_is("n", [0, 3], "in"), [0, 3]),
            (_is("meta.even", True), [0, 2]),
            (_is("tags", "t1"), [1]),
            (_is("inner.deep", "d3"), [3]),
            (_is("meta.absent", None), [0, 1, 2, 3]),
            (_is("text", "a bird"), [2]),
            (_is("content", "a bird", "!="), [0, 1, 3]),
            (_is("title", None), [0, 1, 2, 3]),
            (_is("source", "x"), []),
            (_is("sync", None), [0, 1, 2, 3]),
            (_is("id", None), []),
            (_is("id", 3), []),
            ({"operator": "NOT", "conditions": [_is("n", 1), _is("even", False)]}, [0, 2, 3]),
            ({"operator": "OR", "conditions": [_is("n", 1), _is("text", "the cat")]}, [0, 1]),
        ],
    )
    def test_filters(self, peer, opened, filter, expected):
        found = [peer.ids.index(id) for id in opened.ids(filter)]
        assert sorted(found) == expected
        assert opened.count(filter) == len(expected)
        assert sorted(h.passage.meta["n"] for h in opened.search([1, 1, 1, 1], 4, filter)) == expected

    def test_filter_by_id(self, peer, opened):
        assert list(opened.ids(_is("id", peer.ids[1]))) == [peer.ids[1]]
        assert opened.count(_is("id", [peer.ids[0], "absent"], "not in")) == 3


class TestReadOnly:
    def test_writes_are_refused_with_the_remedy(self, peer, opened):
        passage = Passage("new", id=peer.ids[0])
        for write in (
            lambda: opened.upsert([passage], VECTORS[:1]),
            lambda: opened.set_payload([passage]),
            lambda: opened.delete([peer.ids[0]]),
            lambda: opened.delete(_is("n", 1)),
            opened.drop,
        ):
            with pytest.raises(StoreError, match=r"read-only\. Adopt it .*bicross info --adopt") as caught:
                write()
            assert peer.layout in str(caught.value)
        with pytest.raises(FingerprintMismatchError, match=r"unknown model; this encoder is 'm@aaaa'. Adopt it"):
            opened.bind(dimension=4, fingerprint="aaaa", model="m")
        opened.bind(dimension=4)
        assert list(opened.scroll()) == list(opened.scroll())
        assert opened.count() == 4

    def test_claimed_by_one_model_only(self, adopted):
        adopted.claim(fingerprint="3f1c", model="elsewhere/minilm")
        assert (adopted.info().model, adopted.info().fingerprint) == ("models/minilm", "3f1c")
        with pytest.raises(FingerprintMismatchError, match="minilm"):
            adopted.claim(fingerprint="9be2", model="student")

    def test_adopted_elsewhere_meanwhile(self, peer, transport):
        for write in (
            lambda store: store.bind(dimension=4, fingerprint="3f1c"),
            lambda store: store.upsert(content(peer), VECTORS),
            lambda store: store.set_payload(content(peer)),
            lambda store: store.delete(["absent"]),
        ):
            with filled(peer, transport) as (store, client):
                with pytest.raises(StoreError, match="Adopt it"):
                    write(store)
                with QdrantStore(client=client, **peer.keys) as other:
                    other.claim(fingerprint="3f1c")
                write(store)
                assert not store.info().read_only

    def test_filled_by_a_peer_meanwhile(self, peer, transport):
        with filled(peer, transport, count=0) as (store, client):
            assert (store.count(), list(store.scroll())) == (0, [])
            client.delete_collection("default")
            fill(client, peer)
            assert store.get(peer.ids) == content(peer)

    def test_there_is_nothing_to_claim(self):
        with QdrantStore(client=QdrantClient(":memory:")) as store, pytest.raises(CollectionNotFoundError):
            store.claim(fingerprint="3f1c")

    def test_a_server_that_keeps_no_metadata(self, transport, monkeypatch):
        with filled(PEERS["langchain"], "client-memory") as (store, client):
            monkeypatch.setattr(client, "update_collection", lambda *_, **__: True)
            with pytest.raises(StoreError, match=r"kept None instead\. Upgrade it"):
                store.claim(fingerprint="3f1c")
            assert store.info().read_only

    def test_an_empty_collection_is_anybodys(self, transport):
        for name, layout in (("haystack-sparse", "haystack"), ("langchain-numbers", "langchain"), ("flat", "custom")):
            peer = PEERS[name]
            with filled(peer, transport, count=0) as (store, client):
                store.bind(dimension=4, fingerprint="3f1c", model="m")
                assert (store.info().layout, store.info().read_only) == (layout, False)
                store.upsert([Passage("the cat", id=peer.ids[0], meta={"n": 1})], VECTORS[:1])
                record = client.scroll("default")[0][0]
                assert record.payload.items() >= peer.payload(peer.ids[0], "the cat", {"n": 1}).items()
        with filled(PEERS["haystack"], transport, count=0) as (store, _):
            store.upsert([Passage("the cat", id="a")], VECTORS[:1])
            assert (store.info().layout, store.info().read_only) == ("native", False)


class TestWriting:
    def test_everything_of_its_own_is_left_as_it_was(self, peer, transport):
        with filled(peer, transport) as (store, client):
            before = {record.id: record.payload for record in client.scroll("default")[0]}
            store.claim(fingerprint="3f1c", model="m")
            assert {record.id: record.payload for record in client.scroll("default")[0]} == before
            assert client.get_collection("default").config.metadata["owner"] == "somebody"
            assert client.get_collection("default").config.metadata[RECORD]["fingerprint"] == "3f1c"

    def test_the_record_opens_it_without_keys(self, peer, transport):
        with filled(peer, "client-memory") as (store, client):
            store.claim(fingerprint="3f1c", model="m", revision="r")
            with QdrantStore(client=client) as again:
                info = again.info()
                assert (info.fingerprint, info.model, info.revision, info.layout) == ("3f1c", "m", "r", peer.layout)
                assert not info.read_only
                assert again.get(peer.ids) == content(peer)
                again.bind(dimension=4, fingerprint="3f1c")
            with (
                QdrantStore(client=client, text_key="other") as wrong,
                pytest.raises(ConfigurationError, match="is recorded since it was made or adopted"),
            ):
                wrong.get(["a"])

    def test_a_peers_document_written_again_is_the_same(self, peer, transport):
        with filled(peer, transport) as (store, client):
            before = {record.id: record.payload for record in client.scroll("default")[0]}
            store.claim(fingerprint="3f1c", model="m")
            store.upsert(content(peer), VECTORS)
            assert {record.id: record.payload for record in client.scroll("default")[0]} == before
            assert store.set_payload(content(peer)) == 4
            assert {record.id: record.payload for record in client.scroll("default")[0]} == before

    def test_what_a_sync_notes_comes_back(self, peer, adopted):
        written = Passage("a tree", id=peer.ids[0], title="T", meta={"n": 9}, source="s")
        adopted.upsert([written], VECTORS[3:], sync="job")
        assert adopted.get([written.id]) == [written]
        assert adopted.stamps([written.id]) == {written.id: stamp_of(written, "job")}
        for name, value in (("sync", "job"), ("source", "s"), ("title", "T")):
            assert list(adopted.ids(_is(name, value))) == [written.id]
        assert adopted.count(_is("sync", None)) == 3
        assert adopted.vectors([written.id])[1].tolist() == VECTORS[3:].tolist()

    def test_any_string_is_an_id(self, peer, adopted):
        names = ["a.txt#3", "007", "-1", str(2**64), UUIDS[3].upper(), UUIDS[2].replace("-", ""), "日本語", " "]
        written = [Passage(f"t{i}", id=name) for i, name in enumerate(names)]
        adopted.upsert(written, np.ones((len(names), 4)))
        assert adopted.get(names) == written
        assert set(names) <= set(adopted.ids())
        assert adopted.count(_is("id", names, "in")) == len(names)
        assert set(adopted.stamps(names)) == set(names)
        assert adopted.delete(names) == len(names)
        assert adopted.get(names) == []

    def test_equals_the_oracle(self, adopted, make_passages):
        adopted.delete(list(adopted.ids()))
        oracle = ExactStore()
        some, vectors = make_passages(60, dimension=4)
        for store in (adopted, oracle):
            store.upsert(some, vectors, sync="all")
            assert store.delete(_is("n", [3, 4], "in")) == 2
            assert store.set_payload([Passage("text 5", id="p5", meta={"new": True})], sync="other") == 1
        for filter in (None, _is("even", True), _is("title", "title 1"), _is("source", "s1"), _is("sync", "other")):
            assert sorted(adopted.ids(filter)) == sorted(oracle.ids(filter))
            found, expected = (store.search(vectors[0], 20, filter) for store in (adopted, oracle))
            assert [hit.passage for hit in found] == [hit.passage for hit in expected]
        names = [passage.id for passage in some]
        assert adopted.stamps(names) == oracle.stamps(names)

    def test_round_trip(self, adopted):
        @settings(
            max_examples=10,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
        )
        @given(st.lists(passages, min_size=1, max_size=10, unique_by=lambda passage: passage.id))
        def check(batch):
            adopted.upsert(batch, np.ones((len(batch), 4)), sync="all")
            names = [passage.id for passage in batch]
            found = adopted.get(names)
            assert found == batch
            assert [_exact(dict(p.meta)) for p in found] == [_exact(dict(p.meta)) for p in batch]
            assert adopted.stamps(names) == {passage.id: stamp_of(passage, "all") for passage in batch}

        check()

    def test_what_others_keep_in_a_payload_stays(self):
        peer = PEERS["nested"]
        with filled(peer, "client-memory") as (store, client):
            store.claim(fingerprint="3f1c")
            store.upsert([Passage("new", id=UUIDS[0])], VECTORS[:1])
            store.set_payload([Passage("newer", id=UUIDS[1], meta={"n": 5})])
            first, second = (record.payload for record in client.retrieve("default", UUIDS[:2]))
            assert first == {"doc": {"text": "new", "lang": "en"}, "attributes": {}, "more": [1, 2]}
            assert second == {"doc": {"text": "newer", "lang": "en"}, "attributes": {"n": 5}, "more": [1, 2]}

    def test_a_change_by_the_peer_is_noticed(self):
        with filled(PEERS["langchain"], "client-memory") as (store, client):
            store.claim(fingerprint="3f1c")
            passage = Passage("the cat", id=UUIDS[0], meta={"x": 0.1 + 0.2})
            store.upsert([passage], VECTORS[:1], sync="job")
            assert store.stamps([UUIDS[0]])[UUIDS[0]] == stamp_of(passage, "job")
            client.set_payload("default", {"page_content": "the dog"}, points=[UUIDS[0]])
            assert store.stamps([UUIDS[0]])[UUIDS[0]].content_hash != stamp_of(passage).content_hash
            client.set_payload("default", {"metadata": {"x": 0.5}}, points=[UUIDS[0]])
            assert store.get([UUIDS[0]]) == [Passage("the dog", id=UUIDS[0], meta={"x": 0.5})]

    def test_a_fraction_that_the_server_rounded_comes_back_exactly(self):
        with filled(PEERS["langchain"], "client-memory") as (store, client):
            store.claim(fingerprint="3f1c")
            exact = 0.1 + 0.2
            store.upsert([Passage("t", id=UUIDS[0], meta={"x": [exact]})], VECTORS[:1])
            client.set_payload("default", {"metadata": {"x": [np.nextafter(exact, 1)]}}, points=[UUIDS[0]])
            assert store.get([UUIDS[0]])[0].meta == {"x": [exact]}

    @pytest.mark.parametrize(
        ("name", "meta"), [("haystack", {"_bicross": 1}), ("flat", {"body": "x"}), ("flat", {"_bicross": {}})]
    )
    def test_meta_in_the_place_of_something_else_is_refused(self, name, meta):
        with filled(PEERS[name], "client-memory") as (store, _):
            store.claim(fingerprint="3f1c")
            with pytest.raises(InputError, match=r"keeps something else .* passages\[0\]"):
                store.upsert([Passage("t", id="9", meta=meta)], VECTORS[:1])

    def test_dropped_it_is_anybodys(self, adopted):
        adopted.drop()
        assert adopted.info() is None


class TestTitles:
    @pytest.mark.parametrize(
        "keys",
        [
            {"title_key": "metadata.title"},
            {"text_key": "page_content", "meta_key": "metadata", "title_key": "metadata.title"},
        ],
    )
    def test_a_title_among_meta(self, keys):
        client = QdrantClient(":memory:")
        client.create_collection("default", models.VectorParams(size=4, distance="Cosine"))
        payloads = [{"page_content": "x", "metadata": {"title": "T", "n": 1}}, {"page_content": "y", "metadata": None}]
        client.upsert(
            "default",
            [models.PointStruct(id=i, vector=VECTORS[i].tolist(), payload=payloads[i]) for i in range(2)],
        )
        with QdrantStore(client=client, **keys) as store:
            assert store.info().layout == "langchain"
            expected = [Passage("x", id="0", title="T", meta={"n": 1}), Passage("y", id="1")]
            assert store.get(["0", "1"]) == expected
            assert list(store.ids(_is("title", "T"))) == list(store.ids(_is("meta.title", "T"))) == ["0"]
            store.claim(fingerprint="3f1c")
            store.upsert([Passage("z", id="1", title="U", meta={"n": 2})], VECTORS[:1])
            assert client.retrieve("default", [1])[0].payload == {
                "page_content": "z",
                "metadata": {"n": 2, "title": "U"},
            }
            assert store.get(["0"]) == expected[:1]
            with pytest.raises(InputError, match="give a title as the passage's title"):
                store.upsert([Passage("z", id="1", meta={"title": "U"})], VECTORS[:1])

    def test_a_title_that_is_none_is_refused(self):
        with (
            filled(PEERS["flat"], "client-memory") as (_, client),
            QdrantStore(client=client, text_key="body", title_key="n") as store,
            pytest.raises(StoreError, match=r"a title is a string; point 1 .* has 0"),
        ):
            store.get(["1"])


def plain(payloads: list[dict | None], vectors: dict | None = None) -> QdrantClient:
    client = QdrantClient(":memory:")
    client.create_collection("default", vectors or models.VectorParams(size=4, distance="Cosine"))
    name = next(iter(vectors)) if vectors else None
    for i, payload in enumerate(payloads):
        vector = [1.0, 0.0, 0.0, 0.0]
        client.upsert("default", [models.PointStruct(id=i, vector={name: vector} if name else vector, payload=payload)])
    return client


class TestDetection:
    @pytest.mark.parametrize(
        "payload",
        [
            {"body": "the cat sits", "lang": "en"},
            {"content": "x", "meta": {}},
            {"content": "x", "metadata": {}},
            {"id": "a", "content": "x", "meta": {}},  # not at the point that qdrant-haystack would give it
            {"id": "a", "text": "x", "hash": "0", "meta_hash": "0"},
            {"page_content": 3, "metadata": {}},
            {"page_content": "x", "metadata": "y"},
            {"page_content": "x"},
            {"n": 3},
            {},
            None,
        ],
    )
    def test_an_unknown_layout_is_refused_with_what_was_found(self, payload):
        with QdrantStore(client=plain([payload])) as store:
            assert (store.info().layout, store.info().count) == ("unknown", 1)
            for use in (
                store.scroll,
                store.ids,
                lambda: store.get(["0"]),
                lambda: store.search([1, 0, 0, 0]),
                lambda: store.vectors(["0"]),
                lambda: store.stamps(["0"]),
                lambda: store.count(_is("n", 1)),
                lambda: store.upsert([Passage("t", id="a")], VECTORS[:1]),
                lambda: store.delete(["0"]),
                store.drop,
                lambda: store.claim(fingerprint="3f1c"),
            ):
                with pytest.raises(StoreError, match="hold the fields") as caught:
                    use()
                assert repr(sorted(payload or {})) in str(caught.value)
                assert "text_key=" in str(caught.value) or "no text to read" in str(caught.value)

    def test_the_longest_string_is_proposed(self):
        client = plain([{"lang": "en", "doc": {"body": "the cat sits"}}, {"lang": "de", "n": 3}])
        with QdrantStore(client=client) as store, pytest.raises(StoreError, match=r"text_key='doc\.body'"):
            store.scroll()
        with QdrantStore(client=client, text_key="doc.body") as store:
            assert store.get(["0"]) == [Passage("the cat sits", id="0", meta={"lang": "en", "doc": {}})]

    def test_a_point_without_text_is_never_read_as_empty(self):
        client = plain([{"page_content": "x", "metadata": {}}, {"page_content": None, "metadata": {}}, {"metadata": 1}])
        with QdrantStore(client=client) as store:
            for read in (lambda: list(store.scroll()), lambda: store.search([1, 0, 0, 0]), lambda: store.get(["1"])):
                with pytest.raises(StoreError, match=r"has None there.*'operator': '!='"):
                    read()
            has_text = _is("text", None, "!=")
            assert [passage.id for passage in store.scroll(has_text)] == ["0"]
            assert len(store.search([1, 0, 0, 0], 10, has_text)) == 1
            assert store.count(has_text) == 1

    def test_a_text_key_that_names_no_string(self):
        with (
            QdrantStore(client=plain([{"body": "x", "n": 1}]), text_key="n") as store,
            pytest.raises(StoreError, match=r"text_key='n' must name a string; .* hold the fields \['body', 'n'\]"),
        ):
            store.scroll()

    def test_meta_that_is_no_object(self):
        with (
            QdrantStore(client=plain([{"body": "x", "m": "{}"}]), text_key="body", meta_key="m") as store,
            pytest.raises(StoreError, match=r"meta is an object; point 0 .* has '{}'"),
        ):
            list(store.scroll())

    def test_keys_for_this_packages_own_layout(self):
        client = QdrantClient(":memory:")
        with QdrantStore(client=client) as store:
            store.upsert([Passage("t", id="a")], VECTORS[:1])
        with QdrantStore(client=client, text_key="text") as store, pytest.raises(ConfigurationError, match="recorded"):
            store.info()
        with (
            QdrantStore(client=client, meta_key="meta") as store,
            pytest.raises(ConfigurationError, match="no title_key"),
        ):
            store.info()

    def test_this_packages_own_points_without_their_record(self):
        client, copy = QdrantClient(":memory:"), plain([])
        with QdrantStore(client=client) as store:
            store.upsert([Passage("t", id="a", title="T")], VECTORS[:1])
        for record in client.scroll("default", with_vectors=True)[0]:
            copy.upsert("default", [models.PointStruct(id=record.id, vector=record.vector, payload=record.payload)])
        with QdrantStore(client=copy) as store:
            assert (store.info().layout, store.info().read_only) == ("native", True)
            assert store.get(["a"]) == [Passage("t", id="a", title="T")]

    def test_one_vector_of_several(self):
        shapes = {
            "small": models.VectorParams(size=4, distance="Cosine"),
            "large": models.VectorParams(size=9, distance="Dot"),
        }
        client = plain([{"page_content": "x", "metadata": {}}], shapes)
        with (
            QdrantStore(client=client) as store,
            pytest.raises(
                StoreError, match=r"'small' \(4-d, Cosine\), 'large' \(9-d, Dot\). Name one: vector_name='small'"
            ),
        ):
            store.info()
        with QdrantStore(client=client, vector_name="medium") as store, pytest.raises(StoreError, match="'small'"):
            store.info()
        with QdrantStore(client=client, vector_name="large") as store:
            assert (store.info().dimension, store.info().distance) == (9, "dot")
            assert store.vectors(["0"])[0] == []
            assert store.search([1] * 9) == []
        with QdrantStore(client=client, vector_name="small") as store:
            assert len(store.search([1, 0, 0, 0])) == 1
        with pytest.warns(BicrossWarning, match="Left out"), QdrantStore(client=client, collection="x") as store:
            assert store.collections() == []

    def test_a_new_collection_in_a_layout_of_choice(self, transport):
        def check(store: QdrantStore, client: QdrantClient) -> None:
            store.upsert([Passage("t", id="1", title="T", meta={"n": 1})], VECTORS[:1])
            record = client.retrieve("default", [1], with_vectors=True)[0]
            assert (record.payload, record.vector) == ({"body": "t", "head": "T", "n": 1}, {"v": [1, 0, 0, 0]})
            assert (store.info().layout, store.info().read_only) == ("custom", False)

        keys = {"text_key": "body", "title_key": "head", "vector_name": "v"}
        if transport == "client-memory":
            client = QdrantClient(":memory:")
            with QdrantStore(client=client, **keys) as store:
                check(store, client)
            with QdrantStore(client=client) as again:
                assert again.get(["1"])[0].title == "T"
        else:
            with serve() as stub, QdrantStore(url=stub.url, **keys) as store:
                check(store, stub.client)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"text_key": ""}, "text_key is the name"),
            ({"text_key": "a..b"}, "text_key is the name"),
            ({"meta_key": 3}, "meta_key is the name"),
            ({"vector_name": 3}, "vector_name is a string"),
            ({"text_key": "a", "title_key": "a"}, "different fields"),
            ({"path": "x", "text_key": "a"}, "an embedded one is always in bicross's own layout; got path='x'"),
        ],
    )
    def test_senseless_keys(self, arguments, message):
        place = {} if "path" in arguments else {"client": QdrantClient(":memory:")}
        with pytest.raises(ConfigurationError, match=message):
            QdrantStore(**place, **arguments)

    @pytest.mark.parametrize("damage", [{}, 3, {"name": "custom", "vector": ""}, {"name": "x", "ids": "hash"}])
    def test_a_damaged_record(self, damage):
        with filled(PEERS["langchain"], "client-memory") as (store, client):
            store.claim(fingerprint="3f1c")
            record = client.get_collection("default").config.metadata[RECORD]
            client.update_collection("default", metadata={RECORD: {**record, "layout": damage}})
            with QdrantStore(client=client) as again, pytest.raises(StoreError, match="damaged or of a newer release"):
                again.info()
