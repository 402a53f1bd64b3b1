"""A hosted model as a bi-encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, overload

import numpy as np
import numpy.typing as npt

from bicross.arguments import check_count
from bicross.arrays import unit_rows
from bicross.encoding.fingerprint import digest
from bicross.encoding.prompts import Role
from bicross.encoding.tokenizer import check_text, check_texts
from bicross.errors import AnswerError, ConfigurationError
from bicross.progress import progress
from bicross.remote.address import Calls
from bicross.remote.dialects import EMBEDDING_DIALECTS, choose, vectors_of
from bicross.remote.keys import Secret
from bicross.remote.model import RemoteModel
from bicross.types import Floats
from bicross.witness import WITNESS_TEXT

if TYPE_CHECKING:
    import httpx

Mask = npt.NDArray[np.bool_]

_BATCH_SIZE = 32
"""What text-embeddings-inference takes; others take more."""
_BYTES_PER_TOKEN = 4
_MAX_LENGTH = 512


class RemoteBiEncoder(RemoteModel):
    """Embeds queries and documents by an endpoint: OpenAI's, one compatible with it, ZeroEntropy's, `bicross serve`.

    Its fingerprint is the model's name there, the prompts and the dimensions: nobody outside sees the weights. Beside
    the fingerprint a collection keeps a witness, the vector of a fixed text, and refuses a model that doesn't give it
    any more. Safe to call from many threads.

    Args:
        base_url: The endpoint without its last part, such as ``https://api.openai.com/v1``.
        model: The model's name there.
        api: "openai" (also vLLM, text-embeddings-inference, Infinity, Ollama), "zeroentropy", or "bicross", which tells
            queries from documents. None: by the host, else "openai".
        key: A Haystack `Secret` or a pydantic `SecretStr`.
        key_variable: The environment variable of the key. None: that of the host's own client, else
            ``BICROSS_REMOTE_KEY``; no key where it isn't set.
        dimensions: Asked of the endpoint (Matryoshka models).
        query_prompt, document_prompt: Stand in front of every text.
        query_input_type, document_input_type: Sent as ``input_type``. None: what the api has for it.
        similarity: How the vectors are compared: "cosine" or "dot".
        max_length: How long a document is read whole; for splitting alone. **Unit:** tokens, by an estimate.
        calls: Batches, concurrency, timeout, retries.
        client: Sends the requests, for proxies or certificates of your own.

    Raises:
        ConfigurationError: An argument that makes no sense.
    """

    _written: ClassVar[Mapping[str, type]] = {
        "api": str,
        "key_variable": str,
        "dimensions": int,
        "query_prompt": str,
        "document_prompt": str,
        "query_input_type": str,
        "document_input_type": str,
        "similarity": str,
        "max_length": int,
    }

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        api: str | None = None,
        key: Secret | None = None,
        key_variable: str | None = None,
        dimensions: int | None = None,
        query_prompt: str = "",
        document_prompt: str = "",
        query_input_type: str | None = None,
        document_input_type: str | None = None,
        similarity: str = "cosine",
        max_length: int = _MAX_LENGTH,
        calls: Calls | None = None,
        client: httpx.Client | None = None,
    ) -> None:
        options = {
            "api": api,
            "key_variable": key_variable,
            "dimensions": dimensions,
            "query_prompt": query_prompt or None,
            "document_prompt": document_prompt or None,
            "query_input_type": query_input_type,
            "document_input_type": document_input_type,
            "similarity": None if similarity == "cosine" else similarity,
            "max_length": None if max_length == _MAX_LENGTH else max_length,
        }
        super().__init__(base_url, model, options, key, calls, client)
        if similarity not in ("cosine", "dot"):
            raise ConfigurationError(f"similarity must be 'cosine' or 'dot', got {similarity!r}.")
        self.api = choose(api, base_url, EMBEDDING_DIALECTS, "openai")
        self.dimensions = None if dimensions is None else check_count(dimensions, "dimensions")
        self.prompts: Mapping[Role, str] = {"query": query_prompt, "document": document_prompt}
        self.similarity_name = similarity
        self.max_length = check_count(max_length, "max_length")
        self._dialect = EMBEDDING_DIALECTS[self.api]
        types: Mapping[Role, str | None] = self._dialect.input_types or {"query": None, "document": None}
        self._input_types: Mapping[Role, str | None] = {
            "query": query_input_type or types["query"],
            "document": document_input_type or types["document"],
        }
        self._dimension: int | None = dimensions
        self._witness: Floats | None = None

    @property
    def dimension(self) -> int:
        """Length of a vector; asks the endpoint where that isn't known yet."""
        if self._dimension is None:
            self.witness()
        assert self._dimension is not None
        return self._dimension

    @property
    def document_fingerprint(self) -> str:
        """SHA-256 over what is known to change a document's vector: name, prompt, input type, dimensions."""
        return self.fingerprint("document")

    @property
    def query_fingerprint(self) -> str:
        """The same for queries."""
        return self.fingerprint("query")

    def fingerprint(
        self,
        role: Role,
        *,
        prompt: str | None = None,
        truncate_dim: int | None = None,
        normalize: bool | None = None,
    ) -> str:
        """The fingerprint of a role under the options that `encode_query` and `encode_document` take."""
        prompt = self.prompts[role] if prompt is None else prompt
        asked = ("remote", self.model, prompt, self._input_types[role], self.dimensions)
        return digest(*asked, truncate_dim, bool(normalize))

    def witness(self) -> Floats:
        """The vector of a fixed text, asked for once. **Shape:** (dimension,)."""
        if self._witness is None:
            self._witness = self.encode_document(WITNESS_TEXT)
        return self._witness

    @property
    def passage_limit(self) -> int:
        """What is left of `max_length` for a document's own text. **Unit:** tokens, by an estimate."""
        return max(self.max_length - sum(self.count_tokens([self.prompts["document"]])), 1)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """An estimate of each text's tokens: the endpoint's tokenizer isn't here. Four bytes of UTF-8 are one."""
        return [-(-len(text.encode()) // _BYTES_PER_TOKEN) for text in check_texts(texts)]

    @overload
    def encode_query(
        self, texts: str | Sequence[str], *, return_truncation: Literal[False] = ..., **options: Any
    ) -> Floats: ...
    @overload
    def encode_query(
        self, texts: str | Sequence[str], *, return_truncation: Literal[True], **options: Any
    ) -> tuple[Floats, Mask]: ...
    def encode_query(
        self, texts: str | Sequence[str], *, return_truncation: bool = False, **options: Any
    ) -> Floats | tuple[Floats, Mask]:
        """Embed queries.

        Args:
            texts: A query, or a sequence of them.
            return_truncation: Also return which texts were cut; an endpoint doesn't tell: none.
            **options: `prompt`, `normalize`, `truncate_dim`, `show_progress` as `BiEncoder.encode_query` has them;
                `batch_tokens` is of no effect.

        Returns:
            float32. **Shape:** (dimension,) for a string, (len(texts), dimension) for a sequence; with
            `return_truncation` also booleans of shape () or (len(texts),).

        Raises:
            InputTypeError, InputError: Something that isn't valid text; names its position.
            RemoteError: The endpoint refused, failed, or answered something that can't be used.
        """
        return self._encode("query", texts, return_truncation, **options)

    @overload
    def encode_document(
        self, texts: str | Sequence[str], *, return_truncation: Literal[False] = ..., **options: Any
    ) -> Floats: ...
    @overload
    def encode_document(
        self, texts: str | Sequence[str], *, return_truncation: Literal[True], **options: Any
    ) -> tuple[Floats, Mask]: ...
    def encode_document(
        self, texts: str | Sequence[str], *, return_truncation: bool = False, **options: Any
    ) -> Floats | tuple[Floats, Mask]:
        """Embed documents; see `encode_query`."""
        return self._encode("document", texts, return_truncation, **options)

    def _encode(
        self,
        role: Role,
        texts: str | Sequence[str],
        return_truncation: bool,
        *,
        prompt: str | None = None,
        normalize: bool | None = None,
        truncate_dim: int | None = None,
        show_progress: bool | None = None,
        batch_tokens: int | None = None,
    ) -> Floats | tuple[Floats, Mask]:
        del batch_tokens  # tokens are the endpoint's concern
        single = isinstance(texts, str)
        batch = [check_text(texts)] if isinstance(texts, str) else check_texts(texts)
        head = self.prompts[role] if prompt is None else check_text(prompt, "prompt")
        vectors = self._vectors(role, [head + text for text in batch], show_progress)
        if truncate_dim is not None:
            if check_count(truncate_dim, "truncate_dim") > vectors.shape[1]:
                raise ConfigurationError(f"truncate_dim must be at most {vectors.shape[1]}, got {truncate_dim}.")
            vectors = np.ascontiguousarray(vectors[:, :truncate_dim])
        if normalize:
            vectors = unit_rows(vectors)
        found = vectors[0] if single else vectors
        return (found, np.zeros(found.shape[:-1], np.bool_)) if return_truncation else found

    def _vectors(self, role: Role, texts: list[str], show_progress: bool | None) -> Floats:
        """**Shape:** (len(texts), dimension). Equal texts are sent once."""
        unique = list(dict.fromkeys(texts))
        if not unique:
            return np.zeros((0, self.dimension), np.float32)
        size = self.calls.batch_size or _BATCH_SIZE
        batches = [unique[start : start + size] for start in range(0, len(unique), size)]
        done: list[Floats] = []
        with progress("embedding", len(unique), show_progress) as advance:
            for vectors in self._connection.each(partial(self._ask, role), batches):
                self._check_dimension(vectors.shape[1])
                done.append(vectors)
                advance(len(vectors))
        places = {text: place for place, text in enumerate(unique)}
        return np.concatenate(done)[[places[text] for text in texts]]

    def _ask(self, role: Role, texts: list[str]) -> Floats:
        """One request. **Shape:** (len(texts), dimension)."""
        dialect = self._dialect
        body = dialect.body(self.model, texts, self.dimensions, self._input_types[role])
        answer = self._connection.post(dialect.path, body)
        return vectors_of(answer, dialect.items, len(texts), f"{self.base_url}{dialect.path}")

    def _check_dimension(self, dimension: int) -> None:
        if self._dimension is None:
            self._dimension = dimension
        if dimension != self._dimension:
            raise AnswerError(
                f"{self.base_url} must answer vectors of {self._dimension} dimensions, as it was asked or did before; "
                f"got {dimension}. Is it still the same model?"
            )
