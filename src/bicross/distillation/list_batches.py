"""Candidate lists as training batches: each text of a batch once, in chunks of like length."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.distillation.sampling import stratified
from bicross.encoding.batching import pad, plan_batches
from bicross.encoding.prompts import Role
from bicross.encoding.tokenizer import TextTokenizer
from bicross.errors import InputError
from bicross.types import Floats

Positions = npt.NDArray[np.int64]


def texts_alone(texts: Sequence[str]) -> CandidateLists:
    """Lists without candidates: texts that a query tower is to encode as it did before, or as another model does.

    A light tower sees few of the words in a few thousand queries; sentences of the corpus bring the others (the losses
    "anchor" and "vectors").

    Args:
        texts: Queries, titles or sentences.
    """
    nothing = np.zeros(0, dtype=np.float32)
    return CandidateLists(
        (
            ScoredList(f"text-{i}", text, (), nothing, nothing, (), nothing.astype(np.int32))
            for i, text in enumerate(texts)
        ),
        {},
    )


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """A query and its candidates, as numbers.

    Attributes:
        query: Its place in `Lists.queries`.
        source: Which of the sets it is from.
        documents: Places in `Lists.documents`. **Shape:** (candidates,).
        scores: The teacher's. **Unit:** raw logit; NaN where there is none. **Shape:** (candidates,).
        labels: Gains; NaN where unjudged. **Shape:** (candidates,).
    """

    query: int
    source: int
    documents: Positions
    scores: Floats
    labels: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Lists:
    """The lists of all sets, with every distinct document text once.

    Attributes:
        queries: Text of every row's query.
        documents: Distinct texts.
        rows: One for each query; ``rows[i].query`` is i.
        names: Query id of every row.
        spreads: Of each set: the standard deviation of the teacher's scores within a list, pooled. **Unit:** logit.
    """

    queries: list[str]
    documents: list[str]
    rows: list[Row]
    names: list[str]
    spreads: Floats

    @classmethod
    def of(cls, sets: Sequence[CandidateLists]) -> Lists:
        """Brings sets together.

        Raises:
            InputError: There is no list, or a teacher gives all candidates of a query one score.
        """
        places: dict[str, int] = {}
        rows: list[Row] = []
        queries, names = [], []
        for source, lists in enumerate(sets):
            for one in lists:
                texts = [lists.documents[document_id] for document_id in one.document_ids]
                documents = np.array([places.setdefault(text, len(places)) for text in texts], dtype=np.int64)
                rows.append(Row(len(rows), source, documents, one.scores, one.labels))
                queries.append(one.query)
                names.append(one.query_id)
        if not rows:
            raise InputError("Training needs candidate lists; got none. Mine and score them first.")
        spreads = [_spread([row.scores for row in rows if row.source == source]) for source in range(len(sets))]
        return cls(queries, list(places), rows, names, np.array(spreads, dtype=np.float32))


def _spread(scores: list[Floats]) -> float:
    known = [found for one in scores if len(found := one[np.isfinite(one)].astype(np.float64)) > 1]
    if not known:
        return 1.0  # no teacher here: texts alone, or labels
    spread = float(np.sqrt(sum(((one - one.mean()) ** 2).sum() for one in known) / sum(map(len, known))))
    if spread < 1e-6:
        raise InputError(
            "A teacher must tell a query's candidates apart; this one gives all the same score, so there is nothing "
            "to distil. Train a reranker on labels (bicross train-reranker), or a student on lists without scores and "
            "with losses={'contrastive': 1}."
        )
    return spread


def fingerprint(sets: Sequence[CandidateLists]) -> str:
    """SHA-256 over all texts, scores and labels."""
    digest = hashlib.sha256()
    for lists in sets:
        for one in lists:
            digest.update(f"{one.query_id}\x00{one.query}\x01".encode("utf-8", "surrogatepass"))
            for document_id in one.document_ids:
                text = lists.documents[document_id]
                digest.update(f"{len(text)}\x00{text}".encode("utf-8", "surrogatepass"))
            digest.update(one.scores.tobytes() + one.labels.tobytes())
        digest.update(b"\x02")
    return digest.hexdigest()


def draw(row: Row, count: int | None, rng: np.random.Generator) -> Positions:
    """Chooses candidates over the whole range of the teacher's scores.

    A judged positive and the teacher's best two stay; of the others, one is drawn from each of equal parts of the
    teacher's order (stratified sampling wins over hard negatives alone: arXiv 2604.04734).

    Args:
        row: The list.
        count: How many; None: all.
        rng: Source of the draw.

    Returns:
        Columns of the list, in its order.
    """
    total = len(row.documents)
    if count is None or total <= count:
        return np.arange(total)
    order = np.argsort(-np.where(np.isnan(row.scores), -np.inf, row.scores), kind="stable")
    positives = rng.permutation(np.flatnonzero(row.labels > 0))[:1].tolist()
    kept = list(dict.fromkeys([*positives, *order[:2].tolist()]))[:count]
    rest = order[~np.isin(order, kept)]
    return np.sort([*kept, *stratified(rest, count - len(kept), rng)])


def by_topic(rows: Sequence[Row], length: int, rng: np.random.Generator) -> list[int]:
    """An order in which rows that share documents stand together.

    Runs are filled around rows that are drawn: with those that are left and share the most documents with it. Rows
    that share none with any that is left are alone, and stand anywhere.

    Args:
        rows: The lists.
        length: Rows of a run, at most.
        rng: Source of the draw.

    Returns:
        Places in ``rows``, each once.
    """
    owners: dict[int, list[int]] = {}
    for place, row in enumerate(rows):
        for document in row.documents.tolist():
            owners.setdefault(document, []).append(place)
    left = np.ones(len(rows), dtype=bool)
    runs = []
    for centre in rng.permutation(len(rows)).tolist():
        if left[centre]:
            left[centre] = False
            near = Counter(i for one in rows[centre].documents.tolist() for i in owners[one] if left[i])
            run = [centre, *(place for place, _ in near.most_common(length - 1))]
            left[run] = False
            runs.append(run)
    return [place for i in rng.permutation(len(runs)).tolist() for place in runs[i]]


@dataclass(frozen=True)
class ListCollator:
    """What `ListStudent` takes, for some rows and the columns that were drawn of them.

    Attributes:
        lists: Where the rows are from.
        tokenizers: By role, and how long a text of that role may be. Of "query" alone where documents are frozen.
        lengths: Most tokens of a text, by role.
        prompts: In front of every text, by role.
        chunk_tokens: Padded tokens of one forward pass, at most.
        base: Vectors before training, by role, where they are used. **Shape:** (texts, dimension).
        targets: Vectors of another model to match, by role, where they are used. **Shape:** (texts, its dimension).
    """

    lists: Lists
    tokenizers: dict[str, TextTokenizer]
    lengths: dict[str, int]
    prompts: dict[str, str]
    chunk_tokens: int
    base: dict[Role, Floats]
    targets: dict[Role, Floats]

    def __call__(self, items: list[tuple[Row, Positions]]) -> dict[str, Any]:
        """The batch, with each document once."""
        chosen = [row.documents[columns] for row, columns in items]
        documents, index = np.unique(np.concatenate([*chosen, np.zeros(0, np.int64)]), return_inverse=True)
        queries = np.array([row.query for row, _ in items])
        width = max(1, *(len(one) for one in chosen))
        mask = np.arange(width) < np.array([len(one) for one in chosen])[:, None]
        batch: dict[str, Any] = {
            "candidates": _fill(mask, index, 0, np.int64),
            "mask": torch.from_numpy(mask),
            "teacher": _fill(mask, [row.scores[columns] for row, columns in items], np.nan, np.float32),
            "labels": _fill(mask, [row.labels[columns] for row, columns in items], np.nan, np.float32),
            "source": torch.tensor([row.source for row, _ in items]),
        }
        both: tuple[tuple[Role, Positions, list[str]], ...] = (
            ("query", queries, self.lists.queries),
            ("document", documents, self.lists.documents),
        )
        for role, places, texts in both:
            if role in self.tokenizers:
                batch[role] = self.chunks(role, [texts[place] for place in places])
            for name, vectors in (("base", self.base), ("target", self.targets)):
                if role in vectors:
                    batch[f"{role}_{name}"] = torch.from_numpy(np.asarray(vectors[role][places], dtype=np.float32))
        return batch

    def chunks(self, role: str, texts: Sequence[str]) -> dict[str, Any]:
        """Tokenises texts and fills passes of texts of like length; ``place`` says where the i-th text went."""
        tokenizer, prompt = self.tokenizers[role], self.prompts[role]
        limit = self.lengths[role] - len(tokenizer.single)
        found = [tokenizer.cut(ids, limit) for ids in tokenizer.ids([prompt + text for text in texts])]
        framed = [tokenizer.frame_single(ids)[0] for ids in found]
        passes, order = [], []
        for rows in plan_batches([len(ids) for ids in framed], self.chunk_tokens):
            order += rows.tolist()
            ids, mask = pad([framed[i] for i in rows], tokenizer.pad_id)
            passes.append({"ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask)})
        place = torch.zeros(len(order), dtype=torch.long)
        place[torch.tensor(order, dtype=torch.long)] = torch.arange(len(order))
        return {"passes": passes, "place": place, "prompt_length": tokenizer.prompt_length(prompt)}


def _fill(mask: npt.NDArray[np.bool_], values: Any, empty: float, kind: Any) -> Tensor:
    """A matrix with values where the mask is True. **Shape:** as ``mask``."""
    filled = np.full(mask.shape, empty, dtype=kind)
    filled[mask] = np.concatenate([*values, np.zeros(0, kind)]) if isinstance(values, list) else values
    return torch.from_numpy(filled)
