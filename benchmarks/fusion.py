"""How two rankings are best fused: nDCG@10 of the hybrid first stage on development queries, by method and weight.

    python benchmarks/fusion.py --cache .bicross/cache --out benchmarks/results/fusion.json

This is what `fusion="weighted"` and `sparse_weight=0.5` were chosen by. MiniLM in float32 and `BM25Encoder("en")`,
exact search. tldr: all of it; squad and medquad: 300 queries over their relevant passages and 2,000 others, drawn by
seed.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import data_folder, machine, write_report

from bicross import BiEncoder
from bicross.evaluation import Dataset, Stages, evaluate, load_dataset
from bicross.fusion import FUSIONS
from bicross.sparse import BM25Encoder

WEIGHTS = (0.3, 0.4, 0.5, 0.6, 0.7)
SETS = {"tldr": None, "squad": 2_000, "medquad": 2_000}
"""Passages beside the relevant ones; None: the whole set."""
QUERIES = 300


def part(data: Dataset, others: int) -> Dataset:
    """A smaller data set, always the same one."""
    data = data.sample(QUERIES, seed=1)
    kept = {document for judged in data.qrels.values() for document in judged}
    rest = [document for document in data.documents if document not in kept]
    random.Random(0).shuffle(rest)
    kept |= set(rest[:others])
    return replace(data, documents={key: text for key, text in data.documents.items() if key in kept}, titles={})


def measured(data: Dataset, encoder: BiEncoder, cache: Path | None) -> dict[str, float]:
    row = {}
    for name, kind, options in [
        ("dense", "dense", {}),
        ("bm25", "bm25", {}),
        *((f"{method} {weight}", "hybrid", {"fusion": method, "sparse_weight": weight})
          for method in FUSIONS for weight in WEIGHTS),
    ]:  # fmt: skip
        with Stages(encoder, sparse_encoder=BM25Encoder("en"), cache_dir=cache, **options) as stages:
            found = evaluate(stages, data, measures=["nDCG@10"], first_stage=kind)
        row[name] = round(found["nDCG@10"], 4)
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cache", type=Path, help="folder of the vectors")
    parser.add_argument("--sets", nargs="*", default=list(SETS), choices=list(SETS))
    asked = parser.parse_args()
    report: dict[str, Any] = {"machine": machine("bicross", "torch", "PyStemmer", "ir-measures"), "sets": {}}
    with BiEncoder.load("minilm") as encoder:
        for name in asked.sets:
            data, others = load_dataset(asked.data / name, "dev"), SETS[name]
            data = data if others is None else part(data, others)
            row = report["sets"][name] = measured(data, encoder, asked.cache)
            print(name, len(data.documents), len(data.queries), row, flush=True)
            write_report(report, asked.out)


if __name__ == "__main__":
    main()
