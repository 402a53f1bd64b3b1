"""The module that is trained: encodes a batch of candidate lists and returns the loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from bicross.distillation import losses
from bicross.distillation.fitting import finite
from bicross.distillation.student_settings import LIST_LOSSES
from bicross.distillation.vector_losses import TeacherScale, matryoshka, vector_matching, weighted_sum


class ListStudent(nn.Module):
    """One tower or two, the learned scale of every teacher, and the losses.

    Args:
        towers: By role: "query" and "document", or "both" where they are one; "query" alone where documents are frozen.
        weights: Of the losses; see `StudentSettings`.
        spreads: The teachers' spread within a list. **Unit:** logit. **Shape:** (sets,).
        scale: The learned step from similarity to each teacher's logits; None: it begins as that for labels.
        sharpness: Multiplies the teacher's scores once they are divided by their spread.
        dimensions: Lengths of the vectors at which the list losses are taken.
        cosine: Whether texts are compared by cosine; False: by dot product.
        projection: From the student's vectors to those that it matches.
    """

    accepts_loss_kwargs = False
    """Tells the Trainer that the loss is a mean already. It takes a forward with ``**vectors`` for one that divides by
    a count of labels, and multiplies the loss by the number of processes."""

    def __init__(
        self,
        towers: Mapping[str, nn.Module],
        *,
        weights: Mapping[str, float],
        spreads: Sequence[float],
        scale: TeacherScale | None = None,
        sharpness: float = 1.5,
        dimensions: Sequence[int] = (),
        cosine: bool = True,
        projection: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.towers = nn.ModuleDict(towers)
        self.label_scale = TeacherScale.usual(len(spreads), cosine=cosine)
        self.scale = TeacherScale.usual(len(spreads), cosine=cosine) if scale is None else scale
        self.projection = projection
        self.weights, self.sharpness, self.dimensions, self.cosine = dict(weights), sharpness, tuple(dimensions), cosine
        self.register_buffer("spreads", torch.tensor(spreads, dtype=torch.float32), persistent=False)

    def encode(self, role: str, texts: Mapping[str, Any]) -> Tensor:
        """Vectors of tokenised texts; see `ListCollator.chunks`. **Shape:** (texts, dimension)."""
        tower = self.towers[role if role in self.towers else "both"]
        vectors = [tower(chunk["ids"], chunk["mask"], texts["prompt_length"]).float() for chunk in texts["passes"]]
        return torch.cat(vectors)[texts["place"]]

    def forward(
        self,
        query: dict[str, Any],
        candidates: Tensor,
        mask: Tensor,
        teacher: Tensor,
        labels: Tensor,
        source: Tensor,
        document: dict[str, Any] | None = None,
        **vectors: Tensor,
    ) -> dict[str, Tensor]:
        """Encodes the batch's texts and adds up the losses.

        Args:
            query: The queries' tokens.
            candidates: Places of every query's candidates among the batch's documents. **Shape:** (queries, width).
            mask: False for padding. **Shape:** as ``candidates``.
            teacher: Raw logits, NaN where there is none. **Shape:** as ``candidates``.
            labels: Gains, NaN where unjudged. **Shape:** as ``candidates``.
            source: Which teacher scored each query's candidates. **Shape:** (queries,).
            document: The documents' tokens; None where they are frozen: ``document_base`` is taken.
            **vectors: ``query_base``, ``document_base``, ``query_target``, ``document_target``: those before training,
                and those to match. **Shape:** (texts, dimension).

        Returns:
            ``loss``, a scalar.
        """
        trained = {"query": self.encode("query", query)}
        if document is not None and document["passes"]:
            trained["document"] = self.encode("document", document)
        documents = trained.get("document", vectors.get("document_base"))
        with torch.autocast(candidates.device.type, enabled=False):
            terms: dict[str, Callable[[], Tensor]] = {
                "anchor": lambda: _anchor(trained, vectors),
                "vectors": lambda: self._matching(trained, vectors),
            }
            weights = {name: self.weights.get(name, 0.0) for name in terms}
            if documents is not None and len(documents) and any(self.weights.get(name) for name in LIST_LOSSES):
                lists = _Lists(self, candidates, mask, teacher, labels, source, vectors)
                terms["lists"], weights["lists"] = partial(lists.loss, trained["query"], documents), 1.0
            nothing = trained["query"].sum() * 0.0  # texts alone, and no loss of vectors
            loss = weighted_sum(terms, weights) if any(weights.values()) else nothing
        return {"loss": finite(loss)}

    def _matching(self, trained: Mapping[str, Tensor], vectors: Mapping[str, Tensor]) -> Tensor:
        pairs = [(found, vectors[f"{role}_target"]) for role, found in trained.items()]
        return torch.stack([vector_matching(found, target, self.projection) for found, target in pairs]).sum()


class _Lists:
    """The losses of a batch's scores."""

    def __init__(
        self,
        student: ListStudent,
        candidates: Tensor,
        mask: Tensor,
        teacher: Tensor,
        labels: Tensor,
        source: Tensor,
        vectors: Mapping[str, Tensor],
    ) -> None:
        self.student, self.candidates, self.mask, self.source = student, candidates, mask, source
        self.target = student.sharpness * teacher / student.get_buffer("spreads")[source].unsqueeze(1)
        self.scored = mask & torch.isfinite(self.target)
        self.relevant = mask & (labels > 0)
        self.irrelevant = mask & (labels <= 0)
        # Where nothing is judged relevant, the teacher's best stands for it.
        best = torch.where(self.scored, self.target, -torch.inf).argmax(dim=1, keepdim=True)
        unjudged = ~self.relevant.any(dim=1, keepdim=True) & self.scored.any(dim=1, keepdim=True)
        self.positive = self.relevant | (torch.zeros_like(mask).scatter(1, best, True) & unjudged)
        self.vectors = vectors

    def loss(self, queries: Tensor, documents: Tensor) -> Tensor:
        """Of whole vectors, or of their beginnings."""
        queries, documents = self._comparable(queries), self._comparable(documents)
        if not self.student.dimensions:
            return self._loss(queries, documents)
        dimensions, cosine = self.student.dimensions, self.student.cosine
        return matryoshka(self._loss, (queries, documents), dimensions, normalize=cosine)

    def _loss(self, queries: Tensor, documents: Tensor) -> Tensor:
        similarities = queries @ documents.T
        own = self.student.scale(similarities.gather(1, self.candidates), self.source)
        by_labels = self.student.label_scale(similarities, self.source)
        judged = self.relevant.any(dim=1)
        return weighted_sum(
            {
                "kl": lambda: losses.kl_divergence(own, self.target, self.scored),
                "margin_mse": lambda: losses.margin_mse(own, self.target, self.scored),
                "mse": lambda: losses.mse(own, self.target, self.scored),
                "listwise": lambda: (
                    losses.listwise_cross_entropy(
                        by_labels.gather(1, self.candidates)[judged], self.relevant[judged], self.mask[judged]
                    )
                    if judged.any()
                    else own.sum() * 0
                ),
                "contrastive": lambda: losses.contrastive(by_labels, *self._negatives(similarities.detach())),
            },
            {name: weight for name, weight in self.student.weights.items() if name in LIST_LOSSES},
        )

    def _negatives(self, similarities: Tensor) -> tuple[Tensor, Tensor]:
        """The positives among the batch's documents, and what may count as negative. **Shape:** as ``similarities``.

        Of documents that the teacher didn't see with this query, the model before training is the guide. What was
        judged irrelevant is a negative, whatever its scores.
        """
        positives = self._spread_out(self.positive, similarities)
        guide = similarities
        if {"query_base", "document_base"} <= self.vectors.keys():
            guide = self._comparable(self.vectors["query_base"]) @ self._comparable(self.vectors["document_base"]).T
        kept = losses.keep_negatives(guide, positives, torch.ones_like(positives))
        by_teacher = losses.keep_negatives(self.target, self.positive, self.scored)
        safe = self._spread_out(self.irrelevant | (self.scored & by_teacher), similarities)
        unsafe = self._spread_out(self.scored & ~by_teacher & ~self.irrelevant, similarities)
        return positives, (kept | safe) & ~unsafe

    def _comparable(self, vectors: Tensor) -> Tensor:
        """Vectors whose dot products are the student's similarity. **Shape:** as ``vectors``."""
        return functional.normalize(vectors, dim=1) if self.student.cosine else vectors

    def _spread_out(self, of_candidates: Tensor, like: Tensor) -> Tensor:
        """Marks of a query's candidates as marks of the batch's documents; padding falls into a column that is cut."""
        marks = torch.zeros(like.shape[0], like.shape[1] + 1, dtype=torch.bool, device=like.device)
        places = torch.where(of_candidates, self.candidates, like.shape[1])
        return marks.scatter(1, places, True)[:, :-1]


def _anchor(trained: Mapping[str, Tensor], vectors: Mapping[str, Tensor]) -> Tensor:
    r"""Mean distance to the vectors before training, added up over queries and documents.

    :math:`\sum_k \frac{1}{n_k} \sum_{i=1}^{n_k} 1 - \cos(v_i, v_i^0)`: :math:`v_i` is the vector of text i of kind k,
    :math:`v_i^0` that of the student as it was handed over, with all its layers. Li et al. 2018 (arXiv 1802.01483)
    penalise the distance of weights to those before training; this is the distance of what the weights compute.
    """
    return torch.stack(
        [
            (1 - functional.cosine_similarity(found, vectors[f"{role}_base"], dim=1)).mean()
            for role, found in trained.items()
        ]
    ).sum()
