"""`bicross mcp` over stdio, asked by the MCP SDK's own client: a real index, real models."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.types import CallToolResult

from bicross import QdrantStore

Run = Callable[..., subprocess.CompletedProcess[str]]
BICROSS = str(Path(sys.executable).with_name("bicross"))
TEXTS = {
    "tyres.md": "# Tyres\n\nTyres are pumped up to the pressure that is written on their side.",
    "chain.md": "# Chain\n\nA chain that squeaks wants a drop of oil on each link.",
    "licht.md": "# Licht\n\nVorder- und Rücklicht sind von der Dämmerung an Pflicht.",
}


@pytest.fixture
def server(tmp_path: Path) -> StdioServerParameters:
    """A server over a store that isn't there yet."""
    keys = ("HF_HUB_OFFLINE", "BICROSS_BACKEND", "BICROSS_MODELS", "PYTHONPATH", "OMP_NUM_THREADS")
    return StdioServerParameters(
        command=BICROSS,
        args=["mcp", "--store", str(tmp_path / ".bicross"), "--about", "the handbook of a bicycle workshop"],
        env={key: os.environ[key] for key in keys if key in os.environ},
    )


def write_docs(folder: Path) -> Path:
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


def message(result: CallToolResult) -> str:
    assert result.is_error
    return result.content[0].text


async def test_an_agent_searches_an_index_that_is_filled_meanwhile(
    server: StdioServerParameters, bicross: Run, tmp_path: Path
) -> None:
    docs, store = write_docs(tmp_path / "docs"), tmp_path / ".bicross"
    async with Client(server, read_timeout_seconds=300) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["search"]
        missing = message(await client.call_tool("search", {"query": "oil"}))
        assert "There is no collection 'default'" in missing
        assert "bicross index" in missing
        assert not store.exists(), "a search makes no folder"

        bicross("index", str(docs), "--source", "docs")
        found = (await client.call_tool("search", {"query": "my chain makes a noise", "top_k": 2})).structured_content
        assert [hit["rank"] for hit in found["hits"]] == [1, 2]
        best = found["hits"][0]
        assert best["source"] == str(docs / "chain.md")
        assert TEXTS["chain.md"][slice(*best["span"])] == best["text"]
        assert best["reranked"]

        condition = {"field": "meta.file_name", "operator": "==", "value": "licht.md"}
        narrowed = await client.call_tool("search", {"query": "my chain makes a noise", "filter": condition})
        assert {hit["meta"]["file_name"] for hit in narrowed.structured_content["hits"]} == {"licht.md"}

        bad = {"field": "meta.file_name", "operator": "like", "value": "l"}
        assert "operator is one of" in message(await client.call_tool("search", {"query": "x", "filter": bad}))
        assert "must hold a word" in message(await client.call_tool("search", {"query": "   "}))

        (docs / "bell.md").write_text("A bell must be heard from fifty metres.", encoding="utf-8")
        bicross("index", str(docs), "--source", "docs")  # while the server runs
        heard = await client.call_tool("search", {"query": "how loud is a bell?", "top_k": 1})
        assert heard.structured_content["hits"][0]["meta"]["file_name"] == "bell.md"

        with QdrantStore(path=store) as other:
            assert other.count() == 4
            assert f"process {os.getpid()} has" in message(await client.call_tool("search", {"query": "oil"}))
        assert not (await client.call_tool("search", {"query": "oil"})).is_error


def test_standard_output_is_the_protocol_and_nothing_else(bicross: Run, tmp_path: Path) -> None:
    bicross("index", str(write_docs(tmp_path / "docs")), "--store", "store")
    greeting = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "by hand", "version": "1"},
    }
    call = {"name": "search", "arguments": {"query": "oil " * 600}}  # longer than the models read: that is warned of
    asked = [
        {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": greeting},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": call},
    ]
    with subprocess.Popen(
        [BICROSS, "mcp", "--store", "store"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for each in asked:
            process.stdin.write(json.dumps(each) + "\n")
        process.stdin.flush()
        answers = [json.loads(process.stdout.readline()) for _ in range(2)]
        process.stdin.close()  # that is how a client ends a server
        assert process.stdout.read() == ""
        assert process.stderr is not None
        errors = process.stderr.read()
    assert process.returncode == 0, errors
    assert [answer["id"] for answer in answers] == [1, 2]
    assert answers[1]["result"]["isError"] is False


def test_without_the_sdk_it_says_what_to_install(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['mcp'] = None; sys.argv = ['bicross', 'mcp']; from bicross.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", hide], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert 'pip install "bicross[mcp]"' in done.stderr
