"""A loaded pair classifier, and the loop that takes pairs of token ids through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bicross.encoding import workers
from bicross.encoding.backends import graphs
from bicross.encoding.backends.choosing import Choice
from bicross.encoding.backends.graph import GraphClassifier
from bicross.encoding.backends.protocol import ClassifierModel
from bicross.encoding.batching import distinct, pad, slabs
from bicross.encoding.counting import Counts
from bicross.encoding.hardware import usable_cores
from bicross.encoding.loading import Files, Lease, LoadOptions, check_unchanged, first_possible, share
from bicross.encoding.scheduling import scheduler_of
from bicross.encoding.specs import TowerSpec, TransformerSpec
from bicross.encoding.tokenizer import Ids, TextTokenizer, load_tokenizer
from bicross.encoding.towers import files_of, possible_choices
from bicross.encoding.workers import POOLED_TEXTS, Remote
from bicross.errors import CheckpointError
from bicross.overlap import ahead
from bicross.progress import Advance, progress
from bicross.types import Floats


@dataclass(frozen=True)
class Classifier:
    """A tokenizer and the model behind it."""

    tokenizer: TextTokenizer
    model: ClassifierModel
    files: Files
    precision_class: str


def load_classifier(spec: TransformerSpec, options: LoadOptions) -> Lease[Classifier]:
    """A share in a classifier; loaded where nobody has loaded it with these options.

    Raises:
        CheckpointError: The folder is damaged, unsafe, incomplete, or no classifier.
    """
    files = files_of(TowerSpec(spec))

    def load() -> Classifier:
        choices = possible_choices("cross-encoder", TowerSpec(spec), options)
        return first_possible(choices, lambda choice: _load(spec, options, choice, files))

    return share(("classifier", spec, options, files), load)


def _load(spec: TransformerSpec, options: LoadOptions, choice: Choice, files: Files) -> Classifier:
    if choice.backend != "torch":
        graph = graphs.obtain("cross-encoder", TowerSpec(spec), choice)
        model = GraphClassifier(graph, threads=options.threads or usable_cores())
        return Classifier(graph.tokenizer(spec), model, files, graph.precision_class)
    from bicross.encoding.backends.torch import TorchClassifier

    classifier = TorchClassifier(spec, **options.for_torch(choice.precision))
    tokenizer = load_tokenizer(spec, classifier.positions, options.trust_remote_code)
    return Classifier(tokenizer, classifier, files, options.precision_class)


def score_ids(
    classifier: Classifier,
    pairs: Sequence[tuple[Ids, Ids]],
    counts: Counts,
    batch_tokens: int | None,
    advance: Advance,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Logits of pairs of unframed token ids, and which pairs were cut. **Shape:** (pairs, labels), (pairs,)."""
    tokenizer, model = classifier.tokenizer, classifier.model
    rows = [tokenizer.frame_pair(first, second) for first, second in pairs]
    counts.add((ids for pair in pairs for ids in pair), tokenizer)
    logits = np.empty((len(rows), model.labels), dtype=np.float32)

    def compute(batch: list[tuple[Ids, Ids, bool]]) -> Floats:
        ids, mask = pad([ids for ids, _, _ in batch], tokenizer.pad_id, model.padded)
        types = pad([types for _, types, _ in batch], 0, model.padded)[0] if tokenizer.type_ids else None
        return model.logits(ids, mask, types)

    lengths = [model.padded(len(ids)) for ids, _, _ in rows]
    scheduler_of(model.device).run(model, rows, lengths, compute, logits, batch_tokens=batch_tokens, advance=advance)
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise CheckpointError(
            f"Scores must be finite numbers, got NaN or infinity for {int((~finite).sum())} of {len(rows)} pairs. "
            "The weights or the precision don't fit; try precision='float32'."
        )
    return logits, np.array([cut for _, _, cut in rows], dtype=bool)


def score_texts(
    classifier: Classifier,
    pairs: Sequence[tuple[str, str]],
    head: str,
    counts: Counts,
    batch_tokens: int | None,
    show_progress: bool | None,
    spec: TransformerSpec,
    remote: Remote | None = None,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Logits of pairs of texts, and which pairs were cut. **Shape:** (pairs, labels), (pairs,).

    Args:
        classifier: What they go through.
        pairs: In any order; equal ones are scored once.
        head: Stands in front of every query.
        counts: Of unknown tokens; added to.
        batch_tokens: Most tokens of a batch, padding included.
        show_progress: None: on a terminal, once it takes more than two seconds.
        spec: Where the classifier was loaded from.
        remote: The workers that share a big job, and how they load the classifier.
    """
    sizes = [len(query) + len(text) for query, text in pairs]
    order, source = distinct(pairs, sizes)
    logits = np.empty((len(pairs), classifier.model.labels), dtype=np.float32)
    cut = np.zeros(len(pairs), dtype=bool)
    with progress("scoring", len(order), show_progress) as advance:
        if remote is not None and len(order) >= POOLED_TEXTS:
            parts = workers.parts(order)
            tasks = (
                (spec, remote.options, classifier.files, [pairs[i] for i in part], head, batch_tokens) for part in parts
            )
            for part, found in zip(parts, remote.pool.map(_in_worker, tasks), strict=True):
                logits[part], cut[part] = found.logits, found.cut
                counts.include(found.counts)
                advance(len(part))
        else:
            parts = [order[span] for span in slabs([sizes[i] for i in order])]
            tokenised = ((part, _pair_ids(classifier.tokenizer, [pairs[i] for i in part], head)) for part in parts)
            for part, ids in ahead(tokenised) if len(parts) > 1 else tokenised:
                logits[part], cut[part] = score_ids(classifier, ids, counts, batch_tokens, advance)
    return logits[source], cut[source]


class _Scored(NamedTuple):
    """A part of a job. **Shape:** logits (pairs, labels); cut (pairs,)."""

    logits: Floats
    cut: npt.NDArray[np.bool_]
    counts: Counts


def _in_worker(
    spec: TransformerSpec,
    options: LoadOptions,
    files: Files,
    pairs: Sequence[tuple[str, str]],
    head: str,
    batch_tokens: int | None,
) -> _Scored:
    """A part of another process's job."""
    classifier = _lease(spec, replace(options, device=workers.own_device())).get()
    check_unchanged(files, classifier.files)
    counts = Counts()
    ids = _pair_ids(classifier.tokenizer, pairs, head)
    return _Scored(*score_ids(classifier, ids, counts, batch_tokens, lambda _: None), counts)


@lru_cache(maxsize=8)
def _lease(spec: TransformerSpec, options: LoadOptions) -> Lease[Classifier]:
    return load_classifier(spec, options)


def _pair_ids(tokenizer: TextTokenizer, pairs: Sequence[tuple[str, str]], head: str) -> list[tuple[Ids, Ids]]:
    """Token ids of pairs; a query, or a text, of many pairs is tokenised once."""
    queries = _unique_ids(tokenizer, [head + query for query, _ in pairs])
    texts = _unique_ids(tokenizer, [text for _, text in pairs])
    return [(queries[head + query], texts[text]) for query, text in pairs]


def _unique_ids(tokenizer: TextTokenizer, texts: Sequence[str]) -> dict[str, Ids]:
    unique = list(dict.fromkeys(texts))
    return dict(zip(unique, tokenizer.ids(unique), strict=True))
