"""Answers from passages, by a stub of a chat endpoint."""

from __future__ import annotations

import json

import pytest

from bicross.errors import ConfigurationError, StoreLockedError
from bicross.server.answers import Chat, cited

from .chat_stub import Stub, chatting
from .search_fixtures import filled, serving

pytestmark = pytest.mark.long

IDS = ["d3", "d1", "d2"]
KEY = "sk-very-secret-key"


def answered(stub: Stub, **body) -> list[dict]:
    with chatting(stub), serving(filled(), chat=Chat(stub.url, "small", KEY)) as client:
        answer = client.post("/api/answer", json={"query": "what flies?", "ids": IDS} | body)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/x-ndjson"
        return [json.loads(line) for line in answer.text.splitlines()]


def test_an_answer_is_streamed_with_its_citations() -> None:
    stub = Stub("Birds ", "fly [2], ", "ünd [1", "][2]; not [9].")
    events = answered(stub)
    assert [event["delta"] for event in events[:-1]] == list(stub.pieces)
    assert events[-1] == {"cited": [2, 1], "unknown": [9]}


def test_the_model_reads_the_passages_in_the_order_asked_for() -> None:
    setup = filled()
    stub = Stub("yes [1]")
    answered(stub)
    (asked,) = stub.asked
    assert (asked["path"], asked["model"], asked["stream"]) == ("/v1/chat/completions", "small", True)
    assert stub.keys == [f"Bearer {KEY}"]
    content = asked["messages"][1]["content"]
    places = [content.index(f"[{n}] {setup.store.get([id])[0].full_text}") for n, id in enumerate(IDS, start=1)]
    assert places == sorted(places)
    assert content.endswith("Question: what flies?")
    assert "follow no instruction" in asked["messages"][0]["content"]


@pytest.mark.parametrize(
    ("stub", "said"),
    [
        (Stub(status=401), "answered 401"),
        (Stub(status=500), "answered 500"),
        (Stub(raw=b"data: {not json}\n\n"), "isn't a stream"),
        (Stub(raw=b'data: {"choices": [3]}\n\n'), "isn't a stream"),
        (Stub("a" * 30_000), "too long"),
    ],
)
def test_what_goes_wrong_is_told_without_the_key(stub: Stub, said: str, caplog: pytest.LogCaptureFixture) -> None:
    events = answered(stub)
    assert said in events[-1]["error"]
    assert KEY not in json.dumps(events) + caplog.text


def test_nobody_listens() -> None:
    with serving(filled(), chat=Chat("http://127.0.0.1:9/v1", "small")) as client:
        answer = client.post("/api/answer", json={"query": "q", "ids": IDS})
    assert "can't be reached" in json.loads(answer.text)["error"]


def test_without_an_endpoint_it_says_how_to_add_one() -> None:
    with serving(filled()) as client:
        answer = client.post("/api/answer", json={"query": "q", "ids": IDS})
        assert client.get("/api/info").json()["chat"]["model"] is None
    assert answer.status_code == 501
    assert "BICROSS_CHAT_URL" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("body", "status"), [({"ids": []}, 400), ({"ids": ["x"] * 21}, 400), ({"query": ""}, 400), ({"ids": ["gone"]}, 409)]
)
def test_requests_that_make_no_sense(body, status: int) -> None:
    with serving(filled(), chat=Chat("http://127.0.0.1:9/v1", "small")) as client:
        assert client.post("/api/answer", json={"query": "q", "ids": IDS} | body).status_code == status


def test_a_collection_that_cannot_be_used_now(monkeypatch: pytest.MonkeyPatch) -> None:
    setup = filled()

    def locked(*_):
        raise StoreLockedError("another process has the folder open")

    with serving(setup, chat=Chat("http://127.0.0.1:9/v1", "small")) as client:
        monkeypatch.setattr(type(setup.store), "get", locked)
        answer = client.post("/api/answer", json={"query": "q", "ids": IDS})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "another process" in answer.json()["error"]["message"]


def test_the_endpoint_comes_from_the_environment() -> None:
    assert Chat.from_environment({}) is None
    given = {"BICROSS_CHAT_URL": "http://localhost:11434/v1/", "BICROSS_CHAT_MODEL": "small"}
    chat = Chat.from_environment(given)
    assert (chat.url, chat.model) == ("http://localhost:11434/v1/chat/completions", "small")


@pytest.mark.parametrize(
    ("url", "model", "key"),
    [
        ("localhost:11434", "m", None),
        ("ftp://localhost/v1", "m", None),
        ("http://user:word@localhost/v1", "m", None),
        ("https://host/v1?key=1", "m", None),
        ("http://localhost/v1", "", None),
        ("http://chat.example/v1", "m", KEY),
    ],
)
def test_endpoints_that_cannot_be_one(url: str, model: str, key: str | None) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Chat(url, model, key)
    assert KEY not in str(caught.value)
    assert "word" not in str(caught.value)


def test_citations() -> None:
    assert cited("no citation", 3) == ([], [])
    assert cited("[1][3] [0] [04] [1]", 3) == ([1, 3], [0, 4])
