"""How onnxruntime's threads wait for their part of an operator: what each way costs a single query, and a batch.

    python benchmarks/spinning.py --out benchmarks/results/

Sessions over the same graph that differ in nothing else: see `ways`. Queries of 14 tokens come one after the other, and
with a pause between them, as users' do; the processor's time counts the pause, too. A spinning session goes on spinning
for a while, so that each waits until the last has ended.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from common import instruction_class, machine, write_report

from bicross import BiEncoder
from bicross.encoding.backends.onnx import GRAPH, _waiting
from bicross.encoding.hardware import usable_cores

TOKENS = 14
BATCH = (16, 128)
"""Texts, and tokens of each: a full batch."""
SETTLE = 2.0
"""Seconds before a session's turn."""


def ways() -> dict[str, dict[str, str]]:
    """What each session is told of its threads."""
    bicross = _waiting(usable_cores())
    if "_thread_affinities" not in bicross:
        sys.exit("Here bicross lets the threads sleep: one core, a quota, not Linux, or onnxruntime before 1.26.")
    return {
        "bicross": bicross,
        "asleep": {".allow_spinning": "0"},
        "spinning": {".allow_spinning": "1"},
        "spinning as short as bicross's, not bound": {key: bicross[key] for key in bicross if "affinit" not in key},
    }


def session(graph: Path, waiting: dict[str, str]) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = usable_cores(), 1
    for name, value in waiting.items():
        options.add_session_config_entry(f"session.intra_op{name}", value)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def measure(options: argparse.Namespace, precision: str) -> dict[str, Any]:
    with BiEncoder.load("minilm", backend="onnx", precision=precision) as encoder:
        graph = encoder._leases["document"].get().model._graph.folder / GRAPH
        sessions = {name: session(graph, way) for name, way in ways().items()}
    rng = np.random.default_rng(0)
    query, batch = (
        {"input_ids": ids, "attention_mask": np.ones_like(ids)}
        for ids in (rng.integers(1_000, 20_000, shape) for shape in ((1, TOKENS), BATCH))
    )
    spent: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(options.rounds + 1):
        for name, one in sessions.items():
            found = spent[name] if number else defaultdict(list)  # the first round warms up
            for kind, pause in (("in a row", 0.0), ("with pauses", options.pause)):
                time.sleep(SETTLE)
                before = time.process_time()
                found[kind] += [seconds(one, query, pause) for _ in range(options.queries)]
                found[f"processor {kind}"].append((time.process_time() - before) / options.queries)
            found["batch"] += [seconds(one, batch, 0.0) for _ in range(3)]
    return {
        name: {
            kind: {
                "p50_ms": round(float(np.median(found[kind])) * 1e3, 2),
                "p95_ms": round(float(np.percentile(found[kind], 95)) * 1e3, 2),
                "processor_ms_a_query": round(float(np.median(found[f"processor {kind}"])) * 1e3, 1),
            }
            for kind in ("in a row", "with pauses")
        }
        | {"batch_ms": round(float(np.median(found["batch"])) * 1e3, 1)}
        for name, found in spent.items()
    }


def seconds(one: onnxruntime.InferenceSession, inputs: dict[str, Any], pause: float) -> float:
    """Of one call, behind a pause."""
    time.sleep(pause)
    began = time.perf_counter()
    one.run(None, inputs)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--queries", type=int, default=20, help="of a round")
    parser.add_argument("--pause", type=float, default=0.03, help="seconds between two queries")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {
        "machine": machine("onnxruntime"),
        "instruction_class": instruction_class(),
        "settings": {name: str(value) for name, value in vars(options).items()},
        "ways": ways(),
    }
    for precision in ("float32", "int8"):
        report[precision] = measure(options, precision)
    print(json.dumps(report, indent=2))
    write_report(report, options.out)


if __name__ == "__main__":
    main()
