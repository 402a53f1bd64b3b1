"""How time grows: with the length of the texts, with their number, and with the number of stored passages.

    python benchmarks/growth.py --out benchmarks/results/

Beside bicross (`float32`, and `auto` where that is something else) runs sentence-transformers on torch, at the faster
of two batch sizes for each row. Texts of exactly so many tokens are cut from a data set (`squad`); the model, whose
limit is 256 tokens, is given one of 512 for both. Searches for the 100 nearest are over random unit vectors, beside
qdrant-client's local mode; vectors of text are easier for an approximate index. Kinds take turns within every round;
figures are medians.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, instruction_class, machine, write_report
from index_and_search import read_corpus
from qdrant_client import QdrantClient, models
from sentence_transformers import SentenceTransformer

from bicross import BiEncoder, Passage, QdrantStore
from bicross.benchmarking.interleaving import Timed, interleave

LENGTHS = (16, 32, 64, 128, 256, 512)
NUMBERS = (1, 8, 64, 512, 4_096)
STORED = (1_000, 10_000, 100_000)
TOP = 100
PEER = "sentence-transformers"
Encode = Callable[[Sequence[str]], Any]


def long_model(folder: Path) -> Path:
    """MiniLM's folder with a limit of 512 tokens."""
    with BiEncoder.load("minilm", backend="torch", device="cpu") as encoder:
        target = Path(shutil.copytree(encoder.checkpoint.folder, folder / "long"))
    settings = json.loads((target / "sentence_bert_config.json").read_text(encoding="utf-8"))
    (target / "sentence_bert_config.json").write_text(json.dumps(settings | {"max_seq_length": max(LENGTHS)}))
    return target


def texts_of(encoder: BiEncoder, corpus: Sequence[str], tokens: int, count: int) -> list[str]:
    """Texts that are so long, special tokens included."""
    tokenizer = encoder._leases["document"].get().tokenizer
    content = tokens - len(tokenizer.single)
    whole = " ".join(corpus[: 2 * count * tokens // 100 + 1])
    _, offsets = tokenizer.offsets(whole)
    starts = range(0, len(offsets) - content, content)
    return [whole[offsets[at][0] : offsets[at + content - 1][1]] for at in starts][:count]


def encoders(folder: Path, closing: ExitStack) -> tuple[dict[str, Encode], BiEncoder]:
    """Every way to encode, by name, and an encoder of ours."""
    ours = {}
    for precision in ("float32", "auto"):
        encoder = closing.enter_context(BiEncoder.load(folder, device="cpu", precision=precision))
        if encoder.precision not in {each.precision for each in ours.values()}:
            ours[f"bicross {precision}"] = encoder
    theirs = SentenceTransformer(str(folder), device="cpu")

    def our_way(encoder: BiEncoder) -> Encode:
        return lambda texts: encoder.encode_document(texts, show_progress=False, return_truncation=True)

    def their_way(batch: int) -> Encode:
        return lambda texts: theirs.encode(list(texts), batch_size=batch, show_progress_bar=False)

    ways = {name: our_way(encoder) for name, encoder in ours.items()}
    ways |= {f"{PEER}, batches of {batch}": their_way(batch) for batch in (8, 32)}
    return ways, next(iter(ours.values()))


def row(found: dict[str, Timed[Any]], texts: int) -> dict[str, Any]:
    ms = {name: timed.wall() * 1e3 for name, timed in found.items()}
    theirs = min(value for name, value in ms.items() if name.startswith(PEER))
    return {
        "texts": texts,
        "ms_a_text": {name: round(value / texts, 3) for name, value in ms.items()},
        "ratio": {name: round(theirs / value, 2) for name, value in ms.items() if not name.startswith(PEER)},
    }


def encoding(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Rows for each length, and for each number of texts."""
    corpus = [passage.full_text for passage in read_corpus(options.data)]
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as closing:
        ways, encoder = encoders(long_model(Path(temporary)), closing)
        for tokens in LENGTHS:
            texts = texts_of(encoder, corpus, tokens, max(options.tokens // tokens, 1))
            calls = {name: lambda way=way, texts=texts: way(texts) for name, way in ways.items()}
            report["text_length"][tokens] = row(interleave(calls, options.rounds), len(texts))
            write_report(report, options.out)
        for number in (number for number in NUMBERS if number <= options.most):
            texts = corpus[:: max(len(corpus) // number, 1)][:number]
            calls = {name: lambda way=way, texts=texts: way(texts) for name, way in ways.items()}
            repeats = max(32 // number, 1)
            report["number_of_texts"][number] = row(interleave(calls, options.rounds, repeats), number)
            write_report(report, options.out)


def searching(options: argparse.Namespace, report: dict[str, Any]) -> None:
    """Rows for each number of stored passages."""
    rng = np.random.default_rng(0)
    for number in (number for number in STORED if number <= options.stored):
        vectors = rng.standard_normal((number, 384), dtype=np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        query = vectors[number // 2] + 0.5 * vectors[0]
        client = QdrantClient(":memory:")
        client.create_collection("c", models.VectorParams(size=384, distance=models.Distance.COSINE))
        client.upload_collection("c", vectors, payload=[{"text": str(i)} for i in range(number)], wait=True)
        with QdrantStore(path=":memory:") as store:
            for start in range(0, number, 1_000):
                part = range(start, min(start + 1_000, number))
                store.upsert([Passage(str(i), id=str(i)) for i in part], vectors[part.start : part.stop])
            store.optimize()
            calls: dict[str, Callable[[], Any]] = {
                "bicross": lambda store=store, query=query: store.search(query, top_k=TOP),
                "qdrant-client, local": lambda client=client, query=query: client.query_points(
                    "c", query.tolist(), limit=TOP
                ),
            }
            found = interleave(calls, options.rounds, 10)
        ms = {name: timed.wall() * 1e3 for name, timed in found.items()}
        report["stored_passages"][number] = {
            "ms": {name: round(value, 2) for name, value in ms.items()},
            "ratio": round(ms["qdrant-client, local"] / ms["bicross"], 2),
        }
        write_report(report, options.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder() / "squad")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tokens", type=int, default=8_192, help="of all texts of one length")
    parser.add_argument("--most", type=int, default=NUMBERS[-1], help="texts")
    parser.add_argument("--stored", type=int, default=STORED[-1], help="passages")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {
        "machine": machine(PEER, "qdrant-client", "qdrant-edge-py"),
        "instruction_class": instruction_class(),
        "rounds": options.rounds,
        "text_length": {},
        "number_of_texts": {},
        "stored_passages": {},
    }
    encoding(options, report)
    searching(options, report)
    print(json.dumps(report, indent=2))
    write_report(report, options.out)


if __name__ == "__main__":
    main()
