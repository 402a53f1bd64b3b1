"""A loaded pair classifier, and the loop that takes pairs of token ids through it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bicross.encoding.backends.torch import TorchClassifier
from bicross.encoding.batching import pad
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.counting import Counts
from bicross.encoding.loading import Files, Lease, LoadOptions, folder_state, share
from bicross.encoding.scheduling import scheduler_of
from bicross.encoding.specs import TransformerSpec
from bicross.encoding.tokenizer import Ids, TextTokenizer, load_tokenizer
from bicross.errors import CheckpointError
from bicross.progress import Advance
from bicross.types import Floats


@dataclass(frozen=True)
class Classifier:
    """A tokenizer and the model behind it."""

    tokenizer: TextTokenizer
    model: TorchClassifier
    files: Files


def load_classifier(spec: TransformerSpec, options: LoadOptions) -> Lease[Classifier]:
    """A share in a classifier; loaded where nobody has loaded it with these options.

    Raises:
        CheckpointError: The folder is damaged, unsafe, incomplete, or no classifier.
    """
    weight_files(spec.folder)
    files = folder_state(spec.folder)

    def load() -> Classifier:
        model = TorchClassifier(
            spec,
            device=options.device,
            precision=options.precision,
            model_options=json.loads(options.model_options),
            trust_remote_code=options.trust_remote_code,
        )
        return Classifier(load_tokenizer(spec, model.positions, options.trust_remote_code), model, files)

    return share(("classifier", spec, options, files), load)


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
        ids, mask = pad([ids for ids, _, _ in batch], tokenizer.pad_id)
        types = pad([types for _, types, _ in batch], 0)[0] if tokenizer.type_ids else None
        return model.logits(ids, mask, types)

    lengths = [len(ids) for ids, _, _ in rows]
    scheduler_of(model.device).run(model, rows, lengths, compute, logits, batch_tokens=batch_tokens, advance=advance)
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise CheckpointError(
            f"Scores must be finite numbers, got NaN or infinity for the pair at position {int(np.argmin(finite))}. "
            "The weights or the precision don't fit; try precision='float32'."
        )
    return logits, np.array([cut for _, _, cut in rows], dtype=bool)
