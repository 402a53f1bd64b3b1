"""The choices of models that a search server offers: each a pair of models on a collection."""

from __future__ import annotations

import threading

from bicross.errors import ConfigurationError
from bicross.retriever import TwoStageRetriever
from bicross.stores import Store
from bicross.stores.facets import Facets
from bicross.types import Encoder, Scorer, SparseEncoder

_NO_SPARSE = "The collection has no sparse vectors. Add them: bicross index … --first-stage hybrid"


class Setup:
    """A pair of models on a collection.

    Args:
        name: What clients call it.
        bi_encoder: Finds.
        store: Holds the collection; not closed here.
        cross_encoder: Reorders; None: the first stage alone.
        sparse_encoder: Makes the sparse vectors; None: what is indexed here gets none, and searches take BM25 where the
            collection has it.
    """

    def __init__(
        self,
        name: str,
        bi_encoder: Encoder,
        store: Store,
        cross_encoder: Scorer | None = None,
        *,
        sparse_encoder: SparseEncoder | None = None,
    ) -> None:
        self.name = name
        self.bi_encoder = bi_encoder
        self.store = store
        self.cross_encoder = cross_encoder
        self.sparse_encoder = sparse_encoder
        self._lock, self._counting = threading.Lock(), threading.Lock()
        self._retrievers: dict[str, TwoStageRetriever] = {}
        self._facets: tuple[int, Facets] | None = None

    @property
    def units(self) -> dict[str, str]:
        """Of the scores of each first stage, and of the cross-encoder's."""
        similarity = getattr(self.bi_encoder, "similarity_name", "cosine")
        units = {"dense": similarity, "bm25": "BM25", "hybrid": "fused z-score"}
        return units | ({"rerank": getattr(self.cross_encoder, "score_unit", "score")} if self.cross_encoder else {})

    def first_stages(self) -> tuple[list[str], dict[str, str]]:
        """Those that can be used, the best one first, and why the others can't."""
        header = self.store.header()
        has_sparse = self.sparse_encoder is not None if header is None else header.sparse is not None
        if not has_sparse:
            return ["dense"], {"bm25": _NO_SPARSE, "hybrid": _NO_SPARSE}
        return ["hybrid", "dense", "bm25"], {}

    def retriever(self, kind: str | None = None) -> TwoStageRetriever:
        """Both stages, by the first stage's name; None for the best one.

        Raises:
            ConfigurationError: The collection can't be searched so.
        """
        usable, unavailable = self.first_stages()
        kind = kind or usable[0]
        if kind not in usable:
            raise ConfigurationError(
                f"first_stage is one of {', '.join(usable)} here, got {kind!r}. {unavailable[kind]}"
            )
        return self._made(kind)

    def _made(self, kind: str) -> TwoStageRetriever:
        with self._lock:
            if kind not in self._retrievers:
                sparse = None if kind == "dense" else self.sparse_encoder
                self._retrievers[kind] = TwoStageRetriever(
                    self.bi_encoder, self.store, self.cross_encoder, first_stage=kind, sparse_encoder=sparse
                )
            return self._retrievers[kind]

    def indexer(self) -> TwoStageRetriever:
        """What indexes: also sparse vectors, where there is an encoder for them."""
        return self._made("dense" if self.sparse_encoder is None else "hybrid")

    def facets(self) -> Facets:
        """What filters can choose by; counted again when the number of passages is another one, or after `recount`."""
        count = self.store.count()
        with self._counting:
            if self._facets is None or self._facets[0] != count:
                self._facets = count, self.store.facets()
            return self._facets[1]

    def recount(self) -> None:
        """Count the facets anew when they are next asked for: passages may have changed."""
        with self._counting:
            self._facets = None


def chosen(setups: list[Setup], name: str | None) -> Setup:
    """The setup of a name; None for the first.

    Raises:
        ConfigurationError: There is none.
    """
    if name is None:
        return setups[0]
    for setup in setups:
        if setup.name == name:
            return setup
    raise ConfigurationError(f"setup is one of {', '.join(repr(each.name) for each in setups)}, got {name!r:.100}.")
