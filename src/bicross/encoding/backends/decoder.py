"""Decoders that score pairs: the last token's hidden state against a few rows of a head, in float32."""

from __future__ import annotations

from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from bicross.encoding.backends.protocol import ClassifierModel, Result, Tokens
from bicross.encoding.backends.torch import TorchClassifier, TorchModel
from bicross.encoding.backends.torch_loading import fetched, inference, load_transformer, max_positions, on_device
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.pooling import pool
from bicross.encoding.specs import AnswerSpec, ScorerSpec, TransformerSpec
from bicross.errors import CheckpointError

_HEAD, _CLASSES = "lm_head.weight", "score.weight"
_SCALES = ("logit_scale", "logits_scaling")


def load_scorer(spec: ScorerSpec, options: TorchOptions) -> ClassifierModel:
    """A model that scores pairs: an encoder with its classifier, or a decoder with the rows of its head that count.

    Raises:
        CheckpointError: The weights are damaged, incomplete, pickled or belong to another kind of model.
    """
    decoder = spec.answer is not None or _CLASSES in _places(spec.encoder)
    kind = TorchDecoder if decoder else TorchClassifier
    return kind(spec, options)


class TorchDecoder(TorchModel):
    """Token ids in, logits out.

    Of a language model's head only the rows of the answers are kept, so that no row of 151,936 logits is computed;
    of a sequence classifier's head all are. The last token is told by the mask, so no padding token is needed.
    """

    def __init__(self, spec: ScorerSpec, options: TorchOptions) -> None:
        self.precision = options.precision
        self._model, self.device = load_transformer(spec.encoder, "AutoModel", options)
        self.config = config = self._model.config
        self.positions = max_positions(config)
        self._compared = spec.answer is not None and spec.answer.false_id is not None
        rows = _class_rows(spec.encoder) if spec.answer is None else _answer_rows(spec, spec.answer, self._model)
        self._rows = rows.float().to(self.device)
        self._cap = getattr(config, "final_logit_softcapping", None) if spec.answer is not None else None
        self.labels = 1 if spec.answer is not None else len(rows)

    def logits(self, ids: Tokens, mask: Tokens, types: Tokens | None) -> Result:
        """Logits of a padded batch of pairs. **Shape:** ids, mask (batch, length) → (batch, labels)."""
        del types
        with inference():
            mask_ = on_device(mask, self.device)
            hidden = self._model(input_ids=on_device(ids, self.device), attention_mask=mask_)
            last = pool(hidden.last_hidden_state.to(self.device), mask_, ("lasttoken",))
            logits = last @ self._rows.T
            if self._cap:
                logits = self._cap * torch.tanh(logits / self._cap)
            if self._compared:
                logits = logits[:, :1] - logits[:, 1:]
            return fetched(logits)


def _places(spec: TransformerSpec) -> dict[str, str]:
    """The file of every tensor of a folder."""
    places: dict[str, str] = {}
    for path in weight_files(spec.folder):
        with safe_open(path, "pt") as file:
            places |= dict.fromkeys(file.keys(), str(path))
    return places


def _class_rows(spec: TransformerSpec) -> Tensor:
    """**Shape:** (labels, width)."""
    with safe_open(_places(spec)[_CLASSES], "pt") as file:
        rows: Tensor = file.get_tensor(_CLASSES)
        return rows


def _answer_rows(spec: ScorerSpec, answer: AnswerSpec, model: Any) -> Tensor:
    """The rows of the language-model head for the answers. **Shape:** (1 or 2, width)."""
    folder, config = spec.encoder.folder, model.config
    if scaled := [name for name in _SCALES if getattr(config, name, None) not in (None, 1, 1.0)]:
        raise CheckpointError(
            f"The score must be a logit as the head gives it, got {scaled[0]}={getattr(config, scaled[0])!r} in "
            f"{str(folder)!r}. bicross doesn't know this kind of head; open an issue if it is a common one."
        )
    ids = [answer.true_id, *([] if answer.false_id is None else [answer.false_id])]
    if not all(0 <= index < config.vocab_size for index in ids):
        raise CheckpointError(
            f"The answers must be tokens of the model, below {config.vocab_size}, got {ids} in {str(folder)!r}. "
            "Fetch the model again."
        )
    if path := _places(spec.encoder).get(_HEAD):
        with safe_open(path, "pt") as file:
            head = file.get_slice(_HEAD)
            return torch.cat([head[index : index + 1] for index in ids])
    if not config.tie_word_embeddings:
        raise CheckpointError(f"A decoder that scores pairs needs {_HEAD!r}, got none in {str(folder)!r}.")
    rows: Tensor = model.get_input_embeddings().weight[ids]
    return rows.detach().clone()
