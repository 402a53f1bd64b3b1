"""Trains the starter cross-encoder: the recipe of `models/starter-cross-encoder`, with every setting.

    python benchmarks/train_starter.py --out models/starter-cross-encoder

Reads the train splits of squad, medquad and tldr from `--data`, `$BICROSS_DATA` or `../shared/data`. Run again after
an interruption, it goes on from its last checkpoint. On two CPU cores with AVX-512 and BF16, training takes 18 minutes;
encoding the documents and scoring the held-out queries take about as long again.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict
from pathlib import Path

from common import data_folder

from bicross.distillation.extracted import extract_halves
from bicross.distillation.fitting import TrainingSettings
from bicross.distillation.labels import Labels, read_labels
from bicross.distillation.reranker import RerankerReport, train_reranker
from bicross.types import Encoder

SEED = 7
QUERIES = {"squad": 1900, "medquad": 1400, "tldr": 2700}
"""Queries drawn from each train split; `HELD_OUT` of them are trained on by nobody."""
HALVES = {"squad": 400, "medquad": 400}
"""Queries made of the documents that the drawn queries are answered by: long ones, and statements."""
HELD_OUT = 45
SETTINGS = TrainingSettings(batch_size=16, learning_rate=6e-5, warmup=0.1, max_length=128, save_steps=40, seed=SEED)


def labelled_sets(data: Path, share: float = 1.0) -> list[Labels]:
    """The sets that are trained on, or a share of each for a trial."""
    sets = []
    for name, count in QUERIES.items():
        everything = read_labels(data / name, split="train", name=name)
        sets.append(everything.sample(round(share * (count - HELD_OUT)) + HELD_OUT, seed=SEED))
        if name in HALVES:
            sets.append(extract_halves(everything, round(share * (HALVES[name] - HELD_OUT)) + HELD_OUT, seed=SEED))
    return sets


def train(
    data: Path, out: Path, base: str | Path, encoder: Encoder, *, run_folder: Path | None = None
) -> RerankerReport:
    """The recipe."""
    return train_reranker(
        labelled_sets(data),
        out=out,
        base=base,
        bi_encoder=encoder,
        loss="listwise",
        negatives=3,
        window=(3, 60),
        candidates=60,
        epochs=1,
        held_out=HELD_OUT,
        weight_tolerance=0.015,
        inference_length=256,
        settings=SETTINGS,
        run_folder=run_folder,
    )


def main() -> None:
    """Reads the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run-folder", type=Path, help="default: OUT.run")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    from bicross import BiEncoder

    encoder = BiEncoder.load("starter", precision="auto")
    base = encoder.checkpoint.document.encoder
    report = train(arguments.data, arguments.out, base.folder, encoder, run_folder=arguments.run_folder)
    print(json.dumps(asdict(report), indent=2, default=str))


if __name__ == "__main__":
    main()
