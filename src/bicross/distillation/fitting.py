"""Trains a module on transformers' Trainer, and goes on after a kill.

The Trainer keeps what it does well (optimiser, schedule, precision, several processes, checkpoints, resumption); the
module it is given returns the loss, so that nothing of ours hides in a subclass of it. All epochs are one sequence of
items in an order fixed by the seed: to go on after a kill, nothing is needed but the step and the optimiser's state.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from bicross.distillation.packing import has_bf16
from bicross.errors import ConfigurationError, MissingExtraError, TrainingError
from bicross.whole_file import whole_file

FORMAT = 3
"""Of a run's folder; raised where another version's checkpoints or settings aren't understood."""
_DONE = "complete"
_PATIENCE = 30 * 24 * 3600
"""Seconds that other processes wait for the first one, which mines and scores alone; half an hour by default."""
_NAMED = 8
"""Queries that an error names."""


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
        chunk_tokens: Padded tokens of one forward pass: a step's texts are sorted by length and passed in chunks. None:
            1,024 on a CPU, where longer passes compute more padding, else 6,144.
        save_steps: Steps between two checkpoints; one is written after every epoch in any case.
        seed: Of the held-out split, the new layer's weights, the order, the negatives and the dropout.
        bf16: None takes bfloat16 where the hardware is faster in it.
        show_progress: Whether to show the Trainer's bar.
        device: "auto": CUDA where there is any, else the CPU. "cpu".
    """

    batch_size: int = 16
    learning_rate: float = 6e-5
    warmup: float = 0.1
    weight_decay: float = 0.01
    dropout: float = 0.0
    max_length: int = 160
    chunk_tokens: int | None = None
    save_steps: int = 100
    seed: int = 0
    bf16: bool | None = None
    show_progress: bool = True
    device: Literal["auto", "cpu"] = "auto"

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu"):
            raise ConfigurationError(f"device must be 'auto' or 'cpu' in training; got {self.device!r}.")

    @property
    def recipe(self) -> dict[str, Any]:
        """What decides the weights on one kind of machine: not how often they are kept, what is shown, and where."""
        return {k: v for k, v in asdict(self).items() if k not in ("save_steps", "show_progress", "device")}

    def pass_tokens(self, device: str) -> int:
        """``chunk_tokens``, settled for a kind of device such as "cpu"."""
        if self.chunk_tokens is not None:
            return self.chunk_tokens
        return 1_024 if device == "cpu" else 6_144

    def in_bf16(self, device: str) -> bool:
        """``bf16``, settled for a kind of device."""
        return has_bf16(device) if self.bf16 is None else self.bf16

    def attention(self, device: str) -> dict[str, str]:
        """The option of transformers for the attention that trains fastest; none: what it takes by itself.

        On two cores with AMX 64 pairs take 1.6 s in bfloat16 by eager attention, 2.2 by sdpa; in float32 3.4 and 3.0
        (`benchmarks/training_step.py`).
        """
        return {"attn_implementation": "eager"} if device == "cpu" and self.in_bf16(device) else {}


def fit(
    module: nn.Module,
    epochs: Sequence[Sequence[Any]],
    collate: Callable[[list[Any]], dict[str, Any]],
    *,
    describe: Callable[[Any], str],
    arguments: Any,
    settings: TrainingSettings,
    optimizer: torch.optim.Optimizer | None = None,
    after_epoch: Callable[[Path], bool] | None = None,
) -> list[Path]:
    """Trains a module that returns its loss, or goes on from the folder's last complete checkpoint.

    Args:
        module: Takes what ``collate`` makes of some items; returns a mapping that holds ``loss``.
        epochs: The items of every epoch, in the order in which they are to be seen.
        collate: Items to the module's keywords.
        describe: Names an item in an error.
        arguments: As `training_arguments` makes them; the checkpoints go into their ``output_dir``.
        settings: See there.
        optimizer: None: AdamW over all weights.
        after_epoch: Called with every epoch's checkpoint, before it counts as complete; True ends the training.

    Returns:
        Folder of the checkpoint after every epoch that was trained.

    Raises:
        ConfigurationError: There are fewer items than a batch takes.
        TrainingError: A loss or a gradient isn't a finite number.
    """
    folder, batch = Path(arguments.output_dir), settings.batch_size * arguments.world_size
    shortest = min(len(items) for items in epochs)
    steps = shortest // batch
    if steps < 1:
        raise ConfigurationError(
            f"An epoch needs at least batch_size={batch!r} queries; got {shortest}. Lower batch_size or bring more."
        )
    # Whole batches alone: every epoch then ends at the same step, whatever a restart did.
    sequence = [item for items in epochs for item in items[: steps * batch]]
    checkpoints = [folder / f"checkpoint-{steps * (epoch + 1)}" for epoch in range(len(epochs))]
    if not (checkpoints[-1] / _DONE).exists():
        with arguments.main_process_first():
            newest = _last_complete(folder)
        trainer = _trainer(module, collate, sequence, steps, arguments, settings, optimizer, after_epoch)
        try:
            trainer.train(resume_from_checkpoint=newest)
        except _NotFiniteError as error:
            step = trainer.state.global_step
            queries = [describe(item) for item in sequence[step * batch : (step + 1) * batch]]
            more = f" and {len(queries) - _NAMED} more" if len(queries) > _NAMED else ""
            raise TrainingError(
                f"A {error} must be a finite number; got another in step {step + 1}, whose queries are "
                f"{', '.join(f'{query!r:.60}' for query in queries[:_NAMED])}{more}. The last good checkpoint is "
                f"{_last_complete(folder) or 'none'}. Look at these queries' scores, or lower learning_rate (now "
                f"{settings.learning_rate:g}). With another rate, distill trains anew by itself; train_bi_encoder and "
                "train_reranker need another run_folder."
            ) from None
        arguments.distributed_state.wait_for_everyone()  # until the last checkpoint is marked as complete
    return [checkpoint for checkpoint in checkpoints if (checkpoint / _DONE).exists()]


class _NotFiniteError(Exception):
    """Says what wasn't finite."""


def finite(loss: Tensor) -> Tensor:
    """The loss, once it is known to be a finite number; `fit` reports what isn't."""
    if not bool(torch.isfinite(loss)):
        raise _NotFiniteError("loss")
    return loss


def claim(run: Path, recipe: dict[str, Any]) -> None:
    """Writes what the folder's run is about, or refuses to go on with something else.

    Raises:
        ConfigurationError: The folder holds another run, or one of another format.
    """
    path, text = run / "run.json", json.dumps({"format": FORMAT, **recipe}, indent=2)
    if not path.exists():
        with whole_file(path) as part:
            part.write_text(text, encoding="utf-8")
        return
    kept = path.read_text(encoding="utf-8")
    if (found := json.loads(kept).get("format")) != FORMAT:
        raise ConfigurationError(
            f"This version of bicross goes on with training of format {FORMAT}; that in {str(run)!r} has format "
            f"{found!r}. Go on with the version that began it, name another run_folder, or delete this one."
        )
    if kept != text:
        raise ConfigurationError(
            f"A run goes on with the settings and data that it began with; {str(run)!r} holds another run. "
            "Repeat the earlier call, name another run_folder, or delete this one."
        )


def load_state(
    module: nn.Module,
    checkpoint: Path,
    *,
    half: bool = True,
    base: Mapping[str, Tensor] | None = None,
    base_share: float = 0.0,
) -> None:
    """Fills a module with the weights of a checkpoint that `fit` wrote.

    Args:
        module: The module that was trained.
        checkpoint: Its folder.
        half: Whether the weights are rounded to half precision, as they will be written.
        base: Weights that the checkpoint's are averaged with, by name.
        base_share: Their part in the mean.
    """
    from safetensors.torch import load_file

    weights = load_file(checkpoint / "model.safetensors")
    for name, value in (base or {}).items():
        weights[name] = torch.lerp(weights[name], value, base_share)
    rounded = {name: value.half().float() if half else value for name, value in weights.items()}
    module.load_state_dict(rounded)


def complete_checkpoints(folder: Path, *files: str) -> list[Path]:
    """The checkpoints that were written to their end and hold these files, the oldest first."""
    found = [path for path in folder.glob("checkpoint-*") if (path / _DONE).exists()]
    return sorted((path for path in found if all((path / file).exists() for file in files)), key=_step)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _last_complete(folder: Path) -> str | None:
    """The newest checkpoint that was written to its end; half-written ones are deleted."""
    for path in folder.glob("checkpoint-*"):
        if not (path / _DONE).exists():
            shutil.rmtree(path)
    complete = complete_checkpoints(folder)
    return str(complete[-1]) if complete else None


def training_arguments(folder: Path, settings: TrainingSettings) -> Any:
    """transformers' TrainingArguments, which also know the processes that `accelerate launch` started.

    Raises:
        MissingExtraError: accelerate isn't installed.
    """
    try:
        import accelerate  # type: ignore[import-untyped]  # noqa: F401  # transformers' own message doesn't say how to get it
    except ImportError:
        raise MissingExtraError(
            'Training needs accelerate, which is not installed. Run: pip install "bicross[distill]"'
        ) from None
    from transformers import TrainingArguments

    kind = "cuda" if settings.device == "auto" and torch.cuda.is_available() else "cpu"
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=settings.batch_size,
        num_train_epochs=1,  # the sequence holds them all
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        lr_scheduler_type="linear",
        save_strategy="no",
        seed=settings.seed,
        bf16=settings.in_bf16(kind),
        use_cpu=kind == "cpu",
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        ddp_timeout=_PATIENCE,
        dataloader_pin_memory=False,
        disable_tqdm=not settings.show_progress,
        report_to="none",
    )
    # Several GPUs are for several processes. In one process the Trainer would split a batch's tensors over all of them,
    # row by row, which tears apart texts and the places that point at them.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def _trainer(
    module: nn.Module,
    collate: Callable[[list[Any]], dict[str, Any]],
    sequence: list[Any],
    epoch_steps: int,
    arguments: Any,
    settings: TrainingSettings,
    optimizer: torch.optim.Optimizer | None,
    after_epoch: Callable[[Path], bool] | None,
) -> Any:
    from transformers import PrinterCallback, ProgressCallback, Trainer, TrainerCallback

    folder = Path(arguments.output_dir)

    class Checkpoints(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002  # its signature
            step = state.global_step
            control.should_save = step % settings.save_steps == 0 or step % epoch_steps == 0
            # The logged loss is a mean since the last one: a run that goes on from here logs the same means.
            control.should_log = control.should_log or control.should_save
            return control

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
            norm = nn.utils.get_total_norm([w.grad for w in module.parameters() if w.grad is not None])
            if not bool(torch.isfinite(norm)):
                raise _NotFiniteError("gradient")

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            newest = folder / f"checkpoint-{state.global_step}"
            ends = state.global_step % epoch_steps == 0
            if ends and after_epoch is not None and after_epoch(newest):
                control.should_training_stop = True
            if args.should_save:
                (newest / _DONE).touch()
                for path in folder.glob("checkpoint-*"):
                    if path != newest and _step(path) % epoch_steps:
                        shutil.rmtree(path)
            return control

    class Bar(ProgressCallback):
        def on_log(self, *_: Any, **__: Any) -> None:
            """Nothing: the logs are kept with the run, and standard output is the caller's."""

    arguments.warmup_steps = round(settings.warmup * len(sequence) / (settings.batch_size * arguments.world_size))
    arguments.logging_steps = min(25, epoch_steps)
    trainer = Trainer(
        model=module,
        args=arguments,
        train_dataset=sequence,  # it needs a length and items by position
        data_collator=collate,
        callbacks=[Checkpoints()],
        optimizers=(optimizer, None),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.remove_callback(ProgressCallback)
    if settings.show_progress:
        trainer.add_callback(Bar())
    return trainer
