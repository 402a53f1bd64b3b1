"""BM25 as sparse vectors beside bm25s: nDCG@10 and Recall@100 on every data set, and passages per second.

    python benchmarks/bm25_parity.py --out benchmarks/results/bm25_parity.json

Reads the sets from `--data`, `$BICROSS_DATA` or `../shared/data`. Both search exactly, with k1 1.5 and b 0.75. Columns:

- `bm25s`: its own tokenizer (words of two characters or more), Snowball's stemmer of the language where there is one,
  and the English stop words for English;
- `bm25s, our terms`: the same engine over `BM25Encoder`'s terms, which leaves the formula alone to differ;
- `ours`: `BM25Encoder` with the set's language;
- `ours, auto`: `BM25Encoder(language="auto")`, which is told nothing.

Seconds are those of the processor, so that other processes on the machine don't count; all of it runs on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import bm25s
import Stemmer
from common import data_folder, machine, write_report

from bicross.evaluation import Dataset, evaluate, load_dataset
from bicross.sparse import BM25Encoder
from bicross.sparse.exact import SparseIndex
from bicross.sparse.languages import SNOWBALL

T = TypeVar("T")
Run = dict[str, dict[str, float]]

ENGLISH = (
    "squad", "medquad", "tldr", "squad-sent", "scifact", "nfcorpus", "arguana", "vaswani", "mediqa2019-qa",
    "covidqa-long",
)  # fmt: skip
XQUAD = ("en", "ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")
MEASURES = ("nDCG@10", "R@100")
DEPTH = 101  # one more than is looked at, for the sets whose queries are documents
OWN_DOCUMENT = ("arguana",)
SPEED_SET = "squad-sent"


def cpu_seconds(work: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


def search_ours(encoder: BM25Encoder, data: Dataset) -> Run:
    texts, ids = list(data.documents.values()), list(data.documents)
    encoder = encoder.with_mean_length(encoder.measure(texts))
    index = SparseIndex(encoder.encode_document(texts), idf=True)
    run = {}
    for query_id, vector in zip(data.queries, encoder.encode_query(list(data.queries.values())), strict=True):
        positions, scores = index.search(vector, DEPTH)
        run[query_id] = {ids[place]: score for place, score in zip(positions, scores.tolist(), strict=True)}
    return run


def search_peer(documents: Sequence[list[str]], queries: Sequence[list[str]], data: Dataset) -> Run:
    peer = bm25s.BM25(k1=1.5, b=0.75, method="lucene")
    peer.index(list(documents), show_progress=False)
    ids = list(data.documents)
    found, scores = peer.retrieve(list(queries), k=min(DEPTH, len(ids)), show_progress=False)
    return {
        query_id: {ids[place]: float(score) for place, score in zip(*row, strict=True) if score > 0}
        for query_id, *row in zip(data.queries, found, scores, strict=True)
    }


def peer_words(texts: Sequence[str], language: str) -> list[list[str]]:
    stemmer = Stemmer.Stemmer(SNOWBALL[language]) if language in SNOWBALL else None
    stop_words = "en" if language == "en" else []
    return bm25s.tokenize(list(texts), stopwords=stop_words, stemmer=stemmer, return_ids=False, show_progress=False)


def our_terms(encoder: BM25Encoder, texts: Sequence[str]) -> list[list[str]]:
    return [[str(index) for index in encoder.terms(text)] for text in texts]


def measure(run: Run, data: Dataset) -> dict[str, float]:
    result = evaluate(run, data, measures=MEASURES, exclude_self=data.name in OWN_DOCUMENT, show_progress=False)
    return {name: round(result[name], 4) for name in MEASURES}


def compare(data: Dataset, language: str) -> dict[str, Any]:
    texts, queries = list(data.documents.values()), list(data.queries.values())
    encoder = BM25Encoder(language)
    words = [peer_words(side, language) for side in (texts, queries)]
    terms = [our_terms(encoder, side) for side in (texts, queries)]
    row: dict[str, Any] = {
        "documents": len(texts),
        "queries": len(queries),
        "bm25s": measure(search_peer(*words, data), data),
        "bm25s, our terms": measure(search_peer(*terms, data), data),
        "ours": measure(search_ours(encoder, data), data),
        "ours, auto": measure(search_ours(BM25Encoder("auto"), data), data),
    }
    row["difference"] = round(row["ours"]["nDCG@10"] - row["bm25s"]["nDCG@10"], 4)
    return row


def speed(data: Dataset) -> dict[str, float]:
    """Passages per second of the processor, from text to vectors, or to bm25s' index."""
    texts = list(data.documents.values())
    rates = {}
    for language in ("en", "auto"):
        encoder, seconds = cpu_seconds(
            lambda language=language: (e := BM25Encoder(language)).with_mean_length(e.measure(texts))
        )
        rates[f"measure, {language}"] = len(texts) / seconds
        _, seconds = cpu_seconds(lambda encoder=encoder: encoder.encode_document(texts))
        rates[f"encode, {language}"] = len(texts) / seconds
    words, seconds = cpu_seconds(
        lambda: bm25s.tokenize(texts, stopwords="en", stemmer=Stemmer.Stemmer("english"), show_progress=False)
    )
    rates["bm25s, tokenize"] = len(texts) / seconds
    _, seconds = cpu_seconds(lambda: bm25s.BM25(k1=1.5, b=0.75).index(words, show_progress=False))
    rates["bm25s, index"] = len(texts) / seconds
    return {name: round(rate) for name, rate in rates.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sets", nargs="*", default=[*ENGLISH, *(f"xquad/{language}" for language in XQUAD)])
    arguments = parser.parse_args()
    report: dict[str, Any] = {"machine": machine("bicross", "bm25s", "PyStemmer", "numpy"), "sets": {}}
    print("| set | bm25s | bm25s, our terms | ours | ours, auto | difference |\n|---|---|---|---|---|---|")
    for name in arguments.sets:
        data = load_dataset(arguments.data / name)
        language = name.removeprefix("xquad/") if name.startswith("xquad/") else "en"
        row = report["sets"][name] = compare(data, language)
        cells = " | ".join(f"{row[column]['nDCG@10']:.4f}" for column in list(row)[2:6])
        print(f"| {name} | {cells} | {row['difference']:+.4f} |", flush=True)
        if name == SPEED_SET:
            report["passages_per_cpu_second"] = speed(data)
    write_report(report, arguments.out)
    print(report.get("passages_per_cpu_second", ""))


if __name__ == "__main__":
    main()
