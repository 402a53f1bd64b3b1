"""Two models without weights: one counts hashed words, the other shared ones. Their orders differ."""

from __future__ import annotations

import os
import signal
import sys
import zlib
from pathlib import Path

import numpy as np

from tiny_models import WORDS


class WordEncoder:
    """Cosine of hashed word counts."""

    name = "words"
    document_fingerprint = "words-1"

    def encode_document(self, texts):
        if isinstance(texts, str):
            return self.encode_document([texts])[0]
        vectors = np.full((len(texts), 32), 0.01, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                vectors[row, zlib.crc32(word.encode()) % 32] += 1 + zlib.crc32(word.encode()) % 97 / 97
        return vectors

    encode_query = encode_document


class WordScorer:
    """Shared words, the later in the text the better. Writes down what it scored; dies where it is told to.

    Args:
        log: One line a call: the pairs, after they were scored.
        dies_at: Number of the call in which the process kills itself, with half of the pairs scored.
    """

    name = "shared-words"
    fingerprint = "shared-words-1"
    stage1_weight = 0.5

    def __init__(self, log: Path | None = None, dies_at: int | None = None) -> None:
        self.calls = 0
        self.log = log
        self.dies_at = dies_at

    def predict(self, pairs):
        self.calls += 1
        if self.calls == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.log is not None:
            with self.log.open("a", encoding="utf-8") as file:
                file.writelines(f"{query}\t{text}\n" for query, text in pairs)
        return np.array([self.score(query, text) for query, text in pairs], dtype=np.float32)

    def score(self, query: str, text: str) -> float:
        words = set(query.split())
        shared = sum(place for place, word in enumerate(text.split(), start=1) if word in words)
        return shared + zlib.crc32(text.encode()) % 1000 / 1000  # no two alike

    def rank(self, query, texts):
        raise NotImplementedError


def corpus(documents: int = 60, queries: int = 8, seed: int = 5) -> dict[str, dict[str, str]]:
    """Random sentences of a small vocabulary."""
    rng = np.random.default_rng(seed)
    words = WORDS[12:40]
    texts = [" ".join(rng.choice(words, size=12)) for _ in range(documents)]
    asked = [" ".join(rng.choice(words, size=3, replace=False)) for _ in range(queries)]
    return {
        "documents": {f"d{i}": f"{text} {i}" for i, text in enumerate(texts)},
        "queries": {f"q{i}": text for i, text in enumerate(asked)},
    }


if __name__ == "__main__":  # a gap report in a process of its own, which a test kills
    from bicross.evaluation.gap import gap_report

    cache, log, dies_at, out = sys.argv[1:]
    scorer = WordScorer(Path(log), int(dies_at) or None)
    report = gap_report(
        WordEncoder(), scorer, corpus(documents=400, queries=6), pool=300, cache_dir=cache, timing=False
    )
    Path(out).write_text(report.to_json(), encoding="utf-8")
