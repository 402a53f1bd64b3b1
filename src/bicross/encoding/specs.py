"""What a model folder holds, as values: its modules in their order, with their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

POOLING_MODES = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
"""In the order in which sentence-transformers concatenates them."""


@dataclass(frozen=True, slots=True)
class TransformerSpec:
    """A transformer with its tokenizer, in one folder."""

    folder: Path
    max_length: int | None = None
    lower_case: bool = False


@dataclass(frozen=True, slots=True)
class StaticSpec:
    """A table of token vectors that are averaged (sentence-transformers' StaticEmbedding, model2vec)."""

    folder: Path


@dataclass(frozen=True, slots=True)
class PoolingSpec:
    """How token vectors become one vector; several modes are concatenated in this order."""

    modes: tuple[str, ...] = ("mean",)
    include_prompt: bool = True


@dataclass(frozen=True, slots=True)
class DenseSpec:
    """A linear layer on the pooled vector."""

    folder: Path
    in_features: int
    out_features: int
    bias: bool
    activation: str
    residual: bool = False


@dataclass(frozen=True, slots=True)
class NormalizeSpec:
    """L2 normalisation of the pooled vector."""


@dataclass(frozen=True, slots=True)
class TowerSpec:
    """What turns a text into a vector."""

    encoder: TransformerSpec | StaticSpec
    pooling: PoolingSpec | None = None
    heads: tuple[DenseSpec | NormalizeSpec, ...] = ()

    @property
    def normalizes(self) -> bool:
        """Whether the vectors have unit length."""
        return bool(self.heads) and isinstance(self.heads[-1], NormalizeSpec)


@dataclass(frozen=True, slots=True)
class BiCheckpoint:
    """A bi-encoder's folder: one tower, or one for queries and one for documents."""

    folder: Path
    query: TowerSpec
    document: TowerSpec
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: str = "cosine"
    note: str | None = None

    @property
    def two_towers(self) -> bool:
        """Whether queries and documents go different ways."""
        return self.query != self.document


@dataclass(frozen=True, slots=True)
class CrossCheckpoint:
    """A cross-encoder's folder."""

    encoder: TransformerSpec
    activation: str | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SpladeSpec:
    """A masked language model whose logits become the weights of its vocabulary (sentence-transformers' SpladePooling).

    Attributes:
        encoder: The model.
        pooling: "max" or "sum", over the tokens of a text.
        saturations: How often log(1 + x) is applied to the positive logits: once, or twice.
    """

    encoder: TransformerSpec
    pooling: str = "max"
    saturations: int = 1


@dataclass(frozen=True, slots=True)
class TokenWeightsSpec:
    """One weight for each token of the vocabulary, given to those that a text holds (SparseStaticEmbedding)."""

    folder: Path


@dataclass(frozen=True, slots=True)
class SparseCheckpoint:
    """A sparse encoder's folder: what queries go through, and what documents do."""

    query: SpladeSpec | TokenWeightsSpec
    document: SpladeSpec | TokenWeightsSpec
    prompts: Mapping[str, str] = field(default_factory=dict)
