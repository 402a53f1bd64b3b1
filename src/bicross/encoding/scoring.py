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
from bicross.encoding.backends.protocol import ClassifierModel, Result
from bicross.encoding.batching import distinct, pad, slabs
from bicross.encoding.counting import Counts
from bicross.encoding.families import temperature
from bicross.encoding.framing import Framing
from bicross.encoding.loading import Files, Lease, LoadOptions, check_unchanged, first_possible, share
from bicross.encoding.scheduling import scheduler_of
from bicross.encoding.specs import ScorerSpec, TowerSpec
from bicross.encoding.templates import read_template
from bicross.encoding.tokenizer import PairRow, TextTokenizer
from bicross.encoding.tokenizer_files import load_tokenizer
from bicross.encoding.towers import files_of, possible_choices
from bicross.encoding.workers import POOLED_TEXTS, Remote
from bicross.errors import CheckpointError
from bicross.overlap import ahead
from bicross.progress import Advance, progress
from bicross.types import Floats


@dataclass(frozen=True)
class Classifier:
    """How pairs are framed, and the model behind it.

    Attributes:
        framing: Pairs to token ids.
        model: Token ids to logits.
        files: What it was loaded from.
        precision_class: The precisions that share a fingerprint with it.
        temperature: What a logit is divided by before a sigmoid makes a probability of it.
    """

    framing: Framing
    model: ClassifierModel
    files: Files
    precision_class: str
    temperature: float = 1.0

    @property
    def tokenizer(self) -> TextTokenizer:
        """The tokens that pairs are made of."""
        return self.framing.tokenizer


def load_classifier(spec: ScorerSpec, options: LoadOptions) -> Lease[Classifier]:
    """A share in a classifier; loaded where nobody has loaded it with these options.

    Raises:
        CheckpointError: The folder is damaged, unsafe, incomplete, or no classifier.
    """
    files = files_of(TowerSpec(spec.encoder))

    def load() -> Classifier:
        choices = possible_choices("cross-encoder", TowerSpec(spec.encoder), options)
        return first_possible(choices, lambda choice: _load(spec, options, choice, files))

    return share(("classifier", spec, options, files), load)


def _load(spec: ScorerSpec, options: LoadOptions, choice: Choice, files: Files) -> Classifier:
    if choice.backend != "torch":
        if spec.answer is not None or spec.template is not None:
            raise graphs.only_torch(spec.encoder.folder, choice)
        graph = graphs.obtain("cross-encoder", TowerSpec(spec.encoder), choice)
        model = GraphClassifier(graph, threads=options.graph_threads())
        return Classifier(Framing(graph.tokenizer(spec.encoder)), model, files, graph.precision_class)
    from bicross.encoding.backends.decoder import load_scorer

    template = read_template(spec, options.trust_remote_code)
    scorer = load_scorer(spec, options.for_torch(choice.precision))
    tokenizer = load_tokenizer(spec.encoder, scorer.positions, options.trust_remote_code)
    framing = Framing(tokenizer, template)
    return Classifier(framing, scorer, files, options.precision_class, temperature(spec, template))


def score_rows(
    classifier: Classifier, rows: Sequence[PairRow], batch_tokens: int | None, advance: Advance
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Logits of framed pairs, and which pairs were cut. **Shape:** (pairs, labels), (pairs,)."""
    tokenizer, model = classifier.tokenizer, classifier.model
    logits = np.empty((len(rows), model.labels), dtype=np.float32)

    def compute(batch: list[PairRow]) -> Result:
        ids, mask = pad([ids for ids, _, _ in batch], tokenizer.pad_id, model.padded)
        types = pad([types for _, types, _ in batch], 0, model.padded)[0] if tokenizer.type_ids else None
        return model.logits(ids, mask, types)

    lengths = [model.padded(len(ids)) for ids, _, _ in rows]
    scheduler_of(model.device).run(
        model, rows, lengths, compute, logits, batch_tokens=batch_tokens, room=model.room, advance=advance
    )
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
    spec: ScorerSpec,
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
            framed = ((part, _framed(classifier, [pairs[i] for i in part], head)) for part in parts)
            for part, (rows, found_counts) in ahead(framed) if len(parts) > 1 else framed:
                logits[part], cut[part] = score_rows(classifier, rows, batch_tokens, advance)
                counts.include(found_counts)
    return logits[source], cut[source]


def _framed(classifier: Classifier, pairs: Sequence[tuple[str, str]], head: str) -> tuple[list[PairRow], Counts]:
    counts = Counts()
    return classifier.framing.rows(pairs, head, counts), counts


class _Scored(NamedTuple):
    """A part of a job. **Shape:** logits (pairs, labels); cut (pairs,)."""

    logits: Floats
    cut: npt.NDArray[np.bool_]
    counts: Counts


def _in_worker(
    spec: ScorerSpec,
    options: LoadOptions,
    files: Files,
    pairs: Sequence[tuple[str, str]],
    head: str,
    batch_tokens: int | None,
) -> _Scored:
    """A part of another process's job."""
    classifier = _lease(spec, replace(options, device=workers.own_device())).get()
    check_unchanged(files, classifier.files)
    rows, counts = _framed(classifier, pairs, head)
    return _Scored(*score_rows(classifier, rows, batch_tokens, lambda _: None), counts)


@lru_cache(maxsize=8)
def _lease(spec: ScorerSpec, options: LoadOptions) -> Lease[Classifier]:
    return load_classifier(spec, options)
