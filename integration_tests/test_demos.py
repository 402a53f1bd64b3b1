"""The demo apps: their pipelines with a chat endpoint and without, their page, and where they listen."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import streamlit as st
from streamlit import config
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[1]
DEMOS = sorted((ROOT / "examples").glob("demo_*"))
QUESTION = "What does a squeaking chain want?"
ANSWER = "A drop of oil on each link [1]."
TEXTS = {
    "tyres.md": "Tyres are pumped up to the pressure that is written on their side.",
    "chain.md": "A chain that squeaks wants a drop of oil on each link. ![x](http://example.org/x.png) <script>",
    "lights.txt": "Front and back lights are required from dusk till dawn.",
}


class ChatEndpoint(BaseHTTPRequestHandler):
    """Answers every chat with ANSWER, in pieces, and keeps what it was asked."""

    asked: list[dict[str, Any]]
    status = 200

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(self.status)
        self.send_header("content-type", "text/event-stream")
        self.end_headers()
        for piece in ANSWER.split(" "):
            delta = {"role": "assistant", "content": piece if piece == "A" else f" {piece}"}
            self.send_chunk({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
        self.send_chunk({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        self.wfile.write(b"data: [DONE]\n\n")

    def send_chunk(self, values: dict[str, Any]) -> None:
        body = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "stub"} | values
        self.wfile.write(f"data: {json.dumps(body)}\n\n".encode())

    def log_message(self, *_: Any) -> None:
        """Nothing of it on the terminal."""


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[ChatEndpoint]]:
    handler = type("Endpoint", (ChatEndpoint,), {"asked": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("BICROSS_CHAT_URL", f"http://127.0.0.1:{server.server_address[1]}/v1")
        monkeypatch.setenv("BICROSS_CHAT_MODEL", "stub")
        yield handler
        server.shutdown()


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    return folder


def load(demo: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{demo.name}_pipeline", demo / "pipeline.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(docs: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Runs a demo's page, as a browser on this machine gets it."""
    config.set_option("server.address", "127.0.0.1")
    monkeypatch.setattr(sys, "argv", ["app.py", str(docs)])

    # Streamlit's harness makes the app the main module; processes that other tests spawn would run it again.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    def run(demo: Path) -> AppTest:
        monkeypatch.syspath_prepend(str(demo))
        return AppTest.from_file(str(demo / "app.py"), default_timeout=300).run()

    yield run
    config.set_option("server.address", None)
    st.cache_resource.clear()
    sys.modules.pop("pipeline", None)  # the two demos' modules have one name


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.name)
def test_it_is_short(demo: Path) -> None:
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in demo.glob("*.py")) < 120


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.name)
def test_its_pipeline_answers_from_what_it_finds(demo: Path, docs: Path, endpoint: type[ChatEndpoint]) -> None:
    module = load(demo)
    engine = module.Demo(docs)
    passages = engine.search(QUESTION, 2)
    text, source = module.quoted(passages[0])
    assert (text, source) == (
        TEXTS["chain.md"],
        f"{docs / 'chain.md'}, characters 0 to {len(TEXTS['chain.md'])}",
    )
    assert engine.chat_url
    shown: list[str] = []
    assert engine.answer(QUESTION, passages, shown.append) == ANSWER
    assert shown[-1] == ANSWER
    assert len(shown) > 2, "it is shown as it is written"
    prompt = json.dumps(endpoint.asked[0]["messages"], ensure_ascii=False)
    assert "[1] A chain that squeaks" in prompt
    assert QUESTION in prompt


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.name)
def test_without_a_chat_model_the_page_shows_passages_and_says_how_to_add_one(demo: Path, page: Any) -> None:
    app = page(demo)
    assert not app.exception
    assert not app.expander, "nothing was asked yet"
    app.text_input[0].set_value(QUESTION).run()
    assert not app.exception
    assert "BICROSS_CHAT_URL" in app.info[0].value
    assert TEXTS["chain.md"] == app.expander[0].text[0].value
    assert [box.label for box in app.expander] == ["[1]", "[2]", "[3]"]
    assert not [element for element in app.markdown if "example.org" in element.value], "a document's markup is text"


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.name)
def test_with_one_the_page_shows_the_answer_and_what_it_cites(
    demo: Path, page: Any, endpoint: type[ChatEndpoint]
) -> None:
    app = page(demo)
    app.text_input[0].set_value(QUESTION).run()
    assert not app.exception
    assert app.text[0].value == ANSWER
    assert [box.label for box in app.expander] == ["[1] cited", "[2]", "[3]"]
    endpoint.status = 404
    app.text_input[0].set_value("When are lights required?").run()
    assert not app.exception
    assert "gave no answer" in app.error[0].value
    assert app.expander[0].text[0].value == TEXTS["lights.txt"]


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.name)
def test_the_page_wants_a_folder_and_this_machines_address(
    demo: Path, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["app.py", "nowhere"])
    assert "There is no folder 'nowhere'" in page(demo).error[0].value
    config.set_option("server.address", "0.0.0.0")
    assert "only this machine" in page(demo).error[0].value


@pytest.mark.parametrize("demo", DEMOS, ids=lambda demo: demo.name)
def test_it_listens_on_this_machine_alone(demo: Path, docs: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"STREAMLIT_SERVER_PORT": str(port), "STREAMLIT_SERVER_HEADLESS": "true"}
    with subprocess.Popen([sys.executable, demo / "app.py", str(docs)], env=environment, cwd=docs) as process:
        try:
            assert health(port, process) == b"ok"
            assert listening(port) == {"0100007F"}, "127.0.0.1, as /proc/net/tcp writes it"
        finally:
            process.terminate()


def health(port: int, process: subprocess.Popen[bytes], seconds: float = 120) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            with opener.open(f"http://127.0.0.1:{port}/_stcore/health", timeout=5) as answer:
                return answer.read()
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"it didn't start: {process.poll()}")


def listening(port: int) -> set[str]:
    """Addresses, in hexadecimal, on which a port of this machine listens, IPv6 included."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if state == "0A" and int(local.split(":")[1], 16) == port:
                found.add(local.split(":")[0])
    return found
