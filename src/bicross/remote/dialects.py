"""How endpoints are asked and what they answer: OpenAI's, Cohere's and Jina's, and those that differ."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from bicross.encoding.prompts import Role
from bicross.errors import AnswerError, ConfigurationError
from bicross.types import Floats


class EmbeddingDialect(NamedTuple):
    """An endpoint that embeds.

    Attributes:
        path: Behind the base.
        items: The answer's field that holds one object for each text, with ``embedding`` and perhaps ``index``.
        fixed: Fields of every request.
        input_types: What ``input_type`` says of a query and of a document; None: the field isn't sent.
    """

    path: str
    items: str
    fixed: Mapping[str, Any] = {}
    input_types: Mapping[Role, str] | None = None

    def body(self, model: str, texts: Sequence[str], dimensions: int | None, input_type: str | None) -> dict[str, Any]:
        """A request."""
        body = {"model": model, "input": list(texts), **self.fixed}
        if dimensions is not None:
            body["dimensions"] = dimensions
        if input_type is not None:
            body["input_type"] = input_type
        return body


class RerankDialect(NamedTuple):
    """An endpoint that scores texts against a query.

    Attributes:
        path: Behind the base.
        texts: The request's field of the texts.
        items: The answer's field of objects with ``index`` and a score; None: the answer is their list.
        score: Their field of the score.
        fixed: Fields of every request.
        batch: Texts of a request, where nobody says.
        raw: Whether it takes ``raw_scores`` and answers logits then.
    """

    path: str
    texts: str = "documents"
    items: str | None = "results"
    score: str = "relevance_score"
    fixed: Mapping[str, Any] = {}
    batch: int = 100
    raw: bool = False

    def body(self, model: str, query: str, texts: Sequence[str], *, raw_scores: bool) -> dict[str, Any]:
        """A request."""
        body: dict[str, Any] = {"model": model, "query": query, self.texts: list(texts), **self.fixed}
        return body | {"raw_scores": True} if raw_scores else body


_ROLES: dict[Role, str] = {"query": "query", "document": "document"}
EMBEDDING_DIALECTS = {
    "openai": EmbeddingDialect("/embeddings", "data"),
    "bicross": EmbeddingDialect("/embeddings", "data", {"encoding_format": "base64"}, _ROLES),
    "zeroentropy": EmbeddingDialect("/models/embed", "results", {"encoding_format": "base64"}, _ROLES),
}
RERANK_DIALECTS = {
    "cohere": RerankDialect("/rerank"),
    "bicross": RerankDialect("/rerank", raw=True),
    # It refuses more texts, and longer ones, unless it was started with other settings.
    "tei": RerankDialect(
        "/rerank", texts="texts", items=None, score="score", fixed={"truncate": True}, batch=32, raw=True
    ),
    "zeroentropy": RerankDialect("/models/rerank"),
}
_ZEROENTROPY = "://api.zeroentropy.dev"


def choose(api: str | None, base_url: str, known: Mapping[str, Any], default: str) -> str:
    """The name of an endpoint's dialect: the one that is asked for, the host's own, or the usual one.

    Raises:
        ConfigurationError: There is none of this name.
    """
    name = api or ("zeroentropy" if _ZEROENTROPY in base_url else default)
    if name not in known:
        raise ConfigurationError(f"api is one of {', '.join(map(repr, known))}, got {api!r}.")
    return name


def vectors_of(answer: Any, items: str, count: int, where: str) -> Floats:
    """The vectors of an answer, in the order of the texts that were sent. **Shape:** (count, dimension).

    Raises:
        AnswerError: There are fewer or more, two for one text, some that aren't numbers or aren't finite, or some of
            different lengths.
    """
    placed = _placed(answer, items, count, where, "vectors", ordered=True)
    rows = [_row(item.get("embedding"), position, where) for position, item in enumerate(placed)]
    if len({len(row) for row in rows}) > 1 or not len(rows[0]):
        raise AnswerError(f"Vectors have one length, got {sorted({len(row) for row in rows})} from {where}.")
    vectors = np.stack(rows)
    _check_finite(np.isfinite(vectors).all(axis=1), "vector", where)
    return vectors


def scores_of(answer: Any, dialect: RerankDialect, count: int, where: str) -> Floats:
    """The scores of an answer, in the order of the texts that were sent. **Shape:** (count,).

    Raises:
        AnswerError: There are fewer or more, two for one text, or some that aren't finite numbers.
    """
    placed = _placed(answer, dialect.items, count, where, "scores", ordered=False)
    values = [item.get(dialect.score) for item in placed]
    wrong = [i for i, value in enumerate(values) if isinstance(value, bool) or not isinstance(value, int | float)]
    if wrong:
        raise AnswerError(f"A score is a number, got {values[wrong[0]]!r:.60} for text {wrong[0]} from {where}.")
    with np.errstate(over="ignore"):
        scores = np.asarray(values, np.float32)
    _check_finite(np.isfinite(scores), "score", where)
    return scores


def _placed(
    answer: Any, items: str | None, count: int, where: str, what: str, *, ordered: bool
) -> list[Mapping[str, Any]]:
    """The items of an answer by the position of their text: servers may answer in any order.

    Where they may leave ``index`` out, `ordered`, their order is the texts'.
    """
    found = answer if items is None else answer.get(items) if isinstance(answer, Mapping) else None
    if not isinstance(found, list) or not all(isinstance(item, Mapping) for item in found):
        wanted = "a list of objects" if items is None else f"an object with the list {items!r}"
        raise AnswerError(f"{where} must answer {wanted}, got {answer!r:.120}. Is api= right?")
    if len(found) != count:
        raise AnswerError(f"{where} must answer {count} {what}, one for each text, got {len(found)}.")
    indices = [item.get("index") for item in found]
    if ordered and all(index is None for index in indices):
        return found
    if not all(type(index) is int for index in indices) or sorted(indices) != list(range(count)):
        raise AnswerError(f"The field index must name each of {count} texts once, got {indices!s:.120} from {where}.")
    by_place = dict(zip(indices, found, strict=True))
    return [by_place[position] for position in range(count)]


def _row(value: Any, position: int, where: str) -> Floats:
    """A vector as it was answered: numbers, or base64 of little-endian float32. **Shape:** (dimension,)."""
    try:
        if isinstance(value, str):
            return np.frombuffer(base64.b64decode(value, validate=True), "<f4").astype(np.float32)
        if isinstance(value, Sequence) and all(type(number) in (int, float) for number in value):
            with np.errstate(over="ignore"):  # infinity is refused below
                return np.asarray(value, np.float32)
    except (binascii.Error, ValueError, OverflowError):
        pass
    raise AnswerError(f"A vector is a list of numbers, got {value!r:.60} for text {position} from {where}.")


def _check_finite(finite: Any, what: str, where: str) -> None:
    if not finite.all():
        position = int(np.argmin(finite))
        raise AnswerError(f"A {what} is finite, got NaN or infinity for text {position} from {where}.")
