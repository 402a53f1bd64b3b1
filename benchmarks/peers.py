"""bicross beside its peers, each at its best settings, interleaved: encoding, reranking, indexing, searching, start.

    python benchmarks/peers.py --peers-python ~/peers/bin/python --out benchmarks/results/
    python benchmarks/peers_plot.py    # results/peers-*.json → docs/images/speed-*.svg

sentence-transformers' ONNX and OpenVINO backends need another transformers than bicross does, so every library works
in a process of its own (`peer_worker.py`), and the peers in an environment of their own:

    python3.11 -m venv ~/peers && ~/peers/bin/pip install torch==2.13.0
    ~/peers/bin/pip install "sentence-transformers[onnx,openvino]" fastembed flashrank qdrant-client \
        langchain-qdrant langchain-huggingface

The interpreter that runs this file needs bicross with its extras `onnx` and `openvino`, sentence-transformers,
sentence-transformers-haystack and qdrant-haystack. Every library gets the same weights (all-MiniLM-L6-v2 and the
starter cross-encoder), also fastembed and FlashRank, whose own models can be replaced by a file: they get the graphs
that sentence-transformers exports. Batch sizes are tried (8, 32, 128) and the fastest is taken. The texts are a data
set's (`squad`, from `--data`, `$BICROSS_DATA` or `../shared/data`), others in every round, in which everybody goes
first in turn. A report is named after the instruction set that decides over its figures.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, instruction_class, machine, report_path, write_report
from index_and_search import read_corpus, read_queries

from bicross import BiEncoder, CrossEncoder
from bicross.benchmarking.limit import arithmetic, matrix_rate
from bicross.benchmarking.speed import QUERY
from bicross.encoding.hardware import has_fast_bfloat16

WORKER = Path(__file__).with_name("peer_worker.py")
OURS_ENVIRONMENT = ("bicross", "st torch", "haystack")
"""Kinds, by how their names begin, that run in this file's own environment."""
PREPARED = "prepared"
"""A file beside the exports, once all are made."""
WARM_UP = 10
"""The first round, which isn't counted, has this part of the texts."""
PAUSE = 0.3
"""Seconds between two calls: threads that still spin for the one would slow down the other."""


AUTO = ("bicross auto",) if has_fast_bfloat16() else ()
"""Left out of the long works where it is float32."""
OPENVINO = ("st openvino", *(["st openvino bfloat16"] if has_fast_bfloat16() else []))


@dataclass(frozen=True)
class Work:
    """What is compared: times are of `ours`, against each of `peers`."""

    name: str
    do: str
    ours: tuple[str, ...]
    peers: tuple[str, ...]


ENCODE = (
    Work("bulk", "bulk", ("bicross float32", "bicross auto", "bicross int8"),
         ("st torch", "st onnx", "st onnx O3", "st onnx int8", *OPENVINO, "fastembed")),
    Work("one query", "query", ("bicross float32", "bicross auto", "bicross int8"),
         ("st torch", "st onnx", "st onnx O3", "st onnx int8", *OPENVINO, "fastembed")),
    Work("concurrent queries", "concurrent", ("bicross float32", "bicross auto"), ("st torch",)),
)  # fmt: skip
RERANK = (
    Work("rerank", "pairs", ("bicross float32", "bicross auto", "bicross int8"),
         ("st torch", "st onnx O3", "st onnx int8", *OPENVINO, "flashrank")),
)  # fmt: skip
STAGES = (
    Work("text to searchable", "index", ("bicross float32", *AUTO),
         ("haystack", "langchain", "fastembed + flashrank")),
    Work("index again, unchanged", "again", ("bicross float32",), ("langchain",)),
    Work("two-stage query", "search", ("bicross float32", *AUTO), ("haystack", "fastembed + flashrank")),
)  # fmt: skip
HITS = ("bicross openvino", "bicross onnx", "st torch", "fastembed + flashrank")


class Worker:
    """A library in its process."""

    def __init__(self, kind: str, python: str, folder: Path) -> None:
        command = [python, str(WORKER), "run", kind, str(folder)]
        self.kind = kind
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.computed_by = self._read()

    def ask(self, do: str, texts: Sequence[str], queries: Sequence[str] = (QUERY,), repeats: int = 1) -> Any:
        order = {"do": do, "texts": list(texts), "queries": list(queries), "repeats": repeats}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        return self._read()

    def _read(self) -> Any:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.kind} ended: {self.process.stderr.read()[-2000:]}")
        return json.loads(line)

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


@contextmanager
def workers(kinds: Sequence[str], python: str, folder: Path, left_out: dict[str, str]) -> Iterator[dict[str, Worker]]:
    """All kinds, loaded; one that doesn't start is left out, with the reason."""
    with ExitStack() as stack:
        found: dict[str, Worker] = {}
        for kind in kinds:
            try:
                own = kind.startswith(OURS_ENVIRONMENT)
                worker = Worker(kind, sys.executable if own else python, folder)
            except RuntimeError as error:
                left_out[kind] = str(error)
                continue
            left_out.pop(kind, None)
            stack.callback(worker.close)
            found[kind] = worker
        yield found


def measure(
    works: Sequence[Work],
    texts: Sequence[str],
    queries: Sequence[str],
    options: argparse.Namespace,
    rounds: int,
    folder: Path,
    report: dict[str, Any],
) -> None:
    """Every kind's times of works that share their processes."""
    kinds = list(dict.fromkeys(kind for work in works for kind in (*work.ours, *work.peers)))
    sizes = {"bulk": options.passages, "pairs": options.pairs, "index": options.index, "again": options.index}
    with workers(kinds, options.peers_python, folder, report["left_out"]) as running:
        trial, asked = texts[: options.tune], (QUERY,) if works[0].do == "pairs" else ()
        tuned = {kind: worker.ask("tune", trial, asked) for kind, worker in running.items()}
        report["computed_by"] |= {kind: worker.computed_by for kind, worker in running.items() if worker.computed_by}
        report["batch_sizes"][works[0].do] = {kind: batch for kind, batch in tuned.items() if batch}
        agree(works[0].do, running, texts[:16], report)
        times: dict[str, dict[str, list[float]]] = {work.name: {kind: [] for kind in running} for work in works}
        for number in range(rounds + 1):
            for work in works:
                size = sizes.get(work.do, 0)
                if not number:  # the first round warms up
                    size = -(-size // WARM_UP)
                part = texts[(number * size) % max(len(texts) - size, 1) :][:size]
                asked, repeats = _asked(work.do, queries, options)
                taking_turns = [kind for kind in (*work.ours, *work.peers) if kind in running]
                first = number % len(taking_turns)  # nobody always goes first
                for kind in taking_turns[first:] + taking_turns[:first]:
                    time.sleep(PAUSE)
                    spent = running[kind].ask(work.do, part, asked, repeats)
                    if number:
                        times[work.name][kind] += spent
    for work in works:
        report["work"][work.name] = summary(work, times[work.name], sizes.get(work.do, 0), options)


def _asked(do: str, queries: Sequence[str], options: argparse.Namespace) -> tuple[Sequence[str], int]:
    if do == "concurrent":
        return queries[: options.concurrent], 64
    return (queries[: options.searches], 1) if do == "search" else ((QUERY,), 20)


def agree(do: str, running: dict[str, Worker], texts: Sequence[str], report: dict[str, Any]) -> None:
    """That all compute the same: the worst cosine, or rank correlation, with sentence-transformers on torch."""
    if do == "bulk":
        found = {kind: np.array(worker.ask("vectors", texts)) for kind, worker in running.items()}
        units = {kind: rows / np.linalg.norm(rows, axis=1, keepdims=True) for kind, rows in found.items()}
        if "st torch" in units:
            same = {kind: float((rows * units["st torch"]).sum(axis=1).min()) for kind, rows in units.items()}
            report["worst_cosine"] = {kind: round(value, 5) for kind, value in same.items()}
    if do == "pairs":
        scores = {kind: np.array(worker.ask("scores", texts)) for kind, worker in running.items()}
        ranks = {kind: np.argsort(np.argsort(values)) for kind, values in scores.items()}
        if "st torch" in ranks:
            same = {kind: float(np.corrcoef(rank, ranks["st torch"])[0, 1]) for kind, rank in ranks.items()}
            report["rank_correlation"] = {kind: round(value, 4) for kind, value in same.items()}


def summary(work: Work, times: dict[str, list[float]], size: int, options: argparse.Namespace) -> dict[str, Any]:
    medians = {kind: statistics.median(spent) for kind, spent in times.items() if spent}
    found: dict[str, Any] = {
        "calls": {kind: len(spent) for kind, spent in times.items() if spent},
        "median_ms": {kind: round(value * 1e3, 2) for kind, value in medians.items()},
        "p95_ms": {kind: round(float(np.percentile(times[kind], 95)) * 1e3, 2) for kind in medians},
        "ratio": {
            own: {peer: round(medians[peer] / medians[own], 2) for peer in work.peers if peer in medians}
            for own in work.ours
            if own in medians
        },
    }
    if work.do in ("bulk", "index"):
        found["per_second"] = {kind: round(size / value, 1) for kind, value in medians.items()}
    if work.do == "concurrent":
        found["per_second"] = {kind: round(options.concurrent / value, 1) for kind, value in medians.items()}
    return found


def limits(texts: Sequence[str], rates: dict[str, float]) -> dict[str, Any]:
    """Share of what torch's matrix product reaches here, of bulk encoding."""
    with BiEncoder.load("minilm", precision="auto", device="cpu") as encoder:
        lengths, auto = encoder.time_parts(texts).lengths, encoder.precision
        work = arithmetic(encoder.checkpoint.document.encoder.folder)
    each = work.operations(lengths) / len(texts)
    limit = {precision: matrix_rate(work.shapes, precision, "cpu") for precision in {"float32", auto}}
    precisions = {"bicross float32": "float32", "bicross auto": auto}
    return {
        "gflops": {precision: round(rate / 1e9, 1) for precision, rate in limit.items()},
        "share": {
            kind: round(rates[kind] * each / limit[precision], 3)
            for kind, precision in precisions.items()
            if kind in rates
        },
    }


def from_nothing(options: argparse.Namespace, folder: Path, texts: Sequence[str], report: dict[str, Any]) -> None:
    """Process start to the first hit, and the peak of memory."""
    command = [sys.executable, str(WORKER), "fill", str(folder)]
    subprocess.run(command, input=json.dumps(list(texts)), text=True, check=True, capture_output=True)
    seconds: dict[str, list[float]] = {}
    peaks: dict[str, int] = {}
    for number in range(options.rounds):
        for kind in HITS[number % len(HITS) :] + HITS[: number % len(HITS)]:
            own = kind.startswith(OURS_ENVIRONMENT)
            command = [sys.executable if own else options.peers_python, str(WORKER), "hit", kind, str(folder), QUERY]
            started = time.perf_counter()
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                report["left_out"][f"start, {kind}"] = done.stderr[-2000:]
                continue
            seconds.setdefault(kind, []).append(time.perf_counter() - started)
            report["left_out"].pop(f"start, {kind}", None)
            peaks[kind] = json.loads(done.stdout.splitlines()[-1])["peak_mb"]
    medians = {kind: statistics.median(spent) for kind, spent in seconds.items()}
    report["work"]["process start to first hit"] = {
        "median_s": {kind: round(value, 2) for kind, value in medians.items()},
        "peak_mb": peaks,
        "ratio": {own: {kind: round(value / medians[own], 2) for kind, value in medians.items()} for own in HITS[:2]},
        "peak_ratio": {own: {kind: round(peak / peaks[own], 2) for kind, peak in peaks.items()} for own in HITS[:2]},
    }


def prepare(folder: Path, python: str) -> None:
    """The weights, and the peers' exports of them."""
    with BiEncoder.load("minilm", backend="torch") as bi, CrossEncoder.load("starter", backend="torch") as cross:
        shutil.copytree(bi.checkpoint.folder, folder / "bi", dirs_exist_ok=True)
        shutil.copytree(cross.checkpoint.encoder.folder, folder / "cross", dirs_exist_ok=True)
    done = subprocess.run([python, str(WORKER), "prepare", str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"The peers' exports failed: {done.stderr[-3000:]}")


def earlier(out: Path | None) -> dict[str, Any]:
    """The report so far: what isn't measured again stays."""
    fresh: dict[str, Any] = {"instruction_class": instruction_class()}
    fresh |= {part: {} for part in ("runs", "computed_by", "batch_sizes", "left_out", "work")}
    path = report_path(out)
    return fresh | json.loads(path.read_text(encoding="utf-8")) if path is not None and path.exists() else fresh


def versions(python: str) -> list[str]:
    done = subprocess.run([python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True)
    wanted = ("sentence", "optimum", "onnx", "openvino", "fastembed", "flashrank", "torch", "transformers", "langchain")
    return [line for line in done.stdout.splitlines() if line.lower().startswith((*wanted, "qdrant", "haystack"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", required=True, help="interpreter of the peers' environment")
    parser.add_argument("--data", type=Path, default=data_folder() / "squad")
    parser.add_argument("--work", nargs="+", choices=("encode", "rerank", "stages", "start"),
                        default=["encode", "rerank", "stages", "start"])  # fmt: skip
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--stage-rounds", type=int, default=3, help="of the works that index")
    parser.add_argument("--passages", type=int, default=500, help="of a round of bulk encoding")
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--index", type=int, default=20_000, help="passages of a round of indexing")
    parser.add_argument("--concurrent", type=int, default=640, help="queries of 64 threads")
    parser.add_argument("--searches", type=int, default=10, help="two-stage queries of a round")
    parser.add_argument("--tune", type=int, default=128, help="passages on which batch sizes are tried")
    parser.add_argument("--folder", type=Path, help="where the exports are kept for the next run")
    parser.add_argument("--out", type=Path, help="a report that is there is continued")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    corpus = [passage.full_text for passage in read_corpus(options.data)]
    texts = [corpus[i] for i in rng.permutation(len(corpus))]
    queries = read_queries(options.data, "dev")
    report = earlier(options.out)
    run = {
        "machine": machine(),
        "environments": {"bicross": versions(sys.executable), "peers": versions(options.peers_python)},
        "settings": {name: str(value) for name, value in vars(options).items()},
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        if not (folder / PREPARED).exists():
            folder.mkdir(parents=True, exist_ok=True)
            prepare(folder, options.peers_python)
            (folder / PREPARED).touch()
        for name, works in (("encode", ENCODE), ("rerank", RERANK), ("stages", STAGES)):
            if name in options.work:
                report["runs"][name] = run
                rounds = options.stage_rounds if name == "stages" else options.rounds
                measure(works, texts, queries, options, rounds, folder, report)
                if name == "encode":
                    report["limit"] = limits(texts[: options.passages], report["work"]["bulk"]["per_second"])
                write_report(report, options.out)
        if "start" in options.work:
            report["runs"]["start"] = run
            from_nothing(options, Path(shutil.copytree(folder, Path(temporary) / "start")), texts[:2_000], report)
    print(json.dumps(report, indent=2))
    write_report(report, options.out)


if __name__ == "__main__":
    main()
