"""all-MiniLM-L6-v2 on a real set: our figures are those of an independent computation, and the published ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import ir_measures
import pytest

from bicross import BiEncoder, ExactStore, Passage, TwoStageRetriever
from bicross.evaluation import Stages, evaluate, load_dataset

BASELINES = Path(__file__).parents[1] / "benchmarks" / "baselines" / "all-MiniLM-L6-v2.json"


def read_jsonl(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory):
    with BiEncoder.load("minilm", device="cpu") as bi, Stages(bi, cache_dir=tmp_path_factory.mktemp("cache")) as opened:
        yield opened


@pytest.mark.filterwarnings("ignore::bicross.errors.TruncationWarning")
def test_the_figures_are_the_published_ones(xquad: Path, stages: Stages) -> None:
    found = evaluate(stages, xquad, measures=["nDCG@10", "R@100"])
    published = json.loads(BASELINES.read_text())["sets"]["xquad/en:test"]
    assert found.final.means == pytest.approx(published, abs=1e-3)


@pytest.mark.filterwarnings("ignore::bicross.errors.TruncationWarning")
def test_the_figures_are_those_of_sentence_transformers_vectors(xquad: Path, stages: Stages) -> None:
    """On a part of the set; benchmarks/parity_evaluation.py does it on whole ones."""
    from sentence_transformers import SentenceTransformer

    from bicross.encoding.locate import locate

    rows = read_jsonl(xquad / "corpus.jsonl")
    documents = {row["_id"]: f"{row['title']} {row['text']}" if row.get("title") else row["text"] for row in rows}
    documents = dict(list(documents.items())[:60])
    texts = {row["_id"]: row["text"] for row in read_jsonl(xquad / "queries.jsonl")}
    with (xquad / "qrels" / "test.tsv").open() as file:
        lines = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    judged = [(query_id, document_id, int(grade)) for query_id, document_id, grade in lines if document_id in documents]
    qrels = [ir_measures.Qrel(*row) for row in judged[:100]]
    queries = {qrel.query_id: texts[qrel.query_id] for qrel in qrels}
    model = SentenceTransformer(str(locate("minilm", "bi-encoder").folder), device="cpu")
    scores = model.encode(list(queries.values())) @ model.encode(list(documents.values())).T
    run = [
        ir_measures.ScoredDoc(query_id, document_id, float(score))
        for query_id, row in zip(queries, scores, strict=True)
        for document_id, score in zip(documents, row, strict=True)
    ]
    measures = [ir_measures.nDCG @ 3, ir_measures.R @ 2, ir_measures.AP @ 100]
    theirs = ir_measures.calc_aggregate(measures, qrels, run)
    assert 0.5 < theirs[measures[0]] < 1.0
    mapping = {
        "documents": documents,
        "queries": queries,
        "qrels": {q.query_id: {q.doc_id: q.relevance} for q in qrels},
    }
    ours = evaluate(stages, mapping, measures=[str(measure) for measure in measures])
    assert ours.final.means == pytest.approx({str(measure): value for measure, value in theirs.items()}, abs=1e-4)


@pytest.mark.filterwarnings("ignore::bicross.errors.TruncationWarning")
def test_a_store_gives_the_figures_of_exact_search_and_a_second_run_encodes_nothing(
    xquad: Path, stages: Stages
) -> None:
    whole = load_dataset(xquad)
    documents = dict(list(whole.documents.items())[:60])
    qrels = {q: grades for q, grades in whole.qrels.items() if grades.keys() <= documents.keys()}
    queries = {query_id: whole.queries[query_id] for query_id in qrels}
    sample = load_dataset({"documents": documents, "queries": queries, "qrels": qrels}).sample(60)
    exact = evaluate(stages, sample)
    misses = stages._open()[0].misses
    assert evaluate(stages, sample).final.means == exact.final.means
    assert stages._open()[0].misses == misses
    with ExactStore() as store:
        retriever = TwoStageRetriever(stages.bi_encoder, store)
        retriever.index([Passage(text, id=document_id) for document_id, text in sample.documents.items()])
        stored = evaluate(retriever, sample, compare=exact)
    assert stored.final.means == exact.final.means
    assert all(test.p_value == 1.0 for test in stored.comparison.values())
