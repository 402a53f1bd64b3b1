"""An encoder whose vectors are kept on disk: what the benchmarks and recipes search with."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bicross import BiEncoder
from bicross.caches import VectorCache
from bicross.types import Floats


class CachedEncoder:
    """The bi-encoder, whose vectors are kept."""

    def __init__(self, inner: BiEncoder, cache: VectorCache) -> None:
        self.inner, self.cache = inner, cache
        self.name, self.dimension, self.similarity_name = inner.name, inner.dimension, inner.similarity_name
        self.document_fingerprint = inner.document_fingerprint

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        """See `Encoder`."""
        return self._kept(self.inner.query_fingerprint, texts, self.inner.encode_query)

    def encode_document(self, texts: str | Sequence[str], /) -> Floats:
        """See `Encoder`."""
        return self._kept(self.document_fingerprint, texts, self.inner.encode_document)

    def _kept(self, fingerprint: str, texts: str | Sequence[str], encode: Callable[..., Floats]) -> Floats:
        one = isinstance(texts, str)
        rows = self.cache.encode(
            fingerprint, [texts] if one else list(texts), lambda part: encode(part, show_progress=False)
        )
        return rows[0] if one else rows
