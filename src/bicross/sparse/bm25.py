"""BM25 as sparse vectors: the document's half of the formula in its vector, the IDF in the store."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bicross.arguments import check_share
from bicross.encoding.tokenizer import check_text, check_texts
from bicross.errors import ConfigurationError
from bicross.sparse.encoder import TextEncoder
from bicross.sparse.tokenizing import TermTable
from bicross.types import SparseVector

_AT_ONCE = 4_096


class BM25Encoder(TextEncoder):
    """Texts as terms weighted by BM25 (Robertson and Zaragoza, 2009, equation 3.15).

    A document's value of a term that it holds ``tf`` times among ``length`` terms is
    ``tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean_length))``, a query's value is how often it holds the term.
    Their dot product, with the query weighted by ``ln(1 + (N - n + 0.5) / (n + 0.5))`` (N documents, n with the term),
    is the BM25 score; Qdrant weighs the query so (its IDF modifier), and `ExactStore` does.

    A term's index is the absolute value of its 32-bit MurmurHash3 (seed 0), as in Qdrant's own inference and
    fastembed's ``Qdrant/bm25``: collections filled by them can be searched.

    Args:
        language: ISO 639-1 code, or ``"auto"`` (by script alone), or ``"none"`` (no stemming).
        k1: Saturation of the term frequency, at least 0.
        b: Weight of a document's length, from 0 to 1.
        mean_length: Mean length of the collection's documents. **Unit:** terms. None until it is measured; documents
            can't be encoded before.
        stop_words: Words that count for nothing, in place of the language's own; ``()`` for none.

    Raises:
        ConfigurationError: A language that isn't known, or a number out of its range.
        MissingExtraError: PyStemmer or mmh3 isn't installed (extra ``hybrid``).
    """

    name = "bm25"
    idf = True

    def __init__(
        self,
        language: str = "en",
        *,
        k1: float = 1.5,
        b: float = 0.75,
        mean_length: float | None = None,
        stop_words: Iterable[str] | None = None,
    ) -> None:
        if not (math.isfinite(k1) and k1 >= 0):
            raise ConfigurationError(f"k1 must be a number of at least 0, got {k1!r}.")
        check_share(b, "b")
        self.language = language
        self.k1 = float(k1)
        self.b = float(b)
        self.mean_length = None if mean_length is None else _check_mean_length(mean_length)
        self._table = TermTable(language, stop_words)
        self._own_words = stop_words is None

    @cached_property
    def fingerprint(self) -> str:
        """Changes whenever a value would, but for the mean length, which belongs to the collection."""
        parts = json.dumps(["BM25", self.k1, self.b, self._table.state])
        return hashlib.sha256(parts.encode()).hexdigest()

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments that make it again, as JSON values."""
        return {
            "language": self.language,
            "k1": self.k1,
            "b": self.b,
            "mean_length": self.mean_length,
            "stop_words": None if self._own_words else sorted(self._table.stop_words),
        }

    def measure(self, texts: Sequence[str]) -> float:
        """Mean length of the texts that hold a term; 1 where none does. **Unit:** terms.

        Raises:
            InputTypeError: Something that isn't a string; names its position.
        """
        lengths = [length for text in check_texts(texts) if (length := len(self._table.terms(text)))]
        return sum(lengths) / len(lengths) if lengths else 1.0

    def terms(self, text: str) -> list[int]:
        """The index of every term of a text, in the text's order: what the vectors are counted from.

        Raises:
            InputTypeError: It isn't a string.
        """
        return self._table.terms(check_text(text))

    def with_mean_length(self, mean_length: float) -> BM25Encoder:
        """The same encoder for a collection of another mean length. **Unit:** terms.

        Raises:
            ConfigurationError: It isn't a positive number.
        """
        other = copy.copy(self)  # shares the table of words
        other.mean_length = _check_mean_length(mean_length)
        return other

    def _encode(self, texts: list[str], query: bool) -> list[SparseVector]:
        if not query and self.mean_length is None:
            raise ConfigurationError(
                "BM25 needs the mean length of the documents before it encodes them, got none. Measure it: "
                "encoder.with_mean_length(encoder.measure(texts))."
            )
        vectors: list[SparseVector] = []
        for start in range(0, len(texts), _AT_ONCE):
            vectors += self._encode_batch(texts[start : start + _AT_ONCE], query)
        return vectors

    def _encode_batch(self, texts: list[str], query: bool) -> list[SparseVector]:
        terms = [self._table.terms(text) for text in texts]
        lengths = np.array([len(found) for found in terms], np.int64)
        rows = np.repeat(np.arange(len(texts), dtype=np.uint64), lengths)
        flat = np.fromiter((index for found in terms for index in found), np.uint64, int(lengths.sum()))
        keys, counts = np.unique(rows << np.uint64(32) | flat, return_counts=True)
        rows, indices = (keys >> np.uint64(32)).astype(np.int64), keys.astype(np.uint32)
        values = counts.astype(np.float32) if query else self._weigh(counts, lengths[rows])
        ends = np.searchsorted(rows, np.arange(len(texts) + 1))
        return [SparseVector(indices[start:end], values[start:end]) for start, end in pairwise(ends)]

    def _weigh(self, counts: npt.NDArray[np.int64], lengths: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
        norm = self.k1 * (1 - self.b + self.b * lengths / (self.mean_length or 1.0))
        return (counts * (self.k1 + 1) / (counts + norm)).astype(np.float32)

    def __repr__(self) -> str:
        return f"BM25Encoder({self.language!r}, k1={self.k1:g}, b={self.b:g}, mean_length={self.mean_length!r})"


def _check_mean_length(mean_length: float) -> float:
    if not (math.isfinite(mean_length) and mean_length > 0):
        raise ConfigurationError(f"mean_length must be a positive number of terms, got {mean_length!r}.")
    return float(mean_length)
