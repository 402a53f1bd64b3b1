"""What a precision costs in quality: nDCG@10 and cosine with float32, on judged sets.

    python benchmarks/precision_cost.py nfcorpus:test tldr:dev --precisions int8 --cache DIR --out FILE

The first stage is exact search over the whole set. The second stage reorders the first 30 of a sample of the queries by
the cross-encoder alone, which shows a loss in its scores best.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder
from bicross.encoding.backends.choosing import PAIRS, installed
from bicross.evaluation.agreement import best_first
from bicross.evaluation.datasets import Dataset, load_dataset
from bicross.evaluation.judging import Judge
from bicross.evaluation.stages import Stages

DEPTH = 30


def ndcg(data: Dataset, positions: np.ndarray, scores: np.ndarray) -> float:
    return round(float(Judge(data, positions)(best_first(scores)).mean()), 4)


def cosine(ours: np.ndarray, theirs: np.ndarray) -> dict[str, float]:
    values = (ours * theirs).sum(axis=1) / np.linalg.norm(ours, axis=1) / np.linalg.norm(theirs, axis=1)
    return {"mean_cosine": round(float(values.mean()), 5), "worst_cosine": round(float(values.min()), 5)}


def compare(data: Dataset, kinds: list[tuple[str, str]], cache: Path | None, queries: int) -> dict[str, Any]:
    sample = data.sample(queries) if queries < len(data.queries) else data
    rows: dict[str, Any] = {}
    reference: tuple[Any, ...] = ()
    for backend, precision in [("torch", "float32"), *kinds]:
        with (
            BiEncoder.load("minilm", backend=backend, precision=precision) as encoder,
            CrossEncoder.load("starter", backend=backend, precision=precision) as scorer,
            Stages(encoder, scorer, cache_dir=cache) as stages,
        ):
            vectors = stages.document_vectors(data)
            found = stages.candidates(data, DEPTH)
            if not reference:
                positions = stages.candidates(sample, DEPTH)[0]
                reference = vectors, positions
            logits = stages.cross_scores(sample, reference[1])
            rows[f"{backend} {precision}"] = {
                "first_stage": ndcg(data, *found),
                "second_stage": ndcg(sample, reference[1], logits),
                **cosine(vectors, reference[0]),
            }
            print(data.name, backend, precision, rows[f"{backend} {precision}"], flush=True)
    return {
        "documents": len(data.documents),
        "queries": len(data.queries),
        "reranked_queries": len(sample.queries),
        **rows,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="+", metavar="SET:SPLIT")
    parser.add_argument("--precisions", nargs="+", default=["int8"])
    parser.add_argument("--queries", type=int, default=100, help="of which the second stage is measured")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    kinds = [(b, p) for p in options.precisions for b in ("openvino", "onnx") if installed(b) and p in PAIRS[b]]
    report = {"machine": machine()}
    for name in options.sets:
        folder, split = name.split(":")
        data = load_dataset(data_folder() / folder, split)
        report[name] = compare(data, kinds, options.cache, options.queries)
    write_report(report, options.out)


if __name__ == "__main__":
    main()
