"""How often a model prefers a paraphrase to its negated or antonymous twin: the probe SemAntoNeg.

    python benchmarks/negation.py --out benchmarks/results/negation.json

Reads `probes/semantoneg.jsonl` from `--data`, `$BICROSS_DATA` or `../shared/data`. A row is right when the paraphrase
scores higher (chance 50 %); a group when all its rows are (chance 1 / (rows + 1)).
"""

from __future__ import annotations

import argparse
import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder


def interval(right: int, total: int) -> list[float]:
    """Wilson's 95 % interval of a share."""
    z, p = 1.96, right / total
    middle, spread = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return [round((middle + sign * spread) / (1 + z * z / total), 4) for sign in (-1, 1)]


def summary(rows: list[dict[str, Any]], right: np.ndarray) -> dict[str, Any]:
    groups: dict[str, list[bool]] = defaultdict(list)
    for row, good in zip(rows, right, strict=True):
        groups[row["group"]].append(bool(good))
    whole = sum(all(group) for group in groups.values())
    return {
        "row_accuracy": round(float(right.mean()), 4),
        "row_interval": interval(int(right.sum()), len(rows)),
        "group_accuracy": round(whole / len(groups), 4),
        "group_interval": interval(whole, len(groups)),
        "group_chance": round(float(np.mean([1 / (len(group) + 1) for group in groups.values()])), 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    path = arguments.data / "probes" / "semantoneg.jsonl"
    if not path.is_file():
        parser.error(f"needs the probe, got no file {path}; set BICROSS_DATA or pass --data")
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    texts = list(dict.fromkeys(row[key] for row in rows for key in ("query", "pos", "neg")))
    vectors = dict(zip(texts, BiEncoder.load("starter").encode_document(texts), strict=True))
    cross = CrossEncoder.load("starter")
    pairs = list(dict.fromkeys((row["query"], row[key]) for row in rows for key in ("pos", "neg")))
    scores = dict(zip(pairs, cross.predict(pairs), strict=True))
    by_vector = np.array(
        [vectors[r["query"]] @ vectors[r["pos"]] > vectors[r["query"]] @ vectors[r["neg"]] for r in rows]
    )
    by_score = np.array([scores[r["query"], r["pos"]] > scores[r["query"], r["neg"]] for r in rows])
    report = {
        "machine": machine("torch", "transformers"),
        "rows": len(rows),
        "bi_encoder": summary(rows, by_vector),
        "cross_encoder": summary(rows, by_score),
    }
    print(json.dumps(report, indent=2))
    write_report(report, arguments.out)


if __name__ == "__main__":
    main()
