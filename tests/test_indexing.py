"""A sync gives each of several workers its part."""

from __future__ import annotations

from typing import Any

import pytest

from bicross import BiEncoder, Passage, TwoStageRetriever
from bicross.encoding.workers import PART_TEXTS, POOLED_TEXTS
from bicross.stores import ExactStore


@pytest.mark.parametrize(("workers", "first"), [(1, 512), (4, 8 * PART_TEXTS)])
def test_every_worker_has_two_parts_of_a_batch(
    monkeypatch: pytest.MonkeyPatch, bi_encoder: BiEncoder, workers: int, first: int
) -> None:
    sizes = []
    encode = bi_encoder.encode_document

    def counted(texts: list[str], **options: Any) -> Any:
        sizes.append(len(texts))
        return encode(texts, **options)

    monkeypatch.setattr(bi_encoder, "encode_document", counted)
    monkeypatch.setattr(bi_encoder, "workers", workers)
    passages = [Passage(f"the dog {i}", id=str(i)) for i in range(2_100)]
    assert TwoStageRetriever(bi_encoder, ExactStore()).index(passages).new == 2_100
    assert sizes[0] == first >= POOLED_TEXTS
    assert sum(sizes) == 2_100
