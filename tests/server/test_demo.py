"""bicross demo: what it serves, and what it refuses before it loads a model."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

import bicross.server
from bicross.cli import app
from bicross.errors import (
    CollectionNotFoundError,
    ConfigurationError,
    ModelNotFoundError,
    ReadError,
    StoreLockedError,
)
from bicross.stores import QdrantStore
from tiny_models import write_bi_encoder

from .search_fixtures import ended

pytestmark = pytest.mark.long


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "birds.md").write_text("# Birds\n\nThe red bird sits on a tree.\n", encoding="utf-8")
    (folder / "fish.txt").write_text("The small fish sleeps under the stone.", encoding="utf-8")
    return folder


def demo(*arguments: object) -> None:
    """Run the command; its error is raised."""
    CliRunner().invoke(app, ["demo", *map(str, arguments)], catch_exceptions=False)


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch):
    """Instead of being served, the app is asked."""
    seen: list[dict] = []

    def serve(app, host, port):
        with TestClient(app, base_url=f"http://{host}") as client:
            if client.get("/api/index").json()["jobs"]:
                seen.append(ended(client, "1"))
            seen.append(client.get("/api/info").json())
            seen.append(client.post("/api/search", json={"query": "the red bird"}).json())

    monkeypatch.setattr(bicross.server, "serve", serve, raising=False)
    return seen


def test_a_folder_is_indexed_and_searched_and_kept(
    docs: Path, tmp_path: Path, bi_folder, cross_folder, looked_at
) -> None:
    store = ("--store", tmp_path / "store", "--port", 0, "--cross", cross_folder)
    demo(docs, *store, "--bi", bi_folder)
    job, info, found = looked_at
    assert (job["state"], job["report"]["new"], job["name"]) == ("done", 2, "docs")
    assert info["setups"][0]["first_stages"] == ["hybrid", "dense", "bm25"]
    assert len(found["hits"]) == 2
    looked_at.clear()
    (docs / "fish.txt").unlink()
    demo(docs, *store)
    job, info, _ = looked_at
    assert (job["report"]["unchanged"], job["report"]["deleted"]) == (1, 1)
    looked_at.clear()
    demo(*store, "--collection", "demo")
    info, found = looked_at
    assert (info["setups"][0]["passages"], len(found["hits"])) == (1, 1)


def test_a_second_model_gets_a_collection_of_its_own(docs, tmp_path, bi_folder, cross_folder, looked_at) -> None:
    other = write_bi_encoder(tmp_path / "student", seed=7)
    options = ("--store", tmp_path / "store", "--port", 0, "--bi", bi_folder, "--cross", cross_folder)
    demo(docs, *options, "--compare", other)
    job, info, _ = looked_at
    assert job["report"]["new"] == 4
    assert [each["collection"] for each in info["setups"]] == ["demo", "demo-student"]
    assert [each["passages"] for each in info["setups"]] == [2, 2]
    looked_at.clear()
    demo(docs, *options, "--compare", bi_folder)
    _, info, _ = looked_at
    assert [each["collection"] for each in info["setups"]] == ["demo", "demo"]
    assert len({each["name"] for each in info["setups"]}) == 2
    third = write_bi_encoder(tmp_path / "third", seed=8)
    with pytest.raises(CollectionNotFoundError, match="demo-third"):
        demo(*options, "--collection", "demo", "--compare", third)


def test_what_is_refused_before_a_model_is_loaded(docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = ("--store", tmp_path / "store")
    monkeypatch.delenv("BICROSS_TOKEN", raising=False)
    with pytest.raises(ReadError, match="doesn't exist"):
        demo(tmp_path / "nowhere", *store)
    with pytest.raises(CollectionNotFoundError, match="bicross demo FOLDER"):
        demo(*store, "--port", 0)
    with pytest.raises(ConfigurationError, match="BICROSS_TOKEN"):
        demo(docs, *store, "--host", "0.0.0.0")
    with pytest.raises(ModelNotFoundError, match="nobody"):
        demo(docs, *store, "--port", 0, "--bi", "./nobody")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(ConfigurationError, match="--port 0"):
            demo(docs, *store, "--port", taken.getsockname()[1])


def test_a_store_that_is_locked(docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(_):
        raise StoreLockedError("another process has it open")

    monkeypatch.setattr(QdrantStore, "info", locked)
    with pytest.raises(StoreLockedError):
        demo(docs, "--store", tmp_path / "store", "--port", 0)
