"""`bicross serve` under load: many clients against one, and what it does when there are too many.

    python benchmarks/serve_load.py --out benchmarks/results/serve_load.json

Starts the server as a process of its own; the clients are one process beside it, so they take from the same cores.
Three parts: one client that asks call by call; `--clients` that ask at the same time for `--seconds`; and as many
against a server whose queue holds a quarter of them, where some must be refused by 429 and none by anything else. A
call embeds a sentence of nine words (`embed`), or reranks ten texts of twenty (`rerank`).
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from common import machine, write_report

WORDS = re.findall("[a-z]+", (Path(__file__).parents[1] / "README.md").read_text("utf-8"))
SERVE = "from bicross.cli import main; main()"


@contextlib.contextmanager
def serving(*options: str) -> Iterator[tuple[str, int]]:
    """A server; its address and process id. Ends by SIGTERM, and must end well."""
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ)
    try:
        assert process.stderr is not None
        seen = []
        for line in process.stderr:
            seen.append(line)
            if found := re.search(r"running on (http://\S+)", line):
                break
        else:
            raise RuntimeError("".join(seen))
        # Somebody has to read on: a full pipe would stop the server.
        threading.Thread(target=process.stderr.read, daemon=True).start()
        yield found[1], process.pid
    finally:
        process.terminate()
        process.wait(60)
    if process.returncode:
        raise RuntimeError(f"the server ended with {process.returncode}")


def bodies(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Calls, none like another one."""
    for number in itertools.count():
        sentence = f"{number} " + " ".join(WORDS[number % 200 : number % 200 + 8])
        if kind == "embed":
            yield "/v1/embeddings", {"input": sentence, "encoding_format": "base64"}
        else:
            texts = [" ".join(WORDS[number % 100 + i : number % 100 + i + 20]) for i in range(10)]
            yield "/rerank", {"query": sentence, "documents": texts}


async def _load(url: str, kind: str, clients: int, seconds: float, pid: int) -> dict[str, Any]:
    calls = bodies(kind)
    took: list[float] = []
    statuses: Counter[str] = Counter()
    resident = [memory(pid)]
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)

    async def client(http: httpx.AsyncClient, end: float) -> None:
        while time.perf_counter() < end:
            path, body = next(calls)
            began = time.perf_counter()
            try:
                answer = await http.post(path, json=body)
            except httpx.HTTPError as error:
                statuses[type(error).__name__] += 1
                continue
            statuses[str(answer.status_code)] += 1
            if answer.status_code == 200:
                took.append(time.perf_counter() - began)
            elif answer.status_code == 429:
                assert int(answer.headers["retry-after"]) > 0
                await asyncio.sleep(0.02)  # less than it asks for: the load has to stay

    async def watch(end: float) -> None:
        while time.perf_counter() < end:
            await asyncio.sleep(0.25)
            resident.append(memory(pid))

    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as http:
        began = time.perf_counter()
        await asyncio.gather(*(client(http, began + seconds) for _ in range(clients)), watch(began + seconds))
        spent = time.perf_counter() - began
    milliseconds = np.array(took or [float("nan")]) * 1e3
    return {
        "clients": clients,
        "seconds": round(spent, 1),
        "statuses": dict(statuses),
        "calls_per_second": round(len(took) / spent, 1),
        **{f"p{q}_ms": round(float(np.percentile(milliseconds, q)), 1) for q in (50, 95, 99)},
        "resident_mib": {"first": resident[0], "most": max(resident), "last": resident[-1]},
    }


def memory(pid: int) -> int:
    """Resident memory of a process. **Unit:** MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") >> 20


def measure(clients: int, seconds: float, kinds: list[str], options: list[str]) -> dict[str, Any]:
    """All three parts for each kind of call."""
    report: dict[str, Any] = {"machine": machine()}
    for kind in kinds:
        with serving(*options) as (url, pid):
            asyncio.run(_load(url, kind, clients, min(seconds, 2), pid))  # warms up
            alone = asyncio.run(_load(url, kind, 1, max(seconds / 4, 1), pid))
            together = asyncio.run(_load(url, kind, clients, seconds, pid))
        with serving(*options, "--queue", str(max(clients // 4, 1))) as (url, pid):
            overload = asyncio.run(_load(url, kind, clients, max(seconds / 4, 1), pid))
        ratio = together["calls_per_second"] / alone["calls_per_second"]
        report[kind] = {"one": alone, "many": together, "ratio": round(ratio, 2), "overload": overload}
    return report


def check(report: dict[str, Any], kinds: list[str]) -> list[str]:
    """What isn't as it has to be."""
    wrong = []
    for kind in kinds:
        part = report[kind]
        for name, allowed in (("one", {"200"}), ("many", {"200"}), ("overload", {"200", "429"})):
            if others := set(part[name]["statuses"]) - allowed:
                wrong.append(f"{kind}, {name}: {sorted(others)}")
            grown = part[name]["resident_mib"]["most"] - part[name]["resident_mib"]["first"]
            if grown > 200:
                wrong.append(f"{kind}, {name}: {grown} MiB more memory")
        if set(part["overload"]["statuses"]) != {"200", "429"}:
            wrong.append(f"{kind}: an overload must give both 200 and 429, got {part['overload']['statuses']}")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--kind", nargs="+", choices=["embed", "rerank"], default=["embed", "rerank"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("options", nargs="*", help="Options of bicross serve, behind --.")
    given = parser.parse_args()
    report = measure(given.clients, given.seconds, given.kind, given.options)
    print(json.dumps(report, indent=2))
    write_report(report, given.out)
    if wrong := check(report, given.kind):
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
