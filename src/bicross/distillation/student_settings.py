"""What a student is, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from bicross.distillation.fitting import TrainingSettings
from bicross.errors import ConfigurationError

SCORE_LOSSES = ("kl", "margin_mse", "mse")
"""Of the list losses those that learn from a teacher's scores."""
LIST_LOSSES = (*SCORE_LOSSES, "listwise", "contrastive")
"""Of a query's scores: KL, margins and regression on the teacher's; softmax on labels; against the whole batch."""
VECTOR_LOSSES = ("anchor", "vectors")
"""Of a text's vector: 1 − cosine with the vector before training; distance to a larger bi-encoder's."""

_WHOLE = {"kl": 1.0, "contrastive": 0.1, "anchor": 0.05}
_LOSSES = {"both": _WHOLE, "query": _WHOLE, "light": {**_WHOLE, "anchor": 2.0}}
_TRAINING = {
    "both": TrainingSettings(batch_size=16, learning_rate=3e-5, max_length=128),
    "query": TrainingSettings(batch_size=64, learning_rate=3e-5, max_length=64),
    "light": TrainingSettings(batch_size=64, learning_rate=1e-4, max_length=64),
    "static": TrainingSettings(batch_size=64, learning_rate=2e-3, max_length=64, weight_decay=0.0),
}


@dataclass(frozen=True, slots=True)
class StudentSettings:
    """What a student is, and how it is trained.

    Attributes:
        towers: "both": queries and documents are encoded anew. "query": documents are frozen, so that an index that
            holds them stays valid, and a step costs the queries alone.
        layers: How many of the trained tower's layers are kept, or which, counted from 0; None: all.
        static: Whether the query tower becomes a table of token vectors that are averaged: a query in microseconds.
        freeze_embeddings: Whether the word embeddings stay as they are: half of a small model's weights.
        freeze_layers: How many of the lowest layers stay as they are, and all embeddings with them.
        lora: Rank of the adapters that are trained in place of the weights, and merged into them at the end (Hu et al.
            2021, arXiv 2106.09685); None: the weights themselves.
        losses: Weight of each loss of `LIST_LOSSES` and `VECTOR_LOSSES`; None: a mix that suits ``towers``.
        sharpness: The teacher's scores are divided by their spread within a list, and multiplied by this.
        matryoshka: Lengths of the vectors at which the list losses are taken; none: the whole vector alone.
        candidates: Candidates of a list in one step, drawn anew every epoch over the whole range of the teacher's
            scores; None: 8 where documents are encoded, and all where they are frozen.
        topic_lists: Lists that share documents stand together in the order, in runs of at most so many: a document is
            encoded once for all of a step, and each has the others' candidates as hard negatives (topic-aware batches:
            Hofstätter et al. 2021, arXiv 2104.06967). The batch is at least as large. None: the order is random.
        epochs: How often every list is seen, at most.
        patience: Stop after so many epochs in which neither held-out figure rose.
        held_out: Lists of each set that are kept from training, to choose the epoch by.
        scale_learning_rate: Of the scales and offsets between cosine and logit, and of the projection.
        base_share: The share of the weights before training in those that are written: 0.5 is their mean, which keeps
            more of what the model was good at elsewhere (Wortsman et al. 2022, "Robust fine-tuning of zero-shot
            models", arXiv 2109.01903, section 3; for embeddings: Xiao et al. 2023, arXiv 2311.13534).
        half: Whether trained weights are written as float16 (they are computed with in float32).
        training: Batch size, rates, lengths and seed; None: what suits ``towers``.
    """

    towers: Literal["both", "query"] = "both"
    layers: int | tuple[int, ...] | None = None
    static: bool = False
    freeze_embeddings: bool = True
    freeze_layers: int = 0
    lora: int | None = None
    losses: Mapping[str, float] | None = None
    sharpness: float = 1.5
    matryoshka: tuple[int, ...] = ()
    candidates: int | None = None
    topic_lists: int | None = None
    epochs: int = 5
    patience: int = 2
    held_out: int = 100
    scale_learning_rate: float = 1e-2
    base_share: float = 0.0
    half: bool = True
    training: TrainingSettings | None = field(default=None)

    def __post_init__(self) -> None:
        if self.towers not in ("both", "query"):
            raise ConfigurationError(f"towers must be 'both' or 'query'; got {self.towers!r}.")
        if self.static and (self.towers != "query" or self.layers is not None or self.lora is not None):
            raise ConfigurationError("A static query tower needs towers='query', and has neither layers nor lora.")
        if unknown := set(self.weights) - {*LIST_LOSSES, *VECTOR_LOSSES}:
            raise ConfigurationError(
                f"losses must be of {[*LIST_LOSSES, *VECTOR_LOSSES]!r}; got {sorted(unknown)[0]!r}."
            )
        if not any(self.weights.values()) or min(self.weights.values()) < 0:
            raise ConfigurationError(f"losses need weights of 0 and more, and one above; got {dict(self.weights)!r}.")
        if not 0 <= self.base_share < 1:
            raise ConfigurationError(f"base_share must be from 0 to below 1; got {self.base_share!r}.")
        if self.base_share and self.lora is not None:
            raise ConfigurationError("base_share averages whole weights; lora trains adapters. Leave one out.")
        least = {"epochs": self.epochs, "patience": self.patience, "held_out": self.held_out}
        optional = {"candidates": self.candidates, "lora": self.lora, "topic_lists": self.topic_lists}
        for name, value in {**least, **{k: v for k, v in optional.items() if v is not None}}.items():
            if value < 1:
                raise ConfigurationError(f"{name} must be at least 1; got {value!r}.")

    def check_frozen(self, layers: int) -> None:
        """Whether a tower of so many layers has enough of them for ``freeze_layers``.

        Raises:
            ConfigurationError: It doesn't.
        """
        most = layers if self.lora is None else layers - 1  # adapters are for layers that aren't frozen
        if not 0 <= self.freeze_layers <= most:
            raise ConfigurationError(
                f"freeze_layers must be from 0 to {most} (lora needs one layer that isn't frozen); got "
                f"{self.freeze_layers!r}. Freeze fewer."
            )

    @property
    def weights(self) -> Mapping[str, float]:
        """The losses' weights."""
        return _LOSSES[self._kind] if self.losses is None else self.losses

    @property
    def learns_scores(self) -> bool:
        """Whether a loss learns from a teacher's scores."""
        return any(self.weights.get(name) for name in SCORE_LOSSES)

    @property
    def trainer(self) -> TrainingSettings:
        """The training's settings."""
        return self.training or _TRAINING["static" if self.static else self._kind]

    @property
    def list_length(self) -> int | None:
        """Candidates of a list in one step; None: all."""
        return 8 if self.candidates is None and self.towers == "both" else self.candidates

    @property
    def light(self) -> bool:
        """Whether the query tower alone is trained, and is smaller than it was."""
        return self.towers == "query" and (self.static or self.layers is not None)

    @property
    def _kind(self) -> str:
        return "light" if self.light else self.towers
