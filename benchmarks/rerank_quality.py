"""Measures what the reranker adds: nDCG@10 of the first stage, of the cross-encoder alone, and of their sum.

    python benchmarks/rerank_quality.py --sets squad:dev:300 scifact:test:50
    python benchmarks/rerank_quality.py --bi starter --sets squad:dev:150 --out report.json

Every set is searched exactly with a bi-encoder (`--bi`) in float32; the top 100 of a seeded sample of its queries are
reranked. Vectors are kept in `--cache` and scores in `--scratch`, so that nothing is computed twice. Measures are
those of ir-measures; the interval is the 95 % percentile interval of a paired bootstrap over queries.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from datetime import date
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
from cached_encoder import CachedEncoder
from common import data_folder, machine, write_report
from ir_measures import Qrel, R, ScoredDoc, nDCG

from bicross import BiEncoder, CrossEncoder
from bicross.caches import VectorCache
from bicross.evaluation.depth import WEIGHTS
from bicross.evaluation.files import read_qrels, read_texts
from bicross.ranking import exact_top_k, weighted_sums
from bicross.types import Encoder

SEED = 20
CANDIDATES = 100
EXCLUDE_SELF = {"arguana"}
"""Sets whose queries are documents themselves; a query's own document is taken out before the cut."""


def sampled_queries(folder: Path, split: str, count: int) -> tuple[dict[str, str], list[tuple[str, str, int]]]:
    """Queries with a judgment, at most ``count`` of them, and their judgments."""
    texts, _ = read_texts(folder / "queries.jsonl", titles=False)
    judgments = list(read_qrels(folder / "qrels" / f"{split}.tsv"))
    ids = list(dict.fromkeys(query_id for query_id, _, grade in judgments if grade > 0))
    if count < len(ids):
        ids = [ids[i] for i in sorted(np.random.default_rng(SEED).choice(len(ids), size=count, replace=False).tolist())]
    chosen = set(ids)
    return {query_id: texts[query_id] for query_id in ids}, [row for row in judgments if row[0] in chosen]


def scored(
    arguments: argparse.Namespace, name: str, split: str, count: int, bi: Encoder, cross: CrossEncoder
) -> dict[str, Any]:
    """Both stages' scores of one set, from the scratch folder where they are."""
    folder = arguments.data / name
    documents, _ = read_texts(folder / "corpus.jsonl", titles=True)
    queries, judgments = sampled_queries(folder, split, count)
    read = f"{cross.fingerprint}|{cross.precision}|{bi.document_fingerprint}" + (
        "|windows" if arguments.windows else ""
    )
    key = hashlib.sha256(read.encode()).hexdigest()[:12]
    path = arguments.scratch / f"{name}.{split}.{len(queries)}.{CANDIDATES}.{SEED}.{key}.npz"
    if not path.exists():
        ids = list(documents)
        own = name in EXCLUDE_SELF
        vectors = bi.encode_document(list(documents.values()))
        found, first = exact_top_k(bi.encode_query(list(queries.values())), vectors, CANDIDATES + own)
        rows = []
        for query_id, row in zip(queries, found, strict=True):
            rows.append([i for i, p in enumerate(row.tolist()) if not (own and ids[p] == query_id)][:CANDIDATES])
        keep = np.array(rows)
        found, first = np.take_along_axis(found, keep, axis=1), np.take_along_axis(first, keep, axis=1)
        pairs = []
        for query, row in zip(queries.values(), found, strict=True):
            texts = [documents[ids[p]] for p in row.tolist()]
            if arguments.windows:
                spans = cross.windows_of(query, texts)
                texts = [text[start:end] for text, (start, end) in zip(texts, spans, strict=True)]
            pairs += [(query, text) for text in texts]
        second = np.asarray(cross.predict(pairs)).reshape(first.shape)
        np.savez(path, found=found, first=first, cross=second)
    with np.load(path) as kept:
        return {"ids": list(documents), "queries": list(queries), "judgments": judgments, **kept}


def measured(data: dict[str, Any], scores: np.ndarray, measure: Any) -> np.ndarray:
    """A measure of every query. **Shape:** (queries,)."""
    qrels = [Qrel(*row) for row in data["judgments"]]
    run = [
        ScoredDoc(query_id, data["ids"][position], float(score))
        for query_id, row, values in zip(data["queries"], data["found"], scores, strict=True)
        for position, score in zip(row.tolist(), values.tolist(), strict=True)
    ]
    by_query = {row.query_id: row.value for row in ir_measures.iter_calc([measure], qrels, run)}
    return np.array([by_query[query_id] for query_id in data["queries"]])


def interval(difference: np.ndarray) -> list[float]:
    """95 % percentile interval of the mean, from 10,000 resamples of the queries."""
    draws = np.random.default_rng(SEED).integers(len(difference), size=(10_000, len(difference)))
    return np.percentile(difference[draws].mean(axis=1), [2.5, 97.5]).round(4).tolist()


def evaluate(data: dict[str, Any], weight: float) -> dict[str, Any]:
    """Figures of one set."""
    ndcg = nDCG @ 10
    first = measured(data, data["first"], ndcg)
    cross = measured(data, data["cross"], ndcg)
    both = measured(data, weighted_sums(data["first"], data["cross"], weight), ndcg)
    curve = {w: measured(data, weighted_sums(data["first"], data["cross"], w), ndcg).mean() for w in WEIGHTS[::2]}
    return {
        "queries": len(data["queries"]),
        "recall@100": round(float(measured(data, data["first"], R @ CANDIDATES).mean()), 4),
        "first_stage": round(float(first.mean()), 4),
        "cross_encoder": round(float(cross.mean()), 4),
        "both": round(float(both.mean()), 4),
        "difference": round(float((both - first).mean()), 4),
        "difference_interval_95": interval(both - first),
        "cross_difference_interval_95": interval(cross - first),
        "by_weight": {str(w): round(float(value), 4) for w, value in curve.items()},
    }


def main() -> None:
    """Reads the command line, measures, writes the JSON after every set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--model", default="starter")
    parser.add_argument("--bi", default="minilm")
    parser.add_argument("--sets", nargs="+", required=True, help="name:split:queries")
    parser.add_argument("--cache", type=Path, default=here / ".bicross" / "cache", help="of vectors")
    parser.add_argument("--scratch", type=Path, default=here / ".bicross" / "rerank_quality")
    parser.add_argument("--precision", default="auto", help="of the cross-encoder")
    parser.add_argument("--windows", action="store_true", help='read the best window of each text (windows="best")')
    parser.add_argument("--out", type=Path, default=here / "benchmarks" / "results" / "rerank_quality.json")
    arguments = parser.parse_args()
    arguments.scratch.mkdir(parents=True, exist_ok=True)
    cache = VectorCache(arguments.cache)
    bi = CachedEncoder(BiEncoder.load(arguments.bi), cache)
    cross = CrossEncoder.load(arguments.model, precision=arguments.precision)
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": machine("torch", "transformers"),
        "precision": {"bi_encoder": "float32", "cross_encoder": cross.precision},
        "settings": {
            "candidates": CANDIDATES,
            "seed": SEED,
            "stage1_weight": cross.stage1_weight,
            "windows": arguments.windows,
        },
        "models": {"bi_encoder": bi.document_fingerprint, "cross_encoder": cross.fingerprint},
        "sets": {},
    }
    for spec in arguments.sets:
        name, split, count = spec.split(":")
        data = scored(arguments, name, split, int(count), bi, cross)
        report["sets"][f"{name}/{split}"] = evaluate(data, cross.stage1_weight)
        write_report(report, arguments.out)
        print(spec, json.dumps(report["sets"][f"{name}/{split}"]), flush=True)


if __name__ == "__main__":
    main()
