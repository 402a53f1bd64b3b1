"""Measures what splitting recovers: long documents as a whole, and as passages of which the best one counts.

    python benchmarks/grounding.py --cache .bicross/cache

- `covidqa-long`: questions about 92 papers of 3,500 words, with the answer's characters in the paper. Whole papers
  against passages as long as the bi-encoder reads, grouped by paper (`group_by="source_id"`), and not grouped.
- `squad-sent`: questions about the paragraphs of the 48 articles that the test split asks about. Whole paragraphs
  against their sentences, grouped by paragraph; the answer is the one sentence that holds it.

Everything goes through `TwoStageRetriever` over the embedded store, searched exactly. All queries with the first stage
alone; a seeded sample with both stages, and the same sample with the first stage alone beside it. Vectors and scores
are kept in `--cache`, hits in `--cache`/grounding, so that a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from cached_encoder import CachedEncoder
from common import data_folder, machine, write_report

from bicross import BiEncoder, CrossEncoder, Hit, Passage, QdrantStore, TwoStageRetriever
from bicross.caches import ScoreCache, VectorCache
from bicross.cross_encoder import raw_fingerprint, raw_scores
from bicross.errors import TruncationWarning
from bicross.evaluation.datasets import Dataset, load_dataset
from bicross.evaluation.measures import calculate, parse_measures
from bicross.evaluation.statistics import bootstrap_interval, paired_test
from bicross.readers import split
from bicross.types import Floats, Ranked

SEED = 5
TOP_K = 10
CANDIDATES = 100
MEASURES = parse_measures(["nDCG@10", "R@1", "R@10"])
Span = tuple[int, int]


class CachedScorer:
    """The cross-encoder, whose raw scores are kept."""

    labels = 1

    def __init__(self, inner: CrossEncoder, cache: ScoreCache) -> None:
        self.inner, self.cache = inner, cache
        self.fingerprint, self.stage1_weight = raw_fingerprint(inner), inner.stage1_weight

    def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
        """See `Scorer`."""
        return self.cache.score(self.fingerprint, pairs, lambda part: raw_scores(self.inner, part))

    def rank(self, query: str, texts: Sequence[str], /) -> list[Ranked]:
        """See `Scorer`."""
        scores = self.predict([(query, text) for text in texts])
        return [Ranked(int(i), float(scores[i])) for i in np.argsort(-scores, kind="stable")]


@dataclass(frozen=True)
class Task:
    """A set whose judged documents are made of smaller passages, one of which holds a query's answer.

    Attributes:
        data: Queries, and judgments of the documents.
        whole: The documents.
        parts: Their passages.
        holds: Whether a passage, or a window of it, holds a query's answer.
    """

    data: Dataset
    whole: list[Passage]
    parts: list[Passage]
    holds: Callable[[str, dict[str, Any]], bool]


def papers(data_dir: Path, encoder: BiEncoder) -> Task:
    """`covidqa-long`: papers and their passages."""
    folder = data_dir / "covidqa-long"
    data = load_dataset(folder)
    rows = map(json.loads, (folder / "corpus.jsonl").read_text("utf-8").splitlines())
    whole = [Passage(row["text"], row["_id"], row["title"]) for row in rows]
    parts = list(split(whole, limit=encoder.passage_limit, count_tokens=encoder.count_tokens))
    spans: dict[str, tuple[str, Span]] = {}
    for row in map(json.loads, (folder / "spans.jsonl").read_text("utf-8").splitlines()):
        spans[row["query-id"]] = row["corpus-id"], (row["start"], row["start"] + len(row["text"].strip()))

    def holds(query: str, hit: dict[str, Any]) -> bool:
        document, (start, end) = spans[query]
        return bool(hit["document"] == document and hit["span"][0] <= start and end <= hit["span"][1])

    return Task(data, whole, parts, holds)


def sentences(data_dir: Path, _: BiEncoder) -> Task:
    """`squad-sent`: the paragraphs of the test split's articles and their sentences."""
    fine = load_dataset(data_dir / "squad-sent")
    paragraph_of = {sentence: sentence.rpartition(".")[0] for sentence in fine.documents}
    answers = {query: next(iter(grades)) for query, grades in fine.qrels.items()}
    articles = {answer.rpartition("-")[0] for answer in answers.values()}
    judged = {query: {paragraph_of[answer]: 1} for query, answer in answers.items()}

    def chosen(name: str, meta: Callable[[str], dict[str, Any]]) -> list[Passage]:
        rows = map(json.loads, (data_dir / name / "corpus.jsonl").read_text("utf-8").splitlines())
        kept = (row for row in rows if row["_id"].rpartition("-")[0] in articles)
        return [Passage(row["text"], row["_id"], row["title"], meta(row["_id"])) for row in kept]

    whole = chosen("squad", lambda _: {})
    parts = chosen("squad-sent", lambda sentence: {"source_id": paragraph_of[sentence]})
    data = Dataset("squad-sent", {p.id: p.full_text for p in whole}, {}, fine.queries, judged)
    return Task(data, whole, parts, lambda query, hit: hit["id"] == answers[query])


def as_row(hit: Hit) -> dict[str, Any]:
    """What is kept of a hit: its document, and the characters of it that it is, or that its best window is."""
    span = hit.document_span or (0, len(hit.passage.text))
    if hit.span is not None:
        span = span[0] + hit.span[0], span[0] + hit.span[1]
    words = len(hit.passage.text[hit.span[0] : hit.span[1]].split() if hit.span else hit.passage.text.split())
    return {"document": hit.document_id, "id": hit.passage.id, "span": list(span), "words": words}


def run(path: Path, queries: dict[str, str], search: Callable[[str], Iterable[Hit]]) -> dict[str, list[dict[str, Any]]]:
    """The hits of every query, from the file where they are."""
    found: dict[str, list[dict[str, Any]]] = {}
    if path.exists():
        whole = path.read_text("utf-8").rpartition("\n")[0]  # the last line of a run that was killed may be torn
        path.write_text(f"{whole}\n" if whole else "", encoding="utf-8")
        found = dict(map(json.loads, whole.splitlines()))
    with path.open("a", encoding="utf-8") as file:
        for query_id, text in queries.items():
            if query_id not in found:
                found[query_id] = [as_row(hit) for hit in search(text)]
                file.write(json.dumps([query_id, found[query_id]]) + "\n")
    return {query_id: found[query_id] for query_id in queries}


def figures(task: Task, hits: dict[str, list[dict[str, Any]]], *, passages: bool) -> dict[str, Any]:
    """Documents by ir-measures; with passages, how often one of the first so many holds the answer."""
    qrels = {query: task.data.qrels[query] for query in hits}
    ranking = {
        query: {document: -float(rank) for rank, document in enumerate(dict.fromkeys(hit["document"] for hit in rows))}
        for query, rows in hits.items()
    }
    values = calculate(MEASURES, qrels, ranking)
    report: dict[str, Any] = {"queries": len(hits)}
    report |= {name: round(float(row.mean()), 4) for name, row in values.items()}
    report["nDCG@10 interval"] = [round(end, 4) for end in bootstrap_interval(values["nDCG@10"], seed=SEED)]
    report["documents in the top 10"] = round(float(np.mean([len(documents) for documents in ranking.values()])), 1)
    report["words of the first hit"] = round(float(np.mean([rows[0]["words"] for rows in hits.values()])), 1)
    if passages:
        for depth in (1, 5, 10):
            held = [any(task.holds(query, hit) for hit in rows[:depth]) for query, rows in hits.items()]
            report[f"answer@{depth}"] = round(float(np.mean(held)), 4)
            report[f"answer@{depth} interval"] = [round(end, 4) for end in bootstrap_interval(held, seed=SEED)]
    report["_values"] = values["nDCG@10"].tolist()
    return report


def compare(forms: dict[str, dict[str, Any]], whole: str, parts: str) -> dict[str, Any]:
    """Passages against whole documents, by the paired test over the same queries."""
    test = paired_test(forms[whole]["_values"], forms[parts]["_values"], seed=SEED)
    return {
        "nDCG@10 difference": round(test.difference, 4),
        "interval": [round(end, 4) for end in test.interval],
        "p": round(test.p_value, 4),
    }


def measure(
    task: Task, engines: dict[str, TwoStageRetriever], scratch: Path, queries: dict[str, str], stage: str
) -> dict[str, Any]:
    """Figures of one set and stage, for whole documents and passages."""
    name = task.data.name

    def hits(form: str, **options: Any) -> dict[str, list[dict[str, Any]]]:
        engine = engines[f"{form} {stage}"]
        path = scratch / f"{name}.{'-'.join([form, stage, *options])}.jsonl"
        return run(path, queries, lambda text: engine.search(text, TOP_K, candidates=CANDIDATES, **options))

    grouped = {"group_by": "source_id"}
    forms = {
        "whole": figures(task, hits("whole"), passages=False),
        "passages": figures(task, hits("parts"), passages=True),
        "passages, grouped": figures(task, hits("parts", **grouped), passages=True),
        "passages, grouped, 3 each": figures(task, hits("parts", **grouped, group_size=3), passages=True),
    }
    forms["grouped against whole"] = compare(forms, "whole", "passages, grouped")
    return {form: {key: value for key, value in row.items() if key != "_values"} for form, row in forms.items()}


def engine_of(passages: list[Passage], encoder: CachedEncoder, scorer: CachedScorer) -> list[TwoStageRetriever]:
    """Both engines over one embedded store: the first stage alone, and both."""
    store = QdrantStore(path=":memory:")
    first = TwoStageRetriever(encoder, store)
    first.index(passages, optimize=False, show_progress=None)
    return [first, TwoStageRetriever(encoder, store, scorer)]


def main() -> None:
    """Reads the command line, measures, writes the JSON after every set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("--data", type=Path, default=data_folder())
    parser.add_argument("--cache", type=Path, default=here / ".bicross" / "cache")
    parser.add_argument("--queries", type=int, default=100, help="size of the sample for both stages")
    parser.add_argument("--precision", default="auto", help="of the cross-encoder")
    parser.add_argument("--out", type=Path, default=here / "benchmarks" / "results" / "grounding.json")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", TruncationWarning)  # whole papers are cut: that is what is measured
    bi, cross = BiEncoder.load("minilm"), CrossEncoder.load(precision=arguments.precision)
    encoder = CachedEncoder(bi, VectorCache(arguments.cache))
    scorer = CachedScorer(cross, ScoreCache(arguments.cache))
    fingerprints = {"bi_encoder": bi.document_fingerprint, "cross_encoder": cross.fingerprint}
    scratch = arguments.cache / "grounding" / "-".join(value[:8] for value in fingerprints.values())
    scratch.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "machine": machine("torch", "transformers", "ir-measures"),
        "models": fingerprints,
        "settings": {"candidates": CANDIDATES, "top_k": TOP_K, "seed": SEED, "stage1_weight": cross.stage1_weight},
        "sets": {},
    }
    tasks = {name: load(arguments.data, bi) for name, load in {"covidqa-long": papers, "squad-sent": sentences}.items()}
    engines: dict[str, dict[str, TwoStageRetriever]] = {}
    for title in ("first stage", "first stage, sample", "both stages, sample"):
        for name, task in tasks.items():
            if name not in engines:
                made = [*engine_of(task.whole, encoder, scorer), *engine_of(task.parts, encoder, scorer)]
                engines[name] = dict(zip(["whole first", "whole both", "parts first", "parts both"], made, strict=True))
                report["sets"][name] = {"documents": len(task.whole), "passages": len(task.parts)}
            sample = task.data.sample(arguments.queries, seed=SEED).queries
            queries = sample if "sample" in title else task.data.queries
            figures_of = measure(task, engines[name], scratch, queries, title.split()[0])
            report["sets"][name][title] = figures_of
            write_report(report, arguments.out)
            print(name, title, json.dumps(figures_of, indent=1), flush=True)


if __name__ == "__main__":
    main()
