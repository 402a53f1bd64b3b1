"""Backends and precisions against sentence-transformers on torch, in one run: bulk encoding, one query, 100 pairs.

    python benchmarks/backends.py --passages 100 --rounds 3 --out benchmarks/results/backends.json

Kinds take turns within every round, so that whatever else the machine does hits all alike; figures are medians, and
ratios are to sentence-transformers in the same run. Beside the wall clock stands the processor time of all threads,
which other processes disturb less.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder
from bicross.encoding.backends.choosing import installed
from bicross.encoding.hardware import has_bfloat16, usable_cores

QUERY = "what is the name of the largest river in south america ?"
"""14 tokens, special ones included."""
PEER = "sentence-transformers"
Work = dict[str, Callable[[], np.ndarray]]


def pairs_of_kinds() -> list[tuple[str, str]]:
    """Every backend and precision that is installed here."""
    kinds = [("torch", "float32"), ("onnx", "float32"), ("openvino", "float32")]
    kinds += [("torch", "bfloat16"), ("openvino", "bfloat16")] if has_bfloat16() else []
    kinds += [("onnx", "int8"), ("openvino", "int8")]
    return [(backend, precision) for backend, precision in kinds if installed(backend)]


def interleave(work: Work, rounds: int, repeats: int = 1) -> dict[str, dict[str, Any]]:
    """Time every kind once a round, after a round that warms up.

    Returns:
        For each kind: `wall` and `cpu`, medians in seconds of one call; `result`, of the warm-up.
    """
    found: dict[str, dict[str, Any]] = {
        name: {"walls": [], "cpus": [], "result": call()} for name, call in work.items()
    }
    for _ in range(rounds):
        for name, call in work.items():
            for _ in range(repeats):
                wall, cpu = time.perf_counter(), time.process_time()
                call()
                found[name]["walls"].append(time.perf_counter() - wall)
                found[name]["cpus"].append(time.process_time() - cpu)
    return {
        name: {
            "wall": statistics.median(each["walls"]),
            "cpu": statistics.median(each["cpus"]),
            "result": each["result"],
        }
        for name, each in found.items()
    }


def table(found: dict[str, dict[str, Any]], reference: np.ndarray, agreement: Callable[..., dict[str, float]]) -> dict:
    peer = found[PEER]
    return {
        name: {
            "milliseconds": round(each["wall"] * 1e3, 2),
            "ratio": round(peer["wall"] / each["wall"], 2),
            "cpu_milliseconds": round(each["cpu"] * 1e3, 2),
            "cpu_ratio": round(peer["cpu"] / each["cpu"], 2),
        }
        | agreement(each["result"], reference)
        for name, each in found.items()
    }


def cosines(vectors: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    values = (vectors * reference).sum(axis=-1) / np.linalg.norm(vectors, axis=-1) / np.linalg.norm(reference, axis=-1)
    return {"worst_cosine": round(float(values.min()), 6), "mean_cosine": round(float(values.mean()), 6)}


def logits(scores: np.ndarray, reference: np.ndarray) -> dict[str, float]:
    return {
        "worst_difference": round(float(np.abs(scores - reference).max()), 5),
        "distinct": len(set(scores.tolist())),
    }


def passages(dataset: str, count: int) -> list[str]:
    """An even sample of a data set's passages."""
    lines = (data_folder() / dataset / "corpus.jsonl").read_text(encoding="utf-8").splitlines()
    corpus = ["{title} {text}".format(**json.loads(line)) for line in lines]
    return corpus[:: len(corpus) // count][:count]


def measure_encoders(texts: list[str], rounds: int, *, peer_batch: int = 32) -> dict[str, Any]:
    """Bulk encoding, and one query."""
    from sentence_transformers import SentenceTransformer

    kinds = pairs_of_kinds()
    models = {f"{b} {p}": BiEncoder.load("starter", backend=b, precision=p, device="cpu") for b, p in kinds}
    theirs = SentenceTransformer(str(models["torch float32"].checkpoint.folder), device="cpu")
    report: dict[str, Any] = {}
    bulk: Work = {PEER: lambda: theirs.encode(texts, batch_size=peer_batch)}
    bulk |= {name: (lambda model=model: model.encode_document(texts)) for name, model in models.items()}
    done = interleave(bulk, rounds)
    report["bulk"] = table(done, done[PEER]["result"], cosines)
    one: Work = {PEER: lambda: theirs.encode(QUERY)}
    one |= {name: (lambda model=model: model.encode_query(QUERY)) for name, model in models.items()}
    done = interleave(one, rounds, repeats=20)
    report["one_query"] = table(done, done[PEER]["result"], cosines)
    return report


def measure_scorers(texts: list[str], rounds: int, *, peer_batch: int = 32) -> dict[str, Any]:
    """100 pairs of one query."""
    import torch
    from sentence_transformers import CrossEncoder as TheirCrossEncoder

    kinds = pairs_of_kinds()
    scorers = {f"{b} {p}": CrossEncoder.load("starter", backend=b, precision=p, device="cpu") for b, p in kinds}
    peer = TheirCrossEncoder(str(scorers["torch float32"].checkpoint.encoder.folder), device="cpu")
    candidates = [(QUERY, text) for text in texts]
    rerank: Work = {PEER: lambda: peer.predict(candidates, batch_size=peer_batch, activation_fn=torch.nn.Identity())}
    rerank |= {
        name: (lambda scorer=scorer: scorer.predict(candidates, activation="identity"))
        for name, scorer in scorers.items()
    }
    done = interleave(rerank, rounds)
    return {"rerank": table(done, done[PEER]["result"], logits)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="squad")
    parser.add_argument("--work", choices=["encode", "rerank"], nargs="+", default=["encode", "rerank"])
    parser.add_argument("--passages", type=int, default=100, help="to encode, and to rerank")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    packages = ["torch", "sentence-transformers", *(name for name in ("onnxruntime", "openvino") if installed_as(name))]
    texts = passages(options.dataset, options.passages)
    report: dict[str, Any] = {
        "machine": machine(*packages) | {"threads": usable_cores(), "load_before": os.getloadavg()},
        "passages": len(texts),
        "rounds": options.rounds,
    }
    if "encode" in options.work:
        report |= measure_encoders(texts, options.rounds)
    if "rerank" in options.work:
        report |= measure_scorers(texts, options.rounds)
    for work in ("bulk", "one_query", "rerank"):
        print(work if work in report else "", end="\n" if work in report else "")
        for name, row in report.get(work, {}).items():
            print(f"  {name:24}", "  ".join(f"{key} {value}" for key, value in row.items()))
    write_report(report, options.out)


def installed_as(package: str) -> bool:
    return installed({"onnxruntime": "onnx"}.get(package, package))


if __name__ == "__main__":
    main()
