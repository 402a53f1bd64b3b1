"""The sparse side of a sync: what is missing is made, and everything anew where it has to be."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from bicross.errors import BicrossWarning, FingerprintMismatchError
from bicross.progress import Told, progress
from bicross.sparse_leg import REMEDY, Measuring, SparseLeg, batches_of, shown
from bicross.stores.schema import Header, SparseRecord
from bicross.types import SparseEncoder, SparseVector

EncodeDocuments = Callable[[Sequence[str]], list[SparseVector]]

_MEASURED = 20_000
"""Texts that a mean length is measured on at most, the first time; and every later time:"""
_MEASURED_AGAIN = 5_000
_TOLERANCE = 0.1
"""How far the mean length may be off before every vector is made anew."""
_BATCH = 512
_DIFFERENCE = 0.1
"""How far another program's vectors may be from the encoder's for these to be added to them."""


class SparseSync(SparseLeg):
    """Keeps a collection's sparse vectors those of one encoder."""

    def begin(self, texts: Collection[str], *, reweight: bool = False) -> EncodeDocuments | None:
        """Bind the collection to the encoder, and give what encodes documents for it; None without a collection.

        Args:
            texts: What is about to be indexed; a first sync measures the mean length on it.
            reweight: Replace the vectors of another encoder.

        Raises:
            FingerprintMismatchError: Another encoder made the vectors.
        """
        header = self.store.header()
        if header is None:
            return None
        encoder, record = self.encoder(), header.sparse
        if record is None or record.fingerprint != encoder.fingerprint:
            if not reweight:
                self._check_replaceable(record, encoder)
            record = self._record(encoder, texts)
            held = self.store.count() - self.store.count_without_sparse()
            layout = self.store.layout()
            if layout.idf != encoder.idf or (held and reweight):
                self.store.begin_sparse(record)
            else:
                self.store.record_sparse(record)
        elif record.state == "reset":
            self.store.begin_sparse(replace(record, state="ready"))
        elif reweight:
            self.store.record_sparse(replace(self._record(encoder, texts), state="renew"))
        return self._documents()

    def _check_replaceable(self, record: SparseRecord | None, encoder: SparseEncoder) -> None:
        if record is not None:
            raise FingerprintMismatchError(self.mismatch(record, encoder))
        agreement = self.agreement(encoder)
        if agreement is not None and agreement.difference > _DIFFERENCE:
            raise FingerprintMismatchError(
                f"Collection {self.store.collection!r} doesn't say what made its sparse vectors, and they differ from "
                f"this encoder's by {agreement.difference:.0%} of their length (at most {_DIFFERENCE:.0%} to add to "
                f"them). {REMEDY}, or pass the sparse_encoder that made them."
            )

    def _record(self, encoder: SparseEncoder, texts: Collection[str]) -> SparseRecord:
        mean = None
        if isinstance(encoder, Measuring):
            mean = encoder.mean_length or encoder.measure(list(self._measured(texts)))
        return SparseRecord(
            fingerprint=encoder.fingerprint,
            idf=encoder.idf,
            name=getattr(encoder, "name", None),
            language=getattr(encoder, "language", None),
            mean_length=mean,
            measured=max(len(texts), self.store.count()),
        )

    def _measured(self, texts: Collection[str]) -> Iterator[str]:
        """What stands for the collection as it will be: the texts that come in, and what is stored already."""
        yield from islice(texts, 0, None, len(texts) // _MEASURED + 1)
        stored = self.store.count()
        if stored > len(texts):  # else it is these texts again, as a first hybrid sync of a dense collection has them
            yield from (passage.full_text for passage in islice(self.store.scroll(), _MEASURED))

    def finish(self, *, changed: bool, show_progress: bool | Told | None = None) -> int:
        """Make what is missing, or everything anew where the mean length has moved away. How many were made.

        Every batch is acknowledged before the next one: killed at any moment, the next sync goes on.

        Args:
            changed: Whether the collection's texts may have changed much.
            show_progress: None: on a terminal, once it takes more than two seconds; a callable is told.
        """
        header = self.store.header()
        if header is None or header.sparse is None:
            return 0
        record = self._measured_again(header.sparse, changed)
        renew = record.state == "renew"
        passages = self.store.scroll() if renew else self.store.scroll_without_sparse()
        total = self.store.count() if renew else self.store.count_without_sparse()
        made = 0
        if total:
            encode = self._documents()
            with progress("sparse vectors", total, show_progress) as advance:
                for batch in batches_of(passages, _BATCH):
                    vectors = encode([passage.full_text for passage in batch])
                    made += self.store.update_sparse([passage.id for passage in batch], vectors)
                    advance(len(batch))
        if renew:
            self.store.record_sparse(replace(record, state="ready"))
        self.store.flush()
        return made

    def _measured_again(self, record: SparseRecord, changed: bool) -> SparseRecord:
        """The record, with another mean length where that is more than a tenth off."""
        encoder, count = self.encoder(), self.store.count()
        if not isinstance(encoder, Measuring) or record.mean_length is None or not count:
            return record
        grown = abs(count - record.measured) > _TOLERANCE * record.measured
        if encoder.mean_length is not None:
            mean = encoder.mean_length
        elif changed or grown:
            # Points are named by hashes: the first ones are a random sample.
            mean = encoder.measure([p.full_text for p in islice(self.store.scroll(), _MEASURED_AGAIN)])
        else:
            return record
        now = replace(record, measured=count)
        if abs(mean - record.mean_length) > _TOLERANCE * record.mean_length:
            now = replace(now, mean_length=mean, state="renew")
        if now != record:
            self.store.record_sparse(now)
        return now

    def complete(self, *, reweight: bool = False, show_progress: bool | None = None) -> int:
        """Make the sparse vectors that stored passages lack, from their stored texts. How many were made.

        Args:
            reweight: Make all of them anew, also those of another encoder.
            show_progress: As in `finish`.

        Raises:
            FingerprintMismatchError: Another encoder made those that are there.
        """
        self.begin([], reweight=reweight)
        return self.finish(changed=True, show_progress=show_progress)

    def _documents(self) -> EncodeDocuments:
        header, encoder = self.store.header(), self.encoder()
        length = header.sparse.mean_length if header and header.sparse else None
        if isinstance(encoder, Measuring) and length is not None:
            encoder = encoder.with_mean_length(length)
        made: SparseEncoder = encoder
        return lambda texts: made.encode_document(list(texts))


def warn_of_missing(header: Header | None, encoded: int, collection: str) -> None:
    """Say that a dense sync wrote passages into a collection that has sparse vectors."""
    if header is not None and header.sparse is not None and encoded:
        warnings.warn(
            f"{encoded} passages were written without a sparse vector into collection {collection!r}, which has those "
            f"of {shown(header.sparse)}: a hybrid search misses their words. Index with first_stage='hybrid', or call "
            "add_sparse(), to add them.",
            BicrossWarning,
            stacklevel=4,
        )
