"""The example gap report: the starter pair on this project's own README and docs, in docs/gap-example.html.

    python benchmarks/gap_on_docs.py

Every passage is scored for every question. A question's judgments are the passages that hold the words beside it; when
a page changes and they are gone, the script says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bicross import BiEncoder, CrossEncoder, readers
from bicross.evaluation import gap_report

ROOT = Path(__file__).resolve().parents[1]
QUESTIONS = {
    "How do I index a folder from the command line?": "bicross index docs/ notes.jsonl",
    "Can I limit how long a search takes?": "A time budget.",
    "What happens when I open an index with the wrong embedding model?": "Another model of the same dimension is",
    "Do I have to embed everything again after a crash?": "Killed at any moment, the same call",
    "Does it handle double negatives and opposites?": "**Negation.**",
    "Which languages do the bundled models read?": "**The starters read English**",
    "Why isn't the built-in local mode of the Qdrant client used?": "The embedded default is qdrant-edge-py",
    "How are passage ids chosen?": "Any string is an id; the point's id is its UUIDv5",
    "Is it safe to load models with pickled weights?": "Safetensors only, no remote code unless asked",
    "How is the relevance of both stages combined?": "The final score may be a weighted sum of both stages",
    "How can I take over a collection that LangChain has written?": "`adopt(store, encoder)` makes the same",
    "My payload has the text under an unusual key": "Say which field holds the text",
    "What does the retriever put into the metadata of a LangChain document?": "`relevance_score` (what the",
    "How do I restrict results by language in LangChain?": 'Haystack\'s filter dict: `{"field": "lang"',
    "How many threads serve asynchronous calls?": "Every `a…` method runs on the engine's own threads",
    "Replace HuggingFaceEmbeddings in my code": "### From `HuggingFaceEmbeddings`",
    "Use an OpenAI embedding model together with a Cohere reranker": "EmbeddingsEncoder(OpenAIEmbeddings())",
    "Does the Haystack ranker cut long documents?": "score long Documents in overlapping windows, the best one counts",
    "Keep embeddings on disk so that nothing is embedded twice in Haystack": "folder that keeps vectors by model",
    "How long may a chunk be, and what do neighbouring chunks share?": "tokens of whole sentences that the next piece",
    "What becomes of Documents that have no embedding?": "kept in a second collection",
    "Where do I set the server's address and key?": "address of a Qdrant server",
    "What are the weights of terms in sparse vectors?": 'BM25Encoder("en", k1=1.5, b=0.75)',
}


def passages(limit: int, count: Any) -> dict[str, dict[str, str]]:
    """The pages, cut to what the model reads: title and text by file and number."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = {}
    for passage in readers.split(readers.read(pages), limit=limit, count_tokens=count):
        name = Path(str(passage.source)).relative_to(ROOT).as_posix()
        found[f"{name}#{passage.meta['split_id']}"] = {"title": passage.title or "", "text": passage.text}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "gap-example.html")
    parser.add_argument("--cache", type=Path, default=ROOT / ".bicross" / "cache")
    parser.add_argument("--precision", default="auto")
    arguments = parser.parse_args()
    with (
        BiEncoder.load("starter", precision=arguments.precision) as student,
        CrossEncoder.load("starter", precision=arguments.precision) as teacher,
    ):
        documents = passages(student.passage_limit, student.count_tokens)
        flat = {name: " ".join(document["text"].split()) for name, document in documents.items()}
        queries = {f"question {number}": question for number, question in enumerate(QUESTIONS, start=1)}
        qrels: dict[str, dict[str, int]] = {}
        for query_id, question in queries.items():
            words = QUESTIONS[question]
            qrels[query_id] = {name: 1 for name, text in flat.items() if words in text}
            if not qrels[query_id]:
                parser.error(f"no passage holds {words!r} any more; mend the words of {question!r}")
        report = gap_report(
            student,
            teacher,
            {
                "name": "bicross's own documentation",
                "documents": documents,
                "queries": queries,
                "qrels": qrels,
            },
            exhaustive=True,
            candidates=50,
            cache_dir=arguments.cache,
        )
    report.to_html(arguments.out)
    print(report.summary())


if __name__ == "__main__":
    main()
