"""The search tool as an agent's client sees it, over a search that is made up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp import Client
from mcp.types import CallToolResult

from bicross import BiEncoder, CrossEncoder, Hit, Passage, QdrantStore, SearchResult, TwoStageRetriever
from bicross.cli.common import Models
from bicross.cli.mcp import Searcher
from bicross.errors import CollectionNotFoundError
from bicross.server.agents import create_mcp_server

pytestmark = pytest.mark.long

PASSAGE = Passage(
    "Chains want oil.",
    id="p1",
    title="Care > Chain",
    source="/docs/care.pdf",
    meta={"source_id": "care", "split_idx_start": 120, "split_idx_end": 136, "page_number": 3, "lang": "en"},
)


class Recorded:
    def __init__(self, *hits: Hit, error: Exception | None = None) -> None:
        self.hits, self.error = hits, error
        self.asked: list[tuple[str, int, Mapping[str, Any] | None]] = []

    def __call__(self, query: str, top_k: int, filter: Mapping[str, Any] | None, /) -> SearchResult:
        self.asked.append((query, top_k, filter))
        if self.error:
            raise self.error
        return SearchResult(self.hits)


def call(search: Recorded, arguments: dict[str, Any], **options: Any) -> CallToolResult:
    async def ask() -> CallToolResult:
        async with Client(create_mcp_server(search, **options)) as client:
            return await client.call_tool("search", arguments)

    return anyio.run(ask)


def test_there_is_one_tool_and_it_says_that_it_only_reads() -> None:
    async def ask():
        async with Client(create_mcp_server(Recorded(), about="the workshop's handbook")) as client:
            return client.instructions, (await client.list_tools()).tools

    instructions, tools = anyio.run(ask)
    assert [tool.name for tool in tools] == ["search"]
    tool = tools[0]
    assert tool.annotations.read_only_hint
    assert tool.annotations.destructive_hint is False
    assert tool.description == instructions
    assert tool.description.startswith("Search the workshop's handbook.")
    assert set(tool.input_schema["properties"]) == {"query", "top_k", "filter"}
    assert tool.input_schema["required"] == ["query"]
    (answer,) = tool.output_schema["$defs"].values()
    assert all(field["description"] for field in answer["properties"].values())
    assert all(field["description"] for field in tool.input_schema["properties"].values())


def test_a_hit_says_where_it_is_from() -> None:
    search = Recorded(Hit(PASSAGE, 0.75, 0.5, 4, 0.9))
    condition = {"field": "meta.lang", "operator": "==", "value": "en"}
    result = call(search, {"query": "squeaking", "top_k": 3, "filter": condition})
    assert search.asked == [("squeaking", 3, condition)]
    assert not result.is_error
    assert result.structured_content == {
        "hits": [
            {
                "rank": 1, "text": "Chains want oil.", "cut": False, "title": "Care > Chain",
                "source": "/docs/care.pdf", "page": 3, "span": [120, 136], "score": 0.75, "reranked": True,
                "id": "p1", "document_id": "care", "meta": dict(PASSAGE.meta),
            }
        ]
    }  # fmt: skip
    assert json.loads(result.content[0].text) == result.structured_content, "clients without structure read text"


def test_long_texts_are_cut_and_say_so() -> None:
    hits = [Hit(Passage("x" * length), 0.5, 0.5, 1) for length in (10, 11)]
    found = call(Recorded(*hits), {"query": "x"}, max_characters=10).structured_content["hits"]
    assert [(hit["text"], hit["cut"], hit["page"], hit["reranked"]) for hit in found] == [
        ("x" * 10, False, None, False),
        ("x" * 10, True, None, False),
    ]


def test_an_error_of_the_store_reaches_the_agent_with_its_remedy() -> None:
    result = call(Recorded(error=CollectionNotFoundError("No collection. Fill it: bicross index")), {"query": "x"})
    assert result.is_error
    assert result.content[0].text.endswith("No collection. Fill it: bicross index")


def test_what_a_crash_says_stays_here() -> None:
    result = call(Recorded(error=RuntimeError("the key is 1234")), {"query": "x"})
    assert result.is_error
    assert "1234" not in result.content[0].text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "x" * 4_001}, "query"),
        ({"query": "x", "top_k": 0}, "top_k"),
        ({"query": "x", "top_k": 51}, "top_k"),
        ({"query": "x", "filter": ["lang"]}, "filter"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_by_name(arguments: dict[str, Any], named: str) -> None:
    search = Recorded()
    result = call(search, arguments)
    assert result.is_error
    assert named in result.content[0].text
    assert search.asked == []


def test_models_are_loaded_once_and_again_where_another_one_filled_the_collection(
    bi_encoder: BiEncoder, cross_encoder: CrossEncoder, bi_folder: Path, tmp_path: Path
) -> None:
    passages, loads = [Passage("the dog runs"), Passage("the cat sleeps")], []
    with BiEncoder.load(bi_folder, device="cpu", truncate_dim=16) as shorter:
        by_dimension = {bi_encoder.dimension: bi_encoder, shorter.dimension: shorter}

        def load(info) -> Models:
            loads.append(info.dimension)
            return Models("dense", by_dimension[info.dimension], cross_encoder, None)

        def fill(encoder: BiEncoder) -> None:
            with QdrantStore(path=tmp_path) as store:  # nobody else has it open
                TwoStageRetriever(encoder, store).index(passages, recreate=True)

        searcher = Searcher(lambda: QdrantStore(path=tmp_path), load, candidates=1)
        with pytest.raises(CollectionNotFoundError, match="bicross index"):
            searcher("dog", 2, None)
        assert loads == []
        fill(bi_encoder)
        for _ in range(2):
            assert searcher("dog", 2, None).reranked == 2
        assert len(searcher("dog", 1, None)) == searcher("dog", 1, None).reranked == 1
        assert loads == [32]
        fill(shorter)
        assert len(searcher("dog", 2, None)) == 2
        assert loads == [32, 16]
