"""The sparse encoder that a node or a store is given: checked, loaded by its first use, saved."""

from __future__ import annotations

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bicross.errors import ConfigurationError
from bicross.remote.address import is_address
from bicross.sparse.encoder import TextEncoder
from bicross.types import SparseEncoder
from haystack_integrations.common.bicross.inputs import check_language

GivenEncoder = SparseEncoder | str | dict[str, Any] | None
"""An encoder, the name of a SPLADE checkpoint, or `{"bm25": settings}` or `{"splade": settings}`, as one is saved."""

_SETTINGS = {
    "bm25": ("language", "k1", "b", "mean_length", "stop_words"),
    "splade": (
        "name_or_path",
        "revision",
        "max_terms",
        "max_query_terms",
        "batch_tokens",
        "local_files_only",
        "cache_dir",
        "device",
        "precision",
        "model_options",
        "trust_remote_code",
    ),
}
"""The arguments of `BM25Encoder` and of `SpladeEncoder.load` that are no secrets."""


def bm25(language: str | None) -> SparseEncoder | None:
    """BM25 for a language; None, which is the engine's word for the collection's own, without one."""
    if language is None:
        return None
    from bicross.sparse.bm25 import BM25Encoder

    return BM25Encoder(language)


def check_sparse_encoder(given: Any, other: str, language: str | None) -> GivenEncoder:
    """Check what a node or a store got as its sparse encoder; nothing is loaded.

    :param given: It.
    :param other: The argument that stands for BM25.
    :param language: That argument's value.
    :raises ConfigurationError: It is none, or both were given.
    """
    if given is not None and language is not None:
        raise ConfigurationError(
            f"sparse_encoder takes the place of {other}; got {other}={language!r} and a {type(given).__name__}. "
            "Leave one out."
        )
    if isinstance(given, Mapping):
        return _check_settings(given)
    if isinstance(given, str | Path):
        return _check_name(given)
    # A TextEncoder is one; to ask the protocol takes its fingerprint, for which SPLADE reads all of its weights.
    if given is None or isinstance(given, TextEncoder):
        return given
    if isinstance(given, SparseEncoder) and not isinstance(given, type):
        return given
    remedy = "BM25Encoder() is one, and the name of a SPLADE checkpoint stands for one."
    if hasattr(given, "run"):
        remedy = (
            "Wrap Haystack's sparse embedders: SparseEmbedders(text_embedder, document_embedder, fingerprint=…), with "
            "idf=True where they leave the IDF to Qdrant, as Qdrant/bm25."
        )
    elif callable(given) and not isinstance(given, type):
        remedy = "Wrap a function: SparseCallable(function, fingerprint=…)."
    found = f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"
    raise ConfigurationError(f"sparse_encoder is a SparseEncoder; got {found}. {remedy}")


def _check_name(name: str | Path) -> str:
    if is_address(str(name)):
        raise ConfigurationError(
            "sparse_encoder names a SPLADE checkpoint, a folder or a name on the model hub; got an address. Wrap what "
            "calls it: SparseCallable(function, fingerprint=…)."
        )
    return str(name)


def _check_settings(given: Mapping[str, Any]) -> dict[str, Any]:
    kinds = sorted(map(str, given))
    if len(kinds) != 1 or kinds[0] not in _SETTINGS or not isinstance(given[kinds[0]], Mapping):
        raise ConfigurationError(
            f"sparse_encoder as a dict is {{'bm25': settings}} or {{'splade': settings}}; got the keys {kinds!r}. "
            "Name one of the two, with a dict of its arguments."
        )
    kind, settings = kinds[0], dict(given[kinds[0]])
    if unknown := sorted(set(map(str, settings)) - set(_SETTINGS[kind])):
        raise ConfigurationError(
            f"The settings of {kind!r} are {', '.join(_SETTINGS[kind])}; got {unknown[0]!r}. Leave it out; the hub's "
            "token comes from HF_TOKEN."
        )
    if kind == "bm25":
        check_language(settings.get("language"))
    else:
        if not isinstance(settings.get("name_or_path"), str | Path):
            raise ConfigurationError("The settings of 'splade' name a checkpoint; got no name_or_path. Give it one.")
        settings["name_or_path"] = _check_name(settings["name_or_path"])
        if settings.get("cache_dir") is not None:
            settings["cache_dir"] = os.fspath(settings["cache_dir"])
    return {kind: settings}


def load_sparse_encoder(given: SparseEncoder | str | dict[str, Any], **options: Any) -> SparseEncoder:
    """The encoder that was given; loaded, where it was named.

    :param given: As `check_sparse_encoder` gives it.
    :param options: Arguments of `SpladeEncoder.load`, for what a checkpoint's own settings leave open.
    """
    if isinstance(given, str):
        given = {"splade": {"name_or_path": given}}
    if not isinstance(given, dict):
        return given
    ((kind, settings),) = given.items()
    if kind == "bm25":
        from bicross.sparse.bm25 import BM25Encoder

        return BM25Encoder(**settings)
    from bicross.sparse.splade import SpladeEncoder

    return SpladeEncoder.load(**options | settings)


def let_go(_: SparseEncoder | None) -> None:
    """Close nothing: others may search with it, and a model leaves memory with the last one that does."""


def saved_sparse_encoder(given: GivenEncoder) -> Any:
    """What a saved pipeline holds of a sparse encoder: a name, settings, or an object that Haystack can save.

    :raises ConfigurationError: It is none of these.
    """
    if isinstance(given, dict):
        return copy.deepcopy(given)
    if given is None or isinstance(given, str) or hasattr(given, "to_dict"):
        return given
    from bicross.sparse.bm25 import BM25Encoder
    from bicross.sparse.splade import SpladeEncoder

    if type(given) is BM25Encoder:  # not what inherits from it, whose vectors may be others
        return {"bm25": given.settings}
    if type(given) is SpladeEncoder:
        return {"splade": given.settings}
    raise ConfigurationError(
        f"A sparse encoder is saved by its settings; got a {type(given).__name__}, which has none. Use BM25Encoder, a "
        "SPLADE checkpoint, SparseEmbedders of Haystack's components, or an encoder with to_dict and from_dict."
    )
