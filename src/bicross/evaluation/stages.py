"""Both stages over a whole data set: exact search, and vectors and scores that are computed once."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bicross.arguments import check_count, check_share
from bicross.arrays import unit_rows
from bicross.caches import ScoreCache, VectorCache, check_kept, check_kept_scores
from bicross.cross_encoder import raw_fingerprint
from bicross.errors import ConfigurationError, InputError
from bicross.evaluation.counted import CountedEncoder, CountedScorer, query_fingerprint
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.legs import DenseLeg, ExactSearch, SparseLeg
from bicross.first_stage import check_kind
from bicross.fusion import check_fusion
from bicross.lifecycle import Closing
from bicross.sparse.bm25 import BM25Encoder
from bicross.sparse.exact import SparseIndex
from bicross.types import Encoder, Floats, Scorer, SparseEncoder

Positions = npt.NDArray[np.int32]


class Stages(Closing):
    """A bi-encoder and a cross-encoder over data sets, without a store.

    Args:
        bi_encoder: A `BiEncoder`, or anything that satisfies `Encoder`.
        cross_encoder: A `CrossEncoder`, anything that satisfies `Scorer`, or None for the first stage alone.
        sparse_encoder: For the first stages "bm25" and "hybrid"; None: `BM25Encoder` for English.
        fusion, sparse_weight: Of the first stage "hybrid", as in `TwoStageRetriever`.
        cache_dir: Folder of the vectors and scores, which survive a kill and serve every later run. None: a temporary
            one, gone at `close`.
    """

    def __init__(
        self,
        bi_encoder: Encoder,
        cross_encoder: Scorer | None = None,
        *,
        sparse_encoder: SparseEncoder | None = None,
        fusion: str = "weighted",
        sparse_weight: float = 0.5,
        cache_dir: str | Path | None = None,
    ) -> None:
        self.bi_encoder = bi_encoder
        self.cross_encoder = cross_encoder
        self.sparse_encoder = sparse_encoder
        self.fusion = check_fusion(fusion)
        self.sparse_weight = check_share(sparse_weight, "sparse_weight")
        self._cache_dir = cache_dir
        self._caches: tuple[VectorCache, ScoreCache] | None = None
        self._remove: weakref.finalize[[str, bool], Stages] | None = None

    def close(self) -> None:
        """Close the caches; the models stay open."""
        if self._caches is not None:
            for cache in self._caches:
                cache.close()
            self._caches = None
        if self._remove is not None:
            self._remove()

    def _open(self) -> tuple[VectorCache, ScoreCache]:
        if self._caches is None:
            folder = self._cache_dir
            if folder is None:
                folder = tempfile.mkdtemp(prefix="bicross-")
                self._remove = weakref.finalize(self, shutil.rmtree, folder, True)
            vectors, scores = VectorCache(folder), ScoreCache(folder)
            if self._cache_dir is not None:
                check_kept(vectors, self.bi_encoder)
                if self.cross_encoder is not None:
                    check_kept_scores(scores, self.cross_encoder)
            self._caches = vectors, scores
        return self._caches

    def document_vectors(self, data: Dataset, *, show_progress: bool | None = None) -> Floats:
        """Vectors of the documents, in their order. **Shape:** (documents, dimension)."""
        encoder = CountedEncoder(self.bi_encoder, "document")
        fingerprint = self.bi_encoder.document_fingerprint
        texts = list(data.documents.values())
        vectors = self._open()[0].encode(fingerprint, texts, encoder, show_progress=show_progress)
        encoder.warn()
        return vectors

    def query_vectors(self, data: Dataset, *, show_progress: bool | None = None) -> Floats:
        """Vectors of the queries, in their order. **Shape:** (queries, dimension)."""
        encoder = CountedEncoder(self.bi_encoder, "query")
        fingerprint = query_fingerprint(self.bi_encoder)
        texts = list(data.queries.values())
        vectors = self._open()[0].encode(fingerprint, texts, encoder, show_progress=show_progress)
        encoder.warn()
        return vectors

    def candidates(
        self, data: Dataset, k: int = 100, *, first_stage: str = "dense", show_progress: bool | None = None
    ) -> tuple[Positions, Floats]:
        """The first stage: every query's best documents, by exact search; ties in the documents' order.

        Args:
            data: The queries and documents.
            k: How many; all documents where there are fewer.
            first_stage: "dense": by the vectors' similarity in float32. "bm25": by the sparse encoder's vectors.
                "hybrid": by both, fused.
            show_progress: None: on a terminal, once it takes more than two seconds.

        Returns:
            Positions in ``data.documents``, and scores. **Shape:** both (queries, min(k, documents)). **Unit:** the
            bi-encoder's similarity, the sparse encoder's score, or a fused one. A sparse search may find fewer: the
            rest of the row is −1, with the score −∞.

        Raises:
            ConfigurationError: ``k`` is below 1, an unknown first stage, or a bi-encoder that compares by a distance.
            InputError: There are no documents or no queries.
        """
        check_count(k, "candidates")
        return self.search(data, first_stage, show_progress=show_progress).find(k, show_progress=show_progress)

    def search(self, data: Dataset, first_stage: str = "dense", *, show_progress: bool | None = None) -> ExactSearch:
        """What `candidates` searches by: all that is done once for a data set, whatever is asked.

        Raises:
            ConfigurationError, InputError: As there.
        """
        if not data.documents or not data.queries:
            raise InputError(
                f"A search needs documents and queries; {data.name!r} holds {len(data.documents)} and "
                f"{len(data.queries)}."
            )
        check_kind(first_stage)
        sparse = None if first_stage == "dense" else self._sparse(data)
        dense = None if first_stage == "bm25" else self._dense(data, show_progress)
        return ExactSearch(dense, sparse, self.fusion, self.sparse_weight)

    def _sparse(self, data: Dataset) -> SparseLeg:
        """BM25's mean length is measured on the data set where it isn't set."""
        texts = list(data.documents.values())
        encoder = BM25Encoder() if self.sparse_encoder is None else self.sparse_encoder
        if isinstance(encoder, BM25Encoder) and encoder.mean_length is None:
            encoder = encoder.with_mean_length(encoder.measure(texts))
        index = SparseIndex(encoder.encode_document(texts), idf=encoder.idf)
        return SparseLeg(encoder, encoder.encode_query(list(data.queries.values())), index)

    def _dense(self, data: Dataset, show_progress: bool | None) -> DenseLeg:
        name = getattr(self.bi_encoder, "similarity_name", "cosine")
        if name not in ("cosine", "dot"):
            raise ConfigurationError(f"Exact search compares by cosine or dot, got a bi-encoder that uses {name!r}.")
        documents = self.document_vectors(data, show_progress=show_progress)
        queries = self.query_vectors(data, show_progress=show_progress)
        if name == "cosine":
            queries, documents = unit_rows(queries), unit_rows(documents)
        return DenseLeg(self.bi_encoder, queries, documents)

    def cross_scores(
        self,
        data: Dataset,
        positions: Positions,
        *,
        query_ids: Sequence[str] | None = None,
        show_progress: bool | None = None,
    ) -> Floats:
        """The cross-encoder's scores of candidates, before its activation.

        Args:
            data: The queries and documents.
            positions: In ``data.documents``; −1 stands for none. **Shape:** (queries, k).
            query_ids: Whose candidates the rows are; None: of all queries in their order.
            show_progress: None: on a terminal, once it takes more than two seconds.

        Returns:
            **Shape:** as ``positions``. **Unit:** logit for a `CrossEncoder`, else the scorer's own; NaN at −1.

        Raises:
            ConfigurationError: There is no cross-encoder.
            InputError: It returned NaN, or another number of scores than it got pairs.
        """
        cross = self.cross_encoder
        if cross is None:
            raise ConfigurationError("cross_scores needs a cross_encoder; these stages were made without one.")
        texts = list(data.documents.values())
        queries = list(data.queries.values()) if query_ids is None else [data.queries[q] for q in query_ids]
        if len(queries) != len(positions):
            raise InputError(f"positions needs a row for each of {len(queries)} queries, got {len(positions)}.")
        wanted = positions >= 0
        pairs = [(queries[row], texts[positions[row, column]]) for row, column in np.argwhere(wanted)]
        scorer = CountedScorer(cross)
        scores = np.full(positions.shape, np.nan, dtype=np.float32)
        scores[wanted] = self._open()[1].score(raw_fingerprint(cross), pairs, scorer, show_progress=show_progress)
        scorer.warn()
        return scores
