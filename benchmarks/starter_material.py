"""What the starter cross-encoder learns besides labels: other kinds of text. `minimal_pairs.py` has the rest."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.metadata import distributions

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
