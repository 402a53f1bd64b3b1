"""Candidate lists kept from training, and what a student is measured by on them."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from bicross.arrays import unit_rows
from bicross.distillation.held_out import ndcg_at_10
from bicross.distillation.list_batches import ListCollator, Lists, Positions, Row
from bicross.distillation.list_student import ListStudent
from bicross.errors import ConfigurationError
from bicross.evaluation.agreement import spearman
from bicross.types import Floats

logger = logging.getLogger(__name__)

_TEXTS = 256
_POOL = 50_000
"""Frozen documents that held-out queries are ranked against, beside their candidates."""
Figures = dict[str, float | None]
"""``agreement``: mean Spearman correlation with the teacher within a list, from −1 to 1. ``ndcg``: nDCG@10 on the
labels, among all documents of the held-out lists (of all lists, where documents are frozen). None: nothing is known."""


def split_lists(lists: Lists, count: int, *, seed: int) -> tuple[list[Row], list[Row]]:
    """Divides the rows so that no query is on both sides, and no held-out query's answer is trained on.

    Not even as another query's candidate, so that the held-out figures are those of documents that are new.

    What is held out depends on the seed and the queries' texts alone: a later round, whose lists are of other queries
    in part, holds out none that an earlier one was trained on.

    Args:
        lists: The rows.
        count: How many of each set are held out; those that have no candidate to compare are left in training.
        seed: Of the draw.

    Returns:
        Rows to train on, rows held out.

    Raises:
        ConfigurationError: Nothing would be left to train on.
    """
    held: list[Row] = []
    for source in range(len(lists.spreads)):
        usable = [row for row in lists.rows if row.source == source and _comparable(row)]
        drawn = sorted(usable, key=lambda row: _lot(lists.queries[row.query], seed))[:count]
        held += sorted(drawn, key=lambda row: row.query)
    taken = {lists.queries[row.query] for row in held}
    answers = {document for row in held for document in row.documents[row.labels > 0].tolist()}
    gone = np.array(sorted(answers), dtype=np.int64)
    train = [
        _without(row, gone)
        for row in lists.rows
        if lists.queries[row.query] not in taken and answers.isdisjoint(row.documents[row.labels > 0].tolist())
    ]
    if not train:
        raise ConfigurationError(
            f"held_out must leave lists to train on; got {count!r} of {len(lists.rows)} lists. Hold out fewer."
        )
    if dropped := len(lists.rows) - len(held) - len(train):
        logger.info("%d lists share a query or an answer with a held-out one and are not trained on", dropped)
    return train, held


def _without(row: Row, documents: Positions) -> Row:
    kept = ~np.isin(row.documents, documents)
    if kept.all():
        return row
    return replace(row, documents=row.documents[kept], scores=row.scores[kept], labels=row.labels[kept])


def _lot(query: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}\x00{query}".encode("utf-8", "surrogatepass")).digest()


def _comparable(row: Row) -> bool:
    known = row.scores[np.isfinite(row.scores)]
    return (len(known) > 1 and float(np.ptp(known)) > 0) or bool((row.labels > 0).any())


@dataclass(frozen=True)
class HeldOut:
    """Measures a student on rows.

    Attributes:
        rows: The rows.
        collator: Tokenises; knows the frozen documents' vectors.
        bf16: Whether to multiply in bfloat16.
    """

    rows: list[Row]
    collator: ListCollator
    bf16: bool

    @torch.no_grad()
    def measure(self, student: ListStudent) -> dict[str, Figures]:
        """The figures by set, numbered as the sets are, and their means under ``all``."""
        was_training = student.training
        student.eval()
        places = np.unique(np.concatenate([row.documents for row in self.rows]))
        queries = self._encode(student, "query", [self.collator.lists.queries[row.query] for row in self.rows])
        if "document" in self.collator.tokenizers:
            documents = self._encode(student, "document", [self.collator.lists.documents[place] for place in places])
        else:
            frozen = self.collator.base["document"]
            others = np.random.default_rng(0).permutation(len(frozen))[:_POOL]
            places = np.union1d(places, others)
            documents = np.asarray(frozen[places], dtype=np.float32)
        student.train(was_training)
        if student.cosine:
            queries, documents = unit_rows(queries), unit_rows(documents)
        figures: dict[str, Figures] = {}
        for source in sorted({row.source for row in self.rows}):
            chosen = [i for i, row in enumerate(self.rows) if row.source == source]
            figures[str(source)] = _figures([self.rows[i] for i in chosen], queries[chosen], documents, places)
        return {**figures, "all": _mean(figures)}

    def _encode(self, student: ListStudent, role: str, texts: Sequence[str]) -> Floats:
        device = next(student.parameters()).device
        parts = []
        for start in range(0, len(texts), _TEXTS):
            chunks = self.collator.chunks(role, texts[start : start + _TEXTS])
            chunks["passes"] = [{k: v.to(device) for k, v in one.items()} for one in chunks["passes"]]
            with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
                parts.append(student.encode(role, chunks).float().cpu().numpy())
        return np.concatenate(parts)


def _figures(rows: list[Row], queries: Floats, documents: Floats, places: Positions) -> Figures:
    agreements, gained = [], []
    for row, query in zip(rows, queries, strict=True):
        scores = documents @ query
        known = np.isfinite(row.scores)
        if known.sum() > 1:
            own = scores[np.searchsorted(places, row.documents[known])]
            agreements.append(float(spearman(own[None], row.scores[known][None])[0]))
        relevant = row.documents[row.labels > 0]
        if len(relevant):
            gains = np.isin(places, relevant).astype(np.float32)
            gained.append(float(ndcg_at_10(scores[None].astype(np.float64), gains[None], np.array([len(relevant)]))[0]))
    agreements = [value for value in agreements if not np.isnan(value)]
    return {
        "agreement": float(np.mean(agreements)) if agreements else None,
        "ndcg": float(np.mean(gained)) if gained else None,
    }


def _mean(figures: Mapping[str, Figures]) -> Figures:
    means: Figures = {}
    for name in ("agreement", "ndcg"):
        known = [value for by_set in figures.values() if (value := by_set[name]) is not None]
        means[name] = float(np.mean(known)) if known else None
    return means


def height(figures: Figures) -> float:
    """What the best epoch is chosen by: nDCG@10 where there are labels, else the agreement."""
    value = figures["ndcg"] if figures["ndcg"] is not None else figures["agreement"]
    return -1.0 if value is None else value


def exhausted(curve: Sequence[Figures], patience: int) -> bool:
    """Whether neither figure rose above its best before, for so many epochs.

    Args:
        curve: The figures of every epoch, those before training first.
        patience: Epochs.

    >>> steps = [0.1, 0.3, 0.2, 0.3]
    >>> [exhausted([{"agreement": a, "ndcg": None} for a in steps[:n]], 2) for n in (2, 3, 4)]
    [False, False, True]
    """
    since = 0
    best: Figures = {"agreement": None, "ndcg": None}
    for figures in curve:
        since += 1
        for name, value in figures.items():
            known = best[name]
            if value is not None and (known is None or value > known):
                best[name], since = value, 0
    return since >= patience
