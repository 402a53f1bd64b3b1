"""What is counted while texts are tokenised: how many were cut, and how much the vocabulary doesn't hold."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from bicross.encoding.tokenizer import Ids, TextTokenizer
from bicross.errors import TruncationWarning, UnknownTokensWarning

_UNKNOWN_SHARE = 0.1


@dataclass(slots=True)
class Counts:
    """Counts over the texts of one call.

    Attributes:
        cut: Texts, or pairs, longer than the model reads.
        unknown: Tokens that the vocabulary doesn't hold.
        tokens: All tokens, special ones left out.
    """

    cut: int = 0
    unknown: int = 0
    tokens: int = 0

    def add(self, contents: Iterable[Ids], tokenizer: TextTokenizer) -> None:
        """Count the tokens of texts."""
        for ids in contents:
            self.tokens += len(ids)
            if tokenizer.unknown_id is not None:
                self.unknown += int(np.count_nonzero(ids == tokenizer.unknown_id))

    def include(self, part: Counts) -> None:
        """Count what was counted of a part of the call."""
        self.cut += part.cut
        self.unknown += part.unknown
        self.tokens += part.tokens

    def warn(self, total: int, limit: int) -> None:
        """One warning per call and matter, with its count."""
        if self.cut:
            warnings.warn(
                f"{self.cut} of {total} texts were longer than the model's {limit} tokens and were cut. "
                "Split them (bicross.readers.split), or pass return_truncation=True to learn which.",
                TruncationWarning,
                stacklevel=4,
            )
        if self.tokens and self.unknown / self.tokens > _UNKNOWN_SHARE:
            warnings.warn(
                f"{self.unknown} of {self.tokens} tokens ({self.unknown / self.tokens:.0%}) are unknown to the model: "
                "this model doesn't read this script. Use a multilingual one.",
                UnknownTokensWarning,
                stacklevel=4,
            )
