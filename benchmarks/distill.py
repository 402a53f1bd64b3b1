"""Measures a distilled student: in its domains, outside of them, and how much of its teacher's ordering it has.

    python benchmarks/distill.py --base minilm --teacher models/mine --student runs/all/student --out report.json

Every set is measured on a seeded sample of its queries (`--queries`; all where there are fewer), with exact search:
base, teacher (both stages, the base in front), student, and the student with the teacher behind it. The sets under IN
are those that the student was trained for, on queries that training didn't see; those under OUT were never trained on
and nothing was chosen by them. Differences are tested query by query. `--exhaustive 100` also has the teacher score
every document of tldr for so many queries, which takes hours on a CPU: where are its top 10 in the student's order?

What is in `--out` isn't measured again with the same models (`--depths` adds to sets that are there); vectors and
scores are kept in `--scratch`. Killed at any moment, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder
from bicross.distillation.measuring import measure_pair
from bicross.evaluation.datasets import Dataset, load_dataset
from bicross.evaluation.evaluating import evaluate
from bicross.evaluation.gap import gap_report
from bicross.evaluation.stages import Stages
from bicross.second_stage import SecondStage

SEED = 20
CANDIDATES = 100
IN = ("squad:test", "tldr:test", "medquad:dev")
APART = ("medquad:test", "mediqa2019-qa:test")
OUT = ("scifact:test", "nfcorpus:test", "arguana:test", "vaswani:test")
EXCLUDE_SELF = {"arguana"}
DEPTHS = (10, 20, 50, 100, 200)


def measured(data: Dataset, models: tuple[BiEncoder, CrossEncoder, BiEncoder], options: dict[str, Any]) -> dict:
    """One set: the four runs, their tests, all queries in the first stage, and the depth that is needed."""
    base, teacher, student = models
    own, cache, weight = data.name in EXCLUDE_SELF, options["scratch"], options["stage1_weight"]
    sample = data.sample(options["queries"], seed=SEED)
    report = measure_pair(
        base,
        teacher,
        sample,
        student=student,
        stage1_weight=weight,
        candidates=CANDIDATES,
        exclude_self=own,
        cache_dir=cache,
    )
    report["all_queries"] = {}
    for name, model in (("base", base), ("student", student)):
        found = evaluate(model, data, measures=["nDCG@10", "R@100"], exclude_self=own, cache_dir=cache)
        report["all_queries"][name] = found.final.means | {"queries": found.queries}
    return report


def depths(data: Dataset, models: tuple[BiEncoder, CrossEncoder, BiEncoder], options: dict[str, Any]) -> dict:
    """nDCG@10 of student and teacher over the number of candidates, and what CANDIDATES keeps of the best."""
    _, teacher, student = models
    sample, curve = data.sample(options["queries"], seed=SEED), {}
    with Stages(student, teacher, cache_dir=options["scratch"]) as stages:
        for depth in DEPTHS:
            found = evaluate(
                stages,
                sample,
                measures=["nDCG@10"],
                candidates=depth,
                exclude_self=data.name in EXCLUDE_SELF,
                stage1_weight=options["stage1_weight"],
            )
            curve[str(depth)] = found["nDCG@10"]
    return {"ndcg": curve, "kept": curve[str(CANDIDATES)] / max(curve.values())}


def top10(
    data: Dataset, models: tuple[BiEncoder, CrossEncoder, BiEncoder], queries: int, weight: float, scratch: Path
) -> dict:
    """Where the teacher's top 10 of all documents are in the orders of base and student."""
    base, teacher, student = models
    found = {}
    for name, model in (("base", base), ("student", student)):
        report = gap_report(
            model,
            teacher,
            data,
            queries=queries,
            exhaustive=True,
            stage1_weight=weight,
            timing=False,
            cache_dir=scratch,
            seed=SEED,
        )
        points = [point for point in report.recall if point.k in (10, 50, 100, 200)]
        found[name] = {str(p.k): {"cross_encoder": p.cross_encoder, "final": p.final} for p in points}
        found[name]["spearman"] = report.agreement.spearman.mean
    return found


def summary(sets: dict[str, Any]) -> dict[str, Any]:
    """Means over the sets outside, and what each set shows."""
    outside = [sets[name] for name in OUT if name in sets]
    differences = [one["tests"]["student"]["difference"] for one in outside]
    two_stage = [one["tests"]["student_two_stage over student"]["difference"] for one in outside]
    if not outside:
        return {}
    return {
        "outside": {
            "sets": len(outside),
            "student - base, mean": float(np.mean(differences)),
            "student - base, worst": float(min(differences)),
            "two stages - first, mean": float(np.mean(two_stage)),
            "two stages - first, worst": float(min(two_stage)),
        }
    }


def table(report: dict[str, Any]) -> str:
    """The sets as Markdown."""
    lines = [
        "| set (queries) | base | teacher | student | student + teacher | student − base | recovered |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, one in report["sets"].items():
        test, share = one["tests"]["student"], one["recovered"]
        low, high = (100 * x for x in test["interval"])
        told = "–"
        if share["share"] is not None:
            told = f"{share['share']:.0%} ({share['interval'][0]:.0%} … {share['interval'][1]:.0%})"
        figures = [f"{one[run]['nDCG@10']:.4f}" for run in ("base", "teacher", "student", "student_two_stage")]
        lines.append(
            f"| {name} ({one['queries']}) | {' | '.join(figures)} | "
            f"{100 * test['difference']:+.2f} ({low:+.2f} … {high:+.2f}) | {told} |"
        )
    return "\n".join(lines)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", default="minilm", help="bi-encoder before distillation")
    parser.add_argument("--teacher", default="starter", help="cross-encoder")
    parser.add_argument("--student", required=True, help="bi-encoder after distillation")
    parser.add_argument("--stage1-weight", type=float, default=None, help="default: the teacher's own")
    parser.add_argument("--sets", nargs="+", default=[*IN, *APART, *OUT], metavar="SET:SPLIT")
    parser.add_argument("--queries", type=int, default=500, help="of each set")
    parser.add_argument("--depths", action="store_true", help=f"nDCG@10 at {DEPTHS} candidates; scores 200")
    parser.add_argument("--exhaustive", type=int, default=0, metavar="QUERIES", help="teacher's top 10 of all of tldr")
    parser.add_argument("--precision", default="float32", help="of the teacher")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--scratch", type=Path, default=Path("build/distill"))
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    report: dict[str, Any] = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    with ExitStack() as stack:
        device, precision = arguments.device, arguments.precision
        models = (
            stack.enter_context(BiEncoder.load(arguments.base, device=device)),
            stack.enter_context(CrossEncoder.load(arguments.teacher, device=device, precision=precision)),
            stack.enter_context(BiEncoder.load(arguments.student, device=device)),
        )
        weight = SecondStage(models[1], arguments.stage1_weight).stage1_weight
        key = {
            "base": [models[0].document_fingerprint, models[0].query_fingerprint],
            "teacher": models[1].logit_fingerprint,
            "precision": precision,
            "student": [models[2].document_fingerprint, models[2].query_fingerprint],
            "stage1_weight": weight,
            "queries": arguments.queries,
            "seed": SEED,
            "candidates": CANDIDATES,
        }
        if report.get("key") != key:
            report = {"key": key, "names": [arguments.base, arguments.teacher, arguments.student], "sets": {}}
        options = {"queries": arguments.queries, "scratch": arguments.scratch, "stage1_weight": weight}
        for name in arguments.sets:
            done = report["sets"].setdefault(name, {})
            if "tests" in done and ("depths" in done or not arguments.depths):
                continue
            folder, _, split = name.partition(":")
            data = load_dataset(arguments.data / folder, split or "test")
            of_now = {"date": date.today().isoformat(), "machine": machine("torch", "transformers", "ir-measures")}
            if "tests" not in done:
                done |= measured(data, models, options)
                report |= of_now
            if arguments.depths:
                done["depths"] = depths(data, models, options) | of_now
            write_report(report, arguments.out)
        if arguments.exhaustive and report.get("exhaustive", {}).get("queries") != arguments.exhaustive:
            tldr = load_dataset(arguments.data / "tldr", "test")
            found = top10(tldr, models, arguments.exhaustive, weight, arguments.scratch)
            report["exhaustive"] = {"data": "tldr", "queries": arguments.exhaustive, "teacher_top10_in": found}
    report["summary"] = summary(report["sets"])
    write_report(report, arguments.out)
    print(table(report))
    print(json.dumps(report["summary"], indent=2))
    if "exhaustive" in report:
        print(json.dumps(report["exhaustive"], indent=2))


if __name__ == "__main__":
    main()
