"""64 asynchronous calls at once, each of which waits 100 ms for a server: how many rounds does that take?

    python benchmarks/async_calls.py --out benchmarks/results/async_calls.json

A stand-in server on 127.0.0.1 answers every request after 100 ms, however many there are: as a hosted model, or as a
Qdrant server whose answer is always the same. An event loop's own executor has cores + 4 threads, so that on two cores
64 calls take eleven rounds; the row "default executor" shows it. Reported is the median of the repetitions. Unit:
milliseconds, and rounds of 100 ms.
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
from typing import Any, ClassVar

import numpy as np
from common import machine, write_report
from qdrant_client import QdrantClient

from bicross import ExactStore, Passage, QdrantStore, TwoStageRetriever

CALLS = 64
DELAY = 0.1
DIMENSION = 8
Call = Callable[[str], Awaitable[Any]]


class Answer(BaseHTTPRequestHandler):
    """Answers after the delay: vectors for texts, equal ones for equal texts; or what a Qdrant server would say."""

    protocol_version = "HTTP/1.1"
    qdrant: ClassVar[dict[str, Any]] = {}

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or "null")
        time.sleep(DELAY)
        known = self.qdrant.get(self.path.split("?")[0])
        answer = {"result": known, "status": "ok", "time": DELAY} if known is not None else vectors(body)
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST  # noqa: N815

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def vectors(texts: Sequence[str]) -> list[list[float]]:
    return [np.random.default_rng(list(text.encode())).normal(size=DIMENSION).tolist() for text in texts]


class Server(ThreadingHTTPServer):
    request_queue_size = 4 * CALLS
    daemon_threads = True


class LocalEncoder:
    """A bi-encoder that takes no time; satisfies `Encoder`."""

    document_fingerprint = "stand-in"

    def encode_query(self, texts: str | Sequence[str], /) -> np.ndarray:
        rows = np.array(vectors([texts] if isinstance(texts, str) else texts), dtype=np.float32)
        return rows[0] if isinstance(texts, str) else rows

    encode_document = encode_query


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


def langchain_calls(hosted: TwoStageRetriever, remote: TwoStageRetriever) -> dict[str, Call]:
    from bicross.langchain import BicrossEmbeddings, BicrossRetriever, BicrossVectorStore

    embeddings = BicrossEmbeddings(model=hosted.bi_encoder)
    return {
        "LangChain: BicrossRetriever, hosted model": BicrossRetriever(retriever=hosted).ainvoke,
        "LangChain: BicrossRetriever, Qdrant server": BicrossRetriever(retriever=remote).ainvoke,
        "LangChain: BicrossVectorStore, hosted model": BicrossVectorStore(embeddings, hosted.store).asimilarity_search,
        "LangChain: BicrossEmbeddings, hosted model": embeddings.aembed_query,
    }


def haystack_calls(hosted: TwoStageRetriever, remote: TwoStageRetriever) -> dict[str, Call]:  # noqa: ARG001
    from haystack_integrations.components.retrievers.bicross import BicrossEmbeddingRetriever
    from haystack_integrations.document_stores.bicross import BicrossDocumentStore

    store = BicrossDocumentStore(url=remote.store.place)
    retriever = BicrossEmbeddingRetriever(store)
    return {
        "Haystack: BicrossEmbeddingRetriever, Qdrant server": lambda query: retriever.run_async(vectors([query])[0]),
        "Haystack: BicrossDocumentStore, Qdrant server": lambda query: store.search_async(vectors([query])[0]),
    }


def calls(hosted: TwoStageRetriever, remote: TwoStageRetriever) -> dict[str, Call]:
    """Every way to ask, by name; each takes a query."""
    found: dict[str, Call] = {"default executor": lambda query: asyncio.to_thread(hosted.search, query)}
    for adapter in (haystack_calls, langchain_calls):
        found |= adapter(hosted, remote)
    return found


async def at_once(call: Call) -> float:
    """Milliseconds until the last of all calls has its answer."""
    started = time.perf_counter()
    await asyncio.gather(*(call(f"query {i}") for i in range(CALLS)))
    return (time.perf_counter() - started) * 1e3


def pretend(passages: Sequence[Passage]) -> None:
    """Let the server answer as a Qdrant server would that holds these passages."""
    client = QdrantClient(":memory:")
    with QdrantStore(client=client) as store:
        TwoStageRetriever(LocalEncoder(), store).index(passages, show_progress=False)
    found = client.query_points("default", vectors(["query"])[0], using=None, limit=10).model_dump(mode="json")
    Answer.qdrant = {
        "/collections/default/exists": {"exists": True},
        "/collections/default": client.get_collection("default").model_dump(mode="json"),
        "/collections/default/points/count": {"count": len(passages)},
        "/collections/default/points/query": found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    passages = [Passage(f"passage {i}", id=str(i)) for i in range(20)]
    pretend(passages)
    server = Server(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    rows = {}
    with ExactStore() as store, QdrantStore(url=address) as server_store:
        hosted = TwoStageRetriever(HostedEncoder(address), store)
        hosted.index(passages, show_progress=False)
        remote = TwoStageRetriever(LocalEncoder(), server_store)
        for name, call in calls(hosted, remote).items():
            asyncio.run(at_once(call))  # starts the threads, opens the connections
            taken = statistics.median(asyncio.run(at_once(call)) for _ in range(options.repetitions))
            rows[name] = {"milliseconds": round(taken, 1), "rounds": round(taken / (DELAY * 1e3), 2)}
            print(f"{name:50} {taken:7.0f} ms  {rows[name]['rounds']:5.2f} rounds")
    server.shutdown()
    if options.out:
        packages = ("haystack-ai", "langchain-core", "qdrant-client")
        report = {"calls": CALLS, "delay_ms": DELAY * 1e3, "machine": machine(*packages), "results": rows}
        write_report(report, options.out)


if __name__ == "__main__":
    main()
