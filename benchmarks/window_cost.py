"""What reading one window of each passage costs in nDCG@10 and saves in time, and which window to read.

    python benchmarks/window_cost.py medquad:dev squad:dev --queries 50 --out benchmarks/results/

The first candidates of a sample of queries (by exact search) are reranked by the cross-encoder alone, five ways:

    whole      as much of the passage as the cross-encoder reads
    all        every window of its full length; the best one speaks for the passage (`windows=True`)
    overlap    one window: the one with the most of the query, rare words counting more (`windows="best"`)
    nearest    one window: the one whose vector, by the bi-encoder, is nearest to the query's
    first      one window: the passage's beginning, which needs no looking

Windows of the three latter are equally long; that of `nearest` begins at every half of its length. The ways take turns
query by query. Times are medians for the candidates of one query; that of `nearest` leaves the windows' vectors out,
which a store would hold. Intervals are 95 % bootstrap intervals of the difference from `whole`, over queries.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from common import data_folder, instruction_class, machine, write_report

from bicross import BiEncoder, CrossEncoder
from bicross.encoding.windows import WINDOW_TOKENS, windows
from bicross.evaluation.agreement import best_first
from bicross.evaluation.datasets import Dataset, load_dataset
from bicross.evaluation.judging import Judge
from bicross.evaluation.stages import Stages
from bicross.evaluation.statistics import bootstrap_interval
from bicross.types import Floats

Way = Callable[[str, Sequence[str]], Floats]


def by_index(scorer: CrossEncoder, query: str, texts: Sequence[str], **options: Any) -> Floats:
    """Scores in the texts' order. **Shape:** (len(texts),)."""
    ranked = scorer.rank(query, texts, activation="identity", show_progress=False, **options)
    return np.array([each.score for each in sorted(ranked, key=lambda each: each.index)], np.float32)


class Pieces:
    """The windows of every text, and their vectors, made once."""

    def __init__(self, encoder: BiEncoder, scorer: CrossEncoder, tokens: int) -> None:
        self._encoder = encoder
        self._tokenizer = scorer._lease.get().tokenizer
        self._tokens = tokens
        self._known: dict[str, tuple[list[str], Floats]] = {}

    def of(self, text: str) -> tuple[list[str], Floats]:
        """A text's windows, and their vectors. **Shape:** (windows, dimension)."""
        if text not in self._known:
            _, offsets = self._tokenizer.offsets(text)
            spans = windows(len(offsets), self._tokens, self._tokens // 2)
            cut = [text[offsets[start][0] : offsets[end - 1][1]] if end > start else text for start, end in spans]
            self._known[text] = cut, self._encoder.encode_document(cut, show_progress=False)
        return self._known[text]


def ways(encoder: BiEncoder, scorer: CrossEncoder, tokens: int) -> tuple[dict[str, Way], Pieces]:
    pieces = Pieces(encoder, scorer, tokens)

    def nearest(query: str, texts: Sequence[str]) -> Floats:
        vector = encoder.encode_query(query)
        found = [pieces.of(text) for text in texts]
        return by_index(scorer, query, [cut[int(np.argmax(vectors @ vector))] for cut, vectors in found])

    found: dict[str, Way] = {
        "whole": lambda query, texts: by_index(scorer, query, texts),
        "all": lambda query, texts: by_index(scorer, query, texts, windows=True),
        "overlap": lambda query, texts: by_index(scorer, query, texts, windows="best", window_tokens=tokens),
        "nearest": nearest,
        "first": lambda query, texts: by_index(scorer, query, [pieces.of(text)[0][0] for text in texts]),
    }
    return found, pieces


def compare(data: Dataset, positions: np.ndarray, found: dict[str, Way], pieces: Pieces) -> dict[str, Any]:
    texts = list(data.documents.values())
    scores: dict[str, list[Floats]] = {name: [] for name in found}
    spent: dict[str, list[float]] = {name: [] for name in found}
    for query, row in zip(data.queries.values(), positions, strict=True):
        candidates = [texts[at] for at in row]
        for text in candidates:
            pieces.of(text)
        for name, way in found.items():
            started = time.perf_counter()
            scores[name].append(way(query, candidates))
            spent[name].append((time.perf_counter() - started) * 1e3)
    judge = Judge(data, positions)
    values = {name: judge(best_first(rows)) for name, rows in scores.items()}
    return {
        "queries": len(data.queries),
        "candidates": positions.shape[1],
        "windows_a_passage": round(
            float(np.mean([len(pieces.of(texts[at])[0]) for row in positions for at in row])), 2
        ),
        "ways": {
            name: {
                "nDCG@10": round(float(values[name].mean()), 4),
                "difference": round(float((values[name] - values["whole"]).mean()), 4),
                "interval_95": [round(each, 4) for each in bootstrap_interval(values[name] - values["whole"])],
                "median_ms": round(float(np.median(spent[name])), 1),
                "times_as_fast": round(float(np.median(spent["whole"]) / np.median(spent[name])), 2),
            }
            for name in found
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="+", metavar="SET:SPLIT")
    parser.add_argument("--queries", type=int, default=50)
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument("--tokens", type=int, default=WINDOW_TOKENS)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--model", default="starter", help="the cross-encoder")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    report: dict[str, Any] = {
        "machine": machine(),
        "instruction_class": instruction_class(),
        "settings": {name: str(value) for name, value in vars(options).items()},
        "sets": {},
    }
    with (
        BiEncoder.load("minilm", precision=options.precision) as encoder,
        CrossEncoder.load(options.model, precision=options.precision) as scorer,
        Stages(encoder, cache_dir=options.cache) as stages,
    ):
        found, pieces = ways(encoder, scorer, options.tokens)
        for name in options.sets:
            folder, split = name.split(":")
            data = load_dataset(data_folder() / folder, split).sample(options.queries)
            positions = stages.candidates(data, options.candidates)[0]
            report["sets"][name] = compare(data, positions, found, pieces)
            print(name, json.dumps(report["sets"][name], indent=2), flush=True)
            write_report(report, options.out)


if __name__ == "__main__":
    main()
