"""Retries, keys, and what is never shown."""

from __future__ import annotations

import email.utils
import logging
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from haystack.utils import Secret
from pydantic import SecretStr

from bicross.errors import AnswerError, AuthenticationError, ClosedError, ConfigurationError, RemoteError
from bicross.remote import Calls, RemoteBiEncoder, RemoteCrossEncoder
from remote.endpoint import BASE, KEY, Endpoint, embedded


def encoder_of(endpoint: Endpoint, base: str = BASE, **options) -> RemoteBiEncoder:
    return RemoteBiEncoder(base, "m", client=endpoint.client, **options)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(status: int, pauses: list[float]) -> None:
    endpoint = Endpoint(httpx.Response(status), httpx.Response(status), embedded)
    assert encoder_of(endpoint).encode_document("a").shape == (8,)
    assert len(endpoint.requests) == 3
    assert 0.1 <= pauses[0] <= 0.2 <= pauses[1] <= 0.4  # longer and longer, with jitter


@pytest.mark.parametrize("error", [httpx.ConnectError("refused"), httpx.ReadTimeout("slow"),
                                   httpx.RemoteProtocolError("dropped"), httpx.ReadError("reset")])  # fmt: skip
def test_a_lost_connection_is_tried_again(error: Exception, pauses: list[float]) -> None:
    endpoint = Endpoint(error, embedded)
    assert encoder_of(endpoint).encode_document("a").shape == (8,)
    assert len(pauses) == 1


@pytest.mark.parametrize("seconds", [None, 3.0])
def test_what_the_server_asks_for_is_waited(seconds: float | None, pauses: list[float]) -> None:
    wish = "2" if seconds is None else email.utils.formatdate(time.time() + seconds, usegmt=True)
    endpoint = Endpoint(httpx.Response(429, headers={"retry-after": wish}), embedded)
    encoder_of(endpoint).encode_document("a")
    least = 2.0 if seconds is None else 1.5
    assert least <= pauses[0] <= 1.25 * (seconds or 2.0)


def test_a_wait_that_is_too_long_is_an_error_at_once(pauses: list[float]) -> None:
    endpoint = Endpoint(httpx.Response(429, headers={"retry-after": "3600"}, json={"error": {"message": "quota"}}))
    with pytest.raises(RemoteError, match="answered 429: quota"):
        encoder_of(endpoint, calls=Calls(retry_seconds=10)).encode_document("a")
    assert (len(endpoint.requests), pauses) == (1, [])


def test_a_wait_that_fits_is_waited_to_its_end(pauses: list[float]) -> None:
    endpoint = Endpoint(httpx.Response(429, headers={"retry-after": "300"}), embedded)
    encoder_of(endpoint, calls=Calls(retry_seconds=3600)).encode_document("a")
    assert 300 <= pauses[0] <= 375


@pytest.mark.parametrize("wish", ["nan", "inf", "-5", "soon", ""])
def test_a_wish_that_makes_no_sense_is_none(wish: str, pauses: list[float]) -> None:
    endpoint = Endpoint(httpx.Response(429, headers={"retry-after": wish}), embedded)
    encoder_of(endpoint).encode_document("a")
    assert 0 <= pauses[0] <= 0.2


def test_an_answer_in_another_compression_than_it_says_is_refused(pauses: list[float]) -> None:
    endpoint = Endpoint(lambda _: httpx.Response(200, headers={"content-encoding": "gzip"}, stream=_Bytes(b"not gzip")))
    with pytest.raises(AnswerError, match=r"compressed as it says \(gzip\)"):
        encoder_of(endpoint).encode_document("a")
    assert (len(endpoint.requests), pauses) == (1, [])


class _Bytes(httpx.SyncByteStream):
    """A body as it comes: httpx decodes what a response is made with at once."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __iter__(self):
        yield self.content


def test_json_that_is_too_deep_is_refused() -> None:
    with pytest.raises(AnswerError, match="must answer JSON"):
        encoder_of(Endpoint(httpx.Response(200, text="[" * 200_000))).encode_document("a")


def test_closing_ends_what_other_threads_wait_for() -> None:
    began, go = threading.Event(), threading.Event()

    def slow(request: httpx.Request):
        began.set()
        go.wait(10)
        return embedded(request)

    encoder = encoder_of(Endpoint(slow), calls=Calls(batch_size=1, concurrency=1))
    with ThreadPoolExecutor(2) as threads:
        waiting = threads.submit(encoder.encode_document, ["a", "b", "c"])
        began.wait(10)
        closing = threads.submit(encoder.close)
        while not encoder._connection._closed:
            time.sleep(0.001)
        go.set()
        closing.result(10)
        with pytest.raises(ClosedError):
            waiting.result(10)


@pytest.mark.parametrize("answer", [httpx.Response(503, text="busy"), httpx.ConnectError("refused")])
def test_at_last_it_gives_up(answer, pauses: list[float]) -> None:
    with pytest.raises(RemoteError, match=r"models\.example"):
        encoder_of(Endpoint(answer), calls=Calls(retry_seconds=0)).encode_document("a")
    assert pauses == []


@pytest.mark.parametrize("status", [400, 404, 413, 422])
def test_what_will_not_pass_is_not_tried_again(status: int, pauses: list[float]) -> None:
    endpoint = Endpoint(httpx.Response(status, json={"detail": "wrong"}))
    with pytest.raises(RemoteError, match=str(status)):
        encoder_of(endpoint).encode_document("a")
    assert (len(endpoint.requests), pauses) == (1, [])


@pytest.mark.parametrize("status", [401, 403])
def test_a_wrong_key_is_not_tried_again_and_not_shown(status, pauses, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    endpoint = Endpoint(httpx.Response(status, json={"error": {"message": f"Incorrect key {KEY[:9]}…"}}))
    with pytest.raises(AuthenticationError, match=r"refuses the key \(from Key\(\$MY_KEY\)\)") as caught:
        encoder_of(endpoint, key_variable="MY_KEY").encode_document("a")
    assert (len(endpoint.requests), pauses) == (1, [])
    assert KEY[:9] not in "".join(traceback.format_exception(caught.value))
    with pytest.raises(AuthenticationError, match="asks for a key"):
        encoder_of(Endpoint(httpx.Response(status))).encode_document("a")


def test_redirects_are_not_followed() -> None:
    endpoint = Endpoint(httpx.Response(307, headers={"location": "https://elsewhere.example"}))
    with pytest.raises(RemoteError, match="it is elsewhere"):
        encoder_of(endpoint).encode_document("a")
    assert len(endpoint.requests) == 1


def test_an_answer_that_drips_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(1_000))
    monkeypatch.setattr("bicross.remote.connection.time.monotonic", lambda: next(clock) / 10)
    dripped = []

    def drip():
        for number in range(1_000):
            dripped.append(number)
            yield b" "

    endpoint = Endpoint(lambda _: httpx.Response(200, content=drip()))
    with pytest.raises(RemoteError, match="ReadTimeout"):
        encoder_of(endpoint, calls=Calls(timeout=2, retry_seconds=0)).encode_document("a")
    assert 10 < len(dripped) < 30


@pytest.mark.parametrize("key", [Secret.from_token(KEY), SecretStr(KEY), Secret.from_env_var("SOME_KEY")])
def test_keys_come_from_secrets(key, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", f"{KEY}\n")
    endpoint = Endpoint(embedded)
    encoder_of(endpoint, key=key).encode_document("a")
    assert endpoint.requests[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("base", "variable"),
    [
        ("https://api.openai.com/v1", "OPENAI_API_KEY"),
        ("https://api.zeroentropy.dev/v1", "ZEROENTROPY_API_KEY"),
        (BASE, "BICROSS_REMOTE_KEY"),
        ("https://api.openai.com.evil.example/v1", "BICROSS_REMOTE_KEY"),
    ],
)
def test_a_hosts_key_goes_to_that_host_alone(base: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "ZEROENTROPY_API_KEY", "BICROSS_REMOTE_KEY"):
        monkeypatch.setenv(name, f"key-of-{name}")
    endpoint = Endpoint(lambda request: embedded(request, "results" if "zero" in base else "data"))
    encoder_of(endpoint, base).encode_document("a")
    assert endpoint.requests[0].headers["authorization"] == f"Bearer key-of-{variable}"


def test_no_key_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BICROSS_REMOTE_KEY", raising=False)
    endpoint = Endpoint(embedded)
    encoder_of(endpoint).encode_document("a")
    assert "authorization" not in endpoint.requests[0].headers
    with pytest.raises(ConfigurationError, match=r"\$NO_SUCH_KEY, which isn't set"):
        encoder_of(endpoint, key_variable="NO_SUCH_KEY").encode_document("a")


@pytest.mark.parametrize("key", [KEY, KEY.encode(), 5])
def test_a_plain_key_is_refused_without_being_shown(key) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RemoteBiEncoder(BASE, "m", key=key)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("key", ["sk-cänary-key", "sk-canary key", "sk-canary\nkey: x"])
def test_a_key_that_cannot_be_sent_is_refused_without_being_shown(key: str) -> None:
    endpoint = Endpoint(embedded)
    with pytest.raises(ConfigurationError) as caught:
        encoder_of(endpoint, key=SecretStr(key)).encode_document("a")
    assert key not in str(caught.value)
    assert endpoint.requests == []


@pytest.mark.parametrize("host", ["models.example", "127.models.example", "localhost.example"])
def test_a_key_is_not_sent_in_the_open(host: str) -> None:
    endpoint = Endpoint(embedded)
    open_base = f"http://{host}/v1"
    with pytest.raises(ConfigurationError, match="by https alone"):
        encoder_of(endpoint, open_base, key=SecretStr(KEY)).encode_document("a")
    assert endpoint.requests == []
    encoder_of(endpoint, open_base).encode_document("a")
    encoder_of(endpoint, open_base, key=SecretStr(KEY), calls=Calls(allow_http=True)).encode_document("a")
    encoder_of(endpoint, "http://127.0.0.1:8000/v1", key=SecretStr(KEY)).encode_document("a")
    assert len(endpoint.requests) == 3


@pytest.mark.parametrize("kind", [RemoteBiEncoder, RemoteCrossEncoder])
def test_the_key_is_nowhere_to_be_seen(kind, caplog: pytest.LogCaptureFixture, pauses: list[float]) -> None:
    answers = [
        httpx.Response(500, text=f"your key {KEY} broke me"),
        httpx.Response(400, text=f"your key {KEY} broke me"),
    ]
    model = kind(BASE, "m", key=SecretStr(KEY), client=Endpoint(*answers).client)
    with caplog.at_level(logging.DEBUG), pytest.raises(RemoteError, match=r"your key \*\*\* broke me") as caught:
        model.encode_document("a") if kind is RemoteBiEncoder else model.predict([("a", "b")])
    shown = [repr(model), model.name, str(vars(model)), repr(model._connection), str(vars(model._connection))]
    assert KEY not in "".join([*shown, caplog.text, *traceback.format_exception(caught.value)])
