"""An endpoint that answers as it is told, without a network."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from typing import Any

import httpx
import numpy as np

BASE = "https://models.example/v1"
KEY = "sk-canary-0123456789"


def vector(text: str, dimension: int = 8) -> list[float]:
    """A text's own unit vector."""
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")
    values = np.random.default_rng(seed).normal(size=dimension)
    return (values / np.linalg.norm(values)).tolist()


def base64_of(values: list[float]) -> str:
    return base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()


def embedded(request: httpx.Request, key: str = "data") -> dict[str, Any]:
    """What an honest endpoint says."""
    return {key: [{"index": i, "embedding": vector(text)} for i, text in enumerate(body(request)["input"])]}


def score(query: str, text: str) -> float:
    return len(set(query.split()) & set(text.split())) / 10


def reranked(request: httpx.Request) -> dict[str, Any]:
    asked = body(request)
    scores = [(score(asked["query"], text), i) for i, text in enumerate(asked["documents"])]
    return {"results": [{"index": i, "relevance_score": value} for value, i in sorted(scores, reverse=True)]}


def body(request: httpx.Request) -> dict[str, Any]:
    return json.loads(request.content)


class Endpoint:
    """Answers one after the other; the last one stays."""

    def __init__(self, *answers: Callable[[httpx.Request], Any] | httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self._lock = threading.Lock()

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(transport=httpx.MockTransport(self._handle))

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body(request) for request in self.requests]

    def _handle(self, request: httpx.Request) -> httpx.Response:
        with self._lock:
            self.requests.append(request)
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            # A response can be read once.
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        found = answer(request)
        return found if isinstance(found, httpx.Response) else httpx.Response(200, json=found)
