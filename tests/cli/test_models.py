"""Prompts and kinds of models, as the command line takes them."""

from __future__ import annotations

import json
import socket
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from bicross import BiEncoder, CrossEncoder, LateInteractionReranker
from bicross.cli import app
from bicross.errors import BicrossError, ConfigurationError, FingerprintMismatchError
from bicross.remote import loading
from tiny_families import write_stanford

pytestmark = pytest.mark.long

TEXTS = ["the cat sits on the tree .", "a dog runs under the house", "the fish swims in the river"]


@pytest.fixture(scope="module")
def late_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_stanford(tmp_path_factory.mktemp("late") / "model")


@pytest.fixture
def indexed(tmp_path: Path, bi_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a store that was filled with a prompt in front of every document."""
    monkeypatch.chdir(tmp_path)
    rows = [json.dumps({"_id": str(i), "text": text}) for i, text in enumerate(TEXTS)]
    (tmp_path / "corpus.jsonl").write_text("\n".join(rows))
    run("index", "corpus.jsonl", "--bi", str(bi_folder), "--document-prompt", "old ")
    return tmp_path


def run(*arguments: str) -> Any:
    """What a command prints as JSON; its errors are raised."""
    done = CliRunner().invoke(app, [*arguments, "--json"])
    if isinstance(done.exception, BicrossError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def by_id(found: dict[str, Any], name: str) -> list[float]:
    return [hit[name] for hit in sorted(found["hits"], key=lambda hit: hit["id"])]


@pytest.mark.usefixtures("indexed")
def test_prompts_reach_both_models(bi_folder: Path, cross_folder: Path) -> None:
    prompts = ("--query-prompt", "find the ", "--document-prompt", "old ", "--rerank-prompt", "every ")
    found = run("search", "cat", "--cross", str(cross_folder), *prompts)
    with (
        BiEncoder.load(bi_folder, query_prompt="find the ", document_prompt="old ") as finds,
        CrossEncoder.load(cross_folder, prompt="every ") as orders,
    ):
        cosines = finds.encode_document(TEXTS) @ finds.encode_query("cat")
        scores = orders.predict([("cat", text) for text in TEXTS])
    np.testing.assert_allclose(by_id(found, "stage1_score"), cosines, atol=1e-5)
    np.testing.assert_allclose(by_id(found, "rerank_score"), scores, atol=1e-5)


@pytest.mark.usefixtures("indexed")
def test_the_documents_prompt_is_the_indexes() -> None:
    with pytest.raises(FingerprintMismatchError):
        run("search", "cat", "--cross", "none")
    assert run("info", "--check", "--document-prompt", "old ")["collections"][0]["check"]["sound"]


@pytest.mark.usefixtures("indexed")
def test_a_late_interaction_model_is_recognised(late_folder: Path) -> None:
    found = run("search", "cat", "--cross", str(late_folder), "--document-prompt", "old ")
    with LateInteractionReranker.load(late_folder) as late:
        np.testing.assert_allclose(
            by_id(found, "rerank_score"), late.predict([("cat", text) for text in TEXTS]), atol=1e-5
        )
    with pytest.raises(ConfigurationError, match="has no prompt but its checkpoint's own"):
        run("search", "cat", "--cross", str(late_folder), "--document-prompt", "old ", "--rerank-prompt", "every ")


@pytest.mark.usefixtures("indexed")
def test_a_prompt_for_nobody_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="--rerank-prompt is for a cross-encoder"):
        run("search", "cat", "--cross", "none", "--document-prompt", "old ", "--rerank-prompt", "every ")
    with pytest.raises(ConfigurationError, match=r"Write \?document_prompt=… into its address"):
        run("index", "corpus.jsonl", "--bi", "http://h.example#m", "--document-prompt", "old ")
    done = CliRunner().invoke(app, ["serve", "--bi", "none", "--document-prompt", "old "])
    assert isinstance(done.exception, ConfigurationError)
    assert "are for a bi-encoder, got 'old ' with --bi none" in str(done.exception)


class ReachedError(BicrossError):
    """Ends a command once it has loaded its models."""


@pytest.mark.parametrize(
    "command", [["evaluate", "data"], ["gap", "data"], ["probe", "rows"], ["serve", "--port", "0"]]
)
def test_prompts_are_handed_on(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, dict[str, Any]] = {}

    def load_bi_encoder(name: str, **options: Any) -> Any:
        given[name] = options
        return nullcontext()

    def load_cross_encoder(name: str, **options: Any) -> Any:
        given[name] = options
        raise ReachedError

    monkeypatch.setattr(loading, "load_bi_encoder", load_bi_encoder)
    monkeypatch.setattr(loading, "load_cross_encoder", load_cross_encoder)
    prompts = ["--query-prompt", "q: ", "--document-prompt", "d: ", "--rerank-prompt", "task"]
    done = CliRunner().invoke(app, [*command, "--bi", "b", "--cross", "c", *prompts])
    assert isinstance(done.exception, ReachedError), done.output
    assert (given["b"]["query_prompt"], given["b"]["document_prompt"]) == ("q: ", "d: ")
    assert given["c"]["prompt"] == "task"


def test_a_folder_for_vectors_needs_no_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, Any] = {}

    def train(*_: Any, **options: Any) -> Any:
        given.update(options)
        raise ReachedError

    monkeypatch.setattr("bicross.distillation.reranker.train_reranker", train)
    monkeypatch.setattr(loading, "load_bi_encoder", lambda *_, **__: nullcontext())
    data = tmp_path / "pairs.jsonl"
    data.write_text('{"query": "a", "positive": "b"}\n')
    done = CliRunner().invoke(app, ["train-reranker", str(data), "--out", str(tmp_path / "out"), "--cache", "kept"])
    assert isinstance(done.exception, ReachedError), done.output
    assert given["cache_dir"] == Path("kept")


def test_a_port_that_is_taken_is_told_before_a_model_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_bi_encoder", lambda *_, **__: pytest.fail("loaded"))
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        done = CliRunner().invoke(app, ["serve", "--port", str(taken.getsockname()[1])])
    assert isinstance(done.exception, ConfigurationError)
    assert "can't be listened on" in str(done.exception)


def test_the_host_that_a_collection_names_gets_no_query(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BICROSS_REMOTE_HOSTS", raising=False)
    (note,) = (path for path in (indexed / ".bicross").rglob("*.json") if '"model"' in path.read_text())
    values = json.loads(note.read_text())

    def rename(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: "https://far.example.org/v1#m" if k == "model" else rename(v) for k, v in node.items()}
        return node

    note.write_text(json.dumps(rename(values)))
    with pytest.raises(ConfigurationError, match=r"far\.example\.org"):
        run("search", "cat", "--cross", "none")
