"""Hosted bi-encoders: what is sent, and what becomes of the answers."""

from __future__ import annotations

import threading

import httpx
import numpy as np
import pytest

from bicross import Encoder, ExactStore, Passage, TwoStageRetriever
from bicross.errors import (
    AnswerError,
    ClosedError,
    ConfigurationError,
    FingerprintMismatchError,
    InputTypeError,
    RemoteError,
)
from bicross.remote import Calls, RemoteBiEncoder
from bicross.witness import WITNESS_TEXT
from remote.endpoint import BASE, Endpoint, base64_of, embedded, vector


def encoder_of(endpoint: Endpoint, **options) -> RemoteBiEncoder:
    return RemoteBiEncoder(options.pop("base", BASE), "m", client=endpoint.client, **options)


def test_texts_become_vectors_in_their_order() -> None:
    endpoint = Endpoint(embedded)
    encoder = encoder_of(endpoint)
    assert isinstance(encoder, Encoder)
    texts = ["b", "a", "b", "c"]
    vectors = encoder.encode_document(texts)
    np.testing.assert_allclose(vectors, [vector(text) for text in texts], atol=1e-6)
    assert vectors.dtype == np.float32
    assert endpoint.bodies == [{"model": "m", "input": ["b", "a", "c"]}]
    assert str(endpoint.requests[0].url) == "https://models.example/v1/embeddings"
    single = encoder.encode_query("a")
    assert single.shape == (8,)
    assert encoder.dimension == 8


def test_batches_go_out_side_by_side() -> None:
    arrived = threading.Barrier(3)

    def together(request: httpx.Request):
        arrived.wait(10)  # only three at the same time get on
        return embedded(request)

    endpoint = Endpoint(together)
    encoder = encoder_of(endpoint, calls=Calls(batch_size=2, concurrency=3))
    texts = [str(number) for number in range(6)]
    np.testing.assert_allclose(encoder.encode_document(texts), [vector(text) for text in texts], atol=1e-6)
    assert sorted(len(each["input"]) for each in endpoint.bodies) == [2, 2, 2]


def test_no_more_requests_than_allowed_at_a_time() -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def counted(request: httpx.Request):
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        threading.Event().wait(0.01)
        with lock:
            running[0] -= 1
        return embedded(request)

    encoder = encoder_of(Endpoint(counted), calls=Calls(batch_size=1, concurrency=2))
    callers = [threading.Thread(target=encoder.encode_document, args=([f"{n}{i}" for i in range(4)],)) for n in "abc"]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert most[0] == 2


def test_prompts_dimensions_and_input_types_are_sent() -> None:
    endpoint = Endpoint(embedded)
    options = {"dimensions": 8, "query_prompt": "query: ", "document_input_type": "passage"}
    encoder = encoder_of(endpoint, **options)
    encoder.encode_query("a")
    encoder.encode_document("a")
    encoder.encode_query("a", prompt="p: ")
    assert endpoint.bodies == [
        {"model": "m", "input": ["query: a"], "dimensions": 8},
        {"model": "m", "input": ["a"], "dimensions": 8, "input_type": "passage"},
        {"model": "m", "input": ["p: a"], "dimensions": 8},
    ]


def test_zeroentropy_is_asked_in_its_own_way() -> None:
    def answer(request: httpx.Request):
        return {"results": [{"embedding": base64_of(item["embedding"])} for item in embedded(request)["data"]]}

    endpoint = Endpoint(answer)
    encoder = encoder_of(endpoint, base="https://api.zeroentropy.dev/v1", dimensions=8)
    np.testing.assert_allclose(encoder.encode_query(["a", "b"]), [vector("a"), vector("b")], atol=1e-6)
    assert endpoint.bodies[0] == {
        "model": "m", "input": ["a", "b"], "encoding_format": "base64", "dimensions": 8, "input_type": "query",
    }  # fmt: skip
    assert str(endpoint.requests[0].url) == "https://api.zeroentropy.dev/v1/models/embed"
    encoder.encode_document("a")
    assert endpoint.bodies[1]["input_type"] == "document"


def test_answers_in_another_order_find_their_texts() -> None:
    def turned(request: httpx.Request):
        return {"data": embedded(request)["data"][::-1]}

    encoder = encoder_of(Endpoint(turned))
    np.testing.assert_allclose(encoder.encode_document(["a", "b"]), [vector("a"), vector("b")], atol=1e-6)


def rows(*values) -> dict:
    return {"data": [{"index": i, "embedding": value} for i, value in enumerate(values)]}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (rows([1.0, 0.0]), "must answer 2 vectors, one for each text, got 1"),
        (rows([1.0], [1.0], [1.0]), "got 3"),
        ({"data": [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}, "index must name"),
        ({"data": [{"index": 1, "embedding": [1.0]}, {"index": 2, "embedding": [1.0]}]}, "index must name"),
        ({"data": [{"index": "0", "embedding": [1.0]}, {"embedding": [1.0]}]}, "index must name"),
        (rows([1.0, 0.0], [1.0, None]), "list of numbers"),
        (rows([1.0, 0.0], [1.0, "x"]), "list of numbers"),
        (rows([1.0, 0.0], [1.0, True]), "list of numbers"),
        (rows([1.0, 0.0], None), "list of numbers"),
        (rows([1.0, 0.0], "AAA"), "list of numbers"),
        (rows([1.0, 0.0], "AAAA"), "list of numbers"),
        (rows([1.0, 0.0], [1.0, 1e300]), "NaN or infinity for text 1"),
        (rows([1.0, 0.0], [1.0]), "one length"),
        (rows([], []), "one length"),
        ({"results": []}, "list 'data'"),
        ({"data": [1, 2]}, "list 'data'"),
        ([], "list 'data'"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(answer, message: str, pauses: list[float]) -> None:
    endpoint = Endpoint(lambda _: answer)
    with pytest.raises(AnswerError, match=message):
        encoder_of(endpoint).encode_document(["a", "b"])
    assert (len(endpoint.requests), pauses) == (1, [])


@pytest.mark.parametrize("text", ['{"data": [{"index": 0, "embedding": [NaN, 1.0]}]}',
                                  '{"data": [{"index": 0, "embedding": [Infinity, 1.0]}]}'])  # fmt: skip
def test_nan_is_refused(text: str) -> None:
    with pytest.raises(AnswerError, match="NaN or infinity for text 0"):
        encoder_of(Endpoint(httpx.Response(200, text=text))).encode_document(["a"])


def test_html_instead_of_json_is_named() -> None:
    page = httpx.Response(200, html="<!doctype html><h1>Welcome</h1>")
    with pytest.raises(AnswerError, match=r"must answer JSON, got 'text/html.*doctype html.*endpoint's base\?"):
        encoder_of(Endpoint(page)).encode_document(["a"])


def test_another_dimension_than_before_or_than_asked_is_refused() -> None:
    encoder = encoder_of(Endpoint(embedded, lambda _: rows([1.0, 0.0])))
    encoder.encode_document("a")
    with pytest.raises(AnswerError, match="vectors of 8 dimensions, as it was asked or did before; got 2"):
        encoder.encode_document("b")
    with pytest.raises(AnswerError, match="of 4 dimensions"):
        encoder_of(Endpoint(embedded), dimensions=4).encode_document("a")


def test_nothing_is_nothing_and_bad_texts_are_refused_before_a_request() -> None:
    endpoint = Endpoint(embedded)
    encoder = encoder_of(endpoint, dimensions=8)
    assert encoder.encode_document([]).shape == (0, 8)
    with pytest.raises(InputTypeError, match="position 1"):
        encoder.encode_document(["a", None])
    assert endpoint.requests == []
    assert encoder_of(endpoint).encode_document([]).shape == (0, 8)


def test_shorter_and_scaled_vectors() -> None:
    encoder = encoder_of(Endpoint(embedded))
    found, cut = encoder.encode_document(["a"], truncate_dim=3, normalize=True, return_truncation=True)
    expected = np.array(vector("a")[:3])
    np.testing.assert_allclose(found[0], expected / np.linalg.norm(expected), atol=1e-6)
    assert cut.tolist() == [False]
    with pytest.raises(ConfigurationError, match="at most 8, got 9"):
        encoder.encode_document(["a"], truncate_dim=9)


def test_the_fingerprint_is_the_name_and_what_changes_a_vector() -> None:
    def prints(**options) -> tuple[str, str]:
        encoder = RemoteBiEncoder(options.pop("base", BASE), options.pop("model", "m"), **options)
        return encoder.document_fingerprint, encoder.query_fingerprint

    plain = prints()
    assert plain[0] == plain[1]
    assert prints(base="https://elsewhere.example") == plain
    assert prints(calls=Calls(batch_size=7), similarity="dot") == plain
    changed = [prints(model="n"), prints(dimensions=8), prints(document_prompt="d: "), prints(api="bicross")]
    assert len({one for one, _ in changed} | {plain[0]}) == 5
    assert prints(query_prompt="q: ")[0] == plain[0] != prints(query_prompt="q: ")[1]
    encoder = RemoteBiEncoder(BASE, "m")
    assert (
        len({plain[0], encoder.fingerprint("document", truncate_dim=3), encoder.fingerprint("query", prompt="x")}) == 3
    )


def shifted(amount: float):
    """An endpoint whose vectors were turned a little."""

    def answer(request: httpx.Request):
        found = embedded(request)
        for item in found["data"]:
            turned = np.array(item["embedding"]) + amount * np.array(vector("another direction"))
            item["embedding"] = turned.tolist()
        return found

    return answer


PASSAGES = [Passage("a dog", id="1"), Passage("a cat", id="2")]


@pytest.mark.parametrize("amount", [0.0, 0.01])
def test_a_collection_keeps_a_witness_of_the_same_model(amount: float) -> None:
    store = ExactStore()
    TwoStageRetriever(encoder_of(Endpoint(embedded)), store).index(PASSAGES)
    again = TwoStageRetriever(encoder_of(Endpoint(shifted(amount))), store)
    assert len(again.search("a dog")) == 2


def test_a_model_that_was_changed_behind_its_name_is_refused() -> None:
    store = ExactStore()
    TwoStageRetriever(encoder_of(Endpoint(embedded)), store).index(PASSAGES)
    endpoint = Endpoint(shifted(0.2))
    changed = TwoStageRetriever(encoder_of(endpoint), store)
    for _ in range(2):  # and again: a second try isn't let through
        with pytest.raises(FingerprintMismatchError, match=r"cosine 0\.9\d+, at least 0.999 is needed"):
            changed.search("a dog")
        with pytest.raises(FingerprintMismatchError, match="has changed"):
            changed.index([Passage("more", id="3")])
    assert [each["input"] for each in endpoint.bodies] == [[WITNESS_TEXT]]
    assert store.count() == 2


def test_another_name_is_refused_as_ever() -> None:
    store = ExactStore()
    TwoStageRetriever(encoder_of(Endpoint(embedded)), store).index(PASSAGES)
    other = RemoteBiEncoder(BASE, "n", client=Endpoint(embedded).client)
    with pytest.raises(FingerprintMismatchError):
        TwoStageRetriever(other, store).search("a dog")


def test_retries_stop_and_what_has_not_begun_never_does(pauses: list[float]) -> None:
    endpoint = Endpoint(httpx.Response(400, json={"error": {"message": "no"}}))
    encoder = encoder_of(endpoint, calls=Calls(batch_size=1, concurrency=1))
    with pytest.raises(RemoteError, match="answered 400: no"):
        encoder.encode_document([str(number) for number in range(50)])
    assert len(endpoint.requests) < 5
    assert pauses == []


def test_closed_is_closed() -> None:
    encoder = encoder_of(Endpoint(embedded))
    encoder.encode_document("a")
    encoder.close()
    encoder.close()
    with pytest.raises(ClosedError):
        encoder.encode_document("b")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": "models.example/v1"}, "http or https"),
        ({"base": "ftp://models.example"}, "http or https"),
        ({"base": "https://"}, "http or https"),
        ({"base": "https://a:b@models.example"}, "no user and no password"),
        ({"base": "https://models.example/v1#m"}, "from_address"),
        ({"base": "https://models.example:port"}, "http or https"),
        ({"api": "soap"}, "api is one of"),
        ({"dimensions": 0}, "dimensions"),
        ({"similarity": "euclidean"}, "similarity"),
    ],
)
def test_arguments_that_make_no_sense(options, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        encoder_of(Endpoint(embedded), **options)


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"concurrency": 0}, {"timeout": 0}, {"retry_seconds": -1}])
def test_calls_that_make_no_sense(options) -> None:
    with pytest.raises(ConfigurationError):
        Calls(**options)


def test_lengths_are_estimated_for_splitting() -> None:
    encoder = RemoteBiEncoder(BASE, "m", document_prompt="doc: ", max_length=100)
    assert encoder.count_tokens(["", "word", "words", "東京都"]) == [0, 1, 2, 3]
    assert encoder.passage_limit == 98
