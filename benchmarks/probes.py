"""What the starters don't understand: every probe, on the bi-encoder, the cross-encoder, and both stages together.

    python benchmarks/probes.py --bi minilm --out benchmarks/results/probes.json
    python benchmarks/probes.py --cross none --out benchmarks/results/probes-starter.json

Reads `probes/`, `squad`, `scifact`, `nfcorpus` and `squad-sent` from `--data`, `$BICROSS_DATA` or `../shared/data`.
The probes of quantifiers and of grounding are made from these sets' passages, by seed, and never written. Vectors and
scores are kept in `--cache`: killed at any moment, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder
from bicross.evaluation import load_dataset, probe
from bicross.evaluation.generated import OTHERS, PLACES, grounding_probe, quantifier_probe

SEED = 5
PER_KIND = 75
SETS = {"squad": True, "scifact": False, "nfcorpus": False}
"""Whose passages are changed; True: only those that answer a test question, for the starter was trained near others."""


def quantifiers(data: Path) -> list[dict[str, str]]:
    passages, titles = {}, {}
    for name, judged_alone in SETS.items():
        dataset = load_dataset(data / name)
        judged = {document for grades in dataset.qrels.values() for document in grades}
        for identity, text in dataset.documents.items():
            if identity in judged or not judged_alone:
                passages[f"{name}/{identity}"] = text
                titles[f"{name}/{identity}"] = dataset.titles.get(identity, "")
    return quantifier_probe(passages, titles=titles, per_kind=PER_KIND, seed=SEED)


def sampled(path: Path, count: int) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    chosen = np.random.default_rng(SEED).choice(len(rows), size=min(count, len(rows)), replace=False)
    return [rows[i] for i in sorted(chosen.tolist())]


def slope(kinds: dict[str, Any], stage: str) -> dict[str, float]:
    """Accuracy with the answer last minus accuracy with it first, by the number of other sentences."""
    ends = {
        others: [kinds[f"grounding:{others}:{place}"][stage]["accuracy"] for place in (0, 100)] for others in OTHERS
    }
    return {str(others): round(last - first, 4) for others, (first, last) in ends.items()}


def rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return round(value, 4) if isinstance(value, float) else value


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--bi", default="starter")
    parser.add_argument("--cross", default="starter", help="'none': the bi-encoder alone")
    parser.add_argument("--cross-precision", default="float32", help="logits in bfloat16 are so coarse that many tie")
    parser.add_argument("--questions", type=int, default=30, help="questions of the grounding probe")
    parser.add_argument("--paragraphs", type=int, default=250, help="paragraphs of the probe of unanswerable questions")
    parser.add_argument(
        "--probes", nargs="*", default=["negation", "negation-scope", "quantifiers", "grounding", "unanswerable"]
    )
    parser.add_argument("--cache", type=Path, default=here / ".bicross" / "cache")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not (arguments.data / "probes").is_dir():
        parser.error(f"needs the probes, got no folder {arguments.data / 'probes'}; set BICROSS_DATA or pass --data")
    sources = {
        "negation": lambda: arguments.data / "probes" / "semantoneg.jsonl",
        "negation-scope": lambda: arguments.data / "probes" / "scone.jsonl",
        "quantifiers": lambda: quantifiers(arguments.data),
        "grounding": lambda: grounding_probe(
            load_dataset(arguments.data / "squad-sent"), count=arguments.questions, seed=SEED
        ),
        "unanswerable": lambda: sampled(arguments.data / "probes" / "squad2-unanswerable.jsonl", arguments.paragraphs),
    }
    bi = BiEncoder.load(arguments.bi)
    cross = None
    if arguments.cross != "none":
        cross = CrossEncoder.load(arguments.cross, precision=arguments.cross_precision)
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": machine("torch", "transformers"),
        "settings": {
            "bi_encoder_precision": "float32",
            "cross_encoder_precision": arguments.cross_precision,
            "seed": SEED,
            "per_kind": PER_KIND,
            "questions": arguments.questions,
            "paragraphs": arguments.paragraphs,
            "places": PLACES,
        },
        "models": {"bi_encoder": bi.document_fingerprint, "cross_encoder": cross and cross.fingerprint},
        "probes": {},
    }
    for name in arguments.probes:
        measured = probe(sources[name](), bi, cross, cache_dir=arguments.cache, seed=SEED)
        values = measured.as_dict(failures=0)
        del values["failures"]  # they are texts of data sets
        if name == "grounding":
            values["slope"] = {
                stage: slope(values["kinds"], stage)
                for stage in ("bi_encoder", "cross_encoder", "two_stage")
                if values[stage] is not None
            }
        report["probes"][name] = rounded(values)
        write_report(report, arguments.out)
        for stage in ("bi_encoder", "cross_encoder", "two_stage", "words"):
            if (figures := getattr(measured, stage)) is not None:
                print(name, stage, json.dumps(rounded(asdict(figures))), flush=True)


if __name__ == "__main__":
    main()
