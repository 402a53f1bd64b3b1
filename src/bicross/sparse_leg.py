"""The first stage's sparse leg: whose vectors a collection holds, and whether queries may be compared with them."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from bicross.errors import BicrossWarning, FingerprintMismatchError, StoreError
from bicross.stores import Store
from bicross.stores.schema import SparseRecord, short_name
from bicross.types import Passage, SparseEncoder, SparseVector

REMEDY = (
    "Index with reweight=True, or call add_sparse(reweight=True), to make its sparse vectors anew (the dense ones "
    "stay), or index with recreate=True"
)
_SAMPLE = 32
_AKIN = 0.5


@runtime_checkable
class Measuring(Protocol):
    """A sparse encoder whose weights depend on the mean length of the collection's documents, as BM25's do."""

    @property
    def mean_length(self) -> float | None:
        """None: to be measured. **Unit:** terms."""
        ...

    def measure(self, texts: Sequence[str]) -> float:
        """The mean length of texts."""
        ...

    def with_mean_length(self, mean_length: float) -> Any:
        """The same encoder with a mean length."""
        ...


class Agreement(NamedTuple):
    """How like another program's sparse vectors an encoder's are, on the mean of a sample.

    Attributes:
        cosine: Of their angle: whether the same terms are there, with like weights.
        difference: Length of what parts them, in lengths of the stored vector.
    """

    cosine: float
    difference: float


class SparseLeg:
    """Searches a collection's sparse vectors, if they are those of an encoder.

    Args:
        store: Holds the collection.
        encoder: Makes the vectors. None: BM25 for the language that the collection notes, else for English.
    """

    def __init__(self, store: Store, encoder: SparseEncoder | None = None) -> None:
        self.store = store
        self._given = encoder
        self._made: SparseEncoder | None = None

    def encoder(self) -> SparseEncoder:
        """The sparse encoder.

        Raises:
            MissingExtraError: The extra ``hybrid`` isn't installed.
        """
        if self._given is not None:
            return self._given
        header = self.store.header()
        record = header.sparse if header else None
        language = record.language if record and record.language else "en"
        if self._made is None or getattr(self._made, "language", None) != language:
            from bicross.sparse.bm25 import BM25Encoder

            self._made = BM25Encoder(language)
        return self._made

    def encode_query(self, query: str) -> SparseVector:
        """The vector of a query."""
        return self.encoder().encode_query([query])[0]

    def verify(self) -> None:
        """Refuse to search where the collection has no sparse vectors, or those of another encoder.

        Raises:
            StoreError: It has none.
            FingerprintMismatchError: Another encoder made them.
        """
        header = self.store.header()
        if header is None:
            return
        encoder, record, name = self.encoder(), header.sparse, self.store.collection
        if record is None:
            self._verify_unrecorded(encoder)
        elif record.fingerprint != encoder.fingerprint:
            raise FingerprintMismatchError(self.mismatch(record, encoder))
        elif record.state == "reset":
            raise StoreError(
                f"The sparse vectors of collection {name!r} are being replaced by those of {shown(record)}; that "
                "isn't done yet. Index again: it goes on."
            )
        missing, count = self.store.count_without_sparse(), self.store.count()
        if missing or (record is not None and record.state == "renew"):
            what = f"{missing} of {count} passages of collection {name!r} have no sparse vector"
            if not missing:
                what = f"Some sparse vectors of collection {name!r} have the weights of an earlier mean length"
            warnings.warn(
                f"{what}. Index its sources again with this first stage, or call add_sparse(): only what is missing is "
                "made.",
                BicrossWarning,
                stacklevel=5,
            )
        self._warn_of_weighing(encoder)

    def _verify_unrecorded(self, encoder: SparseEncoder) -> None:
        """A collection that doesn't say what made its sparse vectors: another program's, or one without any."""
        name, count = self.store.collection, self.store.count()
        if count and self.store.count_without_sparse() == count:
            raise StoreError(
                f"A sparse or hybrid first stage needs sparse vectors; none of the {count} passages of collection "
                f"{name!r} has one. Index its sources again with this first stage, or call add_sparse() of the "
                "retriever, vector store or document store: dense vectors are kept, only sparse ones are made."
            )
        agreement = self.agreement(encoder)
        if agreement is None:
            return
        cosine = agreement.cosine
        said = f"Collection {name!r} doesn't say what made its sparse vectors"
        if cosine < _AKIN:
            raise FingerprintMismatchError(
                f"{said}; they differ from this encoder's (mean cosine {cosine:.3f}; at least {_AKIN} is needed). Pass "
                "the sparse_encoder that made them."
            )
        warnings.warn(f"{said}; they are like this encoder's: mean cosine {cosine:.3f}.", BicrossWarning, stacklevel=6)

    def agreement(self, encoder: SparseEncoder) -> Agreement | None:
        """How like the stored vectors the encoder's of the same texts are; None where there are none."""
        found: list[tuple[str, SparseVector]] = []
        for batch in batches_of(islice(self.store.scroll(), 1_000), _SAMPLE):
            vectors = self.store.sparse_vectors([passage.id for passage in batch])
            found += [(p.full_text, vectors[p.id]) for p in batch if len(vectors.get(p.id, ()))]
            if len(found) >= _SAMPLE:
                break
        if not found:
            return None
        texts = [text for text, _ in found]
        if isinstance(encoder, Measuring) and encoder.mean_length is None:
            encoder = encoder.with_mean_length(encoder.measure(texts))
        again = encoder.encode_document(texts)
        compared = [_compared(new, old) for new, (_, old) in zip(again, found, strict=True)]
        return Agreement(*np.mean(compared, axis=0).tolist())

    def _warn_of_weighing(self, encoder: SparseEncoder) -> None:
        layout = self.store.layout()
        if layout.idf != encoder.idf:
            weighs, wants = ("has", "brings its own weights") if layout.idf else ("has no", "needs it")
            modifier = "IDF" if encoder.idf else "NONE"
            warnings.warn(
                f"Sparse vector {layout.sparse!r} of collection {self.store.collection!r} {weighs} IDF modifier; this "
                f"encoder {wants}: the order is worse than it could be. Change it: client.update_collection(…, "
                f"sparse_vectors_config={{{layout.sparse!r}: SparseVectorParams(modifier=Modifier.{modifier})}}).",
                BicrossWarning,
                stacklevel=5,
            )

    def mismatch(self, record: SparseRecord, encoder: SparseEncoder) -> str:
        """What to say where another encoder made the vectors."""
        this = short_name(_name(encoder), encoder.fingerprint)
        return (
            f"Collection {self.store.collection!r} holds sparse vectors of {shown(record)}; this encoder is {this!r}. "
            f"{REMEDY}, or pass the sparse_encoder that made them."
        )


def _name(encoder: SparseEncoder) -> str | None:
    name, language = getattr(encoder, "name", None), getattr(encoder, "language", None)
    return f"{name}-{language}" if name and language else name


def shown(record: SparseRecord) -> str:
    """What made sparse vectors, for messages."""
    name = f"{record.name}-{record.language}" if record.name and record.language else record.name
    return repr(short_name(name, record.fingerprint))


def _compared(one: SparseVector, other: SparseVector) -> tuple[float, float]:
    """Cosine, and length of the difference in lengths of the other one, which isn't empty."""
    _, mine, its = np.intersect1d(one.indices, other.indices, return_indices=True)
    product = float(one.values[mine].astype(np.float64) @ other.values[its])
    a, b = float(np.linalg.norm(one.values)), float(np.linalg.norm(other.values)) or 1.0
    return product / (a * b) if a else 0.0, math.sqrt(max(a * a + b * b - 2 * product, 0.0)) / b


def batches_of(passages: Iterable[Passage], size: int) -> Iterator[list[Passage]]:
    """Lists of at most so many passages."""
    source = iter(passages)
    while batch := list(islice(source, size)):
        yield batch
