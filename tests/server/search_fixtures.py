"""A search app over models that count words, so that its tests need no weights."""

from __future__ import annotations

import time

import numpy as np
from starlette.testclient import TestClient

from bicross import Passage, TwoStageRetriever
from bicross.server import Setup, create_search_app
from bicross.sparse import BM25Encoder
from bicross.stores import ExactStore
from word_models import WordEncoder, WordScorer, corpus


class SplittingEncoder(WordEncoder):
    """Says how long its passages are, so that long texts are split."""

    passage_limit = 16

    def count_tokens(self, texts):
        return [len(text.split()) for text in texts]


class LaterEncoder(WordEncoder):
    """Waits before each batch."""

    seconds = 0.0

    def encode_document(self, texts):
        time.sleep(self.seconds)
        return super().encode_document(texts)

    def encode_query(self, texts):
        return np.asarray(super().encode_document(texts))


def passages() -> list[Passage]:
    return [
        Passage(text, id=id, title=f"Title {id}", meta={"part": "odd" if i % 2 else "even", "year": 2000 + i % 3})
        for i, (id, text) in enumerate(corpus()["documents"].items())
    ]


def filled(name: str = "words", *, sparse: bool = True, encoder: WordEncoder | None = None) -> Setup:
    lexical = BM25Encoder("en") if sparse else None
    made = Setup(name, encoder or SplittingEncoder(), ExactStore(), WordScorer(), sparse_encoder=lexical)
    kind = "hybrid" if sparse else "dense"
    TwoStageRetriever(made.bi_encoder, made.store, first_stage=kind, sparse_encoder=lexical).index(passages())
    return made


def empty(encoder: WordEncoder | None = None) -> Setup:
    """Over a store that holds nothing yet."""
    return Setup("new", encoder or SplittingEncoder(), ExactStore(), WordScorer(), sparse_encoder=BM25Encoder("en"))


def serving(*setups: Setup, **options) -> TestClient:
    return TestClient(
        create_search_app(setups or [filled()], **options), base_url="http://localhost", raise_server_exceptions=False
    )


def ended(client: TestClient, id: str, seconds: float = 30.0) -> dict:
    """A job once it has ended."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        job = client.get(f"/api/index/{id}").json()
        if job["state"] not in ("waiting", "reading", "indexing"):
            return job
        time.sleep(0.01)
    raise AssertionError(f"job {id} doesn't end: {job}")
