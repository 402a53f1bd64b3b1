"""From text to searchable, and from a query to its first 100: bicross beside sentence-transformers + qdrant-client.

    python benchmarks/index_and_search.py --out benchmarks/results/

Reads `squad-sent` (101,352 passages) from `--data`, `$BICROSS_DATA` or `../shared/data`. Peers run in the same process,
interleaved round by round, at the batch size that proves best for them. Reported are medians
and the ratio to the peer in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, machine, write_report
from qdrant_client import QdrantClient, models
from sentence_transformers import SentenceTransformer

from bicross import BiEncoder, Passage, QdrantStore, TwoStageRetriever

TOP = 100


def read_corpus(folder: Path) -> list[Passage]:
    rows = (json.loads(line) for line in (folder / "corpus.jsonl").open(encoding="utf-8"))
    return [Passage(row["text"], id=row["_id"], title=row.get("title") or None) for row in rows]


def read_queries(folder: Path, split: str) -> list[str]:
    wanted = {line.split("\t")[0] for line in (folder / "qrels" / f"{split}.tsv").read_text("utf-8").splitlines()[1:]}
    rows = (json.loads(line) for line in (folder / "queries.jsonl").open(encoding="utf-8"))
    return [row["text"] for row in rows if row["_id"] in wanted]


def timed(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def ours(encoder: BiEncoder, passages: Sequence[Passage]) -> float:
    with tempfile.TemporaryDirectory() as folder, QdrantStore(path=folder) as store:
        retriever = TwoStageRetriever(encoder, store)
        return timed(lambda: retriever.index(passages, show_progress=False))


def theirs(model: SentenceTransformer, batch: int, passages: Sequence[Passage]) -> float:
    client = QdrantClient(":memory:")
    client.create_collection("c", models.VectorParams(size=384, distance=models.Distance.COSINE))

    def work() -> None:
        vectors = model.encode([p.full_text for p in passages], batch_size=batch, normalize_embeddings=True)
        payload = [{"id": p.id, "text": p.text, "title": p.title} for p in passages]
        client.upload_collection("c", vectors, payload=payload, ids=range(len(passages)), wait=True)

    return timed(work)


def throughput(passages: Sequence[Passage], sample: int, rounds: int) -> dict[str, Any]:
    """Passages a second, in interleaved rounds over different passages."""
    model = SentenceTransformer(str(BiEncoder.load("minilm").checkpoint.folder), device="cpu")
    trial = passages[:512]
    texts = [p.full_text for p in trial]
    model.encode(texts[:64])
    tried = {batch: timed(lambda batch=batch: model.encode(texts, batch_size=batch)) for batch in (8, 32, 128)}
    batch = min(tried, key=lambda size: tried[size])
    encoders = {"float32": BiEncoder.load("minilm"), "auto": BiEncoder.load("minilm", precision="auto")}
    rates: dict[str, list[float]] = {"bicross float32": [], "bicross auto": [], "sentence-transformers + qdrant": []}
    for part in parts(passages, sample, rounds):
        rates["bicross float32"].append(sample / ours(encoders["float32"], part))
        rates["sentence-transformers + qdrant"].append(sample / theirs(model, batch, part))
        rates["bicross auto"].append(sample / ours(encoders["auto"], part))
    medians = {name: statistics.median(values) for name, values in rates.items()}
    peer = medians["sentence-transformers + qdrant"]
    return {
        "passages_a_round": sample,
        "rounds": rounds,
        "peer_batch_size": batch,
        "auto_is": encoders["auto"].precision,
        "passages_per_second": {name: round(value, 1) for name, value in medians.items()},
        "ratio_to_peer": {name: round(value / peer, 2) for name, value in medians.items()},
    }


def parts(passages: Sequence[Passage], size: int, count: int) -> Iterator[Sequence[Passage]]:
    order = np.random.default_rng(0).permutation(len(passages))
    for start in range(0, size * count, size):
        yield [passages[i] for i in order[start : start + size]]


def search(passages: Sequence[Passage], queries: Sequence[str], peer_queries: int) -> dict[str, Any]:
    """Latency of the first 100 and recall against exact search, on an index that is really built."""
    encoder = BiEncoder.load("minilm", precision="auto")
    vectors = encoder.encode_document([p.full_text for p in passages])
    asked = encoder.encode_query(queries)
    exact = np.argsort(-(asked @ vectors.T), axis=1, kind="stable")[:, :TOP]
    truth = [{passages[i].id for i in row} for row in exact]
    report: dict[str, Any] = {"passages": len(passages), "queries": len(queries)}
    with tempfile.TemporaryDirectory() as folder, QdrantStore(path=folder) as store:
        report["inserts_per_second"] = round(len(passages) / timed(lambda: store.upsert(passages, vectors)))
        report["optimize_seconds"] = round(timed(store.optimize), 1)
        info = store.info()
        assert info is not None
        assert info.indexed_vectors_count > 0
        report["indexed_vectors_count"] = info.indexed_vectors_count
        report["bicross default"] = measure(lambda v: [hit.passage.id for hit in store.search(v, TOP)], asked, truth)
    client = QdrantClient(":memory:")
    client.create_collection("c", models.VectorParams(size=384, distance=models.Distance.COSINE))
    payload = [{"id": p.id, "text": p.text, "title": p.title} for p in passages]
    client.upload_collection("c", vectors, payload=payload, ids=range(len(passages)), wait=True)

    def peer(vector: Any) -> list[str]:
        return [point.payload["id"] for point in client.query_points("c", vector.tolist(), limit=TOP).points]

    report["qdrant-client local mode"] = measure(peer, asked[:peer_queries], truth[:peer_queries])
    mine, other = report["bicross default"]["p50_ms"], report["qdrant-client local mode"]["p50_ms"]
    report["p50_ratio_to_peer"] = round(other / mine, 1)
    return report


def measure(find: Callable[[Any], list[str]], asked: Any, truth: list[set[str]]) -> dict[str, float]:
    for vector in asked[:20]:
        find(vector)
    spent, recalls = [], []
    for vector, expected in zip(asked, truth, strict=True):
        started = time.perf_counter()
        found = find(vector)
        spent.append((time.perf_counter() - started) * 1e3)
        recalls.append(len(expected & set(found)) / TOP)
    return {
        "p50_ms": round(float(np.percentile(spent, 50)), 2),
        "p95_ms": round(float(np.percentile(spent, 95)), 2),
        "recall_at_100": round(float(np.mean(recalls)), 4),
        "worst_recall": min(recalls),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sample", type=int, default=4_096, help="passages a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=500)
    arguments = parser.parse_args()
    folder = arguments.data / "squad-sent"
    if not folder.is_dir():
        parser.error(f"needs the data set squad-sent, got no folder {folder}; set BICROSS_DATA or pass --data")
    passages = read_corpus(folder)
    queries = read_queries(folder, "test")[: arguments.queries]
    packages = ("torch", "transformers", "sentence-transformers", "qdrant-client", "qdrant-edge-py")
    report: dict[str, Any] = {"machine": machine(*packages)}
    report["index"] = throughput(passages, arguments.sample, arguments.rounds)
    report["search"] = search(passages, queries, peer_queries=100)
    print(json.dumps(report, indent=2))
    write_report(report, arguments.out)


if __name__ == "__main__":
    main()
