"""Mines candidate lists: judged documents, hard negatives of a bi-encoder and of BM25 by rank, and random ones."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bicross.distillation.labels import LabelledQuery, Labels
from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.errors import ConfigurationError, InputError
from bicross.evaluation.counted import query_fingerprint
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.stages import Positions, Stages
from bicross.sparse.bm25 import BM25Encoder
from bicross.types import Encoder, SparseEncoder

logger = logging.getLogger(__name__)

_Row = tuple[str, float, str, int]
"""A candidate: document id, label, kind, rank."""


class Window(NamedTuple):
    """How many candidates are drawn from which ranks."""

    first: int
    last: int
    draw: int


@dataclass(frozen=True, slots=True)
class MiningSettings:
    """What a query's list is made of.

    Attributes:
        dense: Windows of the bi-encoder's ranks, counted from 1, both ends included.
        bm25: The same of BM25's; empty: BM25 isn't asked, and needs no extra.
        easy: Documents drawn from the whole corpus.
        judged: Most judged positives, and most judged negatives.
        seed: Of the draws. A query's draws depend on it and the query's id alone, not on the other queries.
    """

    dense: tuple[Window, ...] = (Window(1, 10, 6), Window(11, 100, 6))
    bm25: tuple[Window, ...] = (Window(1, 20, 4),)
    easy: int = 4
    judged: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("dense", "bm25"):
            windows = tuple(Window(*window) for window in getattr(self, name))
            object.__setattr__(self, name, windows)
            for window in windows:
                if not (1 <= window.first <= window.last and window.draw >= 1):
                    raise ConfigurationError(
                        f"A window of {name} is first rank, last rank and how many to draw, with "
                        f"1 <= first <= last and 1 or more to draw; got {tuple(window)!r}."
                    )
        for name in ("easy", "judged"):
            if getattr(self, name) < 0:
                raise ConfigurationError(f"{name} must be 0 or more; got {getattr(self, name)!r}.")
        if not self.dense and not self.bm25 and not self.easy:
            raise ConfigurationError("Mining needs a window of dense or bm25, or easy > 0; got none of them.")

    def widened(self, count: int) -> MiningSettings:
        """The same mixture for lists of ``count`` candidates or more; unchanged where that many are drawn already.

        Every draw grows by one factor. A window reaches down to where it holds as many ranks as it and those before it
        draw, since they may have found the same documents.

        >>> MiningSettings(bm25=()).widened(160).dense
        (Window(first=1, last=60, draw=60), Window(first=11, last=130, draw=60))
        """
        windows = (*self.dense, *self.bm25)
        total = self.easy + sum(window.draw for window in windows)
        if count <= total:
            return self
        draws = [math.ceil(window.draw * count / total) for window in windows]
        wide = tuple(
            Window(window.first, max(window.last, window.first + drawn - 1), draw)
            for window, draw, drawn in zip(windows, draws, accumulate(draws), strict=True)
        )
        split = len(self.dense)
        easy = math.ceil(self.easy * count / total)
        return replace(self, dense=wide[:split], bm25=wide[split:], easy=easy)


def mine_candidates(
    labels: Labels,
    encoder: Encoder,
    *,
    settings: MiningSettings | None = None,
    sparse_encoder: SparseEncoder | None = None,
    language: str = "en",
    cache_dir: str | Path | None = None,
    show_progress: bool | None = None,
) -> CandidateLists:
    """Finds candidates for every query, by exact search; they have no scores yet.

    A list begins with the judged documents; a query without a judged positive is kept, and the teacher's scores are all
    that is learnt from it. A document with the text of another one in the list is left out of it.

    Args:
        labels: The queries, the documents to search, and the judgments.
        encoder: Finds the dense candidates.
        settings: What a list is made of.
        sparse_encoder: Finds the ``bm25`` candidates; None: `BM25Encoder`.
        language: Of that `BM25Encoder`.
        cache_dir: Folder of the vectors, which a later run reads instead of encoding again.
        show_progress: None: on a terminal, once it takes more than two seconds.

    Returns:
        A list for each query that has two candidates at least. The metadata says how they were mined.

    Raises:
        InputError: There are no documents or queries, or no query has two candidates.
        MissingExtraError: BM25 is asked and its packages aren't installed (extra ``hybrid``).
    """
    settings = settings or MiningSettings()
    documents = labels.searched
    queries = {query_id: query.text for query_id, query in labels.queries.items()}
    data = Dataset(labels.name, documents, {}, queries, {})
    if sparse_encoder is None and settings.bm25:
        sparse_encoder = BM25Encoder(language)
    found: dict[str, Positions] = {}
    miners: dict[str, Any] = {}
    with Stages(encoder, sparse_encoder=sparse_encoder, cache_dir=cache_dir) as stages:
        for kind, windows in (("dense", settings.dense), ("bm25", settings.bm25)):
            if windows:
                depth = max(window.last for window in windows)
                found[kind], _ = stages.candidates(data, depth, first_stage=kind, show_progress=show_progress)
    if "dense" in found:
        miners["dense"] = [encoder.document_fingerprint, query_fingerprint(encoder)]
    if "bm25" in found:
        miners["bm25"] = None if sparse_encoder is None else sparse_encoder.fingerprint
    metadata = {"set": labels.name, "data": labels.fingerprint, "miners": miners, "mining": asdict(settings)}
    lists = list(_two_or_more(_lists(labels, [*documents], found, settings), labels.name))
    if not lists:
        raise InputError(
            f"A list to learn an order from has two candidates or more; none of the {len(queries)} queries of "
            f"{labels.name!r} has. Mine more (wider windows, easy > 0), or bring more documents."
        )
    return CandidateLists(lists, labels.documents, metadata)


def _two_or_more(lists: Iterable[ScoredList], name: str) -> Iterator[ScoredList]:
    short = without = 0
    for one in lists:
        if len(one) < 2:
            short += 1
            continue
        without += not np.any(one.labels > 0)
        yield one
    if short:
        logger.warning("%s: left out %d queries with fewer than two candidates", name, short)
    if without:
        logger.warning("%s: %d queries have no judged positive; the teacher's pick stands for it", name, without)


def _lists(
    labels: Labels, searched: Sequence[str], found: Mapping[str, Positions], settings: MiningSettings
) -> Iterator[ScoredList]:
    for row, (query_id, query) in enumerate(labels.queries.items()):
        ranked = {kind: [searched[p] for p in positions[row].tolist() if p >= 0] for kind, positions in found.items()}
        digest = hashlib.sha256(query_id.encode("utf-8", "surrogatepass")).digest()
        rng = np.random.default_rng((settings.seed, int.from_bytes(digest[:8], "big")))
        rows = _candidates(query, labels.documents, searched, ranked, settings, rng)
        ids, gains, kinds, ranks = zip(*rows, strict=True) if rows else ((), (), (), ())
        yield ScoredList(
            query_id,
            query.text,
            tuple(ids),
            np.full(len(rows), np.nan, dtype=np.float32),
            np.array(gains, dtype=np.float32),
            tuple(kinds),
            np.array(ranks, dtype=np.int32),
        )


def _candidates(
    query: LabelledQuery,
    documents: Mapping[str, str],
    searched: Sequence[str],
    ranked: Mapping[str, list[str]],
    settings: MiningSettings,
    rng: np.random.Generator,
) -> list[_Row]:
    rank_of = {d: rank for ids in reversed(list(ranked.values())) for rank, d in enumerate(ids, start=1)}
    rows: list[_Row] = []
    seen = {documents[document_id] for document_id in query.excluded}

    def take(ids: Iterable[str], count: int, label: float, kind: str) -> None:
        own = {d: rank for rank, d in enumerate(ranked[kind], start=1)} if kind in ranked else rank_of
        for document_id in ids:
            if count < 1:
                return
            if documents[document_id] not in seen:
                seen.add(documents[document_id])
                rows.append((document_id, label, kind, own.get(document_id, 0)))
                count -= 1

    take(query.positives, settings.judged, 1.0, "positive")
    seen.update(documents[document_id] for document_id in query.positives)  # beyond the cap they are no negatives
    take(() if query.source is None else (query.source,), 1, np.nan, "source")
    take(query.negatives, settings.judged, 0.0, "negative")
    seen.update(documents[document_id] for document_id in query.negatives)
    for kind, windows in (("dense", settings.dense), ("bm25", settings.bm25)):
        for window in windows:
            pool = ranked.get(kind, [])[window.first - 1 : window.last]
            take((pool[i] for i in rng.permutation(len(pool)).tolist()), window.draw, np.nan, kind)
    draws = rng.integers(len(searched), size=20 * settings.easy).tolist()
    take((searched[i] for i in draws if searched[i] not in rank_of), settings.easy, np.nan, "easy")
    return rows
