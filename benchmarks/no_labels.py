"""What a student learns of a corpus without queries, judgments or an LLM, from a teacher that knows another domain.

    python benchmarks/no_labels.py --run build/no-labels --out benchmarks/results/no_labels.json

The teacher is a cross-encoder that is trained here on SQuAD's train split alone (questions, and halves of its
paragraphs). `distill` then makes queries of a corpus, with all ways in turn or with one (`--ways`), and trains both
towers of the base on the teacher's scores. Base, teacher and student are measured on queries of the corpus that no
stage has seen: those of `--splits`; of "train", a sample by which settings can be compared, so that dev and test
queries choose nothing. Queries that were made word for word, too, aren't measured. Seconds are those of the run's
stages (after a kill, of the last attempt). Killed at any moment, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

from common import data_folder, machine, write_report
from student_quality import measured
from train_starter import train_split

from bicross import BiEncoder, CrossEncoder
from bicross.distillation import DistillSettings, StudentSettings, distill
from bicross.distillation.corpus import read_corpus
from bicross.distillation.extracted import extract_halves
from bicross.distillation.made_queries import WAYS
from bicross.distillation.measuring import measure_pair
from bicross.distillation.reranker import train_reranker
from bicross.distillation.trainer import TrainingSettings
from bicross.evaluation.datasets import Dataset, load_dataset
from bicross.second_stage import SecondStage

SEED = 13
QUERIES, HALVES, HELD_OUT = 3000, 400, 50
SAMPLE, CHOOSING = 200, 1000
"""Queries on which the teacher is measured, too; and those of the train split."""
RUNS = ("base", "teacher", "student", "student_two_stage")
TEACHER = TrainingSettings(batch_size=16, learning_rate=6e-5, warmup=0.1, max_length=160, save_steps=40, seed=SEED)


def teacher(data: Path, run: Path, encoder: BiEncoder, cache: Path, tolerance: float) -> Path:
    """The folder of a cross-encoder that was trained on SQuAD alone; trained here unless it is there.

    Its ``stage1_weight`` is the largest that gives up no more than ``tolerance`` of nDCG@10 on its held-out queries.
    """
    out = run / "teacher"
    if not (out / "model.safetensors").exists():  # what is written last
        questions = train_split(data, "squad")
        train_reranker(
            [questions.sample(QUERIES, seed=SEED), extract_halves(questions, HALVES, seed=SEED)],
            out=out,
            base=encoder.checkpoint.document.encoder.folder,
            bi_encoder=encoder,
            negatives=3,
            held_out=HELD_OUT,
            weight_tolerance=tolerance,
            settings=TEACHER,
            cache_dir=cache,
        )
    return out


def unmade(data: Dataset, folder: Path) -> Dataset:
    """Without the queries that ask what a made one says, whatever its case, spaces and full stop."""

    def spelt(text: str) -> str:
        return " ".join(text.casefold().split()).removesuffix(".")

    kept = json.loads((folder / "made-queries.json").read_text(encoding="utf-8"))
    made = {spelt(query["text"]) for query in kept["queries"].values()}
    queries = {key: text for key, text in data.queries.items() if spelt(text) not in made}
    return replace(data, queries=queries, qrels={key: data.qrels[key] for key in queries if key in data.qrels})


def run_of(
    name: str, ways: tuple[str, ...], cross: CrossEncoder, base: BiEncoder, options: argparse.Namespace
) -> dict[str, dict]:
    """One corpus, one way of making queries: what the student gained on each split, and how long it took."""
    corpus = replace(read_corpus(options.data / name / "corpus.jsonl"), name=name)
    student = StudentSettings(
        freeze_layers=2, topic_lists=16, epochs=options.epochs, base_share=options.base_share, candidates=8
    )
    weight = SecondStage(cross, options.stage1_weight).stage1_weight
    settings = DistillSettings(
        made=options.made, ways=ways, gap_queries=0, stage1_weight=weight, student=student, seed=SEED
    )
    folder = options.run / f"{name}-{'-'.join(ways)}"
    report = distill(corpus, cross, base, out=folder, settings=settings, cache_dir=options.cache)
    manifest = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    facts = {
        "stage1_weight": weight,
        "seconds": {stage: done["seconds"] for stage, done in manifest["stages"].items()},
        "rounds": report.rounds,
    }
    with report.load() as trained:
        return {
            f"{name}:{split}": on_split(split, name, folder, (base, cross, trained), weight, options) | facts
            for split in options.splits
        }


def on_split(
    split: str,
    name: str,
    folder: Path,
    models: tuple[BiEncoder, CrossEncoder, BiEncoder],
    weight: float,
    options: argparse.Namespace,
) -> dict[str, Any]:
    """What base, teacher and student reach on a split's queries."""
    base, cross, trained = models
    asked = load_dataset(options.data / name, split)
    if split == "train":
        asked = asked.sample(CHOOSING, seed=SEED)
    data = unmade(asked, folder)
    sample = data.sample(SAMPLE, seed=SEED)
    pair = measure_pair(base, cross, sample, student=trained, stage1_weight=weight, cache_dir=options.cache)
    found, _ = measured(base, trained, data, options.cache)
    return {
        **found,
        "left_out": len(asked.queries) - len(data.queries),
        "of_sample": {"queries": len(sample.qrels), **{run: pair[run]["nDCG@10"] for run in RUNS}},
    }


def main() -> None:
    """Reads the command line, trains and measures, writes the JSON after every run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--corpora", nargs="+", default=["tldr"], help="folders of the data")
    parser.add_argument("--splits", nargs="+", default=["dev"], choices=["train", "dev", "test"], help="measured on")
    parser.add_argument("--ways", nargs="+", default=["all"], choices=["all", *WAYS], help="each by itself, or all")
    parser.add_argument("--made", type=int, default=4000, help="queries")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--stage1-weight", type=float, help="of the base in the teacher; default: the teacher's own")
    parser.add_argument("--weight-tolerance", type=float, default=0.0, help="of nDCG@10, for the teacher's own weight")
    parser.add_argument("--base-share", type=float, default=0.0, help="of the base's weights in the student")
    parser.add_argument("--precision", default="auto", help="of the teacher")
    parser.add_argument("--run", type=Path, required=True, help="folder of the models")
    parser.add_argument("--cache", type=Path, default=Path(".bicross/cache"))
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    with BiEncoder.load("minilm") as base:
        folder = teacher(options.data, options.run, base, options.cache, options.weight_tolerance)
        with CrossEncoder.load(folder, precision=options.precision) as cross:
            report: dict[str, Any] = {"machine": machine("torch", "transformers"), "date": date.today().isoformat()}
            report |= {
                "teacher": cross.checkpoint.extras,
                "made": options.made,
                "precision": cross.precision,
                "runs": {},
            }
            for name in options.corpora:
                for way in options.ways:
                    ways = WAYS if way == "all" else (way,)
                    for split, found in run_of(name, ways, cross, base, options).items():
                        report["runs"][f"{split}, {way}"] = found
                        shown = {k: v for k, v in found.items() if k not in ("seconds", "rounds")}
                        print(split, way, json.dumps(shown))
                    write_report(report, options.out)


if __name__ == "__main__":
    main()
