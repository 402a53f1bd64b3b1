"""Texts through a tower: each once, tokenised ahead of the model, in sorted batches, in turn with other callers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bicross.encoding import workers
from bicross.encoding.backends.protocol import Result
from bicross.encoding.batching import distinct, pad, slabs
from bicross.encoding.counting import Counts
from bicross.encoding.loading import Files, Lease, LoadOptions, check_unchanged
from bicross.encoding.scheduling import scheduler_of
from bicross.encoding.specs import TowerSpec
from bicross.encoding.tokenizer import Ids
from bicross.encoding.towers import Tower, load_tower
from bicross.encoding.workers import POOLED_TEXTS, Remote
from bicross.errors import CheckpointError
from bicross.overlap import ahead
from bicross.progress import Advance, progress
from bicross.types import Floats


class TowerOutput(NamedTuple):
    """**Shape:** vectors (texts, dimension); truncated (texts,)."""

    vectors: Floats
    truncated: npt.NDArray[np.bool_]


class _Embedded(NamedTuple):
    """A part of a job. **Shape:** vectors (rows, dimension); cut (rows,)."""

    vectors: Floats
    cut: npt.NDArray[np.bool_]
    counts: Counts


class _Slab(NamedTuple):
    """Framed token ids of texts, and which were cut. **Shape:** cut (rows,)."""

    rows: list[Ids]
    cut: npt.NDArray[np.bool_]
    counts: Counts


def encode(
    tower: Tower,
    texts: Sequence[str],
    prompt: str,
    batch_tokens: int | None,
    show_progress: bool | None,
    mask_asked: bool,
    remote: Remote | None = None,
) -> TowerOutput:
    """Vectors of texts, in input order, and which texts were cut: a warning says how many, unless it is asked for.

    Args:
        tower: What they go through.
        texts: In any order; equal ones are encoded once.
        prompt: Stands in front of each.
        batch_tokens: Most tokens of a batch, padding included.
        show_progress: None: on a terminal, once it takes more than two seconds.
        mask_asked: Whether the caller looks at the mask.
        remote: The workers that share a big job, and how they load the tower.
    """
    sizes = [len(text) for text in texts]
    order, source = distinct(texts, sizes)
    vectors = np.empty((len(texts), tower.model.dimension), dtype=np.float32)
    truncated = np.zeros(len(texts), dtype=bool)
    counts = Counts()
    with progress("encoding", len(order), show_progress) as advance:
        if remote is not None and len(order) >= POOLED_TEXTS:
            results = _remotely(tower, texts, order, prompt, batch_tokens, advance, remote)
        else:
            results = _here(tower, texts, order, prompt, batch_tokens, advance)
        for part, found in results:
            vectors[part], truncated[part] = found.vectors, found.cut
            counts.include(found.counts)
            _check_finite(found.vectors, texts, part)
    if len(order) < len(texts):
        repeated = [i for i, first in enumerate(source) if first != i]
        firsts = [source[i] for i in repeated]
        vectors[repeated], truncated[repeated] = vectors[firsts], truncated[firsts]
    # Whoever asked for the mask counts for himself.
    counts.cut = 0 if mask_asked else int(truncated.sum())
    counts.warn(len(texts), tower.tokenizer.max_length)
    return TowerOutput(vectors, truncated)


def _here(
    tower: Tower,
    texts: Sequence[str],
    order: Sequence[int],
    prompt: str,
    batch_tokens: int | None,
    advance: Advance,
) -> Iterator[tuple[Sequence[int], _Embedded]]:
    parts = [order[span] for span in slabs([len(texts[i]) for i in order])]
    tokenised = ((part, tokenise(tower, [texts[i] for i in part], prompt)) for part in parts)
    for part, slab in ahead(tokenised) if len(parts) > 1 else tokenised:
        vectors = embed(tower, slab, prompt, batch_tokens, advance)
        yield part, _Embedded(vectors, slab.cut, slab.counts)


def _remotely(
    tower: Tower,
    texts: Sequence[str],
    order: Sequence[int],
    prompt: str,
    batch_tokens: int | None,
    advance: Advance,
    remote: Remote,
) -> Iterator[tuple[Sequence[int], _Embedded]]:
    parts = workers.parts(order)
    tasks = (
        (tower.spec, remote.options, tower.files, [texts[i] for i in part], prompt, batch_tokens) for part in parts
    )
    for part, found in zip(parts, remote.pool.map(_in_worker, tasks), strict=True):
        advance(len(part))
        yield part, found


def _in_worker(
    spec: TowerSpec,
    options: LoadOptions,
    files: Files,
    texts: Sequence[str],
    prompt: str,
    batch_tokens: int | None,
) -> _Embedded:
    """A part of another process's job."""
    tower = _lease(spec, replace(options, device=workers.own_device())).get()
    check_unchanged(files, tower.files)
    slab = tokenise(tower, texts, prompt)
    return _Embedded(embed(tower, slab, prompt, batch_tokens, lambda _: None), slab.cut, slab.counts)


@lru_cache(maxsize=8)
def _lease(spec: TowerSpec, options: LoadOptions) -> Lease[Tower]:
    return load_tower(spec, options)


def tokenise(tower: Tower, texts: Sequence[str], prompt: str) -> _Slab:
    """Framed token ids of texts, each behind the prompt."""
    tokenizer = tower.tokenizer
    contents = tokenizer.ids(texts, prompt)
    counts = Counts()
    counts.add(contents, tokenizer)
    framed = [tokenizer.frame_single(content) for content in contents]
    return _Slab([row for row, _ in framed], np.array([cut for _, cut in framed], dtype=bool), counts)


def embed(tower: Tower, slab: _Slab, prompt: str, batch_tokens: int | None, advance: Advance) -> Floats:
    """**Shape:** (rows of the slab, dimension)."""
    model, pad_id = tower.model, tower.tokenizer.pad_id
    prompt_length = tower.tokenizer.prompt_length(prompt)
    vectors = np.empty((len(slab.rows), model.dimension), dtype=np.float32)

    def compute(rows: list[Ids]) -> Result:
        ids, mask = pad(rows, pad_id, model.padded)
        return model.vectors(ids, mask, prompt_length)

    lengths = [model.padded(len(row)) for row in slab.rows]
    scheduler_of(model.device).run(
        (model, prompt_length),
        slab.rows,
        lengths,
        compute,
        vectors,
        batch_tokens=batch_tokens,
        room=model.room,
        advance=advance,
    )
    return vectors


def _check_finite(vectors: Floats, texts: Sequence[str], part: Sequence[int]) -> None:
    """**Shape:** (len(part), dimension)."""
    finite = np.isfinite(vectors)
    if not finite.all():
        position = part[int(np.argmin(finite.all(axis=1)))]
        raise CheckpointError(
            f"Vectors must be finite numbers, got NaN or infinity for the text at position {position} "
            f"({texts[position][:60]!r}). The weights or the precision don't fit; try precision='float32'."
        )
