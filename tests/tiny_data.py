"""A data set small enough to work out by hand."""

from __future__ import annotations

import json
from pathlib import Path

DOCUMENTS = {
    "d1": ("cat", "the cat sits on the tree"),
    "d2": ("", "a dog runs to the house"),
    "d3": ("fish", "the red fish eats in the river"),
    "d4": ("", "a bird flies over the city"),
    "d5": ("train", "the old train runs near the river"),
}
QUERIES = {"q1": "a cat on a tree", "q2": "the fish in a river", "q3": "no bird flies"}
QRELS = {"q1": {"d1": 2, "d2": 1}, "q2": {"d3": 1, "d5": 0}, "q3": {"d4": 3}}


def write_beir(folder: Path, documents=DOCUMENTS, queries=QUERIES, qrels=QRELS, split: str = "test") -> Path:
    (folder / "qrels").mkdir(parents=True, exist_ok=True)
    corpus = [{"_id": i, "title": title, "text": text} for i, (title, text) in documents.items()]
    rows = {"corpus.jsonl": corpus, "queries.jsonl": [{"_id": i, "text": text} for i, text in queries.items()]}
    for name, lines in rows.items():
        (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    judgments = [f"{q}\t{d}\t{grade}" for q, grades in qrels.items() for d, grade in grades.items()]
    lines = ["query-id\tcorpus-id\tscore", *judgments]
    (folder / "qrels" / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder
