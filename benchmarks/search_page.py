"""The search API's times: one user after the other, then 16 at once; with the parts of a search.

Start a server on the index of `make demo` first: bicross demo --port 8000 (or --precision auto).

    python benchmarks/search_page.py --url http://127.0.0.1:8000 --out benchmarks/results/search_page.json
"""

from __future__ import annotations

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from common import machine, write_report

QUERIES = [
    "split a string by a regular expression", "set every negative value to zero", "copy a directory tree",
    "remove duplicates from an array", "read a file line by line", "parse a date from text", "sort by a key",
    "the largest elements of a heap", "run another program and read its output", "a random number in a range",
    "join two paths", "count how often each item occurs", "cache what a function returned", "compress a file",
    "the median of numbers", "compare two texts line by line",
]  # fmt: skip


def search(client: httpx.Client, query: str, body: dict) -> tuple[float, dict[str, float]]:
    """Milliseconds of a request as the client sees it, and the server's own of each stage."""
    began = time.perf_counter()
    answer = client.post("/api/search", json={"query": query} | body)
    spent = (time.perf_counter() - began) * 1e3
    answer.raise_for_status()
    return spent, answer.json()["milliseconds"]


def summary(rows: list[tuple[float, dict[str, float]]]) -> dict[str, float]:
    spent = np.array([each for each, _ in rows])
    parts = {stage: float(np.median([row[stage] for _, row in rows])) for stage in rows[0][1]}
    return {"p50": float(np.median(spent)), "p95": float(np.percentile(spent, 95))} | parts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--users", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--candidates", type=int, default=50)
    parser.add_argument("--budget-ms", type=float)
    parser.add_argument("--first-stage")
    parser.add_argument("--no-sentences", action="store_true", help="Don't seek the best sentences.")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    body = {
        "candidates": arguments.candidates,
        "budget_ms": arguments.budget_ms,
        "first_stage": arguments.first_stage,
        "sentences": not arguments.no_sentences,
    }
    with httpx.Client(base_url=arguments.url, timeout=600, trust_env=False) as client:
        for query in QUERIES[:3]:
            search(client, query, body)
        alone = [search(client, query, body) for query in QUERIES * arguments.rounds]
        began = time.perf_counter()
        with ThreadPoolExecutor(arguments.users) as threads:
            together = list(threads.map(lambda query: search(client, query, body), QUERIES * arguments.rounds * 2))
        seconds = time.perf_counter() - began
        info = client.get("/api/info").json()["setups"][0]
    results = {
        "machine": machine(),
        "setup": {name: info[name] for name in ("name", "passages", "first_stages")},
        "asked": body,
        "alone": summary(alone),
        f"{arguments.users} users": summary(together) | {"searches a second": len(together) / seconds},
    }
    write_report(results, arguments.out)
    print(results)


if __name__ == "__main__":
    main()
