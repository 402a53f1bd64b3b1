"""Who is answered, and how much is taken on."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from bicross import BiEncoder
from bicross.errors import ConfigurationError
from bicross.loopback import is_loopback
from bicross.server import Limits, create_app
from bicross.server.settings import read_token

TOKEN = "t0ken-that-nobody-guesses"
BODY = {"input": "a"}


class SlowEncoder:
    """Encodes when it is let."""

    document_fingerprint = "slow"

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls = 0

    def encode_query(self, texts):
        return self.encode_document(texts)

    def encode_document(self, texts):
        self.calls += 1
        assert self.go.wait(20)
        return np.ones((len(texts), 2), np.float32)


def serving(app, **options) -> TestClient:
    return TestClient(app, base_url="http://localhost", **options)


def test_health_needs_no_token_and_all_else_does(bi_encoder: BiEncoder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), serving(create_app(bi_encoder, token=TOKEN)) as client:
        assert client.get("/health").json() == {"status": "ok"}
        for path in ("/metrics", "/v1/models", "/nowhere"):
            assert client.get(path).status_code == 401
        for sent in (None, "Bearer wrong", TOKEN, f"bearer {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xe9"):
            headers = {} if sent is None else {"authorization": sent.encode("latin-1")}
            answer = client.post("/v1/embeddings", json=BODY, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["error"]["type"] == "authentication_error"
            assert TOKEN not in answer.text
        assert client.post("/v1/embeddings", json=BODY, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert TOKEN not in caplog.text


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost@evil.example", ""])
def test_another_host_is_refused(host: str, client: TestClient) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_this_machines_names_are_answered(host: str, client: TestClient) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize("host", ["", "a.example:8000", "https://a.example", "a*", "*a.example", "a.*.example"])
def test_an_allowed_host_is_a_name(host: str) -> None:
    with pytest.raises(ConfigurationError, match="An allowed host is"):
        create_app(allowed_hosts=[host])


def test_allowed_hosts_are_answered() -> None:
    with TestClient(
        create_app(allowed_hosts=["*.example.com", "[::1]"]), base_url="http://a.example.com:8000"
    ) as client:
        assert client.get("/health").status_code == 200
        assert client.get("/health", headers={"host": "example.org"}).status_code == 400
        assert client.get("/health", headers={"host": "[::1]:8000"}).status_code == 200


def test_another_address_needs_a_token() -> None:
    assert read_token("127.0.0.1", {}) is None
    assert read_token("0.0.0.0", {"BICROSS_TOKEN": TOKEN}) == TOKEN
    for host in ("0.0.0.0", "::", "192.168.1.5", "example.com"):
        with pytest.raises(ConfigurationError, match="BICROSS_TOKEN isn't set"):
            read_token(host, {})


@pytest.mark.parametrize(
    "token", ["short", "with a space in the middle", "ünsichtbar-aber-lang", "line\nbreak-and-long"]
)
def test_a_token_that_cannot_serve_is_refused_without_being_shown(token: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_token("127.0.0.1", {"BICROSS_TOKEN": token})
    assert token not in str(caught.value)
    with pytest.raises(ConfigurationError):
        create_app(token=token)


def test_loopback() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.8.8.8", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example")))


def test_a_body_that_is_too_large_is_refused(bi_encoder: BiEncoder) -> None:
    with serving(create_app(bi_encoder, limits=Limits(body_bytes=100))) as client:
        declared = client.post("/v1/embeddings", json={"input": "a" * 200})
        streamed = client.post("/v1/embeddings", content=iter([b'{"input": "', b"a" * 200, b'"}']))
        assert [answer.status_code for answer in (declared, streamed)] == [413, 413]
        assert all(answer.json()["error"]["type"] == "invalid_request_error" for answer in (declared, streamed))
        assert client.post("/v1/embeddings", json=BODY).status_code == 200


@pytest.mark.parametrize("limits", [Limits(queue=2), Limits(queue_bytes=120, body_bytes=60)])
def test_one_more_than_the_queue_holds_gets_429(limits: Limits) -> None:
    encoder = SlowEncoder()
    body = {"input": "a" * 40}
    with serving(create_app(encoder, limits=limits)) as client, ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(client.post, "/v1/embeddings", json=body) for _ in range(2)]
        while encoder.calls < 2:
            time.sleep(0.005)
        refused = client.post("/v1/embeddings", json=body)
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert refused.json()["error"]["type"] == "rate_limit_error"
        assert "bicross_queue_requests 2.0" in client.get("/metrics").text
        encoder.go.set()
        assert [future.result().status_code for future in waiting] == [200, 200]
        assert client.post("/v1/embeddings", json=body).status_code == 200
        page = client.get("/metrics").text
    assert "bicross_queue_requests 0.0" in page
    assert "bicross_queue_bytes 0.0" in page
    assert 'bicross_requests_total{path="/v1/embeddings",status="429"} 1.0' in page


def test_a_slow_body_is_not_waited_for() -> None:
    app = create_app(SlowEncoder(), limits=Limits(body_seconds=0.05))

    async def never():
        await asyncio.sleep(20)

    assert asyncio.run(_status(app, never)) == 408


def test_a_client_that_has_gone_costs_nothing() -> None:
    encoder = SlowEncoder()
    encoder.go.set()
    messages = [
        {"type": "http.request", "body": b'{"input": "a"}', "more_body": False},
        {"type": "http.disconnect"},
    ]

    async def receive():
        return messages.pop(0)

    assert asyncio.run(_status(create_app(encoder), receive)) == 499
    assert encoder.calls == 0


async def _status(app, receive) -> int:
    sent = []

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http", "method": "POST", "path": "/v1/embeddings", "raw_path": b"/v1/embeddings", "query_string": b"",
        "headers": [(b"host", b"localhost")], "root_path": "", "scheme": "http", "server": ("localhost", 80),
        "http_version": "1.1", "client": ("127.0.0.1", 1),
    }  # fmt: skip
    await app(scope, receive, send)
    return int(sent[0]["status"])


def test_strangers_paths_share_one_label(client: TestClient) -> None:
    assert client.get("/some/path").json()["error"]["message"] == "Not Found"
    assert client.get("/v1/embeddings").status_code == 405
    page = client.get("/metrics").text
    assert 'path="other",status="404"' in page
    assert "/some/path" not in page


def test_more_routes_share_the_queue_and_the_guards() -> None:
    closed = []

    def routes(work):
        async def double(request: Request):
            return await work.run(request, lambda body: JSONResponse({"twice": body.decode() * 2}))

        async def page(request: Request):
            return JSONResponse("page")

        return [Route("/api/double", double, methods=["POST"]), Route("/", page)]

    app = create_app(token=TOKEN, routes=routes, open_paths=["/"], on_close=[lambda: closed.append(True)])
    with serving(app) as client:
        assert client.get("/").json() == "page"
        assert client.post("/api/double", content=b"ab").status_code == 401
        answer = client.post("/api/double", content=b"ab", headers={"authorization": f"Bearer {TOKEN}"})
        assert answer.json() == {"twice": "abab"}
    assert closed == [True]


@pytest.mark.parametrize("field", ["queue", "body_bytes", "texts", "batch_tokens"])
def test_limits_are_positive(field: str) -> None:
    with pytest.raises(ConfigurationError, match=field):
        Limits(**{field: 0})
    with pytest.raises(ConfigurationError, match="queue_bytes must hold"):
        Limits(queue_bytes=1)
