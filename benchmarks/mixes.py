"""Which loss, and which mix of candidates: one query tower for each, trained on the same queries, measured on others.

    python benchmarks/mixes.py --run build/mixes --precision int8 --out benchmarks/results/mixes.json

A seeded sample of the train queries of tldr, MedQuAD and SQuAD, each with some 24 candidates of the bi-encoder, of BM25
and at random, scored once by the starter cross-encoder with 0.3 of the bi-encoder. Every variant trains the query tower
of all-MiniLM-L6-v2 for as many epochs on them; the epoch is chosen on the same held-out lists, and all dev queries are
measured. A variant is written once it is measured, and not trained again.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from cached_encoder import CachedEncoder
from common import data_folder, machine, write_report
from train_starter import train_split

from bicross import BiEncoder, CrossEncoder
from bicross.caches import VectorCache
from bicross.distillation import (
    CandidateLists,
    MiningSettings,
    ScoredList,
    StudentSettings,
    mine_candidates,
    sample_lists,
    score_candidates,
    train_bi_encoder,
)
from bicross.evaluation import evaluate
from bicross.evaluation.datasets import Dataset, load_dataset
from bicross.evaluation.statistics import paired_test

SEED = 17
SETS = ("tldr", "medquad", "squad")
POOL, TRAINED_ON, EPOCHS = 24, 12, 3
STAGE1_WEIGHT = 0.3
ALL_KINDS = ("positive", "negative", "dense", "bm25", "easy")

SUM = {"kl": 1.0, "margin_mse": 0.3, "contrastive": 0.1, "anchor": 0.05}
LOSSES = {
    "KL": {"kl": 1.0},
    "MarginMSE": {"margin_mse": 1.0},
    "MSE": {"mse": 1.0},
    "softmax on labels": {"listwise": 1.0},
    "contrastive": {"contrastive": 1.0},
    "sum": SUM,
}
MIXES: dict[str, dict[str, Any]] = {
    "stratified": {},
    "hard": {"strategy": "hard"},
    "stratified, no filter": {"false_negatives": None},
    "stratified, 6": {"count": 6},
    "all": {"count": 2 * POOL, "false_negatives": None},
    "bi-encoder's only": {"kinds": ("positive", "negative", "dense")},
}


def of_kinds(lists: CandidateLists, kinds: Sequence[str]) -> CandidateLists:
    """The candidates of some kinds."""
    kept: list[ScoredList] = []
    for one in lists:
        rows = [i for i, kind in enumerate(one.kinds) if kind in kinds]
        ids, chosen = tuple(one.document_ids[i] for i in rows), tuple(one.kinds[i] for i in rows)
        kept.append(
            ScoredList(one.query_id, one.query, ids, one.scores[rows], one.labels[rows], chosen, one.ranks[rows])
        )
    return CandidateLists([one for one in kept if len(one) > 1], lists.documents, lists.metadata)


def sampled(lists: CandidateLists, mix: dict[str, Any]) -> CandidateLists:
    """What is trained on."""
    settings = {"count": TRAINED_ON, **{name: value for name, value in mix.items() if name != "kinds"}}
    return sample_lists(of_kinds(lists, mix.get("kinds", ALL_KINDS)), seed=SEED, **settings)


def split(lists: CandidateLists, count: int) -> tuple[CandidateLists, CandidateLists]:
    """Lists to train on, and ``count`` drawn ones that are held out."""
    places = np.random.default_rng(SEED).permutation(len(lists)).tolist()
    parts = ([lists[i] for i in sorted(part)] for part in (places[count:], places[:count]))
    train, held = (CandidateLists(part, lists.documents, lists.metadata) for part in parts)
    return train, held


def measured(base: BiEncoder, student: BiEncoder, sets: Sequence[Dataset], cache: Path) -> dict[str, Any]:
    """nDCG@10 of base and student over all queries of each set, and the paired difference."""
    rows = {}
    for data in sets:
        found = [evaluate(model, data, measures=["nDCG@10"], cache_dir=cache).final for model in (base, student)]
        test = paired_test(found[0].values["nDCG@10"], found[1].values["nDCG@10"])
        rows[data.name] = {
            "queries": len(found[0].query_ids),
            "base": found[0].means["nDCG@10"],
            "student": found[1].means["nDCG@10"],
            "difference": test.difference,
            "interval_95": list(test.interval),
        }
    return rows


def variants() -> dict[str, tuple[dict[str, float], dict[str, Any]]]:
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
    report: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {"variants": {}}
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
            mined = mine_candidates(labels, CachedEncoder(base, cache), settings=mining, cache_dir=options.cache)
            weights = [1 - STAGE1_WEIGHT, STAGE1_WEIGHT]
            scored = score_candidates(mined, [cross, base], weights=weights, cache_dir=options.cache)
            for part, one in zip((train, held), split(scored, options.held_out), strict=True):
                part.append(one)
        report |= {"lists": [len(one) for one in train], "held_out": [len(one) for one in held]}
        report |= {"pool": POOL, "trained_on": TRAINED_ON, "epochs": EPOCHS, "stage1_weight": STAGE1_WEIGHT}
        tests = [sampled(one, MIXES["stratified"]) for one in held]
        sets = [load_dataset(options.data / name, "dev") for name in SETS]
        for name, (losses, mix) in variants().items():
            if name in report["variants"]:
                continue
            settings = StudentSettings(towers="query", losses=losses, epochs=EPOCHS)
            chosen = [sampled(one, mix) for one in train]
            out = options.run / name.replace(" ", "-").replace(":", "").replace(",", "").replace("'", "")
            done = train_bi_encoder(chosen, base, out=out, settings=settings, held_out=tests, cache=cache)
            with BiEncoder.load(out) as student:
                row = {"epoch": done.epoch, "pairs": sum(one.pairs for one in chosen)}
                report["variants"][name] = {**row, "sets": measured(base, student, sets, options.cache)}
            report |= {"date": date.today().isoformat(), "machine": machine("torch", "transformers", "ir-measures")}
            write_report(report, options.out)
            gains = {key: round(100 * one["difference"], 2) for key, one in report["variants"][name]["sets"].items()}
            print(name, row, gains, flush=True)


if __name__ == "__main__":
    main()
