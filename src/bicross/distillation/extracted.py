"""Queries made from the documents themselves: no labels needed, and as varied in length as the documents are."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from bicross.distillation.labels import LabelledQuery, Labels
from bicross.distillation.query_ways import sentence_spans

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def extract_halves(
    labels: Labels, count: int, *, seed: int, pool: int = 3, words: tuple[int, int] = (50, 120)
) -> Labels:
    """Cuts documents in two: the first half, or one sentence of it, is the query that the second half answers.

    A reranker that saw short questions alone fails on long queries and on statements; these pairs are both. It is the
    inverse cloze task (Lee et al. 2019, "Latent Retrieval for Weakly Supervised Open Domain Question Answering",
    section 4) with second halves as the only documents, so that length tells nothing about relevance.

    Args:
        labels: Where the documents are; those that are relevant to one of its queries are used, no others.
        count: Queries to make. Every second one is a whole first half, the others are single sentences.
        seed: Of the draw.
        pool: Documents to search, as a multiple of ``count``; fewer where there are no more.
        words: Least and most words of a half.

    Returns:
        A set named after ``labels``, with ``-halves`` added.
    """
    rng = np.random.default_rng(seed)
    used = list(dict.fromkeys(d for query in labels.queries.values() for d in query.positives))
    documents: dict[str, str] = {}
    queries: dict[str, LabelledQuery] = {}
    groups: dict[str, str] = {}
    for position in rng.permutation(len(used)).tolist():
        if len(documents) >= pool * count:
            break
        halves = _halve(labels.documents[used[position]], words)
        if halves is None:
            continue
        name = f"{used[position]}#half"
        documents[name] = halves[1]
        if used[position] in labels.groups:
            groups[name] = labels.groups[used[position]]
        if len(queries) < count:
            queries[name] = LabelledQuery(_query(halves[0], whole=len(queries) % 2 == 0, rng=rng), (name,))
    return Labels(f"{labels.name}-halves", documents, queries, groups)


def extract_sentences(
    texts: Sequence[str], count: int, *, language: str, seed: int, words: tuple[int, int] = (4, 30)
) -> list[str]:
    """Sentences of texts in random order, each once: what a light query tower learns the words' vectors from.

    Args:
        texts: Documents.
        count: How many sentences; fewer where there are no more.
        language: Of the texts, for the borders of sentences. ISO 639-1 code.
        seed: Of the order.
        words: Least and most words of a sentence.
    """
    found: dict[str, None] = {}
    for position in np.random.default_rng(seed).permutation(len(texts)).tolist():
        text = texts[position]
        for start, end in sentence_spans(text, language):
            sentence = text[start:end].strip()
            if words[0] <= len(sentence.split()) <= words[1]:
                found.setdefault(sentence)
        if len(found) >= count:
            break
    return list(found)[:count]


def _halve(text: str, words: tuple[int, int]) -> tuple[str, str] | None:
    """Cuts a text at the end of the sentence that is nearest to its middle; None where a half would be too short."""
    sentences = _SENTENCE_END.split(text)
    lengths = np.cumsum([len(sentence.split()) for sentence in sentences])
    cut = int(np.abs(lengths - lengths[-1] / 2).argmin()) + 1
    halves = [" ".join(part).split()[: words[1]] for part in (sentences[:cut], sentences[cut:])]
    if min(map(len, halves)) < words[0]:
        return None
    return " ".join(halves[0]), " ".join(halves[1])


def _query(half: str, *, whole: bool, rng: np.random.Generator) -> str:
    sentences = [sentence for sentence in _SENTENCE_END.split(half) if len(sentence.split()) >= 6]
    return half if whole or not sentences else sentences[int(rng.integers(len(sentences)))]
