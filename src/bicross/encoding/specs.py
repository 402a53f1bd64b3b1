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
    """A transformer with its tokenizer, in one folder.

    Attributes:
        folder: Where both lie.
        max_length: Longest input in tokens, where the checkpoint says so.
        lower_case: Whether texts are lowercased first.
        suffix: What stands behind every text, as the last thing that the model reads.
    """

    folder: Path
    max_length: int | None = None
    lower_case: bool = False
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class PairTemplate:
    """The text around a query and a document that a decoder reads as one.

    Attributes:
        before, between, after: In front of, between and behind the two.
        strip: Whether query and document lose the whitespace at their ends.
        instruction: What stands in place of `before` in front of and behind a task's instruction; None where the
            template has no place for one.
    """

    before: str
    between: str
    after: str
    strip: bool = False
    instruction: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class ChatTemplateSpec:
    """The tokenizer's chat template, which frames a pair as messages of the roles "query" and "document".

    Attributes:
        options: What the template is rendered with, as JSON.
    """

    options: str = "{}"


@dataclass(frozen=True, slots=True)
class AnswerSpec:
    """A decoder's answer as a logit: that of one token, less that of another where there is one (LogitScore)."""

    true_id: int
    false_id: int | None = None


@dataclass(frozen=True, slots=True)
class ScorerSpec:
    """What turns a pair into logits.

    Attributes:
        encoder: The transformer.
        answer: How a decoder's language-model head gives the score; None: a classifier's own head does.
        template: What pairs are framed with; None: the tokenizer's special tokens.
    """

    encoder: TransformerSpec
    answer: AnswerSpec | None = None
    template: PairTemplate | ChatTemplateSpec | None = None


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
    """A bi-encoder's folder: one tower, or one for queries and one for documents.

    Attributes:
        folder: Where it lies.
        query, document: The towers.
        prompts: What stands in front of texts, by name.
        default_prompt_name: The prompt of a text that is neither a query nor a document.
        similarity: How vectors are compared.
        note: What was assumed.
        projections: The file of the learned matrices that shorten a vector; None: its leading entries are kept.
        extras: Content of ``bicross.json``.
    """

    folder: Path
    query: TowerSpec
    document: TowerSpec
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: str = "cosine"
    note: str | None = None
    projections: Path | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def two_towers(self) -> bool:
        """Whether queries and documents go different ways."""
        return self.query != self.document


@dataclass(frozen=True, slots=True)
class CrossCheckpoint:
    """A cross-encoder's folder."""

    scorer: ScorerSpec
    activation: str | None = None
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def encoder(self) -> TransformerSpec:
        """The transformer."""
        return self.scorer.encoder


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
