"""A loaded pair classifier, and the loop that takes pairs of token ids through it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from bicross.encoding.backends.torch import TorchClassifier
from bicross.encoding.batching import pad, plan_batches
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.loading import Files, Lease, LoadOptions, folder_state, share
from bicross.encoding.specs import TransformerSpec
from bicross.encoding.tokenizer import Ids, TextTokenizer, load_tokenizer
from bicross.encoding.towers import count_unknown, default_batch_tokens, warn_about
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


@dataclass
class PairCounts:
    """What is counted over the slabs of one call.

    Attributes:
        cut: Whether each pair was cut, in input order.
        unknown: Tokens that the vocabulary doesn't hold.
        tokens: All tokens, special ones left out.
    """

    cut: list[bool] = field(default_factory=list)
    unknown: int = 0
    tokens: int = 0

    def warn(self, tokenizer: TextTokenizer, mask_asked: bool) -> None:
        """Warn, once, about what was cut (unless the caller gets the mask) or unknown."""
        cut = 0 if mask_asked else sum(self.cut)
        warn_about(cut, len(self.cut), tokenizer.max_length, self.unknown, self.tokens)


def score_ids(
    classifier: Classifier,
    pairs: Sequence[tuple[Ids, Ids]],
    counts: PairCounts,
    batch_tokens: int | None,
    advance: Advance,
) -> Floats:
    """Logits of pairs of unframed token ids. **Shape:** (len(pairs), labels)."""
    tokenizer, model = classifier.tokenizer, classifier.model
    rows = [tokenizer.frame_pair(first, second) for first, second in pairs]
    counts.cut += [cut for _, _, cut in rows]
    counts.unknown += sum(count_unknown(pair, tokenizer) for pair in pairs)
    counts.tokens += sum(len(first) + len(second) for first, second in pairs)
    logits = np.empty((len(rows), model.labels), dtype=np.float32)
    for batch in plan_batches([len(ids) for ids, _, _ in rows], batch_tokens or default_batch_tokens(model.device)):
        ids, mask = pad([rows[i][0] for i in batch], tokenizer.pad_id)
        types = pad([rows[i][1] for i in batch], 0)[0] if tokenizer.type_ids else None
        logits[batch] = model.logits(ids, mask, types)
        advance(len(batch))
    finite = np.isfinite(logits).all(axis=1)
    if not finite.all():
        raise CheckpointError(
            f"Scores must be finite numbers, got NaN or infinity for the pair at position {int(np.argmin(finite))}. "
            "The weights or the precision don't fit; try precision='float32'."
        )
    return logits
