"""What the starters don't understand: every probe, on the bi-encoder, the cross-encoder, and both stages together.

    python benchmarks/probes.py --out benchmarks/results/probes-starter.json
    python benchmarks/probes.py --bi minilm --out benchmarks/results/probes.json \\
        --probes negation negation-scope quantifiers grounding unanswerable

Reads `probes/`, `squad`, `scifact`, `nfcorpus` and `squad-sent` from `--data`, `$BICROSS_DATA` or `../shared/data`.
The probes of quantifiers and of grounding are made from these sets' passages, by seed, and never written;
`grounding-split` is the same as `grounding`, with the documents cut into passages that the bi-encoder reads, as
`bicross index` cuts them. Vectors and scores are kept in `--cache`: killed at any moment, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder, Passage
from bicross.errors import TruncationWarning
from bicross.evaluation import Dataset, load_dataset, probe
from bicross.evaluation.generated import PLACES, grounding_probe, quantifier_probe
from bicross.readers import split

SEED = 5
PER_KIND = 75
PROBES = ["negation", "negation-scope", "quantifiers", "grounding", "grounding-split", "unanswerable"]
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


def splitter(data: Dataset, encoder: BiEncoder) -> Callable[[str], list[str]]:
    """Cuts a document of the grounding probe into passages that the encoder reads, each with the article's title."""
    titles = sorted(set(data.titles.values()), key=len, reverse=True)

    def cut(text: str) -> list[str]:
        title = next((title for title in titles if title and text.startswith(f"{title} ")), "")
        whole = Passage(text.removeprefix(f"{title} "), title=title or None)
        pieces = split([whole], limit=encoder.passage_limit, count_tokens=encoder.count_tokens)
        return [piece.full_text for piece in pieces]

    return cut


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
    parser.add_argument("--questions", type=int, default=50, help="questions of the grounding probe")
    parser.add_argument(
        "--paragraphs", type=int, default=1204, help="paragraphs of the probe of unanswerable questions (1204: all)"
    )
    parser.add_argument("--probes", nargs="*", default=PROBES, choices=PROBES, metavar="PROBE", help=", ".join(PROBES))
    parser.add_argument("--cache", type=Path, default=here / ".bicross" / "cache")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not (arguments.data / "probes").is_dir():
        parser.error(f"needs the probes, got no folder {arguments.data / 'probes'}; set BICROSS_DATA or pass --data")
    warnings.simplefilter("ignore", TruncationWarning)  # long documents are cut: that is what is measured
    sentences = load_dataset(arguments.data / "squad-sent")
    sources = {
        "negation": lambda: arguments.data / "probes" / "semantoneg.jsonl",
        "negation-scope": lambda: arguments.data / "probes" / "scone.jsonl",
        "quantifiers": lambda: quantifiers(arguments.data),
        "grounding": lambda: grounding_probe(sentences, count=arguments.questions, seed=SEED),
        "grounding-split": lambda: grounding_probe(sentences, count=arguments.questions, seed=SEED),
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
            "passage_tokens": bi.passage_limit,
        },
        "models": {"bi_encoder": bi.document_fingerprint, "cross_encoder": cross and cross.fingerprint},
        "probes": {},
    }
    for name in arguments.probes:
        cut = splitter(sentences, bi) if name == "grounding-split" else None
        measured = probe(sources[name](), bi, cross, split=cut, cache_dir=arguments.cache, seed=SEED)
        values = measured.as_dict(failures=0)
        del values["failures"]  # they are texts of data sets
        report["probes"][name] = rounded(values)
        write_report(report, arguments.out)
        for stage in ("bi_encoder", "cross_encoder", "two_stage", "words"):
            if (figures := getattr(measured, stage)) is not None:
                print(name, stage, json.dumps(rounded(asdict(figures))), flush=True)


if __name__ == "__main__":
    main()
