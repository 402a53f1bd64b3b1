"""Measures a student's first stage beside its base's, over all queries of every set; `distill.py` has the second stage.

    python benchmarks/student_quality.py --student build/both-towers --cache .bicross/cache --out report.json

nDCG@10 and Recall@100 with exact search, and paired 95 % bootstrap intervals of the difference. Where
`rerank_quality.py` has measured the teacher behind the same base on a sample of a set's queries (`--teacher`), the
share of the teacher's gain over the base that the student has is given for that sample. `--lists RUN` also gives the
difference over the queries none of whose relevant documents was in a training list, whatever its role there. A set is
written once it is measured, and not measured again for the same models.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, machine, write_report
from distill import APART, EXCLUDE_SELF, IN, OUT
from rerank_quality import sampled_queries

from bicross import BiEncoder
from bicross.distillation import CandidateLists
from bicross.evaluation import evaluate
from bicross.evaluation.datasets import Dataset, load_dataset
from bicross.evaluation.statistics import bootstrap_interval

DEV = ("tldr:dev", "squad:dev", "medquad:dev")
MEASURES = ("nDCG@10", "R@100")
RESULTS = Path(__file__).parent / "results" / "rerank_quality.json"


ByQuery = dict[str, dict[str, float]]
"""nDCG@10 by model and query id."""


def gained(by_query: ByQuery, queries: Iterable[str]) -> dict[str, Any]:
    """The student's difference to the base over some queries."""
    gains = [by_query["student"][key] - by_query["base"][key] for key in queries]
    return {"queries": len(gains), "difference": float(np.mean(gains)), "interval_95": list(bootstrap_interval(gains))}


def measured(base: BiEncoder, student: BiEncoder, data: Dataset, cache: Path) -> tuple[dict[str, Any], ByQuery]:
    """One set's row, and what it is made of."""
    own = data.name in EXCLUDE_SELF
    found = {
        name: evaluate(model, data, measures=MEASURES, exclude_self=own, cache_dir=cache)
        for name, model in (("base", base), ("student", student))
    }
    by_query = {
        model: dict(zip(one.final.query_ids, one.final.values["nDCG@10"], strict=True)) for model, one in found.items()
    }
    means = {model: one.final.means for model, one in found.items()}
    return {**means, **gained(by_query, by_query["base"])}, by_query


def share(of_teacher: dict[str, Any], folder: Path, split: str, by_query: ByQuery) -> dict[str, Any]:
    """What part of the teacher's gain the student has, on the queries that the teacher was measured on."""
    queries, _ = sampled_queries(folder, split, of_teacher["queries"])
    base, student = (float(np.mean([by_query[model][key] for key in queries])) for model in ("base", "student"))
    teachers = {weight: of_teacher["by_weight"][weight] for weight in ("0.3", "0.7")}
    return {
        "queries": len(queries),
        "base": base,
        "student": student,
        "teacher": teachers,
        "share": {weight: (student - base) / (teacher - base) for weight, teacher in teachers.items()},
    }


def unseen(data: Dataset, texts: set[str]) -> list[str]:
    """Queries none of whose relevant documents is among these texts."""
    seen = {document_id for document_id, text in data.documents.items() if text in texts}
    return [
        query_id
        for query_id, grades in data.qrels.items()
        if query_id in data.queries and not any(grade > 0 and key in seen for key, grade in grades.items())
    ]


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="minilm", help="bi-encoder before distillation")
    parser.add_argument("--student", required=True, help="bi-encoder after distillation")
    parser.add_argument("--sets", nargs="+", default=[*DEV, *IN[:2], *OUT, *APART], metavar="SET:SPLIT")
    parser.add_argument("--teacher", type=Path, default=RESULTS, help="report of rerank_quality.py")
    parser.add_argument("--lists", type=Path, help="folder of a run of train_student.py")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=Path(".bicross/cache"))
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    options = parse()
    report: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}
    known = json.loads(options.teacher.read_text()) if options.teacher.exists() else {"models": {}, "sets": {}}
    lists = sorted(options.lists.glob("*.documents.parquet")) if options.lists else []
    read = [CandidateLists.read(path.with_name(path.name.replace(".documents", ""))) for path in lists]
    texts = {text for one in read for text in one.documents.values()}
    with ExitStack() as stack:
        models = {name: stack.enter_context(BiEncoder.load(getattr(options, name))) for name in ("base", "student")}
        key = {name: [one.document_fingerprint, one.query_fingerprint] for name, one in models.items()}
        behind_base = known["models"].get("bi_encoder") == models["base"].document_fingerprint
        teacher = known["sets"] if behind_base else {}
        if report.get("key") != key:
            report = {"key": key, "names": {name: getattr(options, name) for name in models}, "sets": {}}
        for item in options.sets:
            if item in report["sets"]:
                continue
            name, _, split = item.partition(":")
            data = load_dataset(options.data / name, split)
            row, by_query = measured(models["base"], models["student"], data, options.cache)
            if item in DEV and f"{name}/{split}" in teacher:
                row["of_teacher"] = share(teacher[f"{name}/{split}"], options.data / name, split, by_query)
            if texts and item in (*DEV, *IN):
                row["unseen"] = gained(by_query, unseen(data, texts))
            report["sets"][item] = row
            report |= {"date": date.today().isoformat(), "machine": machine("torch", "transformers", "ir-measures")}
            write_report(report, options.out)
            low, high = (100 * bound for bound in row["interval_95"])
            told = {weight: f"{value:.0%}" for weight, value in row.get("of_teacher", {}).get("share", {}).items()}
            means = [row[model]["nDCG@10"] for model in ("base", "student")]
            print(
                f"{item} ({row['queries']}): {means[0]:.4f} -> {means[1]:.4f}, "
                f"{100 * row['difference']:+.2f} ({low:+.2f} to {high:+.2f}) {told or ''}",
                flush=True,
            )


if __name__ == "__main__":
    main()
