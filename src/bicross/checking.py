"""Whether a collection holds what it says: every passage is read, and a sample is encoded again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bicross.arrays import unit_rows
from bicross.bi_encoder import BiEncoder
from bicross.errors import DimensionMismatchError
from bicross.stores import Store
from bicross.stores.stamps import stamp_of
from bicross.types import Encoder, Floats, Passage

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


@dataclass(frozen=True, slots=True)
class Sample:
    """Some passages of a collection with their stored vectors.

    Attributes:
        passages: The passages.
        vectors: **Shape:** (len(passages), dimension).
    """

    passages: tuple[Passage, ...]
    vectors: Floats

    def head(self, count: int) -> Sample:
        """The first of them."""
        return Sample(self.passages[:count], self.vectors[:count])

    def cosines(self, encoder: Encoder, texts: Sequence[str], prompt: str | None = None) -> Floats:
        """Cosine between each stored vector and what the encoder makes of a text. **Shape:** (len(passages),).

        Args:
            encoder: Its documents' side is asked.
            texts: One for each passage.
            prompt: Instead of the encoder's own; for a `BiEncoder` alone.

        Raises:
            DimensionMismatchError: The encoder's vectors have another length.
        """
        if not texts:
            return np.zeros(0, np.float32)
        if isinstance(encoder, BiEncoder):  # asked for the truncation, it doesn't warn of it
            again, _ = encoder.encode_document(texts, prompt=prompt, return_truncation=True, show_progress=False)
        else:
            again = encoder.encode_document(texts)
        if again.shape[1] != self.vectors.shape[1]:
            raise DimensionMismatchError(
                f"The collection holds {self.vectors.shape[1]}-d vectors; this encoder's have {again.shape[1]} "
                "dimensions. Use the model that filled it."
            )
        return np.asarray((unit_rows(again) * unit_rows(self.vectors)).sum(axis=1), np.float32)


def take_sample(store: Store, size: int = SAMPLE) -> Sample:
    """Passages that have a text and a vector; fewer where the first thousand don't hold as many."""
    passages: list[Passage] = []
    rows: list[Floats] = []
    with_text = store.scroll({"field": "text", "operator": "!=", "value": None}, batch_size=4 * size)
    for batch in _batches(islice(with_text, _BATCH), size):
        by_id = {passage.id: passage for passage in batch}
        ids, vectors = store.vectors(list(by_id))
        passages += [by_id[id] for id in ids]
        rows += list(vectors)
        if len(rows) >= size:
            break
    found = np.stack(rows[:size]) if rows else np.zeros((0, 0), np.float32)
    return Sample(tuple(passages[:size]), found)


def check_collection(store: Store, bi_encoder: Encoder) -> CheckReport:
    """Read every passage of a collection, and encode a sample of 32 again.

    Raises:
        StoreError: The store can't be read at all.
    """
    read = 0
    damaged: list[str] = []
    for batch in _batches(store.scroll(), _BATCH):
        read += len(batch)
        stamps = store.stamps([passage.id for passage in batch])
        for passage in batch:
            stamp = stamps.get(passage.id)
            if stamp is None or stamp_of(passage, stamp.sync) != stamp:
                damaged.append(passage.id)
    sample = take_sample(store)
    cosines = sample.cosines(bi_encoder, [passage.full_text for passage in sample.passages])
    info = store.info()
    recorded = info.fingerprint if info else None
    same = None if recorded is None else recorded == bi_encoder.document_fingerprint
    worst = float(cosines.min()) if len(cosines) else None
    return CheckReport(store.count(), read, tuple(damaged), same, len(cosines), worst)


def _batches(passages: Iterator[Passage], size: int) -> Iterator[list[Passage]]:
    while batch := list(islice(passages, size)):
        yield batch
