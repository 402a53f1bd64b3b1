"""Late interaction: a query's tokens each find their best match among a text's, a third way to score candidates."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self, overload

from bicross.arguments import check_count
from bicross.arrays import ranked
from bicross.cross_encoder import check_pairs
from bicross.encoding.backends.protocol import Model
from bicross.encoding.counting import Counts
from bicross.encoding.files import copy_folder
from bicross.encoding.late_checkpoint import LateCheckpoint, read_late_checkpoint
from bicross.encoding.late_scoring import load_late, score_pairs
from bicross.encoding.loading import LoadOptions
from bicross.encoding.locate import locate
from bicross.encoding.model import LoadedScorer, Mask
from bicross.encoding.tokenizer import check_text, check_texts
from bicross.progress import progress
from bicross.types import Floats, Ranked


class LateInteractionReranker(LoadedScorer):
    """Scores pairs by MaxSim over token vectors; made by `LateInteractionReranker.load`.

    It satisfies `Scorer`, so it stands wherever a cross-encoder does: as a second stage, in `evaluate`, and in the gap
    report. Candidates are encoded when they are scored; there is no index of token vectors, and images aren't read.

    Safe to call from many threads. One model in memory serves all that load it with the same options.
    """

    score_unit = "sum of cosines"

    def __init__(
        self, checkpoint: LateCheckpoint, options: LoadOptions, *, name: str, revision: str | None = None
    ) -> None:
        self.checkpoint = checkpoint
        self._lease = load_late(checkpoint, options)
        super().__init__(name, revision, options, [self._lease])
        self._digest: str | None = None
        if checkpoint.mean:
            self.score_unit = "mean of cosines"

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        revision: str | None = None,
        token: str | None = None,
        local_files_only: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "float32",
        model_options: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
    ) -> Self:
        """Load a checkpoint of sentence-transformers' MultiVectorEncoder, of PyLate, or of Stanford's ColBERT.

        See `BiEncoder.load` for the arguments; torch computes.

        Raises:
            ModelNotFoundError: Nothing under this name; says where it was sought.
            CheckpointError: Damaged, unsafe (pickle), or another kind of model.
            ConfigurationError: An option that makes no sense.
        """
        options = LoadOptions.check(device, precision, "torch", model_options, trust_remote_code)
        found = locate(
            name_or_path,
            "late-interaction model",
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            cache_dir=cache_dir,
        )
        return cls(read_late_checkpoint(found.folder), options, name=found.name, revision=found.revision)

    @property
    def _model(self) -> Model:
        model: Model = self._lease.get().model
        return model

    @property
    def dimension(self) -> int:
        """Length of a token's vector."""
        return int(self._lease.get().model.dimension)

    @property
    def max_length(self) -> int:
        """Longest text that is read whole. **Unit:** tokens, special tokens included."""
        return self._lease.get().document.tokenizer.max_length

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that changes a score."""
        if self._digest is None:
            self._digest = self._lease.get().digest()
        return self._digest

    @overload
    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        batch_tokens: int | None = ...,
        show_progress: bool | None = ...,
        return_truncation: Literal[False] = ...,
    ) -> Floats: ...
    @overload
    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        batch_tokens: int | None = ...,
        show_progress: bool | None = ...,
        return_truncation: Literal[True],
    ) -> tuple[Floats, Mask]: ...
    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        batch_tokens: int | None = None,
        show_progress: bool | None = None,
        return_truncation: bool = False,
    ) -> Floats | tuple[Floats, Mask]:
        """Score (query, text) pairs.

        Args:
            pairs: Pairs of strings.
            batch_tokens: Most tokens of a batch, padding included.
            show_progress: None: on a terminal, once it takes more than two seconds.
            return_truncation: Also return which pairs were cut, instead of warning about their number.

        Returns:
            float32. **Shape:** (len(pairs),); with `return_truncation` also booleans of the same shape.
            **Unit:** `score_unit`.

        Raises:
            InputTypeError, InputError: Something that isn't a pair of valid texts; names its position.
        """
        check_pairs(pairs)
        scores, cut, counts = self._scored(pairs, batch_tokens, show_progress)
        counts.cut = 0 if return_truncation else int(cut.sum())
        counts.warn(len(pairs), self.max_length)
        return (scores, cut) if return_truncation else scores

    def counted(  # noqa: D102  # described by LoadedScorer
        self, pairs: Sequence[tuple[str, str]], batch_tokens: int | None = None
    ) -> tuple[Floats, Mask]:
        return self.predict(pairs, batch_tokens=batch_tokens, show_progress=False, return_truncation=True)

    def rank(
        self,
        query: str,
        texts: Sequence[str],
        top_k: int | None = None,
        *,
        batch_tokens: int | None = None,
        show_progress: bool | None = None,
    ) -> list[Ranked]:
        """Score texts against one query and sort them; equal scores keep the input's order.

        Args:
            query: The query.
            texts: The texts.
            top_k: How many to return; None: all.
            batch_tokens, show_progress: As in `predict`.

        Returns:
            Best first. **Unit** of the scores: `score_unit`.

        Raises:
            ConfigurationError: top_k isn't positive.
            InputTypeError, InputError: Something that isn't valid text; names its position.
        """
        if top_k is not None:
            check_count(top_k, "top_k")
        check_text(query, "query")
        pairs = [(query, text) for text in check_texts(texts)]
        return ranked(self.predict(pairs, batch_tokens=batch_tokens, show_progress=show_progress), top_k)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Copy the checkpoint, as it was loaded, into a new or empty folder.

        Raises:
            ConfigurationError: The folder holds files already.
        """
        return copy_folder(self.checkpoint.folder, Path(folder))

    def _scored(
        self, pairs: Sequence[tuple[str, str]], batch_tokens: int | None, show_progress: bool | None
    ) -> tuple[Floats, Mask, Counts]:
        counts = Counts()
        texts = len({text for _, text in pairs})
        with progress("scoring", texts, show_progress) as advance:
            scores, cut = score_pairs(self._lease.get(), pairs, counts, batch_tokens, advance)
        return scores, cut, counts
