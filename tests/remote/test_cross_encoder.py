"""Hosted cross-encoders."""

from __future__ import annotations

import httpx
import numpy as np
import pytest

from bicross import ExactStore, Passage, Scorer, TwoStageRetriever
from bicross.errors import AnswerError, ConfigurationError, InputTypeError
from bicross.remote import Calls, RemoteBiEncoder, RemoteCrossEncoder
from bicross.witness import WITNESS_PAIRS
from remote.endpoint import BASE, Endpoint, body, embedded, reranked, score

TEXTS = ["no match", "the cat", "the cat sat", "cat"]


def scorer_of(endpoint: Endpoint, base: str = BASE, **options) -> RemoteCrossEncoder:
    return RemoteCrossEncoder(base, "m", client=endpoint.client, **options)


def test_pairs_of_a_query_go_together_and_scores_find_their_pairs() -> None:
    endpoint = Endpoint(reranked)
    scorer = scorer_of(endpoint)
    assert isinstance(scorer, Scorer)
    pairs = [("the cat sat", TEXTS[0]), ("cat", TEXTS[1]), ("the cat sat", TEXTS[2]), ("cat", TEXTS[3])]
    np.testing.assert_allclose(scorer.predict(pairs), [score(*pair) for pair in pairs], atol=1e-6)
    assert sorted((each["query"], len(each["documents"])) for each in endpoint.bodies) == [
        ("cat", 2),
        ("the cat sat", 2),
    ]
    assert scorer.predict([]).shape == (0,)


def test_the_best_come_first_and_equal_ones_in_their_order() -> None:
    ranked = scorer_of(Endpoint(reranked), calls=Calls(batch_size=2)).rank("the cat", [*TEXTS, "the cat"], top_k=3)
    assert [(item.index, round(item.score, 4)) for item in ranked] == [(1, 0.2), (2, 0.2), (4, 0.2)]


@pytest.mark.parametrize(
    ("api", "base", "path", "texts", "answer"),
    [
        (None, BASE, "/v1/rerank", "documents", {"results": [{"index": 0, "relevance_score": 0.5}]}),
        ("bicross", BASE, "/v1/rerank", "documents", {"results": [{"index": 0, "relevance_score": 0.5}]}),
        ("tei", "http://tei.example", "/rerank", "texts", [{"index": 0, "score": 0.5}]),
        (None, "https://api.zeroentropy.dev/v1", "/v1/models/rerank", "documents",
         {"results": [{"index": 0, "relevance_score": 0.5}]}),
    ],
)  # fmt: skip
def test_each_endpoint_in_its_own_way(api, base, path, texts, answer) -> None:
    endpoint = Endpoint(lambda _: answer)
    assert scorer_of(endpoint, base, api=api).predict([("q", "t")]).tolist() == [0.5]
    assert endpoint.requests[0].url.path == path
    more = {"truncate": True} if api == "tei" else {}
    assert endpoint.bodies[0] == {"model": "m", "query": "q", texts: ["t"], **more}


@pytest.mark.parametrize(("api", "sizes"), [("tei", [32, 32, 6]), ("cohere", [70])])
def test_no_more_texts_at_once_than_an_endpoint_takes(api: str, sizes: list[int]) -> None:
    def answer(request: httpx.Request):
        texts = body(request).get("texts") or body(request)["documents"]
        items = [{"index": i, "score": 0.5, "relevance_score": 0.5} for i in range(len(texts))]
        return items if api == "tei" else {"results": items}

    endpoint = Endpoint(answer)
    scorer_of(endpoint, api=api).predict([("q", str(number)) for number in range(70)])
    sent = [each.get("texts") or each["documents"] for each in endpoint.bodies]
    assert sorted(map(len, sent), reverse=True) == sizes


def test_raw_scores_are_asked_for_where_they_can_be() -> None:
    endpoint = Endpoint(reranked)
    raw = scorer_of(endpoint, api="bicross", raw_scores=True)
    raw.predict([("q", "t")])
    assert endpoint.bodies[0]["raw_scores"] is True
    assert (raw.score_unit, scorer_of(endpoint).score_unit) == ("logit", "relevance")
    assert raw.fingerprint != scorer_of(endpoint).fingerprint
    with pytest.raises(ConfigurationError, match="raw_scores is for"):
        scorer_of(endpoint, raw_scores=True)


def results(*items) -> dict:
    return {"results": [{"index": index, "relevance_score": value} for index, value in items]}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (results((0, 0.5)), "must answer 2 scores"),
        (results((0, 0.5), (0, 0.5)), "index must name"),
        (results((None, 0.5), (None, 0.4)), "index must name"),
        (results((0, 0.5), (1, None)), "score is a number"),
        (results((0, 0.5), (1, "0.5")), "score is a number"),
        (results((0, 0.5), (1, True)), "score is a number"),
        (results((0, 0.5), (1, 1e300)), "NaN or infinity for text 1"),
        ({"data": []}, "list 'results'"),
    ],
)
def test_answers_that_cannot_be_used_are_refused(answer, message: str) -> None:
    with pytest.raises(AnswerError, match=message):
        scorer_of(Endpoint(lambda _: answer)).predict([("q", "a"), ("q", "b")])


def test_nan_and_html_are_refused() -> None:
    nan = httpx.Response(200, text='{"results": [{"index": 0, "relevance_score": NaN}]}')
    with pytest.raises(AnswerError, match="NaN"):
        scorer_of(Endpoint(nan)).predict([("q", "a")])
    with pytest.raises(AnswerError, match="must answer JSON"):
        scorer_of(Endpoint(httpx.Response(200, html="<p>"))).predict([("q", "a")])


def test_bad_pairs_are_refused_before_a_request() -> None:
    endpoint = Endpoint(reranked)
    with pytest.raises(InputTypeError, match="text at position 0"):
        scorer_of(endpoint).predict([("q", None)])
    assert endpoint.requests == []


def test_the_witness_is_asked_for_once() -> None:
    endpoint = Endpoint(reranked)
    scorer = scorer_of(endpoint)
    np.testing.assert_allclose(scorer.witness(), [score(*pair) for pair in WITNESS_PAIRS], atol=1e-6)
    assert scorer.witness() is scorer.witness()
    assert len(endpoint.requests) == 1


def test_both_stages_may_be_hosted() -> None:
    def answer(request: httpx.Request):
        return embedded(request) if "input" in body(request) else reranked(request)

    endpoint = Endpoint(answer)
    retriever = TwoStageRetriever(RemoteBiEncoder(BASE, "b", client=endpoint.client), ExactStore(), scorer_of(endpoint))
    retriever.index([Passage(text, id=str(place)) for place, text in enumerate(TEXTS)])
    result = retriever.search("the cat sat", top_k=2)
    assert result[0].passage.text == "the cat sat"
    assert result[0].rerank_score == pytest.approx(0.3)
    assert result.reranked == 4
    assert len(retriever.search("the cat sat", windows=True)) == 4
