"""Hits that are good and unlike each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bicross.ranking import diverse
from bicross.stores import Store
from bicross.types import Hit


def diversified(store: Store, hits: Sequence[Hit], top_k: int, diversity: float) -> list[Hit]:
    """Choose hits by maximal marginal relevance, on the vectors that the store holds.

    Relevance is a hit's score, scaled to 0 (the worst of the hits) to 1 (the best), so that cosine, BM25, fused scores
    and logits serve alike; likeness is the cosine of two passages' dense vectors. Hits that the second stage had no
    time for count as the worst.

    Args:
        store: Holds the vectors.
        hits: To choose from, best first.
        top_k: How many.
        diversity: From 0 (by score alone) to 1 (as unlike as possible).

    Returns:
        The chosen ones in the order of choice, the best hit first.
    """
    found, vectors = store.vectors(list(dict.fromkeys(hit.passage.id for hit in hits)))
    rows = {id: row for row, id in enumerate(found)}
    kept = [hit for hit in hits if hit.passage.id in rows]  # what was deleted meanwhile is gone
    reranked = any(hit.rerank_score is not None for hit in kept)
    counted = [hit.score for hit in kept if not reranked or hit.rerank_score is not None]
    if not counted:
        return []
    least, most = min(counted), max(counted)
    spread = (most - least) or 1.0
    relevance = [(hit.score - least) / spread if not reranked or hit.rerank_score is not None else 0.0 for hit in kept]
    chosen = diverse(np.array(relevance), vectors[[rows[hit.passage.id] for hit in kept]], top_k, 1 - diversity)
    return [kept[i] for i in chosen]
