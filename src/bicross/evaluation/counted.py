"""Models that count the texts they cut, so that a long job warns once."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from bicross.bi_encoder import BiEncoder
from bicross.cross_encoder import counted_raw_scores
from bicross.encoding.prompts import Role
from bicross.errors import TruncationWarning
from bicross.types import Encoder, Floats, Scorer


class Counted:
    """Counts the texts that a model cuts, for one warning at the end instead of one for each batch."""

    def __init__(self) -> None:
        self.asked = self.cut = 0

    def warn(self) -> None:
        """Say how many were cut, where any was."""
        if self.cut:
            warnings.warn(
                f"{self.cut} of {self.asked} texts that were read now are longer than the model's limit and were cut.",
                TruncationWarning,
                stacklevel=3,
            )


class CountedEncoder(Counted):
    """An encoder's texts to vectors, in one role."""

    def __init__(self, encoder: Encoder, role: Role) -> None:
        super().__init__()
        self.encoder = encoder
        self.role = role

    def __call__(self, texts: Sequence[str]) -> Floats:
        """**Shape:** (n,) → (n, dimension)."""
        encoder = self.encoder
        if not isinstance(encoder, BiEncoder):
            return encoder.encode_query(texts) if self.role == "query" else encoder.encode_document(texts)
        encode = encoder.encode_query if self.role == "query" else encoder.encode_document
        vectors, cut = encode(texts, return_truncation=True, show_progress=False)
        self.asked += len(texts)
        self.cut += int(np.count_nonzero(cut))
        return vectors


class CountedScorer(Counted):
    """A scorer's pairs to raw scores."""

    def __init__(self, scorer: Scorer) -> None:
        super().__init__()
        self.scorer = scorer

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> Floats:
        """**Shape:** (n,) → (n,)."""
        scores, cut = counted_raw_scores(self.scorer, pairs)
        self.asked += len(pairs)
        self.cut += cut
        return scores


def query_fingerprint(encoder: Encoder) -> str:
    """What a query's vector depends on; an encoder that tells documents' alone has one made from that."""
    return str(getattr(encoder, "query_fingerprint", f"{encoder.document_fingerprint} query"))
