"""Which loss, and which mix of candidates: one query tower for each, trained on the same queries, measured on others.

    python benchmarks/mixes.py --run build/mixes --precision int8 --out benchmarks/results/mixes.json

A seeded sample of the train queries of tldr, MedQuAD and SQuAD, each with some 24 candidates of the bi-encoder, of BM25
and at random, scored once by the starter cross-encoder with 0.3 of the bi-encoder. Every variant trains the query tower
of all-MiniLM-L6-v2 for as many epochs on them; the epoch is chosen on the same held-out lists, and all dev queries are
measured. A variant is written once it is measured, and not trained again with the same settings.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from common import data_folder, machine, write_report
from student_quality import measured
from train_starter import train_split

from bicross import BiEncoder, CrossEncoder
from bicross.caches import VectorCache
from bicross.distillation import (
    CandidateLists,
    MiningSettings,
    StudentSettings,
    mine_candidates,
    sample_lists,
    score_candidates,
    train_bi_encoder,
)
from bicross.distillation.held_out import split_held_out
from bicross.distillation.lists import KINDS
from bicross.evaluation.datasets import load_dataset

SEED = 17
SETS = ("tldr", "medquad", "squad")
POOL, TRAINED_ON, EPOCHS = 24, 12, 3
STAGE1_WEIGHT = 0.3

DEFAULT = StudentSettings(towers="query").weights
SUM = {**DEFAULT, "margin_mse": 0.3}
LOSSES: dict[str, Mapping[str, float]] = {
    "KL": {"kl": 1.0},
    "MarginMSE": {"margin_mse": 1.0},
    "MSE": {"mse": 1.0},
    "softmax on labels": {"listwise": 1.0},
    "contrastive": {"contrastive": 1.0},
    "sum": SUM,
    "sum without margins": DEFAULT,
    "sum without margins, contrastive 1": {**DEFAULT, "contrastive": 1.0},
}
MIXES: dict[str, dict[str, Any]] = {
    "stratified": {},
    "hard": {"strategy": "hard"},
    "stratified, no filter": {"false_negatives": None},
    "stratified, 6": {"count": 6},
    "all": {"count": 2 * POOL, "false_negatives": None},
    "bi-encoder's only": {"kinds": ("positive", "negative", "dense")},
}


def sampled(lists: CandidateLists, mix: dict[str, Any]) -> CandidateLists:
    """What is trained on: of the candidates of some kinds, those that are chosen."""
    settings = {"count": TRAINED_ON, "kinds": KINDS, **mix}
    kinds = settings.pop("kinds")
    parts = [one.part([i for i, kind in enumerate(one.kinds) if kind in kinds]) for one in lists]
    some = CandidateLists([one for one in parts if len(one) > 1], lists.documents, lists.metadata)
    return sample_lists(some, seed=SEED, **settings)


def variants() -> dict[str, tuple[Mapping[str, float], dict[str, Any]]]:
    """Losses and mix by the variant's name: each loss with one mix, each mix with one loss."""
    losses = {f"loss: {name}": (weights, MIXES["stratified"]) for name, weights in LOSSES.items()}
    mixes = {f"mix: {name}": (SUM, mix) for name, mix in MIXES.items() if mix}
    return {**losses, **mixes}


def main() -> None:
    """Reads the command line, trains and measures, writes the JSON after every variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--queries", type=int, default=800, help="of each set, those that are held out among them")
    parser.add_argument("--held-out", type=int, default=80, help="of each set, to choose the epoch by")
    parser.add_argument("--precision", default="auto", help="of the teacher")
    parser.add_argument("--run", type=Path, required=True, help="folder of the models")
    parser.add_argument("--cache", type=Path, default=Path(".bicross/cache"))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    key = {"queries": options.queries, "held_out_queries": options.held_out, "precision": options.precision}
    key |= {"pool": POOL, "trained_on": TRAINED_ON, "epochs": EPOCHS, "stage1_weight": STAGE1_WEIGHT, "seed": SEED}
    report: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    if report.get("key") != key:
        report = {"key": key, "variants": {}}
    mining = replace(MiningSettings().widened(POOL), seed=SEED)
    with (
        BiEncoder.load("minilm") as base,
        CrossEncoder.load("starter", precision=options.precision) as cross,
        VectorCache(options.cache) as cache,
    ):
        train: list[CandidateLists] = []
        held: list[CandidateLists] = []
        for name in SETS:
            labels = train_split(options.data, name).sample(options.queries, seed=SEED)
            for lists, part in zip((train, held), split_held_out(labels, options.held_out, seed=SEED), strict=True):
                mined = mine_candidates(part, base, settings=mining, cache_dir=options.cache)
                weights = [1 - STAGE1_WEIGHT, STAGE1_WEIGHT]
                lists.append(score_candidates(mined, [cross, base], weights=weights, cache_dir=options.cache))
        report |= {"lists": [len(one) for one in train], "held_out": [len(one) for one in held]}
        tests = [sampled(one, MIXES["stratified"]) for one in held]
        sets = [load_dataset(options.data / name, "dev") for name in SETS]
        for name, (losses, mix) in variants().items():
            if name in report["variants"]:
                continue
            settings = StudentSettings(towers="query", losses=losses, epochs=EPOCHS)
            chosen = [sampled(one, mix) for one in train]
            out = options.run / re.sub(r"\W+", "-", name)
            done = train_bi_encoder(chosen, base, out=out, settings=settings, held_out=tests, cache=cache)
            row = {
                "epoch": done.epoch,
                "held_out": dict(done.after),
                "scales": list(done.scales),
                "pairs": sum(one.pairs for one in chosen),
            }
            with BiEncoder.load(out) as student:
                found = {data.name: measured(base, student, data, options.cache)[0] for data in sets}
            report["variants"][name] = {**row, "sets": found}
            report |= {"date": date.today().isoformat(), "machine": machine("torch", "transformers", "ir-measures")}
            write_report(report, options.out)
            gains = {key: round(100 * one["difference"], 2) for key, one in report["variants"][name]["sets"].items()}
            print(name, row, gains, flush=True)


if __name__ == "__main__":
    main()
