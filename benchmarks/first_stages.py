"""Dense, BM25 and hybrid as the first stage: nDCG@10 and Recall@100 on every data set, and with reranking on a sample.

    python benchmarks/first_stages.py --cache .bicross/cache --out benchmarks/results/first_stages.json

Reads the sets from `--data`, `$BICROSS_DATA` or `../shared/data`; search is exact. BM25 knows a set's language (xquad:
one set for each), all-MiniLM-L6-v2 is English. With reranking: 100 candidates, the starter
cross-encoder with the weight that it carries, on `--rerank-queries` queries of a set, drawn by the seed below; `p` is
that of the paired randomisation test of hybrid against dense, both reranked.

Vectors and scores are kept in the cache, and a set that is in the report already is left out: a run that was killed
goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder
from bicross.evaluation import Stages, evaluate, load_dataset
from bicross.sparse import BM25Encoder

ENGLISH = (
    "squad", "medquad", "tldr", "squad-sent", "scifact", "nfcorpus", "arguana", "vaswani", "mediqa2019-qa",
    "covidqa-long",
)  # fmt: skip
LANGUAGES = ("en", "ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
RERANKED = (*ENGLISH, "xquad/en", "xquad/de", "xquad/zh")
FIRST_STAGES = ("dense", "bm25", "hybrid")
MEASURES = ("nDCG@10", "R@100")
EXCLUDE_SELF = ("arguana",)
SEED = 20_26


def rounded(means: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in means.items()}


def first_stages(stages: Stages, folder: Path, name: str, **options: Any) -> dict[str, Any]:
    data = load_dataset(folder / name)
    row: dict[str, Any] = {"documents": len(data.documents), "queries": len(data.queries)}
    for kind in FIRST_STAGES:
        found = evaluate(stages, data, measures=MEASURES, first_stage=kind, **options)
        row[kind] = rounded(found.stages["first_stage"].means)
    return row


def reranked(stages: Stages, folder: Path, name: str, queries: int, **options: Any) -> dict[str, Any]:
    data = load_dataset(folder / name)
    sample = data.sample(min(queries, len(data.queries)), seed=SEED)
    row: dict[str, Any] = {"queries": len(sample.queries)}
    dense = None
    for kind in FIRST_STAGES:
        found = evaluate(stages, sample, measures=MEASURES, first_stage=kind, compare=dense, **options)
        row[kind] = {stage: rounded(measured.means) for stage, measured in found.stages.items()}
        if kind == "dense":
            dense = found
        if kind == "hybrid":
            test = found.comparison["nDCG@10"]
            row["hybrid against dense"] = {
                "difference": round(test.difference, 4),
                "interval": [round(bound, 4) for bound in test.interval],
                "p": round(test.p_value, 4),
            }
    return row


def show(report: dict[str, Any]) -> None:
    print(f"\n| set | {' | '.join(FIRST_STAGES)} | reranked: {' | '.join(FIRST_STAGES)} | p |")
    print("|---" * (2 + 2 * len(FIRST_STAGES)) + "|")
    for name, row in report["first_stage"].items():
        cells = [f"{row[kind]['nDCG@10']:.4f} / {row[kind]['R@100']:.4f}" for kind in FIRST_STAGES]
        both = report["reranked"].get(name)
        cells += [f"{both[kind]['two_stage']['nDCG@10']:.4f}" if both else "" for kind in FIRST_STAGES]
        print(f"| {name} | {' | '.join(cells)} | {both['hybrid against dense']['p'] if both else ''} |")
    for title, rows in (
        ("first stage", [[row[kind] for kind in FIRST_STAGES] for row in report["first_stage"].values()]),
        ("reranked", [[row[kind]["two_stage"] for kind in FIRST_STAGES] for row in report["reranked"].values()]),
    ):
        means = [sum(row[i]["nDCG@10"] for row in rows) / max(len(rows), 1) for i in range(len(FIRST_STAGES))]
        print(f"mean nDCG@10, {title}: {dict(zip(FIRST_STAGES, [round(mean, 4) for mean in means], strict=True))}")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--cache", type=Path, help="folder of the vectors and scores")
    parser.add_argument("--sets", nargs="*", default=[*ENGLISH, *(f"xquad/{language}" for language in LANGUAGES)])
    parser.add_argument("--rerank-queries", type=int, default=60, help="0: the first stages alone")
    parser.add_argument("--rerank-precision", default="auto", help="of the cross-encoder; the bi-encoder is in float32")
    asked = parser.parse_args(arguments)
    report: dict[str, Any] = {"first_stage": {}, "reranked": {}}
    if asked.out is not None and asked.out.exists():
        report = json.loads(asked.out.read_text(encoding="utf-8"))
    bi_encoder = BiEncoder.load("minilm")
    cross_encoder = CrossEncoder.load("starter", precision=asked.rerank_precision) if asked.rerank_queries else None
    report |= {
        "machine": machine("bicross", "torch", "PyStemmer", "ir-measures"),
        "models": {"bi_encoder": bi_encoder.name, "cross_encoder": getattr(cross_encoder, "name", None)},
        "rerank_precision": getattr(cross_encoder, "precision", None),
        "stage1_weight": getattr(cross_encoder, "stage1_weight", None),
        "seed": SEED,
    }
    for name in asked.sets:
        language = name.removeprefix("xquad/") if name.startswith("xquad/") else "en"
        options = {"exclude_self": name in EXCLUDE_SELF}
        given: dict[str, Any] = {"sparse_encoder": BM25Encoder(language), "cache_dir": asked.cache}
        if name not in report["first_stage"]:
            with Stages(bi_encoder, **given) as stages:
                report["first_stage"][name] = first_stages(stages, asked.data, name, **options)
            write_report(report, asked.out)
        known = report["reranked"].get(name, {}).get("queries")
        if cross_encoder is not None and name in RERANKED and known != asked.rerank_queries:
            with Stages(bi_encoder, cross_encoder, **given) as stages:
                report["reranked"][name] = reranked(stages, asked.data, name, asked.rerank_queries, **options)
            write_report(report, asked.out)
        print(name, report["first_stage"][name], report["reranked"].get(name, ""), flush=True)
    show(report)


if __name__ == "__main__":
    main()
