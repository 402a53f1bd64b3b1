"""/api/search, /api/info and the document of the API."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import ValidationError

from bicross import Passage
from bicross.errors import CollectionNotFoundError, ConfigurationError, FingerprintMismatchError, StoreLockedError
from bicross.server import Setup, create_search_app
from bicross.server.openapi import document
from bicross.server.search_bodies import SearchAnswer
from bicross.stores import ExactStore
from word_models import WordEncoder, WordScorer, corpus

from .search_fixtures import filled, serving

pytestmark = pytest.mark.long

QUERY = next(iter(corpus()["queries"].values()))


@pytest.fixture(scope="module")
def setup() -> Setup:
    return filled()


@pytest.fixture(scope="module")
def client(setup: Setup):
    with serving(setup) as client:
        yield client


def asked(client, **body):
    return client.post("/api/search", json={"query": QUERY} | body)


@pytest.mark.parametrize("kind", ["dense", "bm25", "hybrid"])
@pytest.mark.parametrize("rerank", [True, False])
def test_a_search_is_the_engines_own(client, setup: Setup, kind: str, rerank: bool) -> None:
    answer = asked(client, first_stage=kind, rerank=rerank, top_k=5, candidates=30).json()
    retriever = setup.retriever(kind)
    result = retriever.search(QUERY, 5, candidates=30) if rerank else retriever.retrieve(QUERY, 5)
    assert [hit["id"] for hit in answer["hits"]] == [hit.passage.id for hit in result]
    assert [hit["score"] for hit in answer["hits"]] == pytest.approx([hit.score for hit in result])
    for given, hit in zip(answer["hits"], result, strict=True):
        assert given["stage1_rank"] - given["rank"] == given["rose"]
        assert (given["stage1_rank"], given["rerank_score"] is None) == (hit.stage1_rank, not rerank)
        assert (given["grounding"] is None) != rerank
        assert given["meta"] == dict(hit.passage.meta)
    assert answer["first_stage"] == kind
    assert answer["units"] == {"stage1": setup.units[kind], "rerank": "score"}
    assert answer["reranked"] == (answer["candidates"] if rerank else 0)
    assert answer["candidates"] == len(retriever.retrieve(QUERY, 30))
    parts = [spent for stage, spent in answer["milliseconds"].items() if stage != "total"]
    assert answer["milliseconds"]["total"] == pytest.approx(sum(parts), abs=0.01)


def test_the_best_first_stage_is_the_default(client) -> None:
    assert asked(client).json()["first_stage"] == "hybrid"


def test_sentences_are_left_out_where_nobody_asks_for_them(client) -> None:
    answer = asked(client, sentences=False).json()
    assert answer["reranked"] > 0
    assert all(hit["grounding"] is None for hit in answer["hits"])
    assert "ground" not in answer["milliseconds"]


def test_filters_reach_the_store(client) -> None:
    chosen = {"field": "meta.part", "operator": "==", "value": "odd"}
    answer = asked(client, filter=chosen).json()
    assert {hit["meta"]["part"] for hit in answer["hits"]} == {"odd"}
    none = {"field": "meta.part", "operator": "==", "value": "neither"}
    assert asked(client, filter=none).json()["hits"] == []


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"query": ""}, "query"),
        ({"query": "a" * 4_001}, "query"),
        ({"query": None}, "query"),
        ({"top_k": 0}, "top_k"),
        ({"top_k": 101}, "top_k"),
        ({"top_k": "5"}, "top_k"),
        ({"candidates": 10_000}, "candidates"),
        ({"budget_ms": -1}, "budget_ms"),
        ({"first_stage": "magic"}, "first_stage"),
        ({"misses": 21}, "misses"),
        ({"query": "  \n "}, None),
        ({"filter": {"field": "meta.part"}}, None),
        ({"filter": {"field": "meta.part", "operator": "~", "value": 1}}, None),
        ({"setup": "nobody's"}, None),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(client, body, param) -> None:
    answer = asked(client, **body)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == param
    assert len(error["message"]) > 10


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff\xfe", b'{"query": "\\ud800"}'])
def test_what_is_no_body(client, content: bytes) -> None:
    assert client.post("/api/search", content=content).status_code == 400


@pytest.mark.parametrize(
    "query", ["<script>alert(1)</script>", "'; DROP TABLE x --", "a" * 1_000, "🎉" * 1_000, "\x00", "word " * 200]
)
def test_odd_queries_are_searched(client, query: str) -> None:
    answer = client.post("/api/search", json={"query": query})
    assert answer.status_code == 200
    assert answer.json()["query"] == query
    assert answer.headers["content-type"] == "application/json"


def test_many_searches_at_once(client) -> None:
    expected = asked(client).json()["hits"]
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(lambda _: asked(client), range(200)))
    assert [answer.status_code for answer in answers] == [200] * 200
    assert all(answer.json()["hits"] == expected for answer in answers)


def test_info_says_what_can_be_searched(client, setup: Setup) -> None:
    info = client.get("/api/info").json()
    (given,) = info["setups"]
    assert (given["name"], given["bi_encoder"], given["cross_encoder"]) == ("words", "words", "shared-words")
    assert (given["passages"], given["first_stages"]) == (60, ["hybrid", "dense", "bm25"])
    assert given["facets"]["part"] == [{"value": "even", "count": 30}, {"value": "odd", "count": 30}]
    assert [each["value"] for each in given["facets"]["year"]] == [2000, 2001, 2002]
    assert info["uploads"]["bytes"] == 20 << 20
    assert "BICROSS_CHAT_URL" in info["chat"]["how"]


def test_facets_follow_the_collection() -> None:
    setup = filled()
    with serving(setup) as client:
        before = client.get("/api/info").json()["setups"][0]
        setup.store.delete(["d0", "d1", "d2"])
        after = client.get("/api/info").json()["setups"][0]
    assert (before["passages"], after["passages"]) == (60, 57)
    assert after["facets"]["part"] == [{"value": "odd", "count": 29}, {"value": "even", "count": 28}]


def test_a_dense_collection_says_why_it_has_no_bm25() -> None:
    with serving(filled(sparse=False)) as client:
        (given,) = client.get("/api/info").json()["setups"]
        assert given["first_stages"] == ["dense"]
        assert "--first-stage hybrid" in given["unavailable"]["bm25"]
        refused = asked(client, first_stage="bm25")
        assert refused.status_code == 400
        assert "--first-stage hybrid" in refused.json()["error"]["message"]
        assert asked(client).json()["first_stage"] == "dense"


def test_two_setups_are_told_apart() -> None:
    first, second = filled("a"), filled("b", sparse=False)
    second.store.delete(["d0"])
    with serving(first, second) as client:
        assert [each["name"] for each in client.get("/api/info").json()["setups"]] == ["a", "b"]
        assert asked(client, setup="b").json()["setup"] == "b"
        assert asked(client).json()["setup"] == "a"
    with pytest.raises(ConfigurationError, match="different names"):
        create_search_app([first, first])


def test_nothing_indexed_yet() -> None:
    with serving(Setup("new", WordEncoder(), ExactStore(), WordScorer())) as client:
        assert client.get("/api/info").json()["setups"][0]["passages"] == 0
        assert asked(client).json()["hits"] == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StoreLockedError("another process has the folder open"), 503),
        (CollectionNotFoundError("there is no collection 'x'"), 404),
        (FingerprintMismatchError("another model filled it"), 409),
    ],
)
def test_a_collection_that_cannot_be_used_now(error, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = filled()
    with serving(setup) as client:
        monkeypatch.setattr(type(setup.store), "header", lambda _: (_ for _ in ()).throw(error))
        answer = asked(client)
    assert answer.status_code == status
    assert answer.json()["error"]["message"] == str(error)


def test_a_collection_that_is_rebuilt_meanwhile() -> None:
    setup = filled()
    with serving(setup) as client:
        assert asked(client).json()["hits"]
        setup.store.drop()
        assert asked(client).json()["hits"] == []
        again = [Passage("the red bird", id="x")]
        setup.indexer().index(again)
        assert [hit["id"] for hit in asked(client).json()["hits"]] == ["x"]


def test_the_document_names_every_route_and_its_references_resolve(client) -> None:
    given = client.get("/openapi.json").json()
    assert given == document()
    served = {route.path for route in client.app.routes if route.path.startswith("/api/")}
    assert served == set(given["paths"])
    methods = {
        (route.path, method.lower())
        for route in client.app.routes
        if route.path.startswith("/api/")
        for method in route.methods - {"HEAD"}
    }
    assert methods == {(path, method) for path, each in given["paths"].items() for method in each}
    text = client.get("/openapi.json").text
    names = set(re.findall(r'"\$ref":\s*"#/components/schemas/(\w+)"', text))
    assert names
    assert names <= set(given["components"]["schemas"])


def test_an_answer_is_what_the_document_says(client) -> None:
    answer = asked(client).json()
    SearchAnswer.model_validate(answer)
    with pytest.raises(ValidationError):
        SearchAnswer.model_validate(answer | {"more": 1})
    listed = document()["components"]["schemas"]["HitAnswer"]["properties"]
    assert set(answer["hits"][0]) == set(listed)
