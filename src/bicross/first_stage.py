"""The first stage: candidates by dense vectors, by sparse ones, or by both, fused."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from bicross.adopting import verify_unrecorded
from bicross.arguments import check_share
from bicross.bi_encoder import BiEncoder
from bicross.errors import ConfigurationError, TruncationWarning
from bicross.fusion import FUSED_DEPTH, check_fusion, fuse
from bicross.sparse_sync import SparseSync
from bicross.stores import Store
from bicross.stores.grouping import Grouping, joined
from bicross.stores.schema import DISTANCES, Header
from bicross.types import Encoder, Floats, Hit, Leg, SparseEncoder, SparseVector
from bicross.witness import witness_of

FIRST_STAGES = ("dense", "bm25", "hybrid")

Filter = Mapping[str, Any]


class Sought(NamedTuple):
    """A query as vectors; None for the search that isn't made. **Shape** of dense: (dimension,)."""

    dense: Floats | None = None
    sparse: SparseVector | None = None


class FirstStage:
    """Finds candidates.

    Args:
        bi_encoder: Makes the dense vectors; or the name of a model for `BiEncoder.load`.
        store: Holds the passages and their vectors.
        kind: ``dense``, ``bm25`` (the sparse vectors alone, whichever encoder made them) or ``hybrid``.
        sparse_encoder: Makes the sparse vectors. None: BM25, for the collection's language.
        fusion: How a hybrid stage makes one ranking of two: ``weighted`` or ``rrf``.
        sparse_weight: Share of the sparse search in the fused score, from 0 to 1.

    Raises:
        ConfigurationError: An argument that makes no sense.
    """

    def __init__(
        self,
        bi_encoder: Encoder | str,
        store: Store,
        kind: str = "dense",
        *,
        sparse_encoder: SparseEncoder | None = None,
        fusion: str = "weighted",
        sparse_weight: float = 0.5,
    ) -> None:
        self.kind = check_kind(kind)
        if kind == "dense" and sparse_encoder is not None:
            raise ConfigurationError(
                f"sparse_encoder is for first_stage='hybrid' or 'bm25'; got {sparse_encoder!r} with 'dense'."
            )
        self.fusion = check_fusion(fusion)
        self.sparse_weight = check_share(sparse_weight, "sparse_weight")
        self.bi_encoder: Encoder = BiEncoder.load(bi_encoder) if isinstance(bi_encoder, str) else bi_encoder
        self.store = store
        self.sparse = None if kind == "dense" else SparseSync(store, sparse_encoder)
        self._dimension: int | None = getattr(self.bi_encoder, "dimension", None)
        self._verified: Header | None = None

    def checked_dimension(self) -> int:
        """The bi-encoder's dimension, once it is known that a store can compare its vectors.

        Raises:
            ConfigurationError: Its similarity is one that no store has.
        """
        name = getattr(self.bi_encoder, "similarity_name", "cosine")
        if name not in DISTANCES:
            raise ConfigurationError(
                f"A store compares by {' or '.join(DISTANCES)}, got {self.bi_encoder!r}, which compares by {name!r}. "
                "Use another bi-encoder."
            )
        if self._dimension is None:
            self._dimension = int(self.bi_encoder.encode_document("dimension").shape[-1])
        return self._dimension

    def bind(self) -> None:
        """Create the collection for the bi-encoder, or check that the existing one is its.

        Raises:
            FingerprintMismatchError, DimensionMismatchError: Another model filled it.
        """
        encoder = self.bi_encoder
        self.store.bind(
            dimension=self.checked_dimension(),
            fingerprint=encoder.document_fingerprint,
            model=getattr(encoder, "name", None),
            revision=getattr(encoder, "revision", None),
            distance=getattr(encoder, "similarity_name", "cosine"),
            witness=witness_of(encoder),
        )

    def verify(self) -> None:
        """Refuse to search what other models filled; looked at again whenever the collection is another one.

        Raises:
            FingerprintMismatchError, DimensionMismatchError: Another model filled it.
            StoreError: It has no sparse vectors, and they are asked for.
        """
        header = self.store.header()
        if header is None or header == self._verified:
            return
        if self.sparse is not None:
            self.sparse.verify()
        if self.kind == "bm25":
            pass  # nothing is compared with the dense vectors
        elif header.fingerprint is None:
            verify_unrecorded(self.store, self.bi_encoder)
        else:
            self.bind()
        self._verified = header

    def encode(self, query: str, tags: dict[str, Any], *, observed: bool) -> Sought:
        """A query as what the stage searches by; what is known of the model goes into the tags."""
        dense = None if self.kind == "bm25" else self._encode_dense(query, tags, observed)
        return Sought(dense, None if self.sparse is None else self.sparse.encode_query(query))

    def _encode_dense(self, query: str, tags: dict[str, Any], observed: bool) -> Floats:
        encoder = self.bi_encoder
        if not isinstance(encoder, BiEncoder):
            return encoder.encode_query(query)
        vector, cut = encoder.encode_query(query, return_truncation=True, show_progress=False)
        if observed:  # a fingerprint takes a look at every weight, once
            tags.update(model=encoder.name, fingerprint=encoder.query_fingerprint, truncated=int(cut))
        if cut:
            warnings.warn(
                f"The query was longer than the {encoder.max_length} tokens that the bi-encoder reads, and was cut.",
                TruncationWarning,
                stacklevel=5,
            )
        return vector

    def find(self, sought: Sought, top_k: int, filter: Filter | None) -> list[Hit]:
        """The best passages. **Unit** of the scores: `Hit.stage1_score`."""
        dense, sparse = sought
        if sparse is None:
            return self.store.search(dense, top_k, filter)
        if dense is None:
            return self.store.search_sparse(sparse, top_k, filter)
        # As deep for few hits as for many: a smaller top_k gives a prefix, up to this depth.
        depth = max(top_k, FUSED_DEPTH)
        legs = (
            self.store.search_both(dense, sparse, depth, filter)
            if len(sparse)
            else (
                self.store.search(dense, depth, filter),
                [],
            )
        )
        return self._fused(legs, depth)[:top_k]

    def _fused(self, legs: tuple[Sequence[Hit], Sequence[Hit]], depth: int) -> list[Hit]:
        passages = {hit.passage.id: hit.passage for leg in legs for hit in leg}
        seen: dict[str, tuple[Leg, ...]] = {}
        for name, leg in zip(("dense", "sparse"), legs, strict=True):
            for rank, hit in enumerate(leg, start=1):
                seen[hit.passage.id] = (*seen.get(hit.passage.id, ()), Leg(name, rank, hit.score))
        rankings = [[(hit.passage.id, hit.score) for hit in leg] for leg in legs]
        # Where the sparse search found all that shares a term, the others' dot product is 0.
        floors = (None, 0.0 if len(legs[1]) < depth else None)
        order = fuse(rankings, (1 - self.sparse_weight, self.sparse_weight), self.fusion, floors)
        return [
            Hit(passages[key], score, score, stage1_rank=rank, legs=seen[key])
            for rank, (key, score) in enumerate(order, start=1)
        ]

    def find_documents(
        self, sought: Sought, top_k: int, candidates: int, filter: Filter | None, grouping: Grouping
    ) -> list[Hit]:
        """The best passages; where they are of fewer than `top_k` documents, the best ones of others behind them."""
        hits: list[Hit] = []
        if candidates:
            hits = self.find(sought, candidates, filter)
            if len(hits) < candidates or grouping.count(hits) >= top_k:
                return hits
        if sought.sparse is None:
            return joined(hits, grouping.hits_of(self.store, sought.dense, top_k, filter))
        # No engine groups what is fused here: as deep as it takes.
        depth = max(FUSED_DEPTH, candidates, 4 * top_k * grouping.size)
        while True:
            hits = self.find(sought, depth, filter)
            if len(hits) < depth or grouping.count(hits) >= top_k:
                return joined(hits[:candidates], grouping.collapsed(hits, top_k))
            depth *= 4


def check_kind(kind: str) -> str:
    """The name of a first stage.

    Raises:
        ConfigurationError: There is none of this name.
    """
    if kind not in FIRST_STAGES:
        raise ConfigurationError(f"first_stage is one of {', '.join(map(repr, FIRST_STAGES))}; got {kind!r}.")
    return kind
