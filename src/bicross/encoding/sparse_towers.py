"""A loaded sparse tower (tokenizer and model), and the loop that takes texts through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bicross.encoding.backends.masked_lm import TorchMaskedLM, token_weights
from bicross.encoding.batching import distinct, pad
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.counting import Counts
from bicross.encoding.fingerprint import digest, encoder_digest, weights_digest
from bicross.encoding.loading import Files, Lease, LoadOptions, check_unchanged, folder_state, share
from bicross.encoding.scheduling import scheduler_of
from bicross.encoding.specs import SpladeSpec, TokenWeightsSpec, TransformerSpec
from bicross.encoding.tokenizer import Ids, TextTokenizer
from bicross.encoding.tokenizer_files import load_tokenizer
from bicross.errors import CheckpointError
from bicross.progress import progress
from bicross.types import Floats, SparseVector

_SLAB = 4_096
_SLAB_BYTES = 1 << 26
"""What the dense weights take before they become sparse."""
_LOGIT_BYTES = {"cpu": 1 << 28, "gpu": 1 << 31}
"""Most bytes of a batch's logits, which are as wide as the vocabulary."""


@dataclass(frozen=True)
class SparseTower:
    """A tower's settings, tokenizer and model: a masked language model, or one weight for each token."""

    spec: SpladeSpec | TokenWeightsSpec
    tokenizer: TextTokenizer
    model: TorchMaskedLM | Floats
    files: Files

    def digest(self) -> str:
        """SHA-256 over everything in it that changes a vector.

        Raises:
            CheckpointError: A file was replaced since it was loaded.
        """
        check_unchanged(self.files, folder_state(_folder(self.spec)))
        if isinstance(self.spec, TokenWeightsSpec):
            return digest("token weights", weights_digest(self.spec.folder), self.tokenizer.state)
        pooling = [self.spec.pooling, self.spec.saturations]
        return digest("splade", encoder_digest(self.spec.encoder.folder), self.tokenizer.state, pooling)


def load_sparse_tower(spec: SpladeSpec | TokenWeightsSpec, options: LoadOptions) -> Lease[SparseTower]:
    """A share in a tower; loaded where nobody has loaded it with these options.

    Raises:
        CheckpointError: The folder is damaged, unsafe or incomplete.
    """
    weight_files(_folder(spec))
    files = folder_state(_folder(spec))

    def load() -> SparseTower:
        if isinstance(spec, TokenWeightsSpec):
            tokenizer = load_tokenizer(TransformerSpec(spec.folder), None, options.trust_remote_code, special=False)
            weights = token_weights(spec.folder)
            if len(weights) < tokenizer.vocabulary:
                raise CheckpointError(
                    f"Each of the {tokenizer.vocabulary} tokens needs a weight, got {len(weights)} weights in "
                    f"{str(spec.folder)!r}. Fetch the model again."
                )
            return SparseTower(spec, tokenizer, weights, files)
        model = TorchMaskedLM(spec, options.for_torch(options.precision))
        tokenizer = load_tokenizer(spec.encoder, model.positions, options.trust_remote_code)
        return SparseTower(spec, tokenizer, model, files)

    return share(("sparse tower", spec, options, files), load)


def encode_sparse(
    tower: SparseTower,
    texts: Sequence[str],
    prompt: str,
    *,
    max_terms: int | None,
    batch_tokens: int | None,
    show_progress: bool | None,
) -> list[SparseVector]:
    """Vectors of texts, in input order, equal texts computed once; a warning says how many were cut."""
    tokenizer, model = tower.tokenizer, tower.model
    order, source = distinct(texts, [len(text) for text in texts])
    found: dict[int, SparseVector] = {}
    cut: set[int] = set()
    counts = Counts()
    rows_at_once = _SLAB
    if isinstance(model, TorchMaskedLM):
        rows_at_once = max(_SLAB_BYTES // (4 * model.vocabulary), 1)
    with progress("encoding", len(order), show_progress) as advance:
        for start in range(0, len(order), rows_at_once):
            part = order[start : start + rows_at_once]
            contents = tokenizer.ids([texts[i] for i in part], prompt)
            counts.add(contents, tokenizer)
            limit = tokenizer.content_limit()
            cut.update(i for i, content in zip(part, contents, strict=True) if len(content) > limit)
            if isinstance(model, TorchMaskedLM):
                weights = _pass(model, tokenizer, contents, batch_tokens)
                _check_finite(weights, part)
                found.update(zip(part, (_sparse(row, max_terms) for row in weights), strict=True))
            else:
                found.update(zip(part, (_look_up(model, ids[:limit], max_terms) for ids in contents), strict=True))
            advance(len(part))
    counts.cut = sum(first in cut for first in source)
    counts.warn(len(texts), tokenizer.max_length)
    return [found[first] for first in source]


def _pass(model: TorchMaskedLM, tokenizer: TextTokenizer, contents: list[Ids], batch_tokens: int | None) -> Floats:
    """**Shape:** (texts, vocabulary)."""
    rows = [tokenizer.frame_single(content)[0] for content in contents]
    weights = np.empty((len(rows), model.vocabulary), np.float32)
    scheduler = scheduler_of(model.device)
    most = _LOGIT_BYTES["cpu" if model.device == "cpu" else "gpu"] // (4 * model.vocabulary)
    scheduler.run(
        model,
        rows,
        [len(row) for row in rows],
        lambda batch: model.weights(*pad(batch, tokenizer.pad_id)),
        weights,
        batch_tokens=batch_tokens or max(min(scheduler.batch_tokens, most), 1),
    )
    return weights


def _check_finite(weights: Floats, positions: Sequence[int]) -> None:
    finite = np.isfinite(weights).all(axis=1)
    if not finite.all():
        raise CheckpointError(
            f"Weights of terms must be finite numbers, got NaN or infinity for the text at position "
            f"{positions[int(np.argmin(finite))]}. The weights or the precision don't fit; try precision='float32'."
        )


def _sparse(weights: Floats, max_terms: int | None) -> SparseVector:
    return _strongest(np.flatnonzero(weights), weights, max_terms)


def _look_up(weights: Floats, ids: Ids, max_terms: int | None) -> SparseVector:
    held = np.unique(ids).astype(np.intp)
    return _strongest(held[weights[held] != 0], weights, max_terms)


def _strongest(indices: npt.NDArray[np.intp], weights: Floats, max_terms: int | None) -> SparseVector:
    """The entries with the highest weights, the first among equals."""
    if max_terms is not None and len(indices) > max_terms:
        indices = np.sort(indices[np.argsort(-weights[indices], kind="stable")[:max_terms]])
    return SparseVector(indices.astype(np.uint32), weights[indices])


def _folder(spec: SpladeSpec | TokenWeightsSpec) -> Path:
    return spec.folder if isinstance(spec, TokenWeightsSpec) else spec.encoder.folder
