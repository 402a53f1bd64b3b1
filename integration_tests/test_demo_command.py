"""`bicross demo` as a process: what it serves, whom it refuses, and what a second one is told."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

TEXTS = {
    "tyres.md": "# Tyres\n\nTyres are pumped up to the pressure that is written on their side.",
    "chain.md": "# Chain\n\nA chain that squeaks wants a drop of oil on each link.",
}


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def address(docs: Path, tmp_path: Path) -> Iterator[str]:
    command = [str(Path(sys.executable).with_name("bicross")), "demo", str(docs), "--port", "0"]
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("BICROSS_CHAT", "BICROSS_T"))
    }
    log = tmp_path / "log"
    with log.open("w") as stderr, subprocess.Popen(command, stderr=stderr, cwd=tmp_path, env=environment) as process:
        try:
            end = time.monotonic() + 300
            while not (found := re.search(r"running on (http://\S+)", log.read_text())):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.1)
            yield found[1]
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()


def indexed(client: httpx.Client) -> dict:
    end = time.monotonic() + 300
    while (job := client.get("/api/index").json()["jobs"][0])["state"] != "done":
        assert job["error"] is None, job
        assert time.monotonic() < end, job
        time.sleep(0.1)
    return job


def test_a_folder_is_served_and_kept_from_a_second_process(address: str, docs: Path, bicross: Callable) -> None:
    with httpx.Client(base_url=address, timeout=300, trust_env=False) as client:
        assert "<title>bicross search</title>" in client.get("/").text
        assert indexed(client)["report"]["new"] == 2
        found = client.post("/api/search", json={"query": "my chain makes a noise"}).json()
        assert found["hits"][0]["meta"]["file_name"] == "chain.md"
        ground = found["hits"][0]["grounding"]
        assert found["hits"][0]["text"][ground["start"] : ground["end"]] == TEXTS["chain.md"].splitlines()[-1]

        port = urlsplit(address).port
        assert client.get("/api/info", headers={"host": f"evil.example:{port}"}).status_code == 400
        assert client.get("/api/info", headers={"origin": "http://evil.example"}).status_code == 403
        assert client.get("/api/info", headers={"origin": address}).status_code == 200

        second = bicross("demo", str(docs), "--port", "0", check=False)
        assert second.returncode == 1
        assert re.search(r"process \d+ has", second.stderr), second.stderr
        taken = bicross("demo", str(docs), "--store", "other", "--port", str(port), check=False)
        assert taken.returncode == 1
        assert "--port 0" in taken.stderr
        missing = bicross("demo", str(docs), "--store", "other", "--port", "0", "--bi", "./nobody", check=False)
        assert missing.returncode == 1
        assert "nobody" in missing.stderr
        assert "Traceback" not in second.stderr + taken.stderr + missing.stderr
        assert client.post("/api/search", json={"query": "oil"}).status_code == 200, "nobody has been disturbed"
