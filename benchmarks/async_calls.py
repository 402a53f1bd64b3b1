"""64 asynchronous calls at once, each of which waits 100 ms for a hosted model: how many rounds does that take?

    python benchmarks/async_calls.py --out benchmarks/results/async_calls.json

A stand-in server on 127.0.0.1 answers every request after 100 ms, however many there are. An event loop's own
executor has cores + 4 threads, so that on two cores 64 calls take eleven rounds; the row "default executor" shows it.
Reported is the median of the repetitions. Unit: milliseconds, and rounds of 100 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import threading
import time
import urllib.request
from collections.abc import Awaitable, Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from machine import machine

from bicross import ExactStore, Passage, TwoStageRetriever

CALLS = 64
DELAY = 0.1
DIMENSION = 8
Call = Callable[[str], Awaitable[Any]]


class Answer(BaseHTTPRequestHandler):
    """Vectors for texts, after the delay; equal texts get equal vectors."""

    def do_POST(self) -> None:
        texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        time.sleep(DELAY)
        rows = [np.random.default_rng(list(text.encode())).normal(size=DIMENSION).tolist() for text in texts]
        body = json.dumps(rows).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    request_queue_size = 4 * CALLS
    daemon_threads = True


class HostedEncoder:
    """A bi-encoder behind HTTP; satisfies `Encoder`."""

    document_fingerprint = "stand-in"

    def __init__(self, address: str) -> None:
        self.address = address

    def encode_query(self, texts: str | Sequence[str], /) -> np.ndarray:
        batch = [texts] if isinstance(texts, str) else list(texts)
        request = urllib.request.Request(self.address, json.dumps(batch).encode())
        with urllib.request.urlopen(request) as response:
            rows = np.array(json.load(response), dtype=np.float32)
        return rows[0] if isinstance(texts, str) else rows

    encode_document = encode_query


def langchain_calls(engine: TwoStageRetriever) -> dict[str, Call]:
    from bicross.langchain import BicrossEmbeddings, BicrossRetriever, BicrossVectorStore

    embeddings = BicrossEmbeddings(model=engine.bi_encoder)
    return {
        "LangChain: BicrossRetriever.ainvoke": BicrossRetriever(retriever=engine).ainvoke,
        "LangChain: BicrossVectorStore.asimilarity_search": BicrossVectorStore(
            embeddings, engine.store
        ).asimilarity_search,
        "LangChain: BicrossEmbeddings.aembed_query": embeddings.aembed_query,
    }


def calls(engine: TwoStageRetriever) -> dict[str, Call]:
    """Every way to ask, by name; each takes a query."""
    found: dict[str, Call] = {"default executor": lambda query: asyncio.to_thread(engine.search, query)}
    for adapter in (langchain_calls,):
        found |= adapter(engine)
    return found


async def at_once(call: Call) -> float:
    """Milliseconds until the last of all calls has its answer."""
    started = time.perf_counter()
    await asyncio.gather(*(call(f"query {i}") for i in range(CALLS)))
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    server = Server(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    rows = {}
    with ExactStore() as store:
        engine = TwoStageRetriever(HostedEncoder(f"http://127.0.0.1:{server.server_port}"), store)
        engine.index([Passage(f"passage {i}", id=str(i)) for i in range(20)], show_progress=False)
        for name, call in calls(engine).items():
            asyncio.run(at_once(call))  # starts the threads
            taken = statistics.median(asyncio.run(at_once(call)) for _ in range(options.repetitions))
            rows[name] = {"milliseconds": round(taken, 1), "rounds": round(taken / (DELAY * 1e3), 2)}
            print(f"{name:50} {taken:7.0f} ms  {rows[name]['rounds']:5.2f} rounds")
    server.shutdown()
    if options.out:
        report = {"calls": CALLS, "delay_ms": DELAY * 1e3, "machine": machine("langchain-core"), "results": rows}
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
