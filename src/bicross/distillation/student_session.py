"""One training run of a student: builds the module and its data, trains, chooses the epoch."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from bicross.bi_encoder import BiEncoder
from bicross.caches import VectorCache
from bicross.distillation.first_scale import first_scale
from bicross.distillation.fitting import complete_checkpoints, fit, load_state
from bicross.distillation.held_out_lists import Figures, HeldOut, exhausted, height
from bicross.distillation.list_batches import ListCollator, Lists, Positions, Row, by_topic, draw
from bicross.distillation.list_student import ListStudent
from bicross.distillation.student_settings import StudentSettings
from bicross.distillation.towers import build_towers, write_towers
from bicross.distillation.vectors import kept_vectors
from bicross.encoding.files import write_json
from bicross.encoding.prompts import Role, role_prompt
from bicross.encoding.specs import BiCheckpoint
from bicross.types import Encoder, Floats
from bicross.whole_file import whole_file

logger = logging.getLogger(__name__)

_CURVE = "held-out.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What training came to, on the held-out lists.

    Attributes:
        epoch: The epoch that was chosen, counted from 1.
        before: ``agreement`` with the teacher and ``ndcg`` before training; see `held_out_lists.Figures`.
        after: The same with the chosen epoch's weights, or with the mean that is written (``base_share``).
        curve: The same for every epoch.
        losses: Step, and the mean loss since the one before.
        scales: The learned scale of every set's teacher; that of its labels where no loss learns from scores.
            **Unit:** logits for a similarity of 1.
        lists: Lists that were trained on.
        held_out: Lists that the epoch was chosen on.
    """

    epoch: int
    before: Figures
    after: Figures
    curve: tuple[Figures, ...]
    losses: tuple[tuple[int, float], ...]
    scales: tuple[float, ...]
    lists: int
    held_out: int

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Outcome:
        """What a model's ``bicross.json`` says that its training came to."""
        values = {field.name: record[field.name] for field in fields(Outcome)}
        losses = tuple((step, loss) for step, loss in values["losses"])
        return Outcome(
            **values | {"curve": tuple(values["curve"]), "losses": losses, "scales": tuple(values["scales"])}
        )


class Session:
    """One call of `train_bi_encoder`: the module, the data and the folder."""

    def __init__(
        self,
        student: BiEncoder,
        lists: Lists,
        settings: StudentSettings,
        query_tower: BiEncoder | None,
        vector_teacher: Encoder | None,
        cache: VectorCache | None,
        arguments: Any,
    ) -> None:
        self.lists, self.settings, self.arguments = lists, settings, arguments
        self.folder = Path(arguments.output_dir)
        self.checkpoint = _checkpoint(student, query_tower)
        torch.manual_seed(settings.trainer.seed)
        self.towers, tokenizers = build_towers(
            self.checkpoint,
            settings,
            str(arguments.device),
            [*lists.queries, *lists.documents],
            self.folder / "table",
        )
        self.limits: dict[Role, int] = {"query": tokenizers["query"].max_length, "document": student.max_length}
        base, targets = self._vectors(student, vector_teacher, cache)
        longest = settings.trainer.max_length
        self.collator = ListCollator(
            lists,
            tokenizers,
            {role: min(longest, tokenizer.max_length) for role, tokenizer in tokenizers.items()},
            {role: role_prompt(self.checkpoint.prompts, role) for role in self.limits},
            settings.trainer.pass_tokens(arguments.device.type),
            {role: vectors for role, vectors in base.items() if self._compares(role)},
            targets,
        )
        projection: nn.Module | None = None
        if "query" in targets and targets["query"].shape[1] != student.dimension:
            projection = nn.Linear(student.dimension, targets["query"].shape[1], bias=False)
        cosine = student.similarity_name == "cosine"
        self.module = ListStudent(
            self.towers,
            weights=settings.weights,
            spreads=lists.spreads.tolist(),
            scale=first_scale(lists, base, sharpness=settings.sharpness, cosine=cosine),
            sharpness=settings.sharpness,
            dimensions=settings.matryoshka,
            cosine=cosine,
            projection=projection,
        ).to(arguments.device)
        self.base = {
            name: weight.detach().cpu().clone()
            for name, weight in self.module.named_parameters()
            if settings.base_share and name.startswith("towers.") and weight.requires_grad
        }

    def _vectors(
        self, student: BiEncoder, vector_teacher: Encoder | None, cache: VectorCache | None
    ) -> tuple[dict[Role, Floats], dict[Role, Floats]]:
        """Vectors before training, and those to match, by role; what no loss needs is not computed."""
        texts: dict[Role, list[str]] = {"query": self.lists.queries, "document": self.lists.documents}
        both = self.settings.towers == "both"
        base: dict[Role, Floats] = {}
        targets: dict[Role, Floats] = {}
        for role, of_role in texts.items():
            if self.settings.learns_scores or self._compares(role):
                base[role] = kept_vectors(self.folder / f"base-{role}.npy", student, role, of_role, cache)
            if vector_teacher is not None and (both or role == "query"):
                path = self.folder / f"target-{role}.npy"
                targets[role] = kept_vectors(path, vector_teacher, role, of_role, cache)
        return base, targets

    def _compares(self, role: Role) -> bool:
        """Whether a step reads these vectors; otherwise they are for the first scale alone."""
        weights = self.settings.weights
        frozen = role == "document" and self.settings.towers == "query"
        return bool(frozen or weights.get("anchor") or weights.get("contrastive"))

    def train(self, train: list[Row], held: list[Row]) -> Outcome:
        """Trains, or goes on, and fills the module with the weights of the best epoch."""
        settings = self.settings
        test = HeldOut(held, self.collator, bool(self.arguments.bf16))
        done = complete_checkpoints(self.folder, _CURVE)
        curve = [self._figures(folder, test) for folder in (self.folder, *done)]
        logger.info("before training: %s", curve[0])

        def after_epoch(checkpoint: Path) -> bool:
            curve.append(self._figures(checkpoint, test))
            logger.info("epoch %d: %s", len(curve) - 1, curve[-1])
            return exhausted(curve, settings.patience)

        if not done or not exhausted(curve, settings.patience):
            done = fit(
                self.module,
                [self._epoch(train, epoch) for epoch in range(settings.epochs)],
                self.collator,
                describe=lambda item: self.lists.queries[item[0].query],
                arguments=self.arguments,
                settings=settings.trainer,
                optimizer=self._optimizer(),
                after_epoch=after_epoch,
            )
        best = max(range(len(done)), key=lambda epoch: height(curve[epoch + 1]))
        load_state(self.module, done[best], half=settings.half, base=self.base, base_share=settings.base_share)
        after = self._figures(self.folder / "averaged", test) if self.base else curve[best + 1]
        if height(after) <= height(curve[0]):
            logger.warning("no epoch is better on the held-out lists than before training: %s", [*curve, after])
        learned = self.module.scale if settings.learns_scores else self.module.label_scale
        sets = 1 + max(row.source for row in train)  # behind them are sets of the caller's to choose the epoch by
        history = json.loads((done[-1] / "trainer_state.json").read_text(encoding="utf-8"))["log_history"]
        return Outcome(
            epoch=best + 1,
            before=curve[0],
            after=after,
            curve=tuple(curve[1:]),
            losses=tuple((entry["step"], round(entry["loss"], 6)) for entry in history if "loss" in entry),
            scales=tuple(round(scale, 4) for scale in learned.scales.tolist()[:sets]),
            lists=len(train),
            held_out=len(held),
        )

    def write(self, out: Path, record: Mapping[str, Any]) -> None:
        """Writes the model with the record of its training; what wasn't trained is copied as it was."""
        write_towers(self.checkpoint, self.towers, self.limits, out, half=self.settings.half, record=record)

    def _epoch(self, train: list[Row], epoch: int) -> list[tuple[Row, Positions]]:
        """All rows in a new order, each with the candidates that were drawn for this epoch."""
        rng = np.random.default_rng((self.settings.trainer.seed, epoch))
        length = self.settings.list_length
        run = self.settings.topic_lists
        order = rng.permutation(len(train)).tolist() if run is None else by_topic(train, run, rng)
        return [(train[i], draw(train[i], length, rng)) for i in order]

    def _figures(self, folder: Path, test: HeldOut) -> Figures:
        """Measured once, by the first process, and kept beside the weights."""
        path = folder / _CURVE
        if not path.exists() and self.arguments.should_save:
            folder.mkdir(exist_ok=True)
            figures = test.measure(self.module)
            with whole_file(path) as part:
                write_json(part, figures)
        self.arguments.distributed_state.wait_for_everyone()
        found: Figures = json.loads(path.read_text(encoding="utf-8"))["all"]
        return found

    def _optimizer(self) -> torch.optim.Optimizer:
        """AdamW; the scales and the projection have their own rate, and no decay, like biases and norms."""
        settings = self.settings.trainer
        tower = [weight for weight in self.module.towers.parameters() if weight.requires_grad]
        own = [*self.module.scale.parameters(), *self.module.label_scale.parameters()]
        if self.module.projection is not None:
            own += self.module.projection.parameters()
        groups = [
            {"params": [weight for weight in tower if weight.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [weight for weight in tower if weight.ndim < 2], "weight_decay": 0.0},
            {"params": own, "weight_decay": 0.0, "lr": self.settings.scale_learning_rate},
        ]
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=settings.learning_rate, fused=True)


def _checkpoint(student: BiEncoder, query_tower: BiEncoder | None) -> BiCheckpoint:
    """The student's description, with another model's query tower in it."""
    if query_tower is None:
        return student.checkpoint
    prompts = {
        "query": role_prompt(query_tower.prompts, "query"),
        "document": role_prompt(student.prompts, "document"),
    }
    return replace(student.checkpoint, query=query_tower.checkpoint.query, prompts=prompts, default_prompt_name=None)
