"""What it costs that onnxruntime's threads sleep while they wait: one query, and a batch, with threads that spin.

    python benchmarks/spinning.py --out benchmarks/results/

Three sessions over the same graph: `asleep` (bicross's), `spinning` (onnxruntime's default), `spinning within a call`
(`session.force_spinning_stop`). Queries of 14 tokens come with a pause between them, as users' do; the processor's time
counts the pause, too. A spinning session goes on spinning for a while, so that each waits until the last has ended.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from common import instruction_class, machine, write_report

from bicross import BiEncoder
from bicross.encoding.backends.onnx import GRAPH
from bicross.encoding.hardware import usable_cores

WAYS = {"asleep": ("0", "0"), "spinning": ("1", "0"), "spinning within a call": ("1", "1")}
TOKENS = 14
BATCH = (16, 128)
"""Texts, and tokens of each: a full batch."""
SETTLE = 2.0
"""Seconds before a session's turn."""


def session(graph: Path, spinning: str, stop: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = usable_cores(), 1
    options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    options.add_session_config_entry("session.force_spinning_stop", stop)
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def measure(options: argparse.Namespace, precision: str) -> dict[str, Any]:
    with BiEncoder.load("minilm", backend="onnx", precision=precision) as encoder:
        graph = encoder._leases["document"].get().model._graph.folder / GRAPH
        sessions = {name: session(graph, *way) for name, way in WAYS.items()}
    rng = np.random.default_rng(0)
    query, batch = (rng.integers(1_000, 20_000, shape) for shape in ((1, TOKENS), BATCH))
    spent: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(options.rounds + 1):
        for name, one in sessions.items():
            inputs = [{"input_ids": ids, "attention_mask": np.ones_like(ids)} for ids in (query, batch)]
            time.sleep(SETTLE)
            found = spent[name] if number else defaultdict(list)  # the first round warms up
            before = time.process_time()
            for _ in range(options.queries):
                began = time.perf_counter()
                one.run(None, inputs[0])
                found["query"].append(time.perf_counter() - began)
                time.sleep(options.pause)
            found["processor"].append((time.process_time() - before) / options.queries)
            for _ in range(3):
                began = time.perf_counter()
                one.run(None, inputs[1])
                found["batch"].append(time.perf_counter() - began)
    return {
        name: {
            "query_p50_ms": round(float(np.median(found["query"])) * 1e3, 2),
            "query_p95_ms": round(float(np.percentile(found["query"], 95)) * 1e3, 2),
            "processor_ms_a_query": round(float(np.median(found["processor"])) * 1e3, 1),
            "batch_ms": round(float(np.median(found["batch"])) * 1e3, 1),
        }
        for name, found in spent.items()
    }


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
    }
    for precision in ("float32", "int8"):
        report[precision] = measure(options, precision)
    print(json.dumps(report, indent=2))
    write_report(report, options.out)


if __name__ == "__main__":
    main()
