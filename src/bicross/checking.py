"""Whether a collection holds what it says: every passage is read, and a sample is encoded again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bicross.bi_encoder import BiEncoder, similarity
from bicross.stores import Store
from bicross.stores.schema import stamp_of
from bicross.types import Passage

SAMPLE = 32
LEAST_COSINE = 0.999
_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check found.

    Attributes:
        counted: Passages that the store counts.
        read: Passages that could be read.
        damaged: Ids of passages whose text or meta doesn't match its hash.
        same_model: Whether the encoder's fingerprint is the collection's; None where it records none.
        sampled: Passages that were encoded again.
        worst_cosine: Least cosine between a stored vector and a new one; None without a sample.
    """

    counted: int
    read: int
    damaged: tuple[str, ...]
    same_model: bool | None
    sampled: int
    worst_cosine: float | None

    @property
    def sound(self) -> bool:
        """Whether everything is as it should be."""
        whole = self.counted == self.read and not self.damaged and self.same_model is not False
        return whole and (self.worst_cosine is None or self.worst_cosine >= LEAST_COSINE)

    @property
    def summary(self) -> str:
        """One sentence."""
        cosine = "" if self.worst_cosine is None else f", worst cosine of {self.sampled} {self.worst_cosine:.5f}"
        model = {True: "the model that filled it", False: "ANOTHER MODEL", None: "no model recorded"}[self.same_model]
        verdict = "sound" if self.sound else "NOT SOUND"
        return f"{verdict}: {self.read} of {self.counted} passages read, {len(self.damaged)} damaged; {model}{cosine}"


def check_collection(store: Store, bi_encoder: BiEncoder) -> CheckReport:
    """Read every passage of a collection, and encode a sample of 32 again.

    Raises:
        StoreError: The store can't be read at all.
    """
    read = 0
    damaged: list[str] = []
    for batch in _batches(store.scroll()):
        read += len(batch)
        stamps = store.stamps([passage.id for passage in batch])
        for passage in batch:
            stamp = stamps.get(passage.id)
            if stamp is None or stamp_of(passage, stamp.sync) != stamp:
                damaged.append(passage.id)
    sample = list(islice(store.scroll(), SAMPLE))
    worst = None
    if sample:
        ids, vectors = store.vectors([passage.id for passage in sample])
        texts = {passage.id: passage.full_text for passage in sample}
        again, _ = bi_encoder.encode_document([texts[id] for id in ids], return_truncation=True)
        worst = float(np.diagonal(similarity(vectors, again, "cosine")).min())
    info = store.info()
    recorded = info.fingerprint if info else None
    same = None if recorded is None else recorded == bi_encoder.document_fingerprint
    return CheckReport(store.count(), read, tuple(damaged), same, len(sample), worst)


def _batches(passages: Iterator[Passage]) -> Iterator[list[Passage]]:
    while batch := list(islice(passages, _BATCH)):
        yield batch
