"""BicrossEmbeddings: a bi-encoder as LangChain's `Embeddings`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from langchain_core.embeddings import Embeddings
from pydantic import PrivateAttr

from bicross.bi_encoder import BiEncoder, EncodeOptions
from bicross.caches import VectorCache, check_kept
from bicross.errors import ConfigurationError, InputTypeError
from bicross.langchain.models import LOADING, ModelFields
from bicross.langchain.threads import in_threads
from bicross.remote.bi_encoder import RemoteBiEncoder
from bicross.remote.loading import load_bi_encoder
from bicross.types import Encoder, Floats

_WithOptions = BiEncoder | RemoteBiEncoder
_ENCODING = ("query_prompt", "document_prompt", "normalize", "batch_tokens")


class BicrossEmbeddings(ModelFields, Embeddings):
    """Embeds queries and documents, each with the checkpoint's own prompt.

    The model is loaded on first use. `model` also takes a `BiEncoder`, or anything that satisfies `Encoder`.
    """

    _method: ClassVar[str] = "encode_query"
    _kind: ClassVar[str] = "bi-encoder"
    _sibling: ClassVar[str] = "A cross-encoder goes into BicrossReranker."
    _options: ClassVar[tuple[str, ...]] = (*LOADING, "truncate_dim")

    truncate_dim: int | None = None
    """Keep this many leading dimensions (Matryoshka models)."""
    query_prompt: str | None = None
    """Stands in front of every query; None: the checkpoint's."""
    document_prompt: str | None = None
    """Stands in front of every document; None: the checkpoint's."""
    normalize: bool | None = None
    """True: scale to unit length. None: as the checkpoint does."""
    batch_tokens: int | None = None
    """Most tokens of a batch, padding included."""
    show_progress: bool | None = False
    """True, False, or None: on a terminal, once it takes more than two seconds."""
    cache_dir: str | None = None
    """Folder for document vectors: what was embedded once is read from there."""

    _cache: VectorCache | None = PrivateAttr(default=None)
    _checked: bool = PrivateAttr(default=False)

    def model_post_init(self, context: Any, /) -> None:
        """Check what depends on the model; open nothing."""
        super().model_post_init(context)
        self._cache = VectorCache(self.cache_dir) if self.cache_dir else None

    @property
    def encoder(self) -> Encoder:
        """The bi-encoder; loaded here where it wasn't yet."""
        encoder = self._load(load_bi_encoder, truncate_dim=self.truncate_dim)
        if not isinstance(encoder, _WithOptions) and (unused := sorted(self.model_fields_set & set(_ENCODING))):
            raise ConfigurationError(
                f"{unused[0]} needs a BiEncoder or a RemoteBiEncoder, got {type(encoder).__name__}. Leave it out."
            )
        return encoder

    @property
    def plain(self) -> bool:
        """Whether vectors are the encoder's own: nothing about them is set here."""
        return not self.model_fields_set & {"query_prompt", "document_prompt", "normalize", "cache_dir"}

    @property
    def document_fingerprint(self) -> str:
        """Changes whenever a document's vector would."""
        encoder = self.encoder
        if isinstance(encoder, _WithOptions):
            return encoder.fingerprint("document", prompt=self.document_prompt, normalize=self.normalize)
        return encoder.document_fingerprint

    def embed_query(self, text: str) -> list[float]:
        """Embed a query. **Shape:** (dimension,).

        Raises:
            InputTypeError, InputError: It isn't valid text.
        """
        if isinstance(text, list | tuple):
            raise InputTypeError(f"embed_query takes one text, got a {type(text).__name__}. Use embed_documents.")
        encoder = self.encoder
        if isinstance(encoder, _WithOptions):
            vector = encoder.encode_query(text, **self._encoding(self.query_prompt))
        else:
            vector = encoder.encode_query(text)
        return [float(value) for value in vector]

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        """Embed documents. **Shape:** (len(texts), dimension).

        Raises:
            InputTypeError, InputError: Something that isn't valid text; names its position.
        """
        if isinstance(texts, str):
            raise InputTypeError("embed_documents takes a list of texts, got one string. Use embed_query.")
        cache = self._cache
        encode = self._encode_documents
        if cache is not None and not self._checked:
            check_kept(cache, self.encoder)
            self._checked = True
        vectors = cache.encode(self.document_fingerprint, list(texts), encode) if cache is not None else encode(texts)
        rows: list[list[float]] = np.asarray(vectors).tolist()
        return rows

    async def aembed_query(self, text: str) -> list[float]:
        """As `embed_query`, without blocking the event loop."""
        return await in_threads([self.model], self.embed_query, text)

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        """As `embed_documents`, without blocking the event loop."""
        return await in_threads([self.model], self.embed_documents, texts)

    def _encode_documents(self, texts: Sequence[str]) -> Floats:
        encoder = self.encoder
        if isinstance(encoder, _WithOptions):
            return encoder.encode_document(texts, **self._encoding(self.document_prompt))
        return encoder.encode_document(texts)

    def _encoding(self, prompt: str | None) -> EncodeOptions:
        return {
            "prompt": prompt,
            "normalize": self.normalize,
            "batch_tokens": self.batch_tokens,
            "show_progress": self.show_progress,
        }
