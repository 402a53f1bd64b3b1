"""The cross-encoder: reads a query and a text together and scores how well they match."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, overload

import numpy as np

from bicross.arguments import check_count
from bicross.encoding.backends.numeric import activate
from bicross.encoding.backends.protocol import Model
from bicross.encoding.counting import Counts
from bicross.encoding.cross_checkpoint import read_cross_checkpoint
from bicross.encoding.fingerprint import digest, scorer_digest
from bicross.encoding.loading import LoadOptions, check_unchanged
from bicross.encoding.locate import locate
from bicross.encoding.model import LoadedScorer, Mask
from bicross.encoding.saving import save_cross_checkpoint
from bicross.encoding.scoring import load_classifier, score_rows, score_texts
from bicross.encoding.specs import CrossCheckpoint, TowerSpec
from bicross.encoding.tokenizer import check_text, check_texts
from bicross.encoding.towers import files_of
from bicross.encoding.windows import WINDOW_TOKENS, best_windows, check_windows
from bicross.encoding.workers import check_devices
from bicross.errors import ConfigurationError, InputTypeError
from bicross.progress import progress
from bicross.types import Floats, Ranked, Scorer, Windows

_OWN_PROMPT = "task"
"""The name under which a prompt that `load` was given is saved."""
_UNITS = {"sigmoid": "probability", "softmax": "probability", "identity": "logit"}


class PredictOptions(TypedDict, total=False):
    """The keywords of `CrossEncoder.predict`, for the type checker."""

    prompt: str | None
    activation: str | None
    batch_tokens: int | None
    show_progress: bool | None


class CrossEncoder(LoadedScorer):
    """Scores pairs; made by `CrossEncoder.load`.

    Safe to call from many threads. One model in memory serves all that load it with the same options.
    """

    def __init__(
        self,
        checkpoint: CrossCheckpoint,
        options: LoadOptions,
        *,
        name: str,
        revision: str | None = None,
        activation: str | None = None,
        devices: tuple[str, ...] = (),
    ) -> None:
        self.checkpoint = checkpoint
        self._lease = load_classifier(checkpoint.scorer, options)
        super().__init__(name, revision, options, [self._lease], devices)
        default = "sigmoid" if self.labels == 1 else "identity"
        self.activation = activation or checkpoint.activation or default
        activate(np.zeros((1, self.labels), dtype=np.float32), self.activation)
        self._digest: str | None = None

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str] = "starter",
        *,
        revision: str | None = None,
        token: str | None = None,
        local_files_only: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
        device: str | Sequence[str] = "auto",
        workers: int | None = None,
        precision: str = "float32",
        backend: str = "auto",
        activation: str | None = None,
        prompt: str | None = None,
        model_options: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
    ) -> Self:
        """Load a sequence classifier, or a decoder that answers (LogitScore); see `BiEncoder.load` for the rest.

        Args:
            name_or_path: A folder, a name on the model hub, "starter", or "fast" (the small one).
            activation: "sigmoid", "identity", "softmax" or a class of torch.nn; None: as the checkpoint says, else
                sigmoid for one label and identity for more. zerank's sigmoid is that of a fifth of the logit.

            prompt: Stands in front of every query, or where the model's chat template has a place for an instruction;
                None: the checkpoint's default prompt.

        Raises:
            ModelNotFoundError: Nothing under this name; says where it was sought.
            CheckpointError: Damaged, unsafe (pickle), unknown, or without a trained head.
            ConfigurationError: An option that makes no sense.
        """
        device, devices = check_devices(device, workers)
        options = LoadOptions.check(device, precision, backend, model_options, trust_remote_code)
        found = locate(
            name_or_path,
            "cross-encoder",
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            cache_dir=cache_dir,
        )
        checkpoint = read_cross_checkpoint(found.folder)
        if prompt is not None:
            prompts = {**checkpoint.prompts, _OWN_PROMPT: check_text(prompt, "prompt")}
            checkpoint = replace(checkpoint, prompts=prompts, default_prompt_name=_OWN_PROMPT)
        return cls(
            checkpoint, options, name=found.name, revision=found.revision, activation=activation, devices=devices
        )

    @property
    def _model(self) -> Model:
        return self._lease.get().model

    @property
    def labels(self) -> int:
        """How many numbers a pair gets."""
        return self._lease.get().model.labels

    @property
    def max_length(self) -> int:
        """Longest pair that is read whole. **Unit:** tokens, special tokens included."""
        return self._lease.get().tokenizer.max_length

    @property
    def score_unit(self) -> str:
        """Unit of the scores: "logit" or "probability"; the activation's name where it is another."""
        return _UNITS.get(self.activation.rsplit(".", 1)[-1].lower(), self.activation)

    @property
    def stage1_weight(self) -> float:
        """Weight of the first stage's score in the final one, chosen in training; 0.0 where the checkpoint has none."""
        return float(self.checkpoint.extras.get("stage1_weight", 0.0))

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that changes a score."""
        return digest(*self._parts(), self.activation.rsplit(".", 1)[-1].lower(), self._lease.get().precision_class)

    @property
    def logit_fingerprint(self) -> str:
        """SHA-256 over everything that changes a logit: the fingerprint without the activation."""
        return digest(*self._parts(), "logit", self._lease.get().precision_class)

    def _parts(self) -> tuple[str, ...]:
        if self._digest is None:
            check_unchanged(self._lease.get().files, files_of(TowerSpec(self.checkpoint.encoder)))
            self._digest = scorer_digest(self.checkpoint.scorer, self._lease.get().framing.template)
        return self._digest, self._lease.get().tokenizer.state, self._prompt(None)

    @overload
    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        return_truncation: Literal[False] = ...,
        **options: Unpack[PredictOptions],
    ) -> Floats: ...
    @overload
    def predict(
        self, pairs: Sequence[tuple[str, str]], *, return_truncation: Literal[True], **options: Unpack[PredictOptions]
    ) -> tuple[Floats, Mask]: ...
    def predict(
        self,
        pairs: Sequence[tuple[str, str]],
        *,
        prompt: str | None = None,
        activation: str | None = None,
        batch_tokens: int | None = None,
        show_progress: bool | None = None,
        return_truncation: bool = False,
    ) -> Floats | tuple[Floats, Mask]:
        """Score (query, text) pairs.

        Args:
            pairs: Pairs of strings.
            prompt: As in `load`, for this call.
            activation: For this call instead of the model's own.
            batch_tokens: Most tokens of a batch, padding included.
            show_progress: None: on a terminal, once it takes more than two seconds.
            return_truncation: Also return which pairs were cut, instead of warning about their number.

        Returns:
            float32. **Shape:** (len(pairs),) for one label, else (len(pairs), labels); with `return_truncation` also
            booleans of shape (len(pairs),). **Unit:** `score_unit`.

        Raises:
            InputTypeError, InputError: Something that isn't a pair of valid texts; names its position.
        """
        classifier = self._lease.get()
        check_pairs(pairs)
        head = self._prompt(prompt)
        given = [(query, text) for query, text in pairs]
        counts = Counts()
        logits, cut = score_texts(
            classifier, given, head, counts, batch_tokens, show_progress, self.checkpoint.scorer, self._remote()
        )
        counts.cut = 0 if return_truncation else int(cut.sum())
        counts.warn(len(pairs), classifier.tokenizer.max_length)
        scores = self._activated(logits, activation)
        return (scores, cut) if return_truncation else scores

    def counted(  # noqa: D102  # described by LoadedScorer
        self, pairs: Sequence[tuple[str, str]], batch_tokens: int | None = None
    ) -> tuple[Floats, Mask]:
        return self.predict(
            pairs, activation="identity", batch_tokens=batch_tokens, show_progress=False, return_truncation=True
        )

    def rank(
        self,
        query: str,
        texts: Sequence[str],
        top_k: int | None = None,
        *,
        windows: Windows = False,
        window_tokens: int = WINDOW_TOKENS,
        prompt: str | None = None,
        activation: str | None = None,
        batch_tokens: int | None = None,
        show_progress: bool | None = None,
    ) -> list[Ranked]:
        """Score texts against one query and sort them; equal scores keep the input's order.

        Args:
            query: The query.
            texts: The texts.
            top_k: How many to return; None: all.
            windows: True: score long texts in overlapping windows instead of cutting them; the best window speaks for
                the text (MaxP). "best": score one window of each, the one that holds the most of the query; rare words
                count more. The windows' character spans are returned.
            window_tokens: Length of the one window of "best".
            prompt, activation, batch_tokens, show_progress: As in `predict`.

        Returns:
            Best first. **Unit** of the scores: `score_unit`.

        Raises:
            ConfigurationError: The model has several labels, or top_k isn't positive.
            InputTypeError, InputError: Something that isn't valid text; names its position.
        """
        if self.labels != 1:
            raise ConfigurationError(f"rank needs a model with one label, got {self.labels}. Use predict.")
        if top_k is not None:
            check_count(top_k, "top_k")
        check_text(query, "query")
        texts = check_texts(texts)
        spans: Sequence[Any] = [None] * len(texts)
        check_windows(windows, window_tokens)
        if windows is True:
            scores, spans = self._best_windows(query, texts, prompt, activation, batch_tokens, show_progress)
        else:
            if windows:
                spans = self.windows_of(query, texts, window_tokens)
                texts = [text[start:end] for text, (start, end) in zip(texts, spans, strict=True)]
            scores = self.predict(
                [(query, text) for text in texts],
                prompt=prompt,
                activation=activation,
                batch_tokens=batch_tokens,
                show_progress=show_progress,
            )
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [Ranked(int(i), float(scores[i]), spans[i]) for i in order]

    def windows_of(self, query: str, texts: Sequence[str], tokens: int = WINDOW_TOKENS) -> list[tuple[int, int]]:
        """The window of each text that holds the most of the query; a short text is its own window.

        Words that few of the texts hold count more: a query's candidates are the collection in which a word is rare.

        Args:
            query: What is sought.
            texts: The candidates.
            tokens: Length of a window.

        Returns:
            **Unit:** characters.
        """
        return best_windows(self._lease.get().tokenizer, query, texts, tokens)

    def save(self, folder: str | os.PathLike[str]) -> Path:  # noqa: D102  # described by LoadedModel
        return save_cross_checkpoint(self.checkpoint, Path(folder), self.max_length)

    def _prompt(self, prompt: str | None) -> str:
        if prompt is not None:
            return check_text(prompt, "prompt")
        name = self.checkpoint.default_prompt_name
        return self.checkpoint.prompts.get(name, "") if name else ""

    def activated(self, logits: Floats) -> Floats:
        """Logits of a one-label model as scores. **Shape:** (n,) → (n,). **Unit:** `score_unit`."""
        return self._activated(logits[:, None], None)

    def _activated(self, logits: Floats, activation: str | None) -> Floats:
        name = activation or self.activation
        if name.rsplit(".", 1)[-1].lower() == "sigmoid":
            logits = logits / np.float32(self._lease.get().temperature)
        scores = activate(logits, name)
        return scores[:, 0] if self.labels == 1 else scores

    def _best_windows(
        self,
        query: str,
        texts: Sequence[str],
        prompt: str | None,
        activation: str | None,
        batch_tokens: int | None,
        show_progress: bool | None,
    ) -> tuple[Floats, list[tuple[int, int] | None]]:
        """Score and character span of each text's best window."""
        classifier = self._lease.get()
        rows, owners, spans = classifier.framing.window_rows(query, texts, self._prompt(prompt))
        with progress("scoring", len(rows), show_progress) as advance:
            logits, _ = score_rows(classifier, rows, batch_tokens, advance)
        scores = self._activated(logits, activation)
        best: list[int | None] = [None] * len(texts)
        for i, owner in enumerate(owners):
            current = best[owner]
            if current is None or scores[i] > scores[current]:
                best[owner] = i
        chosen = [i for i in best if i is not None]
        return scores[chosen], [spans[i] for i in chosen]


def raw_fingerprint(scorer: Scorer) -> str:
    """The fingerprint of a scorer's raw scores, whatever activation it applies to them."""
    return scorer.logit_fingerprint if isinstance(scorer, CrossEncoder) else scorer.fingerprint


def raw_scores(scorer: Scorer, pairs: Sequence[tuple[str, str]]) -> Floats:
    """A scorer's scores of pairs, before the activation where it is a `CrossEncoder`. **Shape:** (len(pairs),)."""
    if isinstance(scorer, CrossEncoder):
        return scorer.predict(pairs, activation="identity", show_progress=False)
    return np.asarray(scorer.predict(pairs), dtype=np.float32)


def counted_raw_scores(scorer: Scorer, pairs: Sequence[tuple[str, str]]) -> tuple[Floats, int]:
    """The same, and how many pairs were cut, without a warning of it; 0 where the scorer doesn't tell."""
    if not isinstance(scorer, LoadedScorer):
        return raw_scores(scorer, pairs), 0
    scores, cut = scorer.counted(pairs)
    return scores, int(np.count_nonzero(cut))


def check_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Check (query, text) pairs.

    Raises:
        InputTypeError, InputError: Something that isn't a pair of valid texts; names its position.
    """
    if not isinstance(pairs, Sequence) or isinstance(pairs, str | bytes):
        raise InputTypeError(f"Pairs must be a sequence of (query, text), got {type(pairs).__name__}.")
    for position, pair in enumerate(pairs):
        if isinstance(pair, str | bytes) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise InputTypeError(f"Every pair must be (query, text), got {pair!r:.80} at position {position}.")
        check_text(pair[0], f"query at position {position}")
        check_text(pair[1], f"text at position {position}")
