"""How fast the fast cross-encoder is: 100 candidates of a query, beside the whole one on sentence-transformers.

    python benchmarks/fast_reranker.py --out benchmarks/results/

The first 100 passages of every query of a sample (squad, dev, by exact search) are scored by each way, the ways in turn
query by query, each going first in turn. sentence-transformers runs on torch at the fastest of three batch sizes. The
quality that belongs to each way is measured by `rerank_quality.py`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cached_encoder import CachedEncoder
from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder
from bicross.caches import VectorCache
from bicross.encoding.locate import locate
from bicross.evaluation.datasets import load_dataset
from bicross.ranking import exact_top_k

SEED = 20
CANDIDATES = 100
BATCH_SIZES = (8, 32, 128)
PEER = "sentence-transformers, whole model, float32"
PAUSE = 0.3
"""Seconds between two calls: threads that still spin for the one would slow down the other."""
Way = Callable[[str, Sequence[str]], Any]


def ours(model: str, precision: str, **options: Any) -> Way:
    """A way of bicross."""
    scorer = CrossEncoder.load(model, precision=precision)
    return lambda query, texts: scorer.rank(query, texts, show_progress=False, **options)


def peer(batch_size: int, dtype: str = "float32") -> Way:
    """sentence-transformers with the starter's weights."""
    from sentence_transformers import CrossEncoder as Peer

    model = Peer(str(locate("starter", "cross-encoder").folder), model_kwargs={"dtype": dtype})
    return lambda query, texts: model.predict(
        [(query, text) for text in texts], batch_size=batch_size, show_progress_bar=False
    )


def seconds(way: Way, query: str, texts: Sequence[str]) -> float:
    """Of one call."""
    time.sleep(PAUSE)
    began = time.perf_counter()
    way(query, texts)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--queries", type=int, default=9)
    parser.add_argument("--cache", type=Path, default=Path(".bicross/cache"), help="folder of the vectors")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    data = load_dataset(arguments.data / "squad", "dev").sample(arguments.queries, seed=SEED)
    texts, queries = list(data.documents.values()), list(data.queries.values())
    with BiEncoder.load("minilm") as inner, VectorCache(arguments.cache) as cache:
        encoder = CachedEncoder(inner, cache)
        found, _ = exact_top_k(encoder.encode_query(queries), encoder.encode_document(texts), CANDIDATES)
    lists = [[texts[at] for at in row.tolist()] for row in found]

    tried = {size: min(seconds(peer(size), queries[0], lists[0]) for _ in range(2)) for size in BATCH_SIZES}
    best = min(tried, key=tried.__getitem__)
    ways: dict[str, Way] = {
        PEER: peer(best),
        "whole model, float32": ours("starter", "float32"),
        "whole model, int8": ours("starter", "int8"),
        "fast, float32": ours("fast", "float32"),
        "fast, int8": ours("fast", "int8"),
        "fast, float32, best window": ours("fast", "float32", windows="best"),
        "fast, int8, best window": ours("fast", "int8", windows="best"),
    }
    with CrossEncoder.load("fast", precision="auto") as scorer:
        if scorer.precision == "bfloat16":
            ways["sentence-transformers, whole model, bfloat16"] = peer(best, "bfloat16")
            ways["whole model, bfloat16"] = ours("starter", "bfloat16")
            ways["fast, bfloat16"] = ours("fast", "bfloat16")
            ways["fast, bfloat16, best window"] = ours("fast", "bfloat16", windows="best")
    for way in ways.values():
        way(queries[0], lists[0])
    spent: dict[str, list[float]] = {name: [] for name in ways}
    names = list(ways)
    for turn, (query, candidates) in enumerate(zip(queries, lists, strict=True)):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            spent[name].append(seconds(ways[name], query, candidates))
    medians = {name: float(np.median(each)) for name, each in spent.items()}
    report = {
        "machine": machine("torch", "transformers", "sentence-transformers", "onnxruntime", "openvino"),
        "settings": {"queries": len(queries), "candidates": CANDIDATES, "seed": SEED, "peer_batch_size": best},
        "ways": {
            name: {"milliseconds": round(1e3 * median, 1), "times_as_fast": round(medians[PEER] / median, 2)}
            for name, median in medians.items()
        },
    }
    write_report(report, arguments.out)
    for name, row in report["ways"].items():
        print(f"{name}: {row['milliseconds']:.0f} ms, {row['times_as_fast']:.1f} times as fast")


if __name__ == "__main__":
    main()
