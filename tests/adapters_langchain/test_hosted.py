"""Hosted models in LangChain's classes: an address in place of a model's name, or the object itself."""

from __future__ import annotations

import asyncio

import pytest
from langchain_core.documents import Document
from pydantic import SecretStr

from bicross.errors import FingerprintMismatchError
from bicross.langchain import BicrossCrossEncoder, BicrossEmbeddings, BicrossReranker
from bicross.langchain.threads import computes
from bicross.remote import RemoteBiEncoder, connection
from remote.endpoint import BASE, KEY, Endpoint, body, embedded, reranked, vector

ADDRESS = "https://models.example/v1#m"
DOCUMENTS = [Document("a dog"), Document("the cat sat")]


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Endpoint:
    found = Endpoint(lambda request: embedded(request) if "input" in body(request) else reranked(request))
    client = found.client
    monkeypatch.setattr(connection.httpx, "Client", lambda **_: client)
    return found


def test_embeddings_and_rerankers_ask_the_endpoint(endpoint: Endpoint) -> None:
    embeddings = BicrossEmbeddings(model=ADDRESS, query_prompt="q: ", token=SecretStr(KEY))
    assert embeddings.embed_query("a") == pytest.approx(vector("q: a"), abs=1e-6)
    assert endpoint.requests[-1].headers["authorization"] == f"Bearer {KEY}"
    assert KEY not in repr(embeddings)
    best = BicrossReranker(model=ADDRESS, top_n=1).compress_documents(DOCUMENTS, "the cat")
    assert best[0].page_content == "the cat sat"
    assert BicrossCrossEncoder(model=ADDRESS).score([("the cat", "a cat")]) == pytest.approx([0.1])
    assert asyncio.run(embeddings.aembed_query("a")) == pytest.approx(vector("q: a"), abs=1e-6)


def test_an_object_works_as_an_address_does(endpoint: Endpoint) -> None:
    encoder = RemoteBiEncoder(BASE, "m", client=endpoint.client)
    embeddings = BicrossEmbeddings(model=encoder, normalize=True)
    assert embeddings.embed_documents(["a"])[0] == pytest.approx(vector("a"), abs=1e-6)
    assert BicrossEmbeddings(model=ADDRESS).document_fingerprint == encoder.document_fingerprint


def test_hosted_models_are_waited_for_and_not_computed() -> None:
    assert not computes(ADDRESS)
    assert not computes(RemoteBiEncoder(BASE, "m"))
    assert computes("starter")


def test_a_cache_refuses_a_model_that_was_changed(endpoint: Endpoint, tmp_path) -> None:
    BicrossEmbeddings(model=ADDRESS, cache_dir=str(tmp_path)).embed_documents(["a"])
    endpoint.answers = [lambda request: {"data": [{"index": i, "embedding": vector("another")} for i in range(1)]}]
    changed = BicrossEmbeddings(model=ADDRESS, cache_dir=str(tmp_path))
    for _ in range(2):
        with pytest.raises(FingerprintMismatchError, match="has changed"):
            changed.embed_documents(["b"])
