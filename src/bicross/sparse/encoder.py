"""What every sparse encoder shares: a string gives a vector, a sequence gives a list, and bad input is named."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import overload

from bicross.encoding.tokenizer import check_text, check_texts
from bicross.types import SparseVector


class TextEncoder(ABC):
    """The base of the sparse encoders; each says how a list of checked texts becomes vectors."""

    idf: bool = False
    """Whether the store weighs a query's entries by inverse document frequency."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes whenever a vector would."""

    @abstractmethod
    def _encode(self, texts: list[str], query: bool) -> list[SparseVector]:
        """One vector for each text."""

    @overload
    def encode_query(self, texts: str, /) -> SparseVector: ...  # type: ignore[overload-overlap]
    @overload
    def encode_query(self, texts: Sequence[str], /) -> list[SparseVector]: ...
    def encode_query(self, texts: str | Sequence[str], /) -> SparseVector | list[SparseVector]:
        """The vector of a query, or a list of one for each query.

        Raises:
            InputTypeError: Something that isn't a string; names its position.
            InputError: A lone surrogate; names its position.
        """
        if isinstance(texts, str):
            return self._encode([check_text(texts, "query")], query=True)[0]
        return self._encode(check_texts(texts, "query"), query=True)

    @overload
    def encode_document(self, texts: str, /) -> SparseVector: ...  # type: ignore[overload-overlap]
    @overload
    def encode_document(self, texts: Sequence[str], /) -> list[SparseVector]: ...
    def encode_document(self, texts: str | Sequence[str], /) -> SparseVector | list[SparseVector]:
        """The vector of a document, or a list of one for each document.

        Raises:
            InputTypeError: Something that isn't a string; names its position.
            InputError: A lone surrogate; names its position.
        """
        if isinstance(texts, str):
            return self._encode([check_text(texts, "document")], query=False)[0]
        return self._encode(check_texts(texts, "document"), query=False)
