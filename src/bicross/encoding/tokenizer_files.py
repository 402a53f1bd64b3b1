"""Reads tokenizers from model folders, whose files are of many kinds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bicross.encoding.specs import TransformerSpec
from bicross.encoding.tokenizer import UNLIMITED, TextTokenizer
from bicross.errors import CheckpointError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True, slots=True)
class TokenizerSettings:
    """What a tokenizer's file doesn't hold.

    Attributes:
        model_max_length: Longest input in tokens, by the tokenizer's own files.
        pad_id: Id that fills short rows.
        type_ids: Whether the model wants segment ids.
        cut_left: Whether over-long texts lose their beginning.
    """

    model_max_length: int
    pad_id: int
    type_ids: bool
    cut_left: bool


def load_tokenizer(
    spec: TransformerSpec, positions: int | None, trust_remote_code: bool = False, *, special: bool = True
) -> TextTokenizer:
    """The tokenizer of a transformer's folder.

    Args:
        spec: The folder and its settings.
        positions: The longest input that the model has positions for, or None.
        trust_remote_code: Whether the folder's own code may run.
        special: Whether texts are framed by special tokens.

    Raises:
        CheckpointError: There is none, or it can't be converted.
    """
    backend, settings = read_tokenizer(spec, trust_remote_code)
    return build_tokenizer(backend, settings, spec, positions, special=special)


def build_tokenizer(
    backend: Tokenizer,
    settings: TokenizerSettings,
    spec: TransformerSpec,
    positions: int | None,
    *,
    special: bool = True,
) -> TextTokenizer:
    """A tokenizer with the limit that the checkpoint, the tokenizer's files and the model's positions allow."""
    limits = [limit for limit in (spec.max_length or settings.model_max_length, positions) if limit]
    return TextTokenizer(
        backend,
        max_length=min([*limits, UNLIMITED]),
        pad_id=settings.pad_id,
        type_ids=settings.type_ids,
        special=special,
        cut_left=settings.cut_left,
    )


def read_tokenizer(spec: TransformerSpec, trust_remote_code: bool = False) -> tuple[Tokenizer, TokenizerSettings]:
    """What transformers makes of a folder's tokenizer files, which are of many kinds.

    Raises:
        CheckpointError: There are none, or they can't be converted.
    """
    tokenizer = chat_tokenizer(spec.folder, trust_remote_code)
    backend = tokenizer.backend_tokenizer
    if spec.lower_case:
        _lower_case(backend)
    if spec.suffix:
        _append(backend, spec)
    pad_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (tokenizer.eos_token_id or 0)
    return backend, TokenizerSettings(
        min(tokenizer.model_max_length, UNLIMITED),
        pad_id,
        "token_type_ids" in tokenizer.model_input_names,
        tokenizer.truncation_side == "left" and not spec.suffix,  # the prompt is part of a frame
    )


def chat_tokenizer(folder: Path, trust_remote_code: bool = False) -> Any:
    """A folder's tokenizer as transformers loads it, which knows its chat template.

    Raises:
        CheckpointError: There is none, or it can't be converted.
    """
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=trust_remote_code, use_fast=True
        )
        tokenizer.backend_tokenizer.get_vocab_size()
    except (OSError, ValueError, ImportError, AttributeError, KeyError) as error:
        raise CheckpointError(
            f"A model folder needs a tokenizer that converts to tokenizer.json, got in {str(folder)!r}: {error}"
        ) from error
    return tokenizer


def token_id(folder: Path, token: str) -> int:
    """The id of a token in a folder's tokenizer.

    Raises:
        CheckpointError: It has no such token.
    """
    found = chat_tokenizer(folder).backend_tokenizer.token_to_id(token)
    if found is None:
        raise CheckpointError(
            f"The answer {token!r} must be a token of the model, got a tokenizer without it in {str(folder)!r}. "
            "Fetch the model again."
        )
    return int(found)


def read_tokenizer_file(path: Path) -> Tokenizer:
    """A tokenizer.json.

    Raises:
        CheckpointError: It is missing or broken.
    """
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises bare Exception
        raise CheckpointError(f"{str(path.parent)!r} needs a valid {path.name}, got: {error}") from error


def load_static_tokenizer(folder: Path) -> TextTokenizer:
    """The tokenizer of a table of token vectors: no special tokens, no limit.

    Raises:
        CheckpointError: There is no tokenizer.json, or it is broken.
    """
    return TextTokenizer(read_tokenizer_file(folder / "tokenizer.json"), max_length=None, special=False)


def _lower_case(backend: Tokenizer) -> None:
    from tokenizers.normalizers import Lowercase, Sequence

    current = backend.normalizer
    backend.normalizer = Sequence([Lowercase()] if current is None else [Lowercase(), current])


def _append(backend: Tokenizer, spec: TransformerSpec) -> None:
    """Make a suffix a part of what the tokenizer frames a text with, so that nothing ever cuts it off.

    Raises:
        CheckpointError: Something else would stand last, or a text could share a token with the suffix.
    """
    from tokenizers import processors

    ids = backend.encode(spec.suffix, add_special_tokens=False).ids
    for text in ("a", "a.", "a\n"):
        own = backend.encode(text, add_special_tokens=False).ids
        if backend.encode(text + spec.suffix).ids != own + ids:
            raise CheckpointError(
                f"The last token that the model reads must be the last of {spec.suffix!r}, got a tokenizer that adds "
                f"others, or joins it with the text, in {str(spec.folder)!r}. Fetch the model again."
            )
    tokens = [(backend.id_to_token(token), token) for token in ids]
    frame = processors.TemplateProcessing(
        single=["$A", *(token for token, _ in tokens)], pair=["$A", "$B"], special_tokens=tokens
    )
    own_processor = backend.post_processor
    backend.post_processor = frame if own_processor is None else processors.Sequence([own_processor, frame])
