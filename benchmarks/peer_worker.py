"""One library at work in a process of its own, told what to do by `peers.py`. Each runs in the environment that has it.

    python benchmarks/peer_worker.py prepare FOLDER     # the peers' own exports, once
    python benchmarks/peer_worker.py run KIND FOLDER    # says what computes; then a line of JSON in, a line of JSON out
    python benchmarks/peer_worker.py hit KIND FOLDER QUERY    # from nothing to the first hit

FOLDER holds `bi` and `cross`, sentence-transformers checkpoints, and what `prepare` writes beside them.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="true", HAYSTACK_TELEMETRY_ENABLED="false")
FLASHRANK = ("ms-marco-MiniLM-L-12-v2", "flashrank-MiniLM-L-12-v2_Q.onnx")
"""The folder and the file that FlashRank knows; ours lie there in their stead."""
QUERY = "what is the name of the largest river in south america ?"
LIMIT = 256
"""What both starters read. **Unit:** tokens."""
CANDIDATES = 100
TRIES = 2
"""Calls at each batch size, of which the faster counts."""
HIT_CANDIDATES = 10
SERVED = {
    "bi": {"openvino": ("openvino", "float32"), "onnx": ("onnx", "float32")},
    "cross": {"openvino": ("openvino", "float32"), "onnx": ("onnx", "int8")},
}
"""What is exported for `hit`; the second form is what fastembed and FlashRank compute with, too."""


def quantised() -> str:
    """sentence-transformers' name of the int8 configuration for this CPU."""
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").exists() else ""
    if platform.machine().startswith(("arm", "aarch")):
        return "arm64"
    return "avx512_vnni" if "avx512_vnni" in flags else "avx2"


def quantised_file() -> str:
    """sentence-transformers' file of it: its weights are signed on some CPUs, and unsigned on others."""
    sign = "u" if quantised() == "avx2" else ""
    return f"onnx/model_q{sign}int8_{quantised()}.onnx"


def openvino_in(precision: str) -> dict[str, str]:
    """OpenVINO's settings: by itself it takes bfloat16 wherever the CPU has it, also where that takes longer."""
    return {"INFERENCE_PRECISION_HINT": precision}


class Kind:
    """A library. What it can't do isn't overridden."""

    batches: tuple[int, ...] = ()
    computed_by = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.batch = self.batches[-1] if self.batches else 0

    def bulk(self, texts: Sequence[str]) -> Any: ...
    def query(self, text: str) -> Any: ...
    def pairs(self, query: str, texts: Sequence[str]) -> Any: ...
    def index(self, texts: Sequence[str]) -> None: ...
    def again(self, texts: Sequence[str]) -> None: ...
    def search(self, query: str) -> Any: ...

    def tune(self, texts: Sequence[str], query: str = "") -> int:
        """Take the batch size that is fastest here: for texts, or with a query for its pairs with them."""

        def work(some: Sequence[str]) -> Any:
            return self.pairs(query, some) if query else self.bulk(some)

        def spent(batch: int) -> float:
            self.batch = batch
            return min(seconds(lambda: work(texts)) for _ in range(TRIES))

        if self.batches:
            work(texts[:8])
            self.batch = min(self.batches, key=spent)
        return self.batch


class Bicross(Kind):
    def __init__(self, folder: Path, precision: str) -> None:
        super().__init__(folder)
        from bicross import BiEncoder, CrossEncoder

        self.encoder = BiEncoder.load(folder / "bi", precision=precision, device="cpu")
        self.scorer = CrossEncoder.load(folder / "cross", precision=precision, device="cpu")
        self.computed_by = f"{self.encoder.backend} {self.encoder.precision}"

    def bulk(self, texts: Sequence[str]) -> Any:
        return self.encoder.encode_document(texts, show_progress=False, return_truncation=True)[0]

    def query(self, text: str) -> Any:
        return self.encoder.encode_query(text)

    def pairs(self, query: str, texts: Sequence[str]) -> Any:
        return self.scorer.predict([(query, text) for text in texts], return_truncation=True)[0]

    def index(self, texts: Sequence[str]) -> None:
        from bicross import QdrantStore, TwoStageRetriever

        self.retriever = TwoStageRetriever(self.encoder, QdrantStore(path=tempfile.mkdtemp()), self.scorer)
        self.again(texts)

    def again(self, texts: Sequence[str]) -> None:
        from bicross import Passage

        self.retriever.index(
            [Passage(text, id=str(i)) for i, text in enumerate(texts)], source="s", show_progress=False
        )

    def search(self, query: str) -> Any:
        return self.retriever.search(query, top_k=10, candidates=CANDIDATES)


class SentenceTransformers(Kind):
    batches = (8, 32, 128)

    def __init__(self, folder: Path, backend: str = "torch", **model_kwargs: Any) -> None:
        super().__init__(folder)
        from sentence_transformers import CrossEncoder, SentenceTransformer

        more = {"model_kwargs": model_kwargs}
        suffix = "" if backend == "torch" else f"-{backend}"
        self.encoder = SentenceTransformer(str(folder / f"bi{suffix}"), device="cpu", backend=backend, **more)
        self.scorer = CrossEncoder(str(folder / f"cross{suffix}"), device="cpu", backend=backend, **more)
        self.lock = threading.Lock()

    def bulk(self, texts: Sequence[str]) -> Any:
        return self.encoder.encode(list(texts), batch_size=self.batch, show_progress_bar=False)

    def query(self, text: str) -> Any:
        with self.lock:
            return self.encoder.encode(text, show_progress_bar=False)

    def pairs(self, query: str, texts: Sequence[str]) -> Any:
        return self.scorer.predict([(query, text) for text in texts], batch_size=self.batch, show_progress_bar=False)


class FastEmbed(Kind):
    batches = (8, 32, 128)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from fastembed import TextEmbedding

        name = "sentence-transformers/all-MiniLM-L6-v2"
        self.model = TextEmbedding(name, specific_model_path=str(folder / "fastembed"))

    def bulk(self, texts: Sequence[str]) -> Any:
        return list(self.model.embed(list(texts), batch_size=self.batch))

    def query(self, text: str) -> Any:
        return next(iter(self.model.query_embed(text)))


class FlashRank(Kind):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from flashrank import Ranker, RerankRequest

        self.request = RerankRequest
        self.ranker = Ranker(FLASHRANK[0], cache_dir=str(folder / "flashrank"), max_length=LIMIT, log_level="ERROR")

    def pairs(self, query: str, texts: Sequence[str]) -> Any:
        passages = [{"id": i, "text": text} for i, text in enumerate(texts)]
        found = self.ranker.rerank(self.request(query, passages))
        return [row["score"] for row in sorted(found, key=lambda row: row["id"])]


class Haystack(Kind):
    """Its embedders and ranker of sentence-transformers, and qdrant-haystack in local mode."""

    batches = (8, 32, 128)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from haystack_integrations.components.embedders.sentence_transformers import (
            SentenceTransformersDocumentEmbedder,
            SentenceTransformersTextEmbedder,
        )
        from haystack_integrations.components.rankers.sentence_transformers import SentenceTransformersSimilarityRanker

        self.embedder = SentenceTransformersDocumentEmbedder(model=str(folder / "bi"), progress_bar=False)
        self.asker = SentenceTransformersTextEmbedder(model=str(folder / "bi"), progress_bar=False)
        self.ranker = SentenceTransformersSimilarityRanker(model=str(folder / "cross"), top_k=10)
        for component in (self.embedder, self.asker, self.ranker):
            component.warm_up()

    def bulk(self, texts: Sequence[str]) -> Any:
        from haystack import Document

        self.embedder.batch_size = self.batch
        return self.embedder.run([Document(content=text) for text in texts])["documents"]

    def index(self, texts: Sequence[str]) -> None:
        from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever
        from haystack_integrations.document_stores.qdrant import QdrantDocumentStore

        store = QdrantDocumentStore(":memory:", embedding_dim=384, similarity="cosine", progress_bar=False)
        store.write_documents(self.bulk(texts))
        self.retriever = QdrantEmbeddingRetriever(store, top_k=CANDIDATES)

    def pairs(self, query: str, texts: Sequence[str]) -> Any:
        from haystack import Document

        self.ranker.batch_size = self.batch
        return self.ranker.run(query=query, documents=[Document(content=text) for text in texts])["documents"]

    def tune(self, texts: Sequence[str], query: str = "") -> int:
        """The embedder and the ranker each get their own."""
        if not query:
            self.ranker.batch_size = super().tune(texts, QUERY)
        return super().tune(texts, query)

    def search(self, query: str) -> Any:
        found = self.retriever.run(self.asker.run(query)["embedding"])["documents"]
        return self.ranker.run(query=query, documents=found)["documents"]


class LangChain(Kind):
    """HuggingFaceEmbeddings and langchain-qdrant in local mode, by `index()` with a record manager in memory."""

    batches = (8, 32, 128)

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from langchain_huggingface import HuggingFaceEmbeddings

        self.embeddings = HuggingFaceEmbeddings(model_name=str(folder / "bi"), model_kwargs={"device": "cpu"})

    def bulk(self, texts: Sequence[str]) -> Any:
        self.embeddings.encode_kwargs = {"batch_size": self.batch}
        return self.embeddings.embed_documents(list(texts))

    def index(self, texts: Sequence[str]) -> None:
        from langchain_core.indexing import InMemoryRecordManager
        from langchain_qdrant import QdrantVectorStore
        from qdrant_client import QdrantClient, models

        client = QdrantClient(":memory:")
        client.create_collection("c", models.VectorParams(size=384, distance=models.Distance.COSINE))
        self.embeddings.encode_kwargs = {"batch_size": self.batch}
        self.store = QdrantVectorStore(client, "c", self.embeddings)
        self.records = InMemoryRecordManager("c")
        self.records.create_schema()
        self.again(texts)

    def again(self, texts: Sequence[str]) -> None:
        from langchain_core.documents import Document
        from langchain_core.indexing import index

        documents = [Document(text, metadata={"source": str(i)}) for i, text in enumerate(texts)]
        index(
            documents,
            self.records,
            self.store,
            cleanup="full",  # as thorough as "incremental" where all documents come at once, and faster
            source_id_key="source",
            batch_size=1_024,
            key_encoder="sha1",  # the one whose keys are UUIDs, which Qdrant wants for ids
        )


class FastEmbedFlashRank(FastEmbed):
    """Both, over qdrant-client's local mode."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ranker = FlashRank(folder)

    def index(self, texts: Sequence[str]) -> None:
        from qdrant_client import QdrantClient, models

        self.client = QdrantClient(":memory:")
        self.client.create_collection("c", models.VectorParams(size=384, distance=models.Distance.COSINE))
        payload = [{"text": text} for text in texts]
        self.client.upload_collection("c", self.bulk(texts), payload=payload, ids=range(len(texts)), wait=True)

    def search(self, query: str) -> Any:
        points = self.client.query_points("c", self.query(query).tolist(), limit=CANDIDATES).points
        return self.ranker.pairs(query, [point.payload["text"] for point in points])


KINDS: dict[str, Callable[[Path], Kind]] = {
    "bicross float32": lambda folder: Bicross(folder, "float32"),
    "bicross auto": lambda folder: Bicross(folder, "auto"),
    "bicross int8": lambda folder: Bicross(folder, "int8"),
    "st torch": SentenceTransformers,
    "st onnx": lambda folder: SentenceTransformers(folder, "onnx", file_name="onnx/model.onnx"),
    "st onnx O3": lambda folder: SentenceTransformers(folder, "onnx", file_name="onnx/model_O3.onnx"),
    "st onnx int8": lambda folder: SentenceTransformers(folder, "onnx", file_name=quantised_file()),
    "st openvino": lambda folder: SentenceTransformers(folder, "openvino", ov_config=openvino_in("f32")),
    "st openvino bfloat16": lambda folder: SentenceTransformers(folder, "openvino", ov_config=openvino_in("bf16")),
    "fastembed": FastEmbed,
    "flashrank": FlashRank,
    "fastembed + flashrank": FastEmbedFlashRank,
    "haystack": Haystack,
    "langchain": LangChain,
}


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def concurrent(kind: Kind, queries: Sequence[str], threads: int) -> float:
    """Seconds for all queries, asked by so many threads, each of which waits for its answer."""
    barrier = threading.Barrier(threads + 1)

    def ask(own: Sequence[str]) -> None:
        barrier.wait()
        for query in own:
            kind.query(query)

    workers = [threading.Thread(target=ask, args=(queries[number::threads],)) for number in range(threads)]
    for worker in workers:
        worker.start()
    barrier.wait()
    return seconds(lambda: [worker.join() for worker in workers])


def answer(kind: Kind, do: str, texts: Sequence[str], queries: Sequence[str], repeats: int) -> Any:
    match do:
        case "tune":
            return kind.tune(texts, *queries)
        case "vectors":
            return [[float(value) for value in vector] for vector in kind.bulk(texts)]
        case "scores":
            return [float(score) for score in kind.pairs(queries[0], texts)]
        case "bulk":
            return [seconds(lambda: kind.bulk(texts))]
        case "query":
            return [seconds(lambda: kind.query(queries[0])) for _ in range(repeats)]
        case "concurrent":
            return [concurrent(kind, queries, repeats)]
        case "pairs":
            return [seconds(lambda: kind.pairs(queries[0], texts))]
        case "index":
            return [seconds(lambda: kind.index(texts))]
        case "again":
            return [seconds(lambda: kind.again(texts))]
        case "search":
            return [seconds(lambda query=query: kind.search(query)) for query in queries]
        case _:
            raise ValueError(do)


def run(name: str, folder: Path) -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to standard error
    kind = KINDS[name](folder)
    print(json.dumps(kind.computed_by), file=out, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        found = answer(kind, order["do"], order["texts"], order["queries"], order["repeats"])
        print(json.dumps(found), file=out, flush=True)


def prepare(folder: Path) -> None:
    """The peers' own exports, by their own means."""
    from sentence_transformers import (
        CrossEncoder,
        SentenceTransformer,
        export_dynamic_quantized_onnx_model,
        export_optimized_onnx_model,
    )
    from transformers import AutoTokenizer

    for name, kind in (("bi", SentenceTransformer), ("cross", CrossEncoder)):
        source, target = str(folder / name), folder / f"{name}-onnx"
        model = kind(source, backend="onnx", device="cpu", model_kwargs={"export": True})
        model.save_pretrained(str(target))
        export_optimized_onnx_model(model, "O3", str(target))
        export_dynamic_quantized_onnx_model(model, quantised(), str(target))
        kind(source, backend="openvino", device="cpu", model_kwargs={"export": True}).save_pretrained(
            str(folder / f"{name}-openvino")
        )
    for source, target, graph, file in (
        ("bi", folder / "fastembed", folder / "bi-onnx/onnx/model_O3.onnx", "model.onnx"),
        (
            "cross",
            folder / "flashrank" / FLASHRANK[0],
            folder / "cross-onnx" / quantised_file(),
            FLASHRANK[1],
        ),
    ):
        target.mkdir(parents=True, exist_ok=True)
        AutoTokenizer.from_pretrained(folder / source).save_pretrained(target)
        shutil.copy(folder / source / "config.json", target)
        shutil.copy(graph, target / file)
        settings = json.loads((target / "tokenizer_config.json").read_text(encoding="utf-8"))
        settings.pop("max_length", None)  # MiniLM's says 128, which fastembed takes for the limit
        settings["model_max_length"] = LIMIT
        (target / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def fill(folder: Path, texts: Sequence[str]) -> None:
    """What `hit` searches: graphs and an embedded store of ours, and qdrant-client's local mode on disk."""
    from qdrant_client import QdrantClient, models

    from bicross import BiEncoder, Passage, QdrantStore, TwoStageRetriever
    from bicross.encoding.exported import export_model

    for name, kind in (("bi", "bi-encoder"), ("cross", "cross-encoder")):
        for form, (backend, precision) in SERVED[name].items():
            export_model(folder / name, kind=kind, backend=backend, precision=precision, out=folder / f"{form}-{name}")
    encoder = BiEncoder.load(folder / "bi", device="cpu")
    with QdrantStore(path=folder / "store") as store:
        passages = [Passage(text, id=str(i)) for i, text in enumerate(texts)]
        TwoStageRetriever(encoder, store).index(passages, source="s", show_progress=False)
    vectors = encoder.encode_document(texts, return_truncation=True)[0]
    client = QdrantClient(path=str(folder / "local"))
    client.create_collection("c", models.VectorParams(size=384, distance=models.Distance.COSINE))
    payload = [{"text": text} for text in texts]
    client.upload_collection("c", vectors, payload=payload, ids=range(len(texts)), wait=True)
    client.close()


def hit(name: str, folder: Path, query: str) -> None:
    """A query's first hit in two stages; prints the peak of memory. **Unit:** megabytes."""
    if name.startswith("bicross"):
        from bicross import BiEncoder, CrossEncoder, QdrantStore, TwoStageRetriever

        store = QdrantStore(path=folder / "store")
        form = name.removeprefix("bicross ")
        encoder, scorer = (
            kind.load(folder / f"{form}-{part}", backend=SERVED[part][form][0], precision=SERVED[part][form][1])
            for kind, part in ((BiEncoder, "bi"), (CrossEncoder, "cross"))
        )
        TwoStageRetriever(encoder, store, scorer).search(query, top_k=1, candidates=HIT_CANDIDATES)
    else:
        from qdrant_client import QdrantClient

        kind = KINDS[name](folder)
        client = QdrantClient(path=str(folder / "local"))
        points = client.query_points("c", kind.query(query).tolist(), limit=HIT_CANDIDATES).points
        scorer = getattr(kind, "ranker", kind)
        scorer.pairs(query, [point.payload["text"] for point in points])
    # getrusage's peak begins with that of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    peak = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / (1 << 10)
    print(json.dumps({"peak_mb": round(peak)}), flush=True)
    os._exit(0)  # what an interpreter does at its end isn't part of it


def main() -> None:
    match sys.argv[1:]:
        case ["prepare", folder]:
            prepare(Path(folder))
        case ["fill", folder]:
            fill(Path(folder), json.load(sys.stdin))
        case ["run", name, folder]:
            run(name, Path(folder))
        case ["hit", name, folder, query]:
            hit(name, Path(folder), query)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
