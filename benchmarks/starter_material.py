"""What the starter cross-encoder learns besides labels: other kinds of text, and pairs that a negation parts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import distributions
from pathlib import Path

import numpy as np

from bicross import BiEncoder
from bicross.distillation.labels import LabelledQuery, Labels
from bicross.distillation.trainer import Group
from bicross.ranking import exact_top_k
from bicross.readers import read, split
from bicross.types import Encoder, Passage

_BLOCK = 100
_SHARED = 200
_WORD = re.compile(r"\w+")
MODULES = ("stdlib", "numpy", "scipy", "haystack", "langchain_core", "qdrant_client", "jinja2", "httpx", "pypdf")
PASSAGES = 6000


def without_overlap(labels: Labels, others: Iterable[str]) -> tuple[Labels, int]:
    """Drop the documents that share 200 characters or more with other texts, and the queries that they answer.

    Returns:
        What is left, and how many documents are gone.
    """
    owners: dict[str, list[tuple[str, int]]] = {}
    for document_id, text in labels.documents.items():
        for start in range(0, len(text) - _BLOCK + 1, _BLOCK):  # any 200 characters hold one whole block of 100
            owners.setdefault(text[start : start + _BLOCK], []).append((document_id, start))
    shared: set[str] = set()
    for other in others:
        for start in range(len(other) - _BLOCK + 1):
            for document_id, place in owners.get(other[start : start + _BLOCK], ()):
                if document_id not in shared and _run(labels.documents[document_id], place, other, start) >= _SHARED:
                    shared.add(document_id)
    documents = {document_id: text for document_id, text in labels.documents.items() if document_id not in shared}
    queries = {
        query_id: replace(query, negatives=tuple(d for d in query.negatives if d in documents))
        for query_id, query in labels.queries.items()
        if not shared & set(query.positives)
    }
    return replace(labels, documents=documents, queries=queries), len(shared)


def _run(one: str, start: int, other: str, place: int) -> int:
    """How many equal characters there are around two equal blocks."""
    left = 0
    while start - left > 0 and place - left > 0 and one[start - left - 1] == other[place - left - 1]:
        left += 1
    right = _BLOCK
    while start + right < len(one) and place + right < len(other) and one[start + right] == other[place + right]:
        right += 1
    return left + right


def documentation(encoder: BiEncoder, *, seed: int) -> list[Passage]:
    """A sample of docstrings of the standard library and installed packages, and of the packages' descriptions."""
    sources = list(read(MODULES, python=True))
    for package in distributions():
        name, text = package.metadata["Name"], package.metadata.get_payload()
        if isinstance(text, str) and len(text) > 400:
            sources.append(Passage(text, id=f"package:{name}", title=name, source=f"{name}.md"))
    pieces = split(sources, limit=220, count_tokens=encoder.count_tokens)
    unique = {piece.text: piece for piece in pieces if len(piece.text.split()) >= 25}
    passages = sorted(unique.values(), key=lambda piece: str(piece.id))
    chosen = np.random.default_rng(seed).choice(len(passages), size=min(PASSAGES, len(passages)), replace=False)
    return [passages[position] for position in sorted(chosen.tolist())]


def titled(passages: list[Passage], count: int, *, seed: int) -> Labels:
    """Headings and qualified names as queries, for the texts below them, which don't hold them."""
    rng = np.random.default_rng(seed)
    documents = {passage.id: passage.text for passage in passages}
    queries: dict[str, LabelledQuery] = {}
    for position in rng.permutation(len(passages)).tolist():
        passage = passages[position]
        words = _WORD.findall((passage.title or "").replace("_", " "))
        if len(queries) < count and len(words) >= 3:
            queries[f"{passage.id}#title"] = LabelledQuery(" ".join(words), (passage.id,))
    return Labels("docs-titles", documents, queries)


def as_labels(passages: list[Passage]) -> Labels:
    """Passages as a set in which each answers a query of its own: what `extract_halves` cuts up."""
    documents = {passage.id: passage.text for passage in passages}
    return Labels("docs", documents, {key: LabelledQuery(key, (key,)) for key in documents})


def near_groups(
    sets: Mapping[str, Mapping[str, str]], encoder: Encoder, count: int, *, seed: int, scale: float = 12.0
) -> list[Group]:
    """Whole passages as queries, with what a bi-encoder thinks of their neighbours near and far as shares.

    Without these a cross-encoder that was trained on questions forgets what the weights it began with knew of two long
    texts. Candidates are drawn from the ranks 1 to 3, 4 to 20 and 21 to 200, and one from all; the labels are the
    softmax of the cosines, times ``scale``.
    """
    rng = np.random.default_rng(seed)
    groups = []
    for documents in sets.values():
        texts = list(documents.values())
        vectors = encoder.encode_document(texts)
        chosen = rng.choice(len(texts), size=min(count // len(sets), len(texts)), replace=False)
        found, _ = exact_top_k(vectors[chosen], vectors, 201)
        for row, ranked in zip(chosen.tolist(), found, strict=True):
            near = [p for p in ranked.tolist() if texts[p] != texts[row]]
            places = [near[int(rng.integers(a, b))] for a, b in ((0, 3), (3, 20), (20, len(near)))]
            places.append(int(rng.integers(len(texts))))
            weights = np.exp(scale * (vectors[places] @ vectors[row]))
            shares = tuple((weights / weights.sum()).tolist())
            groups.append(Group(texts[row], tuple(texts[p] for p in places), shares))
    return groups


def negation_groups(folder: Path, count: int, *, seed: int) -> list[Group]:
    """Sentences and their negations: a sentence with some of its words left out belongs to itself, not to the other.

    No word that the two don't share is left out, nor is a query made of more than four fifths of its sentence.
    """
    rng = np.random.default_rng(seed)
    with (folder / "negated-sentences.train.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    groups = []
    for position in rng.choice(len(rows), size=min(count, len(rows)), replace=False).tolist():
        both = [rows[position]["sentence"], rows[position]["negated"]]
        if rng.random() < 0.5:
            both.reverse()
        words, other = both[0].split(), set(both[1].split())
        loose = [i for i, word in enumerate(words) if word in other]
        if len(loose) < 5 or both[0] == both[1]:
            continue
        gone = set(rng.choice(loose, size=max(1, len(words) // 5), replace=len(loose) < len(words) // 5).tolist())
        query = " ".join(word for i, word in enumerate(words) if i not in gone)
        groups.append(Group(query, (both[0], both[1]), (1.0, 0.0)))
    return groups + _entailment_groups(folder, count // 2, rng)


def _entailment_groups(folder: Path, count: int, rng: np.random.Generator) -> list[Group]:
    """A hypothesis with the premise that entails it and one that doesn't."""
    with (folder / "scone-nli.train.jsonl").open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    premises: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["split"] == "train":
            premises.setdefault(row["hypothesis"], {})[row["label"]] = row["premise"]
    both = [(query, kinds) for query, kinds in premises.items() if len(kinds) == 2]
    order = rng.permutation(len(both))[:count].tolist()
    return [Group(both[i][0], (both[i][1]["entailment"], both[i][1]["neutral"]), (1.0, 0.0)) for i in order]
