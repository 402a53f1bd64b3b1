"""A second sync of the same passages, of which none or one has changed: bicross beside LangChain's `index()`.

    python benchmarks/index_again.py --out benchmarks/results/

Nothing is encoded where nothing changed, so the encoder is a stand-in, the same for both: what is timed is telling what
changed. LangChain's `index()` runs over its vector store in memory, with the record manager that keeps its records in
memory (they are gone with the process) and the one that keeps them in SQLite; with `cleanup="incremental"` and with
"full", each document its own source, in batches of 1,024. bicross runs over an embedded store on disk: the same
passages in the same process, after opening the store anew, in another order (then they are compared one by one), and
with `delete_missing`. Kinds take turns within every round; reported are medians of wall clock and processor time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, instruction_class, machine, write_report
from index_and_search import read_corpus
from langchain_classic.indexes import SQLRecordManager
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.indexing import InMemoryRecordManager, index
from langchain_core.vectorstores import InMemoryVectorStore

from bicross import Passage, QdrantStore, TwoStageRetriever
from bicross.benchmarking.interleaving import interleave
from bicross.types import Floats

DIMENSION = 384
Sync = Callable[[Sequence[str]], Any]


class StandIn(Embeddings):
    """Vectors of no meaning, at no cost; an encoder of both libraries."""

    document_fingerprint = query_fingerprint = "stand-in"

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        return self.encode_document(texts)

    def encode_document(self, texts: str | Sequence[str], /) -> Floats:
        return np.ones((len(texts), DIMENSION), np.float32)

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        return self.encode_document(texts).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self.embed_documents([text])[0]


def ours(
    folder: Path, closing: ExitStack, *, anew: bool = False, turned: bool = False, delete_missing: bool = False
) -> Sync:
    """A sync into an embedded store."""
    kept = QdrantStore(path=folder)
    closing.callback(lambda: kept.close())  # noqa: PLW0108  # another one by then
    turns = 0

    def sync(texts: Sequence[str]) -> int:
        nonlocal kept, turns
        if anew:
            kept.close()
            kept = QdrantStore(path=folder)
        passages = [Passage(text, id=str(i)) for i, text in enumerate(texts)]
        if turned:  # the order of before isn't there: passages are compared one by one
            turns += 1
            passages = passages[turns:] + passages[:turns]
        retriever = TwoStageRetriever(StandIn(), kept)
        return retriever.index(
            passages, source="s", delete_missing=delete_missing, optimize=False, show_progress=False
        ).unchanged

    return sync


def theirs(cleanup: str, database: Path | None = None) -> Sync:
    """LangChain's `index()`."""
    store = InMemoryVectorStore(StandIn())
    records: Any = InMemoryRecordManager("c")
    if database is not None:
        records = SQLRecordManager("c", db_url=f"sqlite:///{database}")
    records.create_schema()

    def sync(texts: Sequence[str]) -> int:
        documents = [Document(text, metadata={"source": str(i)}) for i, text in enumerate(texts)]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sha1, whose keys are UUIDs
            found = index(
                documents,
                records,
                store,
                cleanup=cleanup,  # type: ignore[arg-type]
                source_id_key="source",
                batch_size=1_024,
                key_encoder="sha1",
            )
        return found["num_skipped"]

    return sync


def syncs(folder: Path, closing: ExitStack) -> dict[str, Sync]:
    """Every way, by name; the first is bicross's usual one."""
    return {
        "bicross": ours(folder / "a", closing),
        "bicross, store opened anew": ours(folder / "b", closing, anew=True),
        "bicross, delete_missing": ours(folder / "c", closing, delete_missing=True),
        "bicross, in another order": ours(folder / "d", closing, turned=True),
        "langchain incremental, in memory": theirs("incremental"),
        "langchain full, in memory": theirs("full"),
        "langchain incremental, sqlite": theirs("incremental", folder / "i.db"),
        "langchain full, sqlite": theirs("full", folder / "f.db"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder() / "squad")
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    texts = [passage.full_text for passage in read_corpus(options.data)][: options.passages]
    report: dict[str, Any] = {
        "machine": machine("langchain-core", "langchain-classic", "qdrant-edge-py"),
        "instruction_class": instruction_class(),
        "passages": len(texts),
        "rounds": options.rounds,
        "work": {},
    }
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as closing:
        ways = syncs(Path(temporary), closing)
        for sync in ways.values():
            sync(texts)
        changes = 0

        def changed(sync: Sync) -> Callable[[], int]:
            def call() -> int:
                nonlocal changes
                changes += 1
                return sync([f"{texts[0]} {changes}", *texts[1:]])

            return call

        for name, calls in (
            ("unchanged", {name: lambda sync=sync: sync(texts) for name, sync in ways.items()}),
            ("one changed", {name: changed(sync) for name, sync in ways.items()}),
        ):
            found = interleave(calls, options.rounds)
            ms = {way: round(timed.wall() * 1e3, 1) for way, timed in found.items()}
            report["work"][name] = {
                "median_ms": ms,
                "median_cpu_ms": {way: round(timed.cpu() * 1e3, 1) for way, timed in found.items()},
                "told_unchanged": {way: timed.result for way, timed in found.items()},
                "ratio": {
                    own: {way: round(ms[way] / ms[own], 2) for way in ms if way.startswith("langchain")}
                    for own in ms
                    if own.startswith("bicross")
                },
            }
    print(json.dumps(report, indent=2))
    write_report(report, options.out)


if __name__ == "__main__":
    main()
