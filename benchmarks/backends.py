"""Backends and precisions against sentence-transformers on torch, in one run: bulk encoding, one query, 100 pairs.

    python benchmarks/backends.py --passages 100 --rounds 3 --out benchmarks/results/

It is `bicross bench` with sentence-transformers beside it, on passages of a data set. Kinds take turns within every
round; figures are medians, and ratios are to sentence-transformers in the same run. Beside the wall clock stands the
processor time of all threads, which other processes disturb less.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from common import data_folder, machine, write_report
from sentence_transformers import CrossEncoder as TheirCrossEncoder
from sentence_transformers import SentenceTransformer

from bicross import BiEncoder, CrossEncoder
from bicross.benchmarking import BenchReport, Beside, Row, bench

PEER = "sentence-transformers"


def passages(dataset: str, count: int) -> list[str]:
    """An even sample of a data set's passages."""
    lines = (data_folder() / dataset / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    corpus = ["{title} {text}".format(**json.loads(line)) for line in lines]
    return corpus[:: len(corpus) // count][:count]


def peer(batch: int = 32) -> Beside:
    """sentence-transformers with the weights of all-MiniLM-L6-v2 and the starter cross-encoder."""
    with (
        BiEncoder.load("minilm", backend="torch", device="cpu") as ours,
        CrossEncoder.load(backend="torch", device="cpu") as scorer,
    ):
        encoder = SentenceTransformer(str(ours.checkpoint.folder), device="cpu")
        theirs = TheirCrossEncoder(str(scorer.checkpoint.encoder.folder), device="cpu")
    return Beside(
        PEER,
        lambda texts: encoder.encode(list(texts), batch_size=batch),
        encoder.encode,
        lambda pairs: theirs.predict(list(pairs), batch_size=batch, activation_fn=torch.nn.Identity()),
    )


def ratios(report: BenchReport) -> dict[str, dict[str, float]]:
    """How many times as fast as the peer, by wall clock and by processor time."""
    figures = ("bulk_ms", "bulk_cpu_ms", "query_p50_ms", "query_cpu_ms", "pairs_ms", "pairs_cpu_ms")
    theirs = report.row(PEER)
    return {row.name: {name: _ratio(theirs, row, name) for name in figures} for row in report.rows}


def _ratio(theirs: Row, ours: Row, name: str) -> float:
    return round(getattr(theirs, name) / getattr(ours, name), 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="squad")
    parser.add_argument("--passages", type=int, default=100, help="to encode, and to rerank")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    texts = passages(options.dataset, options.passages)
    report = bench(texts, bi="minilm", pairs=options.passages, rounds=options.rounds, device="cpu", beside=[peer()])
    values: dict[str, Any] = report.as_dict() | {"machine": machine(PEER), "ratio_to_peer": ratios(report)}
    print(report)
    for name, row in values["ratio_to_peer"].items():
        print(f"  {name:24}", "  ".join(f"{key} {value}" for key, value in row.items()))
    write_report(values, options.out)


if __name__ == "__main__":
    main()
