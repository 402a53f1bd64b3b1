"""Trains a pair scorer on groups of candidates, on transformers' Trainer.

The Trainer keeps what it does well (optimiser, schedule, precision, checkpoints, resumption); the model it is given is
`GroupScorer`, which returns the loss, so that nothing of ours hides in a subclass of it. All epochs are one sequence of
groups in an order fixed by the seed: to go on after a kill, nothing is needed but the step and the optimiser's state.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from bicross.distillation.packing import has_bf16, pack
from bicross.errors import ConfigurationError, MissingExtraError

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
_DONE = "complete"


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


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What the trainer does with the groups.

    Attributes:
        batch_size: Groups for each step.
        learning_rate: Highest rate; reached after ``warmup`` and then lowered linearly to 0.
        warmup: Share of the steps.
        weight_decay: Of AdamW.
        dropout: Of hidden states and attention. In a single epoch nothing is seen twice, and 0 trains a third faster.
        max_length: Tokens of a pair; the longer of the two texts is cut first.
        chunk_tokens: Padded tokens of one forward pass: a step's pairs are sorted by length and passed in chunks.
        save_steps: Steps between two checkpoints; one is written after every epoch in any case.
        seed: Of the held-out split, the new layer's weights, the order, the negatives and the dropout.
        bf16: None takes bfloat16 where the hardware has it.
        show_progress: Whether to show the Trainer's bar.
    """

    batch_size: int = 16
    learning_rate: float = 6e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.0
    max_length: int = 160
    chunk_tokens: int = 6144
    save_steps: int = 100
    seed: int = 0
    bf16: bool | None = None
    show_progress: bool = True


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
        return {"loss": self.loss(scores, labels, mask), "scores": scores.detach()}


def train_groups(
    model: nn.Module,
    tokenizer: Tokenizer,
    epochs: Sequence[Sequence[Group]],
    *,
    loss: Loss,
    folder: Path,
    settings: TrainingSettings,
) -> list[Path]:
    """Trains, or goes on from the folder's last complete checkpoint.

    Args:
        model: A sequence-classification model with one label; trained in place.
        tokenizer: The model's; its truncation is set here.
        epochs: The groups of every epoch, in the order in which they are to be seen.
        loss: A function of `bicross.distillation.losses`.
        folder: Where the checkpoints are.
        settings: See there.

    Returns:
        Folder of the checkpoint after every epoch; ``model.safetensors`` in it is read by `load_weights`.

    Raises:
        ConfigurationError: There are fewer groups than a batch takes.
        MissingExtraError: accelerate isn't installed.
    """
    steps = min(len(groups) for groups in epochs) // settings.batch_size
    if steps < 1:
        raise ConfigurationError(
            f"An epoch needs at least batch_size={settings.batch_size!r} queries; "
            f"got {min(len(groups) for groups in epochs)}. Lower batch_size or bring more labels."
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(settings.max_length)
    # Whole batches alone: every epoch then ends at the same step, whatever a restart did.
    sequence = [group for groups in epochs for group in groups[: steps * settings.batch_size]]
    checkpoints = [folder / f"checkpoint-{steps * (epoch + 1)}" for epoch in range(len(epochs))]
    if not (checkpoints[-1] / _DONE).exists():
        trainer = _trainer(GroupScorer(model, loss), tokenizer, sequence, steps, folder, settings)
        trainer.train(resume_from_checkpoint=_last_complete(folder))
    return checkpoints


def load_weights(model: nn.Module, checkpoint: Path) -> None:
    """Fills the model with the weights of a checkpoint that `train_groups` wrote."""
    from safetensors.torch import load_file

    weights = load_file(checkpoint / "model.safetensors")
    # The model's folder holds half precision: what is measured is what is written.
    model.load_state_dict({name.removeprefix("model."): value.half().float() for name, value in weights.items()})


def _last_complete(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; half-written ones are deleted."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in found:
        if not (path / _DONE).exists():
            shutil.rmtree(path)
    complete = [path for path in found if path.exists()]
    return str(complete[-1]) if complete else None


def _trainer(
    scorer: GroupScorer,
    tokenizer: Tokenizer,
    sequence: list[Group],
    epoch_steps: int,
    folder: Path,
    settings: TrainingSettings,
) -> Any:
    try:
        import accelerate  # type: ignore[import-untyped]  # noqa: F401  # transformers' own message doesn't say how to get it
    except ImportError:
        raise MissingExtraError(
            'Training needs accelerate, which is not installed. Run: pip install "bicross[distill]"'
        ) from None
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Checkpoints(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002  # its signature
            step = state.global_step
            control.should_save = step % settings.save_steps == 0 or step % epoch_steps == 0
            return control

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002  # its signature
            newest = folder / f"checkpoint-{state.global_step}"
            (newest / _DONE).touch()
            for path in folder.glob("checkpoint-*"):
                if path != newest and int(path.name.rpartition("-")[2]) % epoch_steps:
                    shutil.rmtree(path)

    total = len(sequence) // settings.batch_size
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=1,  # the sequence holds them all
        learning_rate=settings.learning_rate,
        warmup_steps=round(settings.warmup * total),
        weight_decay=settings.weight_decay,
        lr_scheduler_type="linear",
        save_strategy="no",
        logging_steps=min(25, epoch_steps),
        seed=settings.seed,
        bf16=has_bf16() if settings.bf16 is None else settings.bf16,
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        disable_tqdm=not settings.show_progress,
        report_to="none",
    )
    return Trainer(
        model=scorer,
        args=arguments,
        train_dataset=sequence,
        data_collator=partial(_collate, tokenizer, settings.chunk_tokens),
        callbacks=[Checkpoints()],
    )


def _collate(tokenizer: Tokenizer, chunk_tokens: int, groups: list[Group]) -> dict[str, Any]:
    """What `GroupScorer` takes, for these groups."""
    pairs = [(group.query, text) for group in groups for text in group.texts]
    chunks, place = pack(tokenizer, pairs, chunk_tokens)
    width = max(len(group.texts) for group in groups)
    mask = torch.tensor([[column < len(group.texts) for column in range(width)] for group in groups])
    labels = torch.zeros(len(groups), width)
    labels[mask] = torch.tensor([label for group in groups for label in group.labels])
    return {"chunks": chunks, "place": place, "labels": labels, "mask": mask}
