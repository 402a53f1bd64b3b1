"""Trains a cross-encoder on labels or on another one's scores: mines, trains, chooses on held-out queries, writes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bicross.cross_encoder import raw_fingerprint
from bicross.distillation import losses
from bicross.distillation.candidates import search_candidates
from bicross.distillation.fitting import TrainingSettings, claim, training_arguments
from bicross.distillation.groups import draw_groups, groups_fingerprint, score_groups
from bicross.distillation.held_out import choose_weight, split_held_out
from bicross.distillation.labels import Labels
from bicross.distillation.model_folder import centre_logits, check_base, load_base, write_model
from bicross.distillation.selection import best_epoch
from bicross.distillation.trainer import Group, Loss, load_weights, train_groups
from bicross.errors import BicrossWarning, ConfigurationError
from bicross.types import Encoder, Scorer

_LABEL_LOSSES = {"listwise": losses.listwise_cross_entropy, "bce": losses.binary_cross_entropy}
_TEACHER_LOSSES: dict[str, Loss] = {
    "kl": losses.kl_divergence,
    "margin_mse": losses.margin_mse,
    "mse": losses.mse,
}
_CALIBRATED = {"bce", "mse"}
"""Losses that fix the logits' zero; the others compare alone."""


@dataclass(frozen=True, slots=True)
class RerankerReport:
    """What a training run came to, on the held-out queries.

    Attributes:
        folder: The model's folder.
        epoch: The epoch that was chosen, counted from 1.
        stage1_weight: The first stage's share in the final score, from 0 to 1.
        ndcg: nDCG@10 by set, of the ``first_stage``, the ``cross_encoder`` alone and ``both`` at that weight.
        queries: Queries by set that were trained on.
        held_out: Queries by set that the choice was made on.
    """

    folder: Path
    epoch: int
    stage1_weight: float
    ndcg: dict[str, dict[str, float]]
    queries: dict[str, int]
    held_out: dict[str, int]


def train_reranker(
    data: Labels | Sequence[Labels],
    *,
    out: str | Path,
    base: str | Path,
    bi_encoder: Encoder,
    loss: Literal["listwise", "bce", "kl", "margin_mse", "mse"] | None = None,
    teacher: Scorer | None = None,
    layers: int | Sequence[int] | None = None,
    negatives: int = 4,
    window: tuple[int, int] = (3, 60),
    candidates: int = 100,
    epochs: int = 1,
    held_out: int = 100,
    weight_tolerance: float = 0.0,
    inference_length: int = 256,
    settings: TrainingSettings | None = None,
    further: Sequence[Group] = (),
    run_folder: str | Path | None = None,
    cache_dir: str | Path | None = None,
) -> RerankerReport:
    """Trains a cross-encoder that reorders what ``bi_encoder`` finds.

    The same call goes on where an earlier one was killed: vectors, candidates, checkpoints and held-out scores are in
    ``run_folder``. Under ``accelerate launch`` every process takes its part of a step, so that a step has
    ``batch_size`` groups on each.

    Args:
        data: One labelled set, or several that are mixed; each is searched by itself.
        out: The model's folder; written at the end.
        base: Folder or hub name of the weights to start from; a bi-encoder's will do. An encoder, such as BERT,
            DistilBERT, RoBERTa, XLM-RoBERTa or ModernBERT; no decoder.
        bi_encoder: Finds the hard negatives, and the candidates of the held-out queries.
        loss: On labels, ``listwise`` (the default) compares a query's candidates with each other, ``bce`` judges each
            by itself. On a teacher's scores, ``margin_mse`` (the default), ``kl`` and ``mse``; see `losses`.
        teacher: A better reranker, whose scores are learnt in the place of labels.
        layers: How many of the base's layers are kept, or which; None: all. 2 of 6 layers score
            about three times as fast.
        negatives: For each query and epoch, drawn anew every epoch.
        window: Ranks that the negatives come from, counted from 1.
        candidates: How many the held-out queries have reranked.
        epochs: How often every query is seen. The best of them on the held-out queries is kept.
        held_out: Queries of every set that are trained on by no epoch and that epoch and weight are chosen on.
        weight_tolerance: nDCG@10 that may be given up for a larger weight of the first stage; see `choose_weight`. A
            warning says where all of it is the first stage's.
        inference_length: The model's limit in tokens of a pair; held-out pairs are scored with it.
        settings: Batch size, learning rate, training length and seed.
        further: Groups beside the drawn ones, seen in every epoch. Their labels may be shares, such as the softmax of
            another model's scores. For ``listwise`` without a teacher.
        run_folder: Where the run's state is kept; by default beside ``out``, with ``.run`` added.
        cache_dir: Folder of the caches that keep the bi-encoder's vectors and the teacher's scores, for other runs as
            well. None: ``run_folder``.

    Returns:
        What was chosen and how good it is. The folder holds it too, in ``bicross.json``.

    Raises:
        InputError: The teacher returned NaN.
        TrainingError: A loss or gradient isn't a finite number; the last good checkpoint stays.
        ConfigurationError: Arguments make no sense, ``base`` is no encoder, or ``run_folder`` holds a run with other
            settings or data.
        MissingExtraError: accelerate isn't installed.
    """
    sets = [data] if isinstance(data, Labels) else list(data)
    settings = settings or TrainingSettings()
    loss = loss or ("listwise" if teacher is None else "margin_mse")
    _check(sets, loss, teacher is not None, negatives, window, candidates, epochs, held_out)
    _check_further(further, loss, taught=teacher is not None)
    special_tokens = check_base(base, layers)
    out = Path(out)
    run = Path(run_folder) if run_folder is not None else out.with_name(f"{out.name}.run")
    recipe: dict[str, Any] = {
        "trained_on": [labels.name for labels in sets],
        "base": Path(base).name,
        "bi_encoder": bi_encoder.document_fingerprint,
        "loss": loss,
        "negatives": negatives,
        "window": list(window),
        "candidates": candidates,
        "epochs": epochs,
        "held_out": held_out,
        "inference_length": inference_length,
        "training": settings.recipe,
    }
    if teacher is not None:
        recipe["teacher"] = raw_fingerprint(teacher)
    if layers is not None:
        recipe["layers"] = layers if isinstance(layers, int) else list(layers)
    if further:
        recipe["further_groups"] = len(further)
    prints = [labels.fingerprint for labels in sets] + ([groups_fingerprint(further)] if further else [])
    parts = [split_held_out(labels, held_out, seed=settings.seed) for labels in sets]
    depth = max(window[1], candidates)
    arguments = training_arguments(run, settings)
    with arguments.main_process_first():  # the others find what it mined and scored
        claim(run, {**recipe, "data": prints})
        mined = [search_candidates(labels, bi_encoder, top_k=depth, folder=run, cache_dir=cache_dir) for labels in sets]
        train = [(part, all_) for (part, _), all_ in zip(parts, mined, strict=True)]
        order = [draw_groups(train, epoch, negatives, window, settings.seed, further) for epoch in range(epochs)]
        if teacher is not None:
            order = score_groups(order, teacher, run if cache_dir is None else Path(cache_dir))
    tests = [(test, all_.only(test.queries, candidates)) for (_, test), all_ in zip(parts, mined, strict=True)]
    model, tokenizer = load_base(
        base,
        seed=settings.seed,
        dropout=settings.dropout,
        layers=layers,
        device=arguments.device,
        attention=settings.attention(arguments.device.type),
    )
    function = {**_LABEL_LOSSES, **_TEACHER_LOSSES}[loss]
    checkpoints = train_groups(model, tokenizer, order, loss=function, arguments=arguments, settings=settings)
    with arguments.main_process_first():
        epoch, curve, mean_logit = best_epoch(
            model, tokenizer, checkpoints, tests, max_length=inference_length, bf16=bool(arguments.bf16)
        )
    weight = choose_weight(curve, tolerance=weight_tolerance)
    report = RerankerReport(
        folder=out,
        epoch=epoch + 1,
        stage1_weight=weight,
        ndcg={
            labels.name: {
                stage: round(curve[share][labels.name], 4)
                for stage, share in (("first_stage", 1.0), ("cross_encoder", 0.0), ("both", weight))
            }
            for labels in sets
        },
        queries={part.name: len(part.queries) for part, _ in parts},
        held_out={test.name: len(test.queries) for _, test in parts},
    )
    chosen = {
        "weight_tolerance": weight_tolerance,
        "epoch": report.epoch,
        "queries": report.queries,
        "held_out_ndcg": report.ndcg,
    }
    extras = {"stage1_weight": weight, "stage1_scale": "candidates", **recipe, **chosen}
    if arguments.should_save:
        load_weights(model, checkpoints[epoch])
        if loss not in _CALIBRATED:
            centre_logits(model, mean_logit)
        write_model(out, model, tokenizer, special_tokens=special_tokens, max_length=inference_length, extras=extras)
    arguments.distributed_state.wait_for_everyone()
    if weight == 1.0:
        warnings.warn(
            "On the held-out queries the cross-encoder adds no more nDCG@10 to the first stage than "
            f"weight_tolerance={weight_tolerance:g}, so that stage1_weight is 1, which reorders nothing. Train longer "
            "(epochs), keep more layers, bring more queries, or lower weight_tolerance.",
            BicrossWarning,
            stacklevel=2,
        )
    return report


def _check(
    sets: list[Labels],
    loss: str,
    taught: bool,
    negatives: int,
    window: tuple[int, int],
    candidates: int,
    epochs: int,
    held_out: int,
) -> None:
    if not sets:
        raise ConfigurationError("data needs at least one labelled set; got none.")
    if len({labels.name for labels in sets}) < len(sets):
        names = [labels.name for labels in sets]
        raise ConfigurationError(f"Sets that are trained on together need different names; got {names!r}.")
    known = _TEACHER_LOSSES if taught else _LABEL_LOSSES
    if loss not in known:
        how = "with a teacher" if taught else "without a teacher"
        raise ConfigurationError(f"loss must be one of {sorted(known)!r} {how}; got {loss!r}.")
    if not 1 <= window[0] <= window[1]:
        raise ConfigurationError(f"window must be two ranks, first <= last, counted from 1; got {window!r}.")
    for name, value in (
        ("negatives", negatives),
        ("candidates", candidates),
        ("epochs", epochs),
        ("held_out", held_out),
    ):
        if value < 1:
            raise ConfigurationError(f"{name} must be at least 1; got {value!r}.")


def _check_further(further: Sequence[Group], loss: str, *, taught: bool) -> None:
    if further and (loss != "listwise" or taught):
        raise ConfigurationError(f"further goes with loss='listwise' and no teacher; got loss={loss!r}. Leave it out.")
    for position, group in enumerate(further):
        good = all(label >= 0 for label in group.labels) and sum(group.labels) > 0
        if len(group.texts) != len(group.labels) or not good:
            raise ConfigurationError(
                "A further group needs a label from 0 for each text, and one above 0; "
                f"further[{position}] has {len(group.texts)} texts and the labels {group.labels!r}."
            )
