"""The held-out split, and what is chosen on it: the weight of the first stage's score in the final one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bicross.distillation.labels import Labels
from bicross.errors import ConfigurationError
from bicross.evaluation.depth import WEIGHTS
from bicross.ranking import weighted_sums
from bicross.types import Floats

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Reranked:
    """Both stages' scores of the same candidates, for the queries of one set.

    Attributes:
        name: The set's name.
        first: Bi-encoder's scores, unit: its similarity. **Shape:** (queries, candidates).
        cross: Cross-encoder's logits. **Shape:** as ``first``.
        gains: 1 where the candidate is relevant, else 0. **Shape:** as ``first``.
        relevant: How many documents are relevant, found or not. **Shape:** (queries,).
    """

    name: str
    first: Floats
    cross: Floats
    gains: Floats
    relevant: npt.NDArray[np.int64]


def split_held_out(labels: Labels, count: int, *, seed: int) -> tuple[Labels, Labels]:
    """Divides the queries so that no relevant document, and no article, is on both sides.

    Args:
        labels: The queries to divide.
        count: How many queries to hold out. Those that share an article with them are on neither side. Articles of
            more queries than this are left in training, as long as there are others.
        seed: Of the draw.

    Returns:
        Queries to train on, queries held out; both with all the documents.

    Raises:
        ConfigurationError: Nothing would be left to train on.
    """
    group_of = _connected(labels)
    order = np.random.default_rng(seed).permutation(sorted(set(group_of.values()))).tolist()
    members: dict[str, list[str]] = {}
    for query_id, group in group_of.items():
        members.setdefault(group, []).append(query_id)
    fitting = [group for group in order if len(members[group]) <= count]
    taken: set[str] = set()
    held: list[str] = []
    for group in fitting or [min(order, key=lambda group: len(members[group]))]:
        if len(held) >= count:
            break
        taken.add(group)
        held += members[group]
    train = [query_id for query_id, group in group_of.items() if group not in taken]
    if not train:
        raise ConfigurationError(
            f"held_out must leave queries to train on; got {count!r} of the {len(labels.queries)} queries of "
            f"{labels.name!r}, which form {len(members)} articles. Hold out fewer, or bring queries of other documents."
        )
    return labels.only(train), labels.only(held).sample(count, seed=seed)


def _connected(labels: Labels) -> dict[str, str]:
    """Names the group of every query: queries that share an article or a relevant document, directly or by others."""
    parent: dict[str, str] = {}

    def root(node: str) -> str:
        while parent.setdefault(node, node) != node:
            parent[node] = parent[parent[node]]
            node = parent[node]
        return node

    for query in labels.queries.values():
        nodes = [labels.groups.get(document_id, f"\x00{document_id}") for document_id in query.positives]
        for node in nodes[1:]:
            parent[root(node)] = root(nodes[0])
    first = {query_id: query.positives[0] for query_id, query in labels.queries.items()}
    return {query_id: root(labels.groups.get(doc, f"\x00{doc}")) for query_id, doc in first.items()}


def ndcg_at_10(scores: Doubles, gains: Floats, relevant: npt.NDArray[np.int64]) -> Doubles:
    """nDCG@10 with binary gains, of every query (Järvelin and Kekäläinen 2002).

    Args:
        scores: What to sort by; ties keep the given order. **Shape:** (queries, candidates).
        gains: 1 or 0. **Shape:** as ``scores``.
        relevant: How many documents are relevant, found or not. **Shape:** (queries,).

    Returns:
        Values from 0 to 1. **Shape:** (queries,).
    """
    order = np.argsort(-scores, axis=1, kind="stable")[:, :10]
    discounts = 1.0 / np.log2(np.arange(2, 12))
    found = np.take_along_axis(gains, order, axis=1) @ discounts[: order.shape[1]]
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])[np.minimum(relevant, 10)]
    return np.asarray(found / np.maximum(ideal, 1e-12), dtype=np.float64)


def weight_curve(sets: Sequence[Reranked]) -> dict[float, dict[str, float]]:
    """Mean nDCG@10 of every set at every weight of `WEIGHTS`."""
    return {
        weight: {
            s.name: float(ndcg_at_10(weighted_sums(s.first, s.cross, weight), s.gains, s.relevant).mean()) for s in sets
        }
        for weight in WEIGHTS
    }


def choose_weight(curve: dict[float, dict[str, float]], *, tolerance: float = 0.0) -> float:
    """The largest weight whose nDCG@10, averaged over the sets, is at most ``tolerance`` below the best.

    Held-out queries come from the domains that were trained on, where the cross-encoder is at its best. Outside them
    the first stage is the safer of the two, so a tolerance buys generality for a little of the domain's gain.
    """
    means = {weight: float(np.mean(list(by_set.values()))) for weight, by_set in curve.items()}
    best = max(means.values())
    return max(weight for weight, mean in means.items() if mean >= best - tolerance - 1e-12)
