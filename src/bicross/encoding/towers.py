"""A loaded tower (tokenizer and model), and the loop that takes texts through it."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bicross.encoding.backends.torch import TorchTower
from bicross.encoding.batching import CPU_BATCH_TOKENS, GPU_BATCH_TOKENS, pad, plan_batches
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.loading import Files, Lease, LoadOptions, folder_state, share
from bicross.encoding.specs import DenseSpec, StaticSpec, TowerSpec
from bicross.encoding.tokenizer import Ids, TextTokenizer, load_static_tokenizer, load_tokenizer
from bicross.errors import CheckpointError, TruncationWarning, UnknownTokensWarning
from bicross.progress import progress
from bicross.types import Floats

_SLAB = 4_096
"""Texts that are tokenised and sorted together: bounds the memory that token ids take."""
_UNKNOWN_SHARE = 0.1


@dataclass(frozen=True)
class Tower:
    """A tower's settings, tokenizer and model."""

    spec: TowerSpec
    tokenizer: TextTokenizer
    model: TorchTower
    files: Files


class TowerOutput(NamedTuple):
    """**Shape:** vectors (texts, dimension); truncated (texts,)."""

    vectors: Floats
    truncated: npt.NDArray[np.bool_]


def load_tower(spec: TowerSpec, options: LoadOptions) -> Lease[Tower]:
    """A share in a tower; loaded where nobody has loaded it with these options.

    Raises:
        CheckpointError: The folder is damaged, unsafe or incomplete.
    """
    files = files_of(spec)

    def load() -> Tower:
        model = TorchTower(
            spec,
            device=options.device,
            precision=options.precision,
            model_options=json.loads(options.model_options),
            trust_remote_code=options.trust_remote_code,
        )
        if isinstance(spec.encoder, StaticSpec):
            return Tower(spec, load_static_tokenizer(spec.encoder.folder), model, files)
        return Tower(spec, load_tokenizer(spec.encoder, model.positions, options.trust_remote_code), model, files)

    return share(("tower", spec, options, files), load)


def files_of(spec: TowerSpec) -> Files:
    """Name, size and time of every file that a tower is made of: what tells that it was replaced.

    Raises:
        CheckpointError: There are no safe weights among them.
    """
    weight_files(spec.encoder.folder)
    folders = [spec.encoder.folder, *(head.folder for head in spec.heads if isinstance(head, DenseSpec))]
    return folder_state(*folders)


def default_batch_tokens(device: str) -> int:
    """A budget that fits a CPU's caches, or fills a GPU."""
    return CPU_BATCH_TOKENS if device == "cpu" else GPU_BATCH_TOKENS


def encode(
    tower: Tower,
    texts: Sequence[str],
    prompt: str,
    batch_tokens: int | None,
    show_progress: bool | None,
    mask_asked: bool,
) -> TowerOutput:
    """Vectors of texts, in input order, and which texts were cut: a warning says how many, unless it is asked for."""
    vectors = np.empty((len(texts), tower.model.dimension), dtype=np.float32)
    truncated = np.zeros(len(texts), dtype=bool)
    prompt_length = tower.tokenizer.prompt_length(prompt)
    budget = batch_tokens or default_batch_tokens(tower.model.device)
    unknown = tokens = 0
    with progress("encoding", len(texts), show_progress) as advance:
        for start in range(0, len(texts), _SLAB):
            slab = [prompt + text for text in texts[start : start + _SLAB]]
            contents = tower.tokenizer.ids(slab)
            unknown += count_unknown(contents, tower.tokenizer)
            tokens += sum(map(len, contents))
            rows = []
            for position, content in enumerate(contents):
                row, truncated[start + position] = tower.tokenizer.frame_single(content)
                rows.append(row)
            for batch in plan_batches([len(row) for row in rows], budget):
                ids, mask = pad([rows[i] for i in batch], tower.tokenizer.pad_id)
                vectors[start + batch] = tower.model.vectors(ids, mask, prompt_length)
                advance(len(batch))
    _check_finite(vectors, texts)
    # Whoever asked for the mask counts for himself.
    cut = 0 if mask_asked else int(truncated.sum())
    warn_about(cut, len(texts), tower.tokenizer.max_length, unknown, tokens)
    return TowerOutput(vectors, truncated)


def count_unknown(contents: Sequence[Ids], tokenizer: TextTokenizer) -> int:
    """How many tokens the vocabulary doesn't hold."""
    if tokenizer.unknown_id is None:
        return 0
    return sum(int(np.count_nonzero(ids == tokenizer.unknown_id)) for ids in contents)


def warn_about(truncated: int, total: int, limit: int, unknown: int, tokens: int) -> None:
    """One warning per call and matter, with its count."""
    if truncated:
        warnings.warn(
            f"{truncated} of {total} texts were longer than the model's {limit} tokens and were cut. "
            "Split them (bicross.readers.split), or pass return_truncation=True to learn which.",
            TruncationWarning,
            stacklevel=4,
        )
    if tokens and unknown / tokens > _UNKNOWN_SHARE:
        warnings.warn(
            f"{unknown} of {tokens} tokens ({unknown / tokens:.0%}) are unknown to the model: "
            "this model doesn't read this script. Use a multilingual one.",
            UnknownTokensWarning,
            stacklevel=4,
        )


def _check_finite(values: Floats, texts: Sequence[str]) -> None:
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        position = int(np.argmin(finite))
        raise CheckpointError(
            f"Vectors must be finite numbers, got NaN or infinity for the text at position {position} "
            f"({texts[position][:60]!r}). The weights or the precision don't fit; try precision='float32'."
        )
