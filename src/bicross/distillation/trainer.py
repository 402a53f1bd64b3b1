"""Trains a pair scorer on groups of candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from bicross.distillation.fitting import TrainingSettings, finite, fit
from bicross.distillation.packing import model_inputs, pack

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class Group:
    """A query with candidates.

    Attributes:
        query: The query's text.
        texts: The candidates' texts.
        labels: 1 for a relevant text, 0 for another; one for each text.
    """

    query: str
    texts: tuple[str, ...]
    labels: tuple[float, ...]


class GroupScorer(nn.Module):
    """Scores all candidates of a batch of groups and returns the loss."""

    def __init__(self, model: nn.Module, loss: Loss) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(
        self, chunks: list[dict[str, Tensor]], place: Tensor, labels: Tensor, mask: Tensor
    ) -> dict[str, Tensor]:
        """Runs the model on every chunk.

        Args:
            chunks: As `pack` returns them.
            place: As `pack` returns it. **Shape:** (groups x candidates,).
            labels: **Shape:** (groups, candidates).
            mask: False where a group has fewer candidates. **Shape:** as ``labels``.

        Returns:
            ``loss``, a scalar, and ``scores``, the logits, of the shape of ``labels``.
        """
        logits = torch.cat([self.model(**chunk).logits[:, 0].float() for chunk in chunks])[place]
        scores = logits.new_zeros(labels.shape).masked_scatter(mask, logits)
        return {"loss": finite(self.loss(scores, labels, mask)), "scores": scores.detach()}


def train_groups(
    model: nn.Module,
    tokenizer: Tokenizer,
    epochs: Sequence[Sequence[Group]],
    *,
    loss: Loss,
    arguments: Any,
    settings: TrainingSettings,
) -> list[Path]:
    """Trains, or goes on from the folder's last complete checkpoint.

    Args:
        model: A sequence-classification model with one label; trained in place.
        tokenizer: The model's; its truncation is set here.
        epochs: The groups of every epoch, in the order in which they are to be seen.
        loss: A function of `bicross.distillation.losses`.
        arguments: As `training_arguments` makes them; the checkpoints go into their ``output_dir``.
        settings: See there.

    Returns:
        Folder of the checkpoint after every epoch; ``model.safetensors`` in it is read by `load_weights`.

    Raises:
        ConfigurationError: There are fewer groups than a batch takes.
        TrainingError: A loss or a gradient isn't a finite number.
    """
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings.max_length)
    return fit(
        GroupScorer(model, loss),
        epochs,
        partial(_collate, tokenizer, settings.pass_tokens(arguments.device.type), model_inputs(model)),
        describe=lambda group: group.query,
        arguments=arguments,
        settings=settings,
    )


def load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Fills the model with the weights of a checkpoint that `train_groups` wrote."""
    from safetensors.torch import load_file

    weights = load_file(checkpoint / "model.safetensors")
    # The model's folder holds half precision: what is measured is what is written.
    model.load_state_dict({name.removeprefix("model."): value.half().float() for name, value in weights.items()})


def _collate(tokenizer: Tokenizer, chunk_tokens: int, inputs: Sequence[str], groups: list[Group]) -> dict[str, Any]:
    """What `GroupScorer` takes, for these groups."""
    pairs = [(group.query, text) for group in groups for text in group.texts]
    chunks, place = pack(tokenizer, pairs, chunk_tokens, inputs)
    width = max(len(group.texts) for group in groups)
    mask = torch.tensor([[column < len(group.texts) for column in range(width)] for group in groups])
    labels = torch.zeros(len(groups), width)
    labels[mask] = torch.tensor([label for group in groups for label in group.labels])
    return {"chunks": chunks, "place": place, "labels": labels, "mask": mask}
