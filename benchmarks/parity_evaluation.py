"""Compares this project's figures with those of sentence-transformers' vectors, and with published ones.

    python benchmarks/parity_evaluation.py --cache .bicross/cache --sets scifact:test nfcorpus:test

Ours: `evaluate` over `Stages`. Theirs: the files read by themselves, `SentenceTransformer.encode` in float32, dot
products in float64, and ir-measures over the scores. Both must agree to 1e-4, and with the baselines, where there is
one, to 1e-3. Vectors are kept in the cache, and a set that is in the report already is left out: a run that was killed
goes on where it stopped. Without `--sets`: every set of the baselines.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ir_measures
import numpy as np
from common import data_folder, machine, write_report

from bicross import BiEncoder
from bicross.caches import VectorCache
from bicross.encoding.locate import locate
from bicross.evaluation import Stages, evaluate

MEASURES = ("nDCG@10", "R@100")
BASELINES = Path(__file__).parent / "baselines" / "all-MiniLM-L6-v2.json"
EXCLUDE_SELF = {"arguana"}
"""Sets whose queries are documents themselves; a query's own document is taken out before the cut."""
TO_THEIRS, TO_BASELINE = 1e-4, 1e-3
BLOCK = 64


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def read(folder: Path, split: str) -> tuple[dict[str, str], dict[str, str], dict[str, dict[str, int]]]:
    """Documents, queries and judgments, without this project's readers."""
    language = split.partition(".")[2]
    corpus = read_jsonl(folder / "corpus.jsonl")
    documents = {row["_id"]: f"{row['title']} {row['text']}" if row.get("title") else row["text"] for row in corpus}
    name = f"queries.{language}.jsonl" if language else "queries.jsonl"
    texts = {row["_id"]: row["text"] for row in read_jsonl(folder / name)}
    qrels: dict[str, dict[str, int]] = {}
    for line in (folder / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query_id, document_id, grade = line.split("\t")
        qrels.setdefault(query_id, {})[document_id] = int(grade)
    return documents, {query_id: texts[query_id] for query_id in qrels}, qrels


def theirs(model: Any, weights: str, cache: VectorCache, folder: Path, split: str) -> dict[str, float]:
    """The figures of sentence-transformers' vectors and search."""
    documents, queries, qrels = read(folder, split)
    fingerprint = f"sentence-transformers {version('sentence-transformers')} {weights} float32 {model.max_seq_length}"

    def encode(texts: Sequence[str]) -> np.ndarray:
        return model.encode(list(texts), convert_to_numpy=True, show_progress_bar=False)

    corpus = cache.encode(fingerprint, list(documents.values()), encode, show_progress=True)
    asked = cache.encode(fingerprint, list(queries.values()), encode, show_progress=True)
    own = folder.name in EXCLUDE_SELF
    ids = np.array(list(documents))
    run: dict[str, dict[str, float]] = {}
    exact = corpus.astype(np.float64).T
    for start in range(0, len(asked), BLOCK):
        # Rounded to float32, so that equal texts score equally.
        scores = (asked[start : start + BLOCK].astype(np.float64) @ exact).astype(np.float32)
        for query_id, row in zip(list(queries)[start : start + BLOCK], scores, strict=True):
            best = np.argsort(-row, kind="stable")[:101]
            pairs = zip(ids[best].tolist(), row[best].tolist(), strict=True)
            run[query_id] = dict([(d, score) for d, score in pairs if not (own and d == query_id)][:100])
    measures = {name: ir_measures.parse_measure(name) for name in MEASURES}
    means = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    return {name: float(means[measure]) for name, measure in measures.items()}


def compare(ours: dict[str, float], others: dict[str, float] | None, most: float) -> tuple[float | None, bool]:
    """The largest distance, and whether it is small enough."""
    if others is None:
        return None, True
    distance = max(abs(ours[name] - others[name]) for name in MEASURES)
    return distance, distance <= most


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", metavar="NAME:SPLIT", help="default: all of the baselines")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=Path(".bicross/cache"))
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--baselines", type=Path, default=BASELINES)
    parser.add_argument("--ours-only", action="store_true", help="leave sentence-transformers out")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    baselines = json.loads(arguments.baselines.read_text(encoding="utf-8"))["sets"]
    found = locate(arguments.model, "bi-encoder")
    model = None
    if not arguments.ours_only:
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(str(found.folder), device="cpu")
    rows: list[dict[str, Any]] = []
    if arguments.out is not None and arguments.out.exists():
        rows = json.loads(arguments.out.read_text(encoding="utf-8"))["rows"]
    done = {row["set"] for row in rows}
    with (
        BiEncoder.load(arguments.model, device="cpu") as encoder,
        Stages(encoder, cache_dir=arguments.cache) as stages,
        VectorCache(arguments.cache) as cache,
    ):
        for item in arguments.sets or baselines:
            name, _, split = item.partition(":")
            folder, split = arguments.data / name, split or "test"
            if f"{name}:{split}" in done:
                continue
            own = folder.name in EXCLUDE_SELF
            ours = evaluate(stages, folder, split=split, measures=MEASURES, exclude_self=own).final.means
            other = theirs(model, encoder.document_fingerprint, cache, folder, split) if model is not None else None
            to_theirs, close = compare(ours, other, TO_THEIRS)
            to_baseline, near = compare(ours, baselines.get(f"{name}:{split}"), TO_BASELINE)
            row = {"set": f"{name}:{split}", "ours": ours, "sentence_transformers": other}
            row |= {"to_theirs": to_theirs, "to_baseline": to_baseline, "passed": close and near}
            versions = machine("sentence-transformers", "torch", "transformers", "ir-measures")
            rows.append(row | {"date": date.today().isoformat(), "machine": versions})
            print(json.dumps(row), flush=True)
            write_report({"rows": rows}, arguments.out)
    return 0 if all(row["passed"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
