"""Candidates mined with a bi-encoder: what a reranker will be asked to order, and the source of hard negatives."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bicross.distillation.labels import Labels
from bicross.errors import ConfigurationError
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.stages import Stages
from bicross.ranking import exact_top_k
from bicross.types import Encoder, Floats
from bicross.whole_file import whole_file


@dataclass(frozen=True, slots=True)
class Candidates:
    """The bi-encoder's best documents for every query of a set, best first.

    Attributes:
        document_ids: Every document of the set, in its order.
        rows: Row of ``positions`` by query id.
        positions: Where in ``document_ids`` the candidates are. **Shape:** (queries, candidates).
        scores: **Unit:** dot product of the encoder's vectors. **Shape:** as ``positions``.
    """

    document_ids: tuple[str, ...]
    rows: dict[str, int]
    positions: npt.NDArray[np.int32]
    scores: Floats

    def of(self, query_id: str) -> list[str]:
        """Ids of the query's candidates, best first."""
        return [self.document_ids[p] for p in self.positions[self.rows[query_id]].tolist()]

    def only(self, query_ids: Iterable[str], top_k: int) -> Candidates:
        """The best ``top_k`` candidates of these queries, in their order."""
        ids = list(query_ids)
        kept = [self.rows[query_id] for query_id in ids]
        rows = {query_id: row for row, query_id in enumerate(ids)}
        return Candidates(self.document_ids, rows, self.positions[kept, :top_k], self.scores[kept, :top_k])


def search_candidates(
    labels: Labels,
    encoder: Encoder,
    *,
    top_k: int = 100,
    folder: Path | None = None,
    cache_dir: str | Path | None = None,
) -> Candidates:
    """Finds every query's best documents by exact search.

    Args:
        labels: The queries and the documents to search.
        encoder: Encodes both.
        top_k: Candidates for each query; all documents where there are fewer.
        folder: Where the result is kept, so that the same call in a later run reads it instead.
        cache_dir: Folder of the vectors, which survive a kill and serve every later call. None: ``folder``.

    Raises:
        ConfigurationError: ``top_k`` is below 1.
    """
    if top_k < 1:
        raise ConfigurationError(f"top_k must be at least 1; got {top_k!r}.")
    ids, rows = tuple(labels.documents), {query_id: row for row, query_id in enumerate(labels.queries)}
    path = None if folder is None else folder / f"candidates-{labels.name}-{_key(labels, encoder, top_k)}.npz"
    if path is not None and path.exists():
        with np.load(path) as kept:
            return Candidates(ids, rows, kept["positions"], kept["scores"])
    texts = {query_id: query.text for query_id, query in labels.queries.items()}
    data = Dataset(labels.name, dict(labels.documents), {}, texts, {})
    with Stages(encoder, cache_dir=folder if cache_dir is None else cache_dir) as stages:
        queries, documents = stages.query_vectors(data), stages.document_vectors(data)
    positions, scores = exact_top_k(queries, documents, top_k)
    if path is not None:
        with whole_file(path) as part, part.open("wb") as file:
            np.savez(file, positions=positions, scores=scores)
    return Candidates(ids, rows, positions, scores)


def _key(labels: Labels, encoder: Encoder, top_k: int) -> str:
    prints = (labels.fingerprint, encoder.document_fingerprint, getattr(encoder, "query_fingerprint", ""), str(top_k))
    return hashlib.sha256("\x00".join(prints).encode()).hexdigest()[:16]


def sample_negatives(
    labels: Labels,
    candidates: Candidates,
    query_id: str,
    *,
    count: int,
    window: tuple[int, int],
    rng: np.random.Generator,
) -> list[str]:
    """Draws documents that the bi-encoder ranks high and that aren't known to be relevant.

    Judged negatives come first. The rest is drawn without replacement from the ranks of the window; documents with
    the same text as a relevant one, or as one already drawn, are left out.

    Args:
        labels: Where ``query_id`` and the texts are.
        candidates: Mined for ``labels``.
        query_id: Whose negatives.
        count: How many; fewer come back where the window holds fewer.
        window: First and last rank, counted from 1, both included. The first few ranks hold the most unjudged answers.
        rng: Source of the draw.
    """
    query = labels.queries[query_id]
    seen = {labels.documents[document_id] for document_id in query.positives}
    pool = candidates.of(query_id)[window[0] - 1 : window[1]]
    chosen: list[str] = []
    for document_id in (*query.negatives, *(pool[i] for i in rng.permutation(len(pool)).tolist())):
        text = labels.documents[document_id]
        if len(chosen) < count and text not in seen:
            seen.add(text)
            chosen.append(document_id)
    return chosen
