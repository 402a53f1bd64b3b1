"""Reads late-interaction folders: sentence-transformers' MultiVectorEncoder, PyLate's, and Stanford's ColBERT."""

from __future__ import annotations

import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bicross.encoding.checkpoint import (
    class_name,
    optional_json,
    read_dense,
    read_json,
    read_transformer,
    transformer_settings,
    understood,
    unknown_module,
)
from bicross.encoding.specs import DenseSpec, TransformerSpec
from bicross.errors import CheckpointError

_PYLATE_DENSE = "pylate.models.Dense.Dense"
_EXPANDED = 32
"""Tokens that a query is filled up to, where the checkpoint doesn't say."""
_KNOWN = "Transformer, Dense on tokens, MultiVectorMask and Normalize, or PyLate's Transformer and Dense"


@dataclass(frozen=True, slots=True)
class ExpansionSpec:
    """Queries are filled up with mask tokens, whose vectors are scored as well (ColBERT, arXiv 2004.12832, §3.2).

    Attributes:
        length: Tokens that a shorter query is filled up to.
        attend: Whether the query's tokens see them.
        cut: Whether a longer query is cut to this length.
        token: What it is filled up with; None: the tokenizer's mask token, else its end token.
    """

    length: int = _EXPANDED
    attend: bool = False
    cut: bool = True
    token: str | None = None


@dataclass(frozen=True, slots=True)
class LateCheckpoint:
    """A late-interaction model's folder.

    Attributes:
        folder: Where it lies.
        encoder: The transformer.
        heads: Linear layers on every token's vector.
        inline_head: Whether the one layer lies among the transformer's weights, as ``linear.weight`` (Stanford's).
        query_prefix, document_prefix: What stands in front of texts.
        query_length, document_length: Longest texts in tokens; None: the model's own limit.
        expansion: How queries are filled up; None: not at all.
        skipped: Words whose tokens in documents aren't scored.
        skipped_in_queries: Whether they aren't in queries either.
        mean: Whether the score is the mean over a query's tokens instead of the sum.
    """

    folder: Path
    encoder: TransformerSpec
    heads: tuple[DenseSpec, ...] = ()
    inline_head: bool = False
    query_prefix: str = ""
    document_prefix: str = ""
    query_length: int | None = None
    document_length: int | None = None
    expansion: ExpansionSpec | None = None
    skipped: tuple[str, ...] = ()
    skipped_in_queries: bool = False
    mean: bool = False


def is_late(folder: Path) -> bool:
    """Whether a folder holds a late-interaction model, by the names in its files; False where they can't be read.

    Raises:
        CheckpointError: A file isn't JSON.
    """
    modules = read_json(folder / "modules.json") if (folder / "modules.json").is_file() else []
    kinds = [str(module.get("type", "")) for module in modules if isinstance(module, Mapping)]
    if kinds:
        return any(kind == _PYLATE_DENSE or kind.endswith(".MultiVectorMask") for kind in kinds)
    return "HF_ColBERT" in (optional_json(folder / "config.json").get("architectures") or ())


def read_late_checkpoint(folder: Path) -> LateCheckpoint:
    """Describe a late-interaction model's folder.

    Raises:
        CheckpointError: A file is missing or broken, a module isn't known, or it is another kind of model.
    """
    with understood(folder):
        if (folder / "modules.json").is_file():
            return _read_modules(folder)
        architectures = [str(name) for name in read_json(folder / "config.json").get("architectures") or ()]
        if "HF_ColBERT" in architectures:
            return _read_stanford(folder)
        raise _another_kind(folder, f"the architectures {architectures}")


def _read_modules(folder: Path) -> LateCheckpoint:
    modules = sorted(read_json(folder / "modules.json"), key=lambda module: int(module["idx"]))
    encoder: TransformerSpec | None = None
    heads: list[DenseSpec] = []
    mask: Mapping[str, Any] = {}
    kinds = []
    for module in modules:
        kind = "Dense" if module["type"] == _PYLATE_DENSE else class_name(module)
        path = folder / str(module["path"])
        kinds.append(kind)
        if kind == "Transformer" and encoder is None:
            encoder = read_transformer(path)
        elif kind == "Dense" and encoder is not None:
            heads.append(read_dense(path, "token_embeddings"))
        elif kind == "MultiVectorMask":
            mask = optional_json(path / "config.json")
        elif kind == "Pooling":
            raise _another_kind(folder, "a Pooling module, which makes one vector of a text's")
        elif kind != "Normalize":
            raise unknown_module(str(module["type"]), folder, _KNOWN)
    settings = optional_json(folder / "config_sentence_transformers.json")
    newer = "MultiVectorMask" in kinds
    if encoder is None or (newer and "Normalize" not in kinds):
        raise CheckpointError(f"Modules must be {_KNOWN}, got {kinds} in {str(folder)!r}.")
    if newer:
        return _newer(folder, encoder, tuple(heads), mask, settings)
    return _pylate(folder, encoder, tuple(heads), settings)


def _newer(
    folder: Path,
    encoder: TransformerSpec,
    heads: tuple[DenseSpec, ...],
    mask: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> LateCheckpoint:
    own = transformer_settings(encoder.folder)
    if mask.get("keep_only_token_ids") or "message" in (own.get("modality_config") or {}):
        raise _another_kind(folder, "a model for images or chat messages")
    similarity = settings.get("similarity_fn_name") or "maxsim"
    if similarity not in ("maxsim", "mean_maxsim"):
        raise CheckpointError(f"Late interaction is scored by 'maxsim' or 'mean_maxsim', got {similarity!r}.")
    prompts = settings.get("prompts") or {}
    expansion = own.get("query_expansion")
    return LateCheckpoint(
        folder,
        encoder,
        heads,
        query_prefix=str(prompts.get("query") or ""),
        document_prefix=str(prompts.get("document") or ""),
        query_length=_length(own.get("query_length")),
        document_length=_length(own.get("document_length")),
        expansion=None
        if expansion is None
        else ExpansionSpec(
            int(expansion["length"]),
            bool(expansion.get("attend", False)),
            expansion["strategy"] == "fixed",
            expansion.get("token"),
        ),
        skipped=tuple(mask.get("skiplist_words") or ()),
        skipped_in_queries="query" in (mask.get("skiplist_tasks") or ["document"]),
        mean=similarity == "mean_maxsim",
    )


def _pylate(
    folder: Path, encoder: TransformerSpec, heads: tuple[DenseSpec, ...], settings: Mapping[str, Any]
) -> LateCheckpoint:
    prompts = settings.get("prompts") or {}
    prefixes = {}
    for role in ("query", "document"):
        prefix = str(settings.get(f"{role}_prefix") or "")
        prefixes[role] = prefix + str(prompts.get(role) or "").removeprefix(prefix)
    expansion = None
    if settings.get("do_query_expansion") is not False:
        length = _length(settings.get("query_length")) or _EXPANDED
        expansion = ExpansionSpec(length, bool(settings.get("attend_to_expansion_tokens", False)))
    skipped = settings.get("skiplist_words")
    return LateCheckpoint(
        folder,
        encoder,
        heads,
        query_prefix=prefixes["query"],
        document_prefix=prefixes["document"],
        query_length=_length(settings.get("query_length")),
        document_length=_length(settings.get("document_length")),
        expansion=expansion,
        skipped=tuple(string.punctuation if skipped is None else skipped),
    )


def _read_stanford(folder: Path) -> LateCheckpoint:
    metadata = optional_json(folder / "artifact.metadata")
    return LateCheckpoint(
        folder,
        read_transformer(folder),
        inline_head=True,
        query_prefix=(metadata.get("query_token_id") or "[unused0]") + " ",
        document_prefix=(metadata.get("doc_token_id") or "[unused1]") + " ",
        document_length=_length(metadata.get("doc_maxlen")),
        expansion=ExpansionSpec(
            _length(metadata.get("query_maxlen")) or _EXPANDED, bool(metadata.get("attend_to_mask_tokens"))
        ),
        skipped=tuple(string.punctuation) if metadata.get("mask_punctuation", True) else (),
    )


def _length(value: Any) -> int | None:
    return None if value is None else int(value)


def _another_kind(folder: Path, got: str) -> CheckpointError:
    return CheckpointError(
        "Late interaction needs one vector a token, as sentence-transformers' MultiVectorEncoder, PyLate or "
        f"Stanford's ColBERT save it, got {got} in {str(folder)!r}."
    )
