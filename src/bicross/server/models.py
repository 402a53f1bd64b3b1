"""The endpoints of the models: embeddings, reranking, and the list of them."""

from __future__ import annotations

import base64
import json
import time
import uuid
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import Response

from bicross.arrays import ranked
from bicross.bi_encoder import BiEncoder
from bicross.cross_encoder import CrossEncoder
from bicross.encoding.backends.numeric import activate
from bicross.encoding.prompts import Role
from bicross.encoding.tokenizer import check_texts
from bicross.late_interaction import LateInteractionReranker
from bicross.server.bodies import EmbeddingsBody, RerankBody
from bicross.server.failures import Refusal
from bicross.server.metrics import Metrics
from bicross.server.settings import Limits
from bicross.server.work import Work
from bicross.types import Encoder, Floats, Scorer

Kind = Literal["embedding", "rerank"]


class ModelAPI:
    """The two models behind OpenAI's and Cohere's endpoints.

    Args:
        bi_encoder, cross_encoder: The models; None: the endpoint answers 404.
        work: Where requests wait for their turn.
        names: What clients call them, by kind; where it is missing, the last part of the model's own name.
    """

    def __init__(
        self,
        bi_encoder: Encoder | None,
        cross_encoder: Scorer | None,
        work: Work,
        names: dict[Kind, str] | None = None,
    ) -> None:
        self.bi_encoder = bi_encoder
        self.cross_encoder = cross_encoder
        self.work = work
        self.limits: Limits = work.limits
        self.metrics: Metrics = work.metrics
        self._began = int(time.time())
        models: dict[Kind, Any] = {"embedding": bi_encoder, "rerank": cross_encoder}
        given = names or {}
        self.names = {kind: given.get(kind) or _name(model) for kind, model in models.items() if model is not None}

    async def embeddings(self, request: Request) -> Response:
        """``POST /v1/embeddings``."""
        return await self.work.run(request, self._embeddings)

    async def rerank(self, request: Request) -> Response:
        """``POST /rerank``, ``/v1/rerank`` and ``/v2/rerank``."""
        return await self.work.run(request, self._rerank)

    async def models(self, request: Request) -> Response:  # noqa: ARG002  # starlette's signature
        """``GET /v1/models``."""
        names = dict.fromkeys(name for kind in self.names for name in self._called(kind))
        return _json(
            {
                "object": "list",
                "data": [
                    {"id": name, "object": "model", "created": self._began, "owned_by": "bicross"} for name in names
                ],
            }
        )

    # --- in a thread -------------------------------------------------------------------------------------------------

    def _embeddings(self, body: bytes) -> Response:
        asked = EmbeddingsBody.model_validate_json(body)
        encoder = self.bi_encoder
        role = self._check_model(asked.model, "embedding") or _role(asked.input_type)
        assert encoder is not None
        self._check_sizes(asked.texts, "input")
        texts = check_texts(asked.texts, "input")
        vectors, cut = self._encode(encoder, role, texts, asked.dimensions)
        if not np.isfinite(vectors).all():
            raise ArithmeticError("The bi-encoder gave NaN or infinity.")
        self.metrics.texts.labels("embedding").inc(len(texts))
        self.metrics.truncated.labels("embedding").inc(cut)
        tokens = sum(encoder.count_tokens(texts)) if isinstance(encoder, BiEncoder) else 0
        data = [
            {"object": "embedding", "index": i, "embedding": _written(vector, asked.encoding_format)}
            for i, vector in enumerate(vectors)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        model = asked.model or self.names["embedding"]
        return _json({"object": "list", "data": data, "model": model, "usage": usage, "truncated": cut})

    def _encode(self, encoder: Encoder, role: Role, texts: list[str], dimensions: int | None) -> tuple[Floats, int]:
        """Vectors, and how many texts were cut. **Shape:** (len(texts), dimension)."""
        if not isinstance(encoder, BiEncoder):
            vectors = encoder.encode_query(texts) if role == "query" else encoder.encode_document(texts)
            if dimensions not in (None, vectors.shape[1]):
                raise Refusal(400, f"dimensions is {vectors.shape[1]}, got {dimensions}.", param="dimensions")
            return vectors, 0
        encode = encoder.encode_query if role == "query" else encoder.encode_document
        vectors, cut = encode(
            texts,
            batch_tokens=self.limits.batch_tokens,
            truncate_dim=dimensions,
            normalize=None if dimensions is None else True,  # as OpenAI's servers do
            show_progress=False,
            return_truncation=True,
        )
        return vectors, int(np.count_nonzero(cut))

    def _rerank(self, body: bytes) -> Response:
        asked = RerankBody.model_validate_json(body)
        scorer = self.cross_encoder
        self._check_model(asked.model, "rerank")
        assert scorer is not None
        texts = asked.texts
        self._check_sizes(texts, "documents")
        self._check_sizes([asked.query], "query")
        pairs = [(asked.query, text) for text in check_texts(texts, "document")]
        scores, cut = self._score(scorer, pairs, raw=asked.raw_scores)
        if not np.isfinite(scores).all():
            raise ArithmeticError("The cross-encoder gave NaN or infinity.")
        self.metrics.texts.labels("rerank").inc(len(pairs))
        self.metrics.truncated.labels("rerank").inc(cut)
        results: list[dict[str, Any]] = [
            {"index": item.index, "relevance_score": item.score} for item in ranked(scores, asked.top_n)
        ]
        if asked.return_documents:
            results = [result | {"document": {"text": texts[result["index"]]}} for result in results]
        model = asked.model or self.names["rerank"]
        return _json({"id": uuid.uuid4().hex, "model": model, "results": results, "truncated": cut})

    def _score(self, scorer: Scorer, pairs: list[tuple[str, str]], *, raw: bool) -> tuple[Floats, int]:
        """Scores, and how many pairs were cut. **Unit:** probability, unless raw. **Shape:** (len(pairs),).

        Another scorer than a cross-encoder has a unit of its own.
        """
        if isinstance(scorer, LateInteractionReranker):
            scores, cut = scorer.counted(pairs, self.limits.batch_tokens)
            return scores, int(np.count_nonzero(cut))
        if not isinstance(scorer, CrossEncoder):
            return np.asarray(scorer.predict(pairs), np.float32), 0
        scores, cut = scorer.predict(
            pairs,
            activation="identity" if raw else None,
            batch_tokens=self.limits.batch_tokens,
            show_progress=False,
            return_truncation=True,
        )
        if not raw and scorer.score_unit == "logit":  # clients expect scores from 0 to 1
            scores = activate(scores[:, None], "sigmoid")[:, 0]
        return scores, int(np.count_nonzero(cut))

    # --- checks ------------------------------------------------------------------------------------------------------

    def _called(self, kind: Kind) -> dict[str, Role | None]:
        """The names of a model, and the role that each stands for.

        Clients that can set a model's name and nothing else reach the query's prompt by ``name:query``.
        """
        name = self.names[kind]
        roles: dict[str, Role | None] = {f"{name}:query": "query", f"{name}:document": "document"}
        return {name: None} | (roles if kind == "embedding" else {})

    def _check_model(self, name: str | None, kind: Kind) -> Role | None:
        """The role that a model's name asks for.

        Raises:
            Refusal: There is no such model.
        """
        if kind not in self.names:
            raise Refusal(404, f"This server has no model for this endpoint ({kind}).", code="model_not_found")
        names = self._called(kind)
        if name is None:
            return None
        if name not in names:
            listed = ", ".join(map(repr, names))
            raise Refusal(404, f"model is one of {listed}, got {name!r:.100}.", param="model", code="model_not_found")
        return names[name]

    def _check_sizes(self, texts: list[str], param: str) -> None:
        if len(texts) > self.limits.texts:
            raise Refusal(
                400, f"{param} has {self.limits.texts} texts at most, got {len(texts)}. Send several requests.",
                param=param,
            )  # fmt: skip
        if not texts:
            raise Refusal(400, f"{param} is empty.", param=param)
        longest = max(range(len(texts)), key=lambda i: len(texts[i]))
        if len(texts[longest]) > self.limits.characters:
            raise Refusal(
                400,
                f"A text has {self.limits.characters} characters at most, got {len(texts[longest])} at position "
                f"{longest}. Split it.",
                param=param,
            )


def _name(model: Any) -> str:
    """What clients call a model: its name, of a folder the last part alone."""
    name: str = getattr(model, "name", None) or type(model).__name__
    return Path(name).name if Path(name).is_absolute() else name


def _role(input_type: str) -> Role:
    return "query" if input_type.endswith("query") else "document"


def _written(vector: npt.NDArray[np.float32], encoding: str) -> str | list[float]:
    """A vector as JSON: numbers, or base64 of little-endian float32. **Shape:** (dimension,)."""
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode("ascii")
    numbers: list[float] = vector.tolist()
    return numbers


def _json(value: Any) -> Response:
    return Response(json.dumps(value, separators=(",", ":")), media_type="application/json")
