"""The client's side of a server: the address, the key, faults of the network, and when to try again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from bicross import retry
from bicross.errors import BicrossWarning, CollectionNotFoundError, ConfigurationError, StoreError
from bicross.stores import QdrantStore
from bicross.types import Passage

from .stub_server import serve

KEY = "canary-key-4711"
PASSAGES = [Passage(f"t{i}", id=f"p{i}") for i in range(5)]
VECTORS = np.eye(5)


@pytest.fixture
def stub():
    with serve() as running:
        yield running


@pytest.fixture
def pauses(monkeypatch):
    """The pauses that would have been made."""
    made: list[float] = []
    monkeypatch.setattr(retry.time, "sleep", made.append)
    return made


@pytest.fixture
def remote(stub):
    with QdrantStore(url=stub.url, api_key=KEY) as store:
        store.bind(dimension=5, fingerprint="3f1c", model="minilm")
        stub.seen.clear()
        yield store


def paths(stub):
    return [(method, path.split("?")[0].removeprefix("/collections/default")) for method, path, _ in stub.seen]


class TestRequests:
    def test_nothing_is_sent_before_it_is_needed(self, stub):
        QdrantStore(url=stub.url).close()
        assert stub.seen == []

    def test_schema_and_metadata(self, stub, remote):
        config = stub.client.get_collection("default").config
        assert config.params.vectors == models.VectorParams(size=5, distance=models.Distance.COSINE)
        assert config.params.sparse_vectors["bm25"].modifier == models.Modifier.IDF
        assert config.metadata["bicross"]["fingerprint"] == "3f1c"
        with QdrantStore(url=stub.url) as other:
            assert other.info().model == "minilm"
            assert [info.name for info in other.collections()] == ["default"]

    def test_indexes_are_made_and_writes_wait(self, stub):
        with QdrantStore(url=stub.url) as store:
            store.upsert(PASSAGES, VECTORS)
        assert sum(path.endswith("/index?wait=true") for _, path, _ in stub.seen) == 3
        assert [path for method, path, _ in stub.seen if "/points" in path] == ["/collections/default/points?wait=true"]

    def test_key_is_sent_and_shown_nowhere(self, stub, remote):
        remote.count()
        assert {headers["api-key"] for _, _, headers in stub.seen} == {KEY}
        stub.faults += [403]
        with pytest.raises(StoreError, match=r"status 403, scripted 403\. Check api_key") as caught:
            remote.count()
        shown = [repr(remote), str(remote), str(caught.value), remote.place]
        assert not any(KEY in text for text in shown)

    def test_the_header_is_asked_for_once(self, stub, remote):
        for _ in range(3):
            remote.search([1, 0, 0, 0, 0])
        assert paths(stub) == [("POST", "/points/query")] * 3

    def test_a_collection_dropped_elsewhere(self, stub, remote):
        remote.upsert(PASSAGES, VECTORS)
        stub.client.delete_collection("default")
        assert remote.search([1, 0, 0, 0, 0]) == []
        assert remote.info() is None
        remote.upsert(PASSAGES, VECTORS)
        stub.client.delete_collection("default")
        with pytest.raises(CollectionNotFoundError, match="no collection 'default'"):
            remote.count()
        assert remote.count() == 0


class TestFaults:
    @pytest.mark.parametrize("fault", [429, 500, 502, 503, 504, "cut", "apply, then cut"])
    def test_passing_faults_are_tried_again(self, stub, remote, pauses, fault):
        stub.faults += [fault] * 3
        remote.upsert(PASSAGES, VECTORS)
        assert paths(stub) == [("PUT", "/points")] * 4
        assert len(pauses) == 3
        assert all(low <= pause <= 2 * low for pause, low in zip(pauses, (0.1, 0.2, 0.4), strict=True))
        assert remote.count() == 5
        for call in (lambda: remote.set_payload(PASSAGES), lambda: remote.delete(["p0"]), remote.count):
            stub.faults += [fault]
            call()

    @pytest.mark.parametrize("status", [400, 401, 403, 409, 413, 422])
    def test_final_faults_are_not(self, stub, remote, pauses, status):
        stub.faults += [status]
        with pytest.raises(StoreError, match=f"failed to write collection 'default': status {status}, scripted"):
            remote.upsert(PASSAGES, VECTORS)
        assert len(stub.seen) == 1
        assert pauses == []

    def test_retry_after_is_honoured_within_the_deadline(self, stub, pauses):
        with QdrantStore(url=stub.url, timeout=1000) as store:
            store.bind(dimension=5)
            stub.faults += [(429, {"Retry-After": "7"}, "{}"), (503, {"Retry-After": "3"}, "{}")]
            stub.faults += [(429, {"Retry-After": "90"}, "{}"), (429, {"Retry-After": "soon"}, "{}")]
            store.upsert(PASSAGES, VECTORS)
            assert pauses[:3] == [7, 3, 90]
            assert 0 < pauses[3] < 10
            stub.faults += [(429, {"Retry-After": "9999"}, "{}")]
            with pytest.raises(StoreError, match="Resource Exhausted"):
                store.upsert(PASSAGES, VECTORS)
        assert len(pauses) == 4

    def test_the_deadline_ends_it(self, stub, remote, monkeypatch):
        clock = [0.0]
        monkeypatch.setattr(retry.time, "monotonic", lambda: clock[0])
        monkeypatch.setattr(retry.time, "sleep", lambda seconds: clock.__setitem__(0, clock[0] + seconds))
        stub.faults += [503] * 1000
        with pytest.raises(StoreError, match="status 503"):
            remote.upsert(PASSAGES, VECTORS)
        assert 45 < clock[0] <= 60
        assert len(stub.seen) < 20

    def test_another_client_creates_it_meanwhile(self, stub, remote):
        remote.drop()
        other = QdrantStore(url=stub.url)
        assert remote.info() is None
        other.bind(dimension=7)
        stub.faults += [(200, {}, '{"result": {"exists": false}}'), 409]
        remote._transport.create(other._transport.header())
        assert remote.info().dimension == 7
        other.close()

    def test_flaky_network_delivers_everything_once(self, stub, remote, pauses):
        rng = np.random.default_rng(0)
        kinds = [None, None, None, "cut", "apply, then cut", 503]
        stub.faults += [kinds[i] for i in rng.integers(0, 6, 400)]
        for i in range(60):
            remote.upsert([Passage("t", id=f"q{i}")], VECTORS[:1])
        stub.faults.clear()
        assert sorted(remote.ids()) == sorted(f"q{i}" for i in range(60))

    def test_missing_server_is_an_error_at_once(self):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        begin = time.monotonic()
        with (
            QdrantStore(url=f"http://127.0.0.1:{port}", api_key=KEY) as store,
            pytest.raises(StoreError, match=f"http://127.0.0.1:{port} failed to open .* no answer") as caught,
        ):
            store.info()
        assert KEY not in str(caught.value)
        assert time.monotonic() - begin < 5

    @pytest.mark.parametrize("body", ["<html>hello</html>", "{}", '{"result": 3}', ""])
    def test_something_else_that_answers(self, stub, body):
        stub.faults += [(200, {}, body)]
        with QdrantStore(url=stub.url) as store, pytest.raises(StoreError, match="doesn't speak Qdrant's protocol"):
            store.info()

    def test_a_collection_of_another_shape(self, stub):
        stub.client.create_collection("default", models.VectorParams(size=2, distance="Euclid"))
        with QdrantStore(url=stub.url) as store:
            with pytest.raises(StoreError, match=r"compared by cosine or dot product; .* Euclid"):
                store.info()
            with pytest.warns(BicrossWarning, match=r"Left out: .* Euclid"):
                assert store.collections() == []

    def test_a_collection_of_another_program(self, stub):
        stub.client.create_collection("default", models.VectorParams(size=2, distance="Dot"))
        stub.client.upsert("default", [models.PointStruct(id=1, vector=[1, 0], payload={"page_content": "x"})])
        with QdrantStore(url=stub.url) as store:
            info = store.info()
            assert (info.count, info.dimension, info.distance, info.fingerprint) == (1, 2, "dot", None)
            assert (info.layout, info.read_only) == ("unknown", True)
            for read in (store.ids, store.scroll, lambda: store.get(["1"]), lambda: store.search([1, 0])):
                with pytest.raises(StoreError, match=r"hold the fields \['page_content'\]. .* text_key='page_content'"):
                    read()


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({}, "exactly one of path, url and client; got none"),
            ({"path": "x", "url": "http://localhost"}, r"got \['path', 'url'\]"),
            ({"path": "x", "api_key": KEY}, "api_key belongs to url"),
            ({"url": "localhost:6333"}, "url is an address"),
            ({"url": "ftp://x"}, "url is an address"),
            ({"url": 3}, "url is an address"),
            ({"url": "http://example.com", "api_key": KEY}, "isn't sent over plain http"),
            ({"path": ""}, "path is a folder"),
            ({"path": "x", "timeout": 0}, "timeout"),
            ({"path": "x", "timeout": "1"}, "timeout"),
            ({"path": "x", "hnsw_ef": 0}, "hnsw_ef"),
        ],
    )
    def test_senseless_ones_are_refused(self, arguments, message):
        with pytest.raises(ConfigurationError, match=message) as caught:
            QdrantStore(**arguments)
        assert KEY not in str(caught.value)

    def test_what_an_address_hides_stays_hidden(self):
        store = QdrantStore(url=f"https://user:{KEY}@example.com:6333/prefix?token={KEY}", api_key=KEY)
        assert repr(store) == "QdrantStore(url='https://example.com:6333/prefix', collection='default')"

    def test_a_given_client_stays_open(self):
        client = QdrantClient(":memory:")
        with QdrantStore(client=client) as store:
            assert repr(store) == "QdrantStore(client=':memory:', collection='default')"
            store.upsert(PASSAGES, VECTORS)
        assert client.count("default").count == 5
        with QdrantStore(client=client) as store:
            assert store.count() == 5

    def test_imports_are_late(self):
        code = (
            "import sys, bicross.stores as s; s.QdrantStore; s.ExactStore()\n"
            "heavy = {'torch', 'qdrant_client', 'qdrant_edge', 'pydantic', 'httpx'} & set(sys.modules)\n"
            "s.QdrantStore(path='nowhere'); print(heavy, {'torch', 'qdrant_client'} & set(sys.modules))"
        )
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
        assert done.stdout.strip() == "set() set()"
