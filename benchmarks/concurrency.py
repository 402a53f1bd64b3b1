"""Many callers of one model: throughput of 64 threads, and what a query waits for while another thread indexes.

    python benchmarks/concurrency.py --out benchmarks/results/

Reads `squad` (queries and passages) from `--data`, `$BICROSS_DATA` or `../shared/data`. The peer, sentence-transformers
behind a lock, runs in the same process on the same weights, interleaved round by round; reported are medians.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, machine, write_report
from index_and_search import read_corpus, read_queries
from sentence_transformers import SentenceTransformer

from bicross import BiEncoder

Encode = Callable[[str], Any]
RARE, RARE_PAUSE = 10, 6.0
"""Queries so seldom that the job's batches are at their full size again. **Unit:** seconds."""


def in_threads(encode: Encode, queries: Sequence[str], threads: int) -> float:
    """Queries a second, asked by so many threads, each of which waits for its answer before it asks again."""
    barrier = threading.Barrier(threads + 1)

    def ask(own: Sequence[str]) -> None:
        barrier.wait()
        for query in own:
            encode(query)

    workers = [threading.Thread(target=ask, args=(queries[number::threads],)) for number in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    started = time.perf_counter()
    for worker in workers:
        worker.join()
    return len(queries) / (time.perf_counter() - started)


def throughput(encoders: dict[str, Encode], queries: Sequence[str], threads: int, rounds: int) -> dict[str, Any]:
    rates: dict[str, list[float]] = {name: [] for name in encoders}
    for number in range(rounds + 1):
        for name, encode in encoders.items():
            rate = in_threads(encode, queries, threads)
            if number:  # the first round warms up
                rates[name].append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    peer = medians["sentence-transformers with a lock"]
    return {
        "threads": threads,
        "queries_a_round": len(queries),
        "queries_per_second": {name: round(value, 1) for name, value in medians.items()},
        "ratio_to_peer": {name: round(value / peer, 2) for name, value in medians.items()},
    }


def latencies(encode: Encode, queries: Sequence[str], pause: float) -> dict[str, float]:
    """Milliseconds of a query, asked after a pause, one after the other."""
    times = []
    for query in queries:
        time.sleep(pause)
        started = time.perf_counter()
        encode(query)
        times.append((time.perf_counter() - started) * 1e3)
    return {"p50": round(float(np.percentile(times, 50)), 1), "p95": round(float(np.percentile(times, 95)), 1)}


def while_indexing(encoder: BiEncoder, queries: Sequence[str], texts: Sequence[str], pause: float) -> dict[str, Any]:
    """A query's time alone and beside a bulk job, and the job's speed alone and beside queries."""
    encoder.encode_document(texts[:64], return_truncation=True)
    idle = latencies(encoder.encode_query, queries, pause)
    stop, done = threading.Event(), 0

    def bulk() -> None:
        nonlocal done
        while not stop.is_set():
            encoder.encode_document(texts, return_truncation=True)
            done += len(texts)

    started = time.perf_counter()
    encoder.encode_document(texts, return_truncation=True)
    alone = len(texts) / (time.perf_counter() - started)
    thread = threading.Thread(target=bulk)
    started = time.perf_counter()
    thread.start()
    time.sleep(1.0)
    busy = latencies(encoder.encode_query, queries, pause)
    beside = done / (time.perf_counter() - started)
    rare = latencies(encoder.encode_query, queries[:RARE], RARE_PAUSE)
    stop.set()
    thread.join()
    return {
        "pause_ms": pause * 1e3,
        "query_ms_idle": idle,
        "query_ms_while_indexing": busy,
        "query_ms_while_indexing_after_a_long_pause": rare,
        "passages_per_second_alone": round(alone, 1),
        "passages_per_second_beside_queries": round(beside, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder() / "squad")
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--queries", type=int, default=640)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    queries = read_queries(arguments.data, "dev")[: arguments.queries]
    texts = [passage.full_text for passage in read_corpus(arguments.data)[:200]]
    encoder = BiEncoder.load("minilm", precision=arguments.precision)
    model = SentenceTransformer(str(encoder.checkpoint.folder), device=encoder.device)
    lock = threading.Lock()

    def locked(query: str) -> Any:
        with lock:
            return model.encode(query, show_progress_bar=False)

    encoders: dict[str, Encode] = {"bicross": encoder.encode_query, "sentence-transformers with a lock": locked}
    report = {
        "machine": machine("torch", "sentence-transformers", "transformers"),
        "device": encoder.device,
        "precision": encoder.precision,
        "concurrent": throughput(encoders, queries, arguments.threads, arguments.rounds),
        "one_caller": throughput(encoders, queries[:100], 1, arguments.rounds),
        "while_indexing": while_indexing(encoder, queries[:100], texts, 0.05),
    }
    print(report)
    write_report(report, arguments.out)


if __name__ == "__main__":
    main()
