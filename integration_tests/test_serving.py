"""`bicross serve` as a process, asked by the real openai client, by Haystack, and by the classes for hosted models."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import numpy as np
import openai
import pytest
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.dataclasses import Document
from haystack.utils import Secret

from bicross import BiEncoder, CrossEncoder, ExactStore, Passage, TwoStageRetriever
from bicross.distillation import CandidateLists, ScoredList, score_candidates
from bicross.errors import AuthenticationError, RemoteError
from bicross.evaluation import gap_report
from bicross.remote import Calls, RemoteBiEncoder, RemoteCrossEncoder

ROOT = Path(__file__).parents[1]
TOKEN = "integration-token-0123456789"
TEXTS = ["How do I open a file?", "The cat sat on the mat.", "", "Ein Satz auf Deutsch.", "word " * 400]
PASSAGES = [
    Passage("Water boils at one hundred degrees at sea level.", id="water"),
    Passage("A cat sleeps for most of the day.", id="cat"),
    Passage("The library opens at nine and closes at six.", id="library"),
]


@contextmanager
def server(*options: str, token: str | None = TOKEN) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The command as a user runs it; its address and its process."""
    command = [str(Path(sys.executable).with_name("bicross")), "serve", "--port", "0", *options]
    environment = {name: value for name, value in os.environ.items() if name != "BICROSS_TOKEN"}
    environment |= {"BICROSS_TOKEN": token} if token else {}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    log: list[str] = []
    try:
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                break
        else:
            pytest.fail("".join(log))
        reader = threading.Thread(target=lambda: log.extend(process.stderr), daemon=True)  # type: ignore[arg-type]
        reader.start()
        yield found[1], process
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        reader.join(10)
        assert token is None or token not in "".join(log)
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with server() as (url, _):
        yield url


@pytest.fixture
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BICROSS_REMOTE_KEY", TOKEN)


@pytest.fixture(scope="module")
def bi() -> Iterator[BiEncoder]:
    with BiEncoder.load() as model:
        yield model


@pytest.fixture(scope="module")
def cross() -> Iterator[CrossEncoder]:
    with CrossEncoder.load() as model:
        yield model


def test_the_openai_client_gets_the_models_vectors(address: str, bi: BiEncoder) -> None:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=TOKEN) as client:
        expected, _ = bi.encode_document(TEXTS, return_truncation=True)
        for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
            answer = client.embeddings.create(model="starter", input=TEXTS, **options)
            data = [item.embedding for item in answer.data]
            if options.get("encoding_format") == "base64":
                assert all(isinstance(item, str) for item in data)
                continue
            np.testing.assert_allclose(np.array(data, np.float32), expected, atol=1e-5)
        assert answer.usage.prompt_tokens == sum(bi.count_tokens(TEXTS))
        short = client.embeddings.create(model="starter", input="one text", dimensions=64).data[0].embedding
        assert np.linalg.norm(short) == pytest.approx(1.0, abs=1e-5)
        assert len(short) == 64
        names = [model.id for model in client.models.list()]
        assert names == ["starter", "starter:query", "starter:document"]


def test_the_openai_client_understands_the_errors(address: str) -> None:
    with openai.OpenAI(base_url=f"{address}/v1", api_key=TOKEN) as client:
        with pytest.raises(openai.NotFoundError, match="'starter'") as caught:
            client.embeddings.create(model="text-embedding-3-small", input="a")
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError, match="token ids"):
            client.embeddings.create(model="starter", input=[[1, 2, 3]])
    with (
        openai.OpenAI(base_url=f"{address}/v1", api_key="wrong", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError, match="asks for a token"),
    ):
        client.embeddings.create(model="starter", input="a")


def test_haystacks_own_openai_embedders_use_it(address: str, bi: BiEncoder) -> None:
    options = {"api_base_url": f"{address}/v1", "api_key": Secret.from_token(TOKEN)}
    embedded = OpenAITextEmbedder(model="starter:query", **options).run("How do I open a file?")["embedding"]
    np.testing.assert_allclose(embedded, bi.encode_query("How do I open a file?"), atol=1e-5)
    documents = OpenAIDocumentEmbedder(model="starter:document", **options).run([Document(content="A cat.")])
    np.testing.assert_allclose(documents["documents"][0].embedding, bi.encode_document("A cat."), atol=1e-5)


@pytest.mark.usefixtures("key")
def test_hosted_models_are_the_local_ones(address: str, bi: BiEncoder, cross: CrossEncoder) -> None:
    texts = [f"{text} {number}" for number in range(20) for text in TEXTS[:4]]
    with RemoteBiEncoder(f"{address}/v1", "starter", api="bicross") as remote:
        np.testing.assert_allclose(remote.encode_document(texts), bi.encode_document(texts), atol=1e-5)
        np.testing.assert_allclose(remote.encode_query("a cat"), bi.encode_query("a cat"), atol=1e-5)
    pairs = [(query, passage.text) for query in ("when does it open?", "cats") for passage in PASSAGES]
    with RemoteCrossEncoder(address, "starter", api="bicross", raw_scores=True) as logits:
        np.testing.assert_allclose(logits.predict(pairs), cross.predict(pairs, activation="identity"), atol=1e-4)
    with RemoteCrossEncoder(f"{address}/v2", "starter") as scores:
        np.testing.assert_allclose(scores.predict(pairs), cross.predict(pairs, activation="sigmoid"), atol=1e-5)
        assert scores.rank("cats", [passage.text for passage in PASSAGES])[0].index == 1


@pytest.mark.usefixtures("key")
def test_hosted_models_search_measure_and_teach(address: str, tmp_path: Path) -> None:
    with (
        RemoteBiEncoder(f"{address}/v1", "starter", api="bicross") as bi,
        RemoteCrossEncoder(address, "starter", api="bicross", raw_scores=True) as cross,
    ):
        retriever = TwoStageRetriever(bi, ExactStore(), cross)
        retriever.index(PASSAGES)
        assert retriever.search("when may I borrow a book?")[0].passage.id == "library"
        documents = {passage.id: passage.text for passage in PASSAGES}
        queries = {"q1": "opening hours", "q2": "temperature of boiling"}
        report = gap_report(bi, cross, {"documents": documents, "queries": queries}, pool=3, timing=False)
        assert report.setting.queries == 2
        blank, ids = np.full(3, np.nan, np.float32), tuple(documents)
        given = ScoredList("q1", queries["q1"], ids, blank, blank, ("given",) * 3, np.zeros(3, np.int32))
        (scored,) = score_candidates(CandidateLists([given], documents), cross, cache_dir=tmp_path)
        assert ids[int(np.argmax(scored.scores))] == "library"


def test_the_command_line_takes_an_address(address: str, bicross: Callable, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BICROSS_REMOTE_KEY", TOKEN)
    rows = [json.dumps({"_id": passage.id, "text": passage.text}) for passage in PASSAGES]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows))
    name = f"{address}/v1?api=bicross#starter"
    bicross("index", "corpus.jsonl", "--bi", name)
    found = json.loads(bicross("search", "boiling", "--cross", f"{address}#starter", "--json").stdout)
    assert found["hits"][0]["id"] == "water"
    (info,) = json.loads(bicross("info", "--json").stdout)["collections"]
    assert info["model"] == name
    files = [path.read_text(errors="replace") for path in (tmp_path / ".bicross").rglob("*.json")]
    assert files
    assert TOKEN not in "".join(files)


def test_a_wrong_key_is_not_tried_again(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BICROSS_REMOTE_KEY", "wrong-key")
    began = time.monotonic()
    with RemoteBiEncoder(f"{address}/v1", "starter") as remote, pytest.raises(AuthenticationError):
        remote.encode_query("a")
    assert time.monotonic() - began < 5


@pytest.mark.usefixtures("key")
def test_a_stopped_server_answers_what_it_took_on(bi: BiEncoder) -> None:
    texts = [f"sentence number {number} about something else " * 4 for number in range(300)]
    with server("--cross", "none") as (url, process):
        once = Calls(batch_size=300, retry_seconds=0)
        remote = RemoteBiEncoder(f"{url}/v1", "starter", calls=once)
        with remote, concurrent.futures.ThreadPoolExecutor(1) as threads:
            answer = threads.submit(remote.encode_document, texts)
            while "bicross_queue_requests 1.0" not in _metrics(url):
                time.sleep(0.01)
            process.send_signal(signal.SIGTERM)
            vectors = answer.result(60)
        np.testing.assert_allclose(vectors[:3], bi.encode_document(texts[:3]), atol=1e-5)
        assert process.wait(60) == 0
        remote = RemoteBiEncoder(f"{url}/v1", "starter", calls=once)
        with remote, pytest.raises(RemoteError, match="gave no answer"):
            remote.encode_query("a")


def _metrics(url: str) -> str:
    return httpx.get(f"{url}/metrics", headers={"authorization": f"Bearer {TOKEN}"}).text


def test_another_address_needs_a_token_before_a_model_is_loaded(bicross: Callable) -> None:
    done = bicross("serve", "--host", "0.0.0.0", check=False)
    assert done.returncode == 1
    assert "$BICROSS_TOKEN isn't set" in done.stderr


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server that does what it likes with a connection."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def accept() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def _drop(connection: socket.socket) -> None:
    connection.recv(10)


def _half(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b'HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n{"data": [')


def _silent(connection: socket.socket) -> None:
    time.sleep(1.5)


def _drip(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 500\r\n\r\n")
    for _ in range(30):
        time.sleep(0.05)
        try:
            connection.sendall(b" ")
        except OSError:
            return


@pytest.mark.parametrize("answer", [_drop, _half, _silent, _drip])
def test_slow_and_dropped_connections_end_in_time(answer: Callable[[socket.socket], None]) -> None:
    with listening(answer) as url:
        began = time.monotonic()
        remote = RemoteBiEncoder(url, "m", calls=Calls(timeout=0.5, retry_seconds=0))
        with remote, pytest.raises(RemoteError, match="gave no answer"):
            remote.encode_query("a")
        assert time.monotonic() - began < 5


def test_under_load_nothing_fails_and_too_much_is_refused() -> None:
    """The short form of benchmarks/serve_load.py, which checks statuses and memory itself."""
    command = [sys.executable, "benchmarks/serve_load.py", "--clients", "64", "--seconds", "4", "--kind", "embed"]
    environment = {name: value for name, value in os.environ.items() if name != "BICROSS_TOKEN"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)["embed"]
    assert set(report["many"]["statuses"]) == {"200"}
    assert report["overload"]["statuses"]["429"] > 0


@pytest.mark.usefixtures("key")
def test_retries_get_everything_through_a_small_queue(bi: BiEncoder) -> None:
    with server("--cross", "none", "--queue", "2") as (url, _):
        calls = Calls(batch_size=1, concurrency=8, retry_seconds=120)
        with RemoteBiEncoder(f"{url}/v1", "starter", calls=calls) as remote:
            texts = [f"text number {number}" for number in range(40)]
            np.testing.assert_allclose(remote.encode_document(texts), bi.encode_document(texts), atol=1e-5)
        assert 'status="429"' in _metrics(url)
