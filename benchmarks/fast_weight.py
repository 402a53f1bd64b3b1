"""The weight of the first stage beside the fast cross-encoder, chosen on queries that `train_fast.py` held out.

    python benchmarks/fast_weight.py --cache .bicross/cache --out benchmarks/results/fast_weight.json

The held-out queries of squad, medquad and tldr, and of halves of the former two's documents, 40 each, whose articles no
training query touches; all-MiniLM-L6-v2's first 60. The documentation of the installed packages is left out: what was
held out of it depends on what is installed. The weight with the best mean nDCG@10 is the one to take.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from cached_encoder import CachedEncoder
from common import data_folder, machine, write_report
from train_fast import AMOUNTS, CANDIDATES, HELD_OUT, INFERENCE_LENGTH, SEED
from train_starter import kept_documentation, labelled_sets

from bicross import BiEncoder
from bicross.caches import VectorCache
from bicross.distillation.candidates import search_candidates
from bicross.distillation.held_out import choose_weight, split_held_out, weight_curve
from bicross.distillation.model_folder import load_base
from bicross.distillation.packing import has_bf16
from bicross.distillation.selection import rerank


def main() -> None:
    """Reads the command line and measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--model", type=Path, default=Path("models/fast-cross-encoder"))
    parser.add_argument("--run-folder", type=Path, default=Path("build/fast-weight"))
    parser.add_argument("--cache", type=Path, default=Path(".bicross/cache"), help="folder of the vectors")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    options.run_folder.mkdir(parents=True, exist_ok=True)
    encoder = BiEncoder.load("minilm", precision="auto")
    docs = kept_documentation(encoder, options.run_folder / "documentation.jsonl")
    sets = [
        labels
        for labels in labelled_sets(options.data, docs, AMOUNTS, seed=SEED)
        if not labels.name.startswith("docs-")
    ]
    tests = [split_held_out(labels, HELD_OUT, seed=SEED)[1] for labels in sets]
    model, tokenizer = load_base(options.model, seed=SEED, dropout=0.0, layers=None)
    with VectorCache(options.cache) as cache:
        kept = CachedEncoder(encoder, cache)
        results = [
            rerank(
                model,
                tokenizer,
                test,
                search_candidates(test, kept, top_k=CANDIDATES, folder=options.run_folder).only(
                    test.queries, CANDIDATES
                ),
                max_length=INFERENCE_LENGTH,
                bf16=has_bf16("cpu"),
            )
            for test in tests
        ]
    curve = weight_curve(results)
    report = {
        "machine": machine(),
        "held_out": {test.name: len(test.queries) for test in tests},
        "weight": choose_weight(curve),
        "mean": {weight: round(sum(by_set.values()) / len(by_set), 4) for weight, by_set in curve.items()},
        "by_set": {
            test.name: {weight: round(by_set[test.name], 4) for weight, by_set in curve.items()} for test in tests
        },
    }
    print(report["weight"], report["mean"])
    write_report(report, options.out)


if __name__ == "__main__":
    main()
