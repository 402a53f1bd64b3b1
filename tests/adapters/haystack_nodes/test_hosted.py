"""Hosted models in Haystack's nodes: an address in place of a model's name."""

from __future__ import annotations

import httpx
import pytest
from haystack import Document, Pipeline
from haystack.utils import Secret

from bicross.errors import ConfigurationError, FingerprintMismatchError
from bicross.remote import connection
from haystack_integrations.common.bicross.node import load_options
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder, BicrossTextEmbedder
from haystack_integrations.components.rankers.bicross import BicrossRanker
from haystack_integrations.components.retrievers.bicross import BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore
from remote.endpoint import KEY, Endpoint, body, embedded, reranked

ADDRESS = "https://models.example/v1#m"
DOCUMENTS = [Document(content="the cat sat"), Document(content="a dog")]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    found = Endpoint(lambda request: embedded(request) if "input" in body(request) else reranked(request))
    client = found.client
    monkeypatch.setattr(connection.httpx, "Client", lambda **_: client)
    return found


def test_the_nodes_embed_search_and_rank_by_an_endpoint(endpoint: Endpoint) -> None:
    embedder = BicrossDocumentEmbedder(ADDRESS, prefix="d: ")
    found = embedder.run(DOCUMENTS)
    assert found["meta"]["embedded"] == 2
    assert found["meta"]["model"] == ADDRESS
    assert endpoint.bodies[-1]["input"] == ["d: the cat sat", "d: a dog"]
    assert len(BicrossTextEmbedder(ADDRESS).run("a dog")["embedding"]) == 8
    ranked = BicrossRanker(ADDRESS, top_k=1).run("the cat", DOCUMENTS)
    assert ranked["documents"][0].content == "the cat sat"


def test_both_stages_and_the_witness(endpoint: Endpoint) -> None:
    store = BicrossDocumentStore(path=":memory:")
    store.write_documents(BicrossDocumentEmbedder(ADDRESS).run(DOCUMENTS)["documents"])
    retriever = BicrossRetriever(store, ADDRESS, ADDRESS)
    found = retriever.run("the cat sat")
    assert [document.content for document in found["documents"]] == ["the cat sat", "a dog"]
    assert found["meta"]["reranked"] == 2
    assert store.store.header().witness is not None
    with pytest.raises(FingerprintMismatchError):
        BicrossRetriever(store, "https://models.example/v1#another", None).run("a dog")


def test_the_hubs_token_goes_to_no_other_host(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf-token")
    monkeypatch.setenv("HF_API_TOKEN", "hf-token")
    BicrossTextEmbedder(ADDRESS).run("a")
    assert "authorization" not in endpoint.requests[-1].headers


def test_a_hosts_key_goes_not_to_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    monkeypatch.setenv("HF_TOKEN", "hf-token")
    store = BicrossDocumentStore(path=":memory:")
    node = BicrossRetriever(store, ADDRESS, "owner/ranker", token=Secret.from_env_var("MY_KEY"))
    assert load_options(node, ADDRESS)["key"] == Secret.from_env_var("MY_KEY")
    assert load_options(node, "owner/ranker")["token"] is None
    assert load_options(BicrossRetriever(store, ADDRESS, "owner/ranker"), "owner/ranker")["token"] == "hf-token"
    alone = BicrossRanker("owner/ranker", token=Secret.from_env_var("MY_KEY"))
    assert load_options(alone, "owner/ranker")["token"] == KEY


def test_a_key_is_sent_and_not_saved(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    pipeline = Pipeline()
    pipeline.add_component("embedder", BicrossTextEmbedder(ADDRESS, token=Secret.from_env_var("MY_KEY")))
    saved = pipeline.dumps()
    assert KEY not in saved
    again = Pipeline.loads(saved)
    again.run({"embedder": {"text": "a"}})
    assert endpoint.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in again.dumps()


def test_one_key_is_for_one_host() -> None:
    store = BicrossDocumentStore(path=":memory:")
    other = "https://other.example/v1#m"
    with pytest.raises(ConfigurationError, match="token is the key of one host"):
        BicrossRetriever(store, ADDRESS, other, token=Secret.from_env_var("MY_KEY"))
    BicrossRetriever(store, ADDRESS, other)
    BicrossRetriever(store, ADDRESS, "starter", token=Secret.from_env_var("MY_KEY"))


def test_options_of_a_local_model_are_refused(endpoint: Endpoint) -> None:
    with pytest.raises(ConfigurationError, match="precision belongs to a model that computes here"):
        BicrossTextEmbedder(ADDRESS, precision="int8").run("a")


def test_a_server_that_fails_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    client = Endpoint(httpx.Response(404, json={"error": {"message": "no such model"}})).client
    monkeypatch.setattr(connection.httpx, "Client", lambda **_: client)
    with pytest.raises(RuntimeError, match=r"models\.example/v1 answered 404: no such model"):
        BicrossTextEmbedder(ADDRESS).run("a")
