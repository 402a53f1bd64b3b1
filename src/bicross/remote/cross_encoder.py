"""A hosted model as a cross-encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from bicross.arguments import check_count
from bicross.arrays import ranked
from bicross.cross_encoder import check_pairs
from bicross.encoding.fingerprint import digest
from bicross.encoding.tokenizer import check_text, check_texts
from bicross.errors import ConfigurationError
from bicross.progress import progress
from bicross.remote.address import Calls
from bicross.remote.dialects import RERANK_DIALECTS, choose, scores_of
from bicross.remote.keys import Secret
from bicross.remote.model import RemoteModel
from bicross.types import Floats, Ranked
from bicross.witness import WITNESS_PAIRS

if TYPE_CHECKING:
    import httpx


class RemoteCrossEncoder(RemoteModel):
    """Scores pairs by an endpoint: Cohere's, Jina's, one compatible with them, ZeroEntropy's, `bicross serve`.

    Its fingerprint is the model's name there: nobody outside sees the weights. Beside it a cache of scores keeps a
    witness, the scores of fixed pairs, and refuses a model that doesn't give them any more. Safe to call from many
    threads.

    Args:
        base_url: The endpoint without its last part, such as ``https://api.cohere.com/v2``.
        model: The model's name there.
        api: "cohere" (also Jina, vLLM, Infinity), "zeroentropy", "tei" (text-embeddings-inference), or "bicross". None:
            by the host, else "cohere".
        key: A Haystack `Secret` or a pydantic `SecretStr`.
        key_variable: The environment variable of the key. None: that of the host's own client, else
            ``BICROSS_REMOTE_KEY``; no key where it isn't set.
        raw_scores: Ask for logits, as a teacher's scores are best; for "bicross" and "tei".
        calls: Batches, concurrency, timeout, retries.
        client: Sends the requests, for proxies or certificates of your own.

    Raises:
        ConfigurationError: An argument that makes no sense.
    """

    _written: ClassVar[Mapping[str, type]] = {"api": str, "key_variable": str, "raw_scores": bool}

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api: str | None = None,
        key: Secret | None = None,
        key_variable: str | None = None,
        raw_scores: bool = False,
        calls: Calls | None = None,
        client: httpx.Client | None = None,
    ) -> None:
        options = {"api": api, "key_variable": key_variable, "raw_scores": raw_scores or None}
        super().__init__(base_url, model, options, key, calls, client)
        self.api = choose(api, base_url, RERANK_DIALECTS, "cohere")
        self.raw_scores = raw_scores
        self._witness: Floats | None = None
        self._dialect = RERANK_DIALECTS[self.api]
        if raw_scores and not self._dialect.raw:
            raise ConfigurationError(f"raw_scores is for the apis 'bicross' and 'tei', got api={self.api!r}.")

    @property
    def fingerprint(self) -> str:
        """SHA-256 over what is known to change a score: the model's name, and whether scores are raw."""
        return digest("remote", self.model, self.raw_scores)

    @property
    def score_unit(self) -> str:
        """Unit of the scores: "relevance", the endpoint's own (mostly from 0 to 1), or "logit"."""
        return "logit" if self.raw_scores else "relevance"

    def witness(self) -> Floats:
        """The scores of fixed pairs, asked for once. **Shape:** (len(WITNESS_PAIRS),)."""
        if self._witness is None:
            self._witness = self.predict(WITNESS_PAIRS)
        return self._witness

    def predict(self, pairs: Sequence[tuple[str, str]], *, show_progress: bool | None = False) -> Floats:
        """Score (query, text) pairs; those of one query go together.

        Args:
            pairs: Pairs of strings.
            show_progress: None: on a terminal, once it takes more than two seconds.

        Returns:
            float32. **Shape:** (len(pairs),). **Unit:** `score_unit`.

        Raises:
            InputTypeError, InputError: Something that isn't a pair of valid texts; names its position.
            RemoteError: The endpoint refused, failed, or answered something that can't be used.
        """
        check_pairs(pairs)
        places: dict[str, list[int]] = {}
        for place, (query, _) in enumerate(pairs):
            places.setdefault(query, []).append(place)
        size = self.calls.batch_size or self._dialect.batch
        batches = [of[start : start + size] for of in places.values() for start in range(0, len(of), size)]
        scores = np.empty(len(pairs), np.float32)
        requests = [(pairs[batch[0]][0], [pairs[place][1] for place in batch]) for batch in batches]
        with progress("scoring", len(pairs), show_progress) as advance:
            for batch, found in zip(batches, self._connection.each(self._ask, requests), strict=True):
                scores[batch] = found
                advance(len(batch))
        return scores

    def rank(self, query: str, texts: Sequence[str], top_k: int | None = None) -> list[Ranked]:
        """Score texts against one query and sort them; equal scores keep the input's order.

        Args:
            query: The query.
            texts: The texts.
            top_k: How many to return; None: all.

        Returns:
            Best first. **Unit** of the scores: `score_unit`.

        Raises:
            BicrossError: As `predict`.
        """
        check_text(query, "query")
        scores = self.predict([(query, text) for text in check_texts(texts)])
        return ranked(scores, None if top_k is None else check_count(top_k, "top_k"))

    def _ask(self, request: tuple[str, list[str]]) -> Floats:
        """One request. **Shape:** (len(texts),)."""
        query, texts = request
        dialect = self._dialect
        body = dialect.body(self.model, query, texts, raw_scores=self.raw_scores)
        answer = self._connection.post(dialect.path, body)
        return scores_of(answer, dialect, len(texts), f"{self.base_url}{dialect.path}")
