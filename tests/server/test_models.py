"""The models behind OpenAI's and Cohere's endpoints."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from starlette.testclient import TestClient

from bicross import BiEncoder, CrossEncoder, LateInteractionReranker
from bicross.server import Limits, create_app
from tiny_families import write_stanford

TEXTS = ["a small dog", "the cat sat", "a"]


class FakeEncoder:
    document_fingerprint = "fake"
    name = "/home/somebody/models/fake"

    def __init__(self, value: float = 1.0) -> None:
        self.value = value

    def encode_query(self, texts):
        return np.full((len(texts), 3), -self.value, np.float32)

    def encode_document(self, texts):
        return np.full((len(texts), 3), self.value, np.float32)


def asked(app, **body):
    with TestClient(app, base_url="http://localhost") as client:
        return client.post("/v1/embeddings", json=body)


def test_embeddings_are_the_encoders_own(client: TestClient, bi_encoder: BiEncoder) -> None:
    answer = client.post("/v1/embeddings", json={"model": "bi", "input": TEXTS}).json()
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    got = np.array([item["embedding"] for item in answer["data"]], np.float32)
    np.testing.assert_allclose(got, bi_encoder.encode_document(TEXTS), atol=1e-6)
    tokens = sum(bi_encoder.count_tokens(TEXTS))
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    assert (answer["object"], answer["model"], answer["truncated"]) == ("list", "bi", 0)


def test_base64_holds_the_same_numbers(client: TestClient, bi_encoder: BiEncoder) -> None:
    answer = client.post("/v1/embeddings", json={"input": TEXTS[0], "encoding_format": "base64"}).json()
    got = np.frombuffer(base64.b64decode(answer["data"][0]["embedding"]), "<f4")
    np.testing.assert_allclose(got, bi_encoder.encode_document(TEXTS[0]), atol=1e-6)


@pytest.mark.parametrize(
    ("body", "sign"),
    [
        ({}, 1),
        ({"model": "fake"}, 1),
        ({"model": "fake:query"}, -1),
        ({"model": "fake:document", "input_type": "query"}, 1),
        ({"input_type": "search_query"}, -1),
        ({"input_type": "search_document"}, 1),
    ],
)
def test_a_query_is_encoded_as_one_where_the_client_says_so(body, sign) -> None:
    answer = asked(create_app(FakeEncoder()), input="a", **body).json()
    assert answer["data"][0]["embedding"] == [sign] * 3


def test_fewer_dimensions_are_scaled_to_unit_length(client: TestClient, bi_encoder: BiEncoder) -> None:
    answer = client.post("/v1/embeddings", json={"input": TEXTS[0], "dimensions": 4}).json()
    expected = bi_encoder.encode_document(TEXTS[0], truncate_dim=4, normalize=True)
    np.testing.assert_allclose(answer["data"][0]["embedding"], expected, atol=1e-6)
    assert client.post("/v1/embeddings", json={"input": "a", "dimensions": 4_000}).status_code == 400
    assert asked(create_app(FakeEncoder()), input="a", dimensions=2).json()["error"]["param"] == "dimensions"


def test_what_is_cut_is_counted(client: TestClient) -> None:
    before = client.get("/metrics").text
    answer = client.post("/v1/embeddings", json={"input": ["cat " * 2_000, "cat"]}).json()
    assert answer["truncated"] == 1
    assert 'bicross_truncated_texts_total{kind="embedding"} 1.0' in client.get("/metrics").text
    assert 'bicross_truncated_texts_total{kind="embedding"} 1.0' not in before


@pytest.mark.parametrize("path", ["/rerank", "/v1/rerank", "/v2/rerank"])
def test_documents_come_back_best_first(path: str, client: TestClient, cross_encoder: CrossEncoder) -> None:
    body = {"model": "cross", "query": "dog", "documents": TEXTS}
    results = client.post(path, json=body).json()["results"]
    expected = cross_encoder.rank("dog", TEXTS)
    assert [item["index"] for item in results] == [item.index for item in expected]
    np.testing.assert_allclose(
        [item["relevance_score"] for item in results], [item.score for item in expected], atol=1e-6
    )
    assert "document" not in results[0]


def test_the_best_documents_alone_with_their_texts(client: TestClient, cross_encoder: CrossEncoder) -> None:
    body = {"query": "dog", "documents": [{"text": text} for text in TEXTS], "top_n": 1, "return_documents": True}
    (best,) = client.post("/rerank", json=body).json()["results"]
    assert best["document"] == {"text": TEXTS[best["index"]]}
    assert best["index"] == cross_encoder.rank("dog", TEXTS)[0].index


def test_raw_scores_are_logits_and_others_probabilities(cross_encoder: CrossEncoder, cross_folder) -> None:
    logits = cross_encoder.predict([("dog", text) for text in TEXTS], activation="identity")
    raw = CrossEncoder.load(cross_folder, device="cpu", activation="identity")
    with raw, TestClient(create_app(None, raw), base_url="http://localhost") as client:
        for raw_scores, expected in ((True, logits), (False, 1 / (1 + np.exp(-logits)))):
            body = {"query": "dog", "documents": TEXTS, "raw_scores": raw_scores}
            results = sorted(client.post("/rerank", json=body).json()["results"], key=lambda item: item["index"])
            np.testing.assert_allclose([item["relevance_score"] for item in results], expected, atol=1e-6)


def test_late_interaction_scores_are_its_own(tmp_path) -> None:
    with LateInteractionReranker.load(write_stanford(tmp_path / "m"), device="cpu") as late:
        texts = ["the cat", "a dog", "the cat sits on the tree and the dog runs . " * 3]
        with TestClient(create_app(None, late), base_url="http://localhost") as client:
            answer = client.post("/rerank", json={"query": "dog", "documents": texts}).json()
        scores, cut = late.predict([("dog", text) for text in texts], return_truncation=True)
    results = sorted(answer["results"], key=lambda item: item["index"])
    np.testing.assert_allclose([item["relevance_score"] for item in results], scores, atol=1e-6)
    assert answer["truncated"] == int(cut.sum()) == 1


def test_the_models_are_listed_without_their_folders(client: TestClient) -> None:
    assert [item["id"] for item in client.get("/v1/models").json()["data"]] == [
        "bi",
        "bi:query",
        "bi:document",
        "cross",
    ]
    with TestClient(create_app(FakeEncoder()), base_url="http://localhost") as other:
        assert other.get("/v1/models").json()["data"][0]["id"] == "fake"


@pytest.mark.parametrize(
    ("path", "body", "status", "param"),
    [
        ("/v1/embeddings", {}, 400, "input"),
        ("/v1/embeddings", {"input": []}, 400, "input"),
        ("/v1/embeddings", {"input": None}, 400, "input"),
        ("/v1/embeddings", {"input": [1, 2, 3]}, 400, "input"),
        ("/v1/embeddings", {"input": [[1, 2], [3]]}, 400, "input"),
        ("/v1/embeddings", {"input": ["a", None]}, 400, "input.1"),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, 400, "encoding_format"),
        ("/v1/embeddings", {"input": "a", "input_type": "image"}, 400, "input_type"),
        ("/v1/embeddings", {"input": "a", "dimensions": 0}, 400, "dimensions"),
        ("/v1/embeddings", {"input": "a", "model": "text-embedding-3-small"}, 404, "model"),
        ("/v1/embeddings", {"input": "a", "model": "cross"}, 404, "model"),
        ("/v1/embeddings", {"input": ["a"] * 2_049}, 400, "input"),
        ("/v1/embeddings", {"input": "a" * 100_001}, 400, "input"),
        ("/rerank", {"query": "", "documents": ["a"]}, 400, "query"),
        ("/rerank", {"query": "a", "documents": []}, 400, "documents"),
        ("/rerank", {"query": "a" * 100_001, "documents": ["a"]}, 400, "query"),
        ("/rerank", {"query": "a", "documents": ["a"], "top_n": 0}, 400, "top_n"),
    ],
)
def test_wrong_bodies_are_told_what_is_wrong(path, body, status, param, client: TestClient) -> None:
    answer = client.post(path, json=body)
    error = answer.json()["error"]
    assert answer.status_code == status
    assert error["type"] == "invalid_request_error"
    assert (error["param"] or "").startswith(param)
    assert error["message"]


def test_a_null_is_a_field_that_is_not_there(client: TestClient) -> None:
    nulls = dict.fromkeys(["model", "encoding_format", "dimensions", "input_type", "user"])
    plain, with_nulls = (client.post("/v1/embeddings", json={"input": "a"} | more).json() for more in ({}, nulls))
    assert with_nulls == plain
    nulls = dict.fromkeys(["model", "top_n", "return_documents", "raw_scores"])
    answer = client.post("/rerank", json={"query": "a", "documents": ["a"]} | nulls)
    assert answer.status_code == 200


@pytest.mark.parametrize("body", [b"{", b"", b"[]", b'{"input": "\\ud800"}', b"\xff\xfe"])
def test_a_body_that_is_no_json_object_is_refused(body: bytes, client: TestClient) -> None:
    answer = client.post("/v1/embeddings", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_token_ids_are_told_how_to_be_texts(client: TestClient) -> None:
    answer = client.post("/v1/embeddings", json={"input": [[1, 2]]})
    assert "check_embedding_ctx_length" in answer.json()["error"]["message"]


def test_a_missing_model_is_404(bi_encoder: BiEncoder) -> None:
    with TestClient(create_app(bi_encoder), base_url="http://localhost") as client:
        answer = client.post("/rerank", json={"query": "a", "documents": ["a"]})
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_nan_is_an_error_of_the_server_and_never_an_answer() -> None:
    app = create_app(FakeEncoder(float("nan")))
    with TestClient(app, base_url="http://localhost", raise_server_exceptions=False) as client:
        answer = client.post("/v1/embeddings", json={"input": "a"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")


def test_fewer_texts_are_taken_where_the_limits_say_so(bi_encoder: BiEncoder) -> None:
    answer = asked(create_app(bi_encoder, limits=Limits(texts=1)), input=["a", "b"])
    assert "1 texts at most, got 2" in answer.json()["error"]["message"]
