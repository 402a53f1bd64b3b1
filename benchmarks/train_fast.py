"""Trains the fast cross-encoder: the recipe of `models/fast-cross-encoder`, with every setting.

    python benchmarks/train_fast.py --out build/fast-1 --cache .bicross/cache --teacher-precision int8
    python benchmarks/train_fast.py --out models/fast-cross-encoder --cache .bicross/cache --teacher-precision int8 \\
        --base build/fast-1 --learning-rate 2.5e-4 --max-length 128

Two of the starter cross-encoder's layers learn the whole one's scores, on more queries than it was trained on itself:
the first command for one epoch, the second for another one over the same pairs, whose scores are in `--cache`. The
weight in `bicross.json` is that of `fast_weight.py`. Reads
the train splits of squad, medquad and tldr from `--data`, `$BICROSS_DATA` or `../shared/data`, and the documentation of
the installed packages. Run again after an interruption, it goes on from its last checkpoint.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import asdict, replace
from pathlib import Path

from common import data_folder
from train_starter import Amounts, kept_documentation, labelled_sets

from bicross import BiEncoder, CrossEncoder
from bicross.distillation.reranker import train_reranker
from bicross.distillation.trainer import TrainingSettings

SEED = 11
AMOUNTS = Amounts(
    queries={"squad": 2600, "medquad": 2000, "tldr": 7000},
    halves={"squad": 500, "medquad": 400},
    documentation=600,
)
HELD_OUT = 40
NEGATIVES = 4
WINDOW = (1, 60)
CANDIDATES = 60
INFERENCE_LENGTH = 256
LAYERS = 2
SETTINGS = TrainingSettings(batch_size=16, learning_rate=3e-4, warmup=0.1, max_length=160, save_steps=40, seed=SEED)


def recipe_parser(description: str | None) -> argparse.ArgumentParser:
    """The options of every recipe that learns from the starter's scores."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--run-folder", type=Path, help="default: OUT.run")
    parser.add_argument("--cache", type=Path, default=Path(".bicross/cache"), help="folder of the vectors and scores")
    parser.add_argument("--teacher-precision", default="auto", help="int8 halves the time of scoring on AVX2")
    return parser


def main() -> None:
    """Reads the command line and trains."""
    parser = recipe_parser(__doc__)
    parser.add_argument("--base", type=Path, help="go on from this one; default: --layers of the teacher")
    parser.add_argument("--layers", type=int, default=LAYERS, help="of the teacher, without --base")
    parser.add_argument("--learning-rate", type=float, default=SETTINGS.learning_rate)
    parser.add_argument("--max-length", type=int, default=SETTINGS.max_length)
    arguments = parser.parse_args()
    settings = replace(SETTINGS, learning_rate=arguments.learning_rate, max_length=arguments.max_length)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")

    run_folder = arguments.run_folder or arguments.out.with_name(f"{arguments.out.name}.run")
    encoder = BiEncoder.load("minilm")
    teacher = CrossEncoder.load("starter", precision=arguments.teacher_precision)
    docs = kept_documentation(encoder, run_folder / "documentation.jsonl")
    report = train_reranker(
        labelled_sets(arguments.data, docs, AMOUNTS, seed=SEED),
        out=arguments.out,
        base=arguments.base or teacher.checkpoint.encoder.folder,
        bi_encoder=encoder,
        teacher=teacher,
        layers=None if arguments.base else arguments.layers,
        negatives=NEGATIVES,
        window=WINDOW,
        candidates=CANDIDATES,
        epochs=1,
        held_out=HELD_OUT,
        inference_length=INFERENCE_LENGTH,
        settings=settings,
        run_folder=run_folder,
        cache_dir=arguments.cache,
    )
    print(json.dumps(asdict(report), indent=2, default=str))


if __name__ == "__main__":
    main()
