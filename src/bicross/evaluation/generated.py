"""Probes made from one's own passages by seeded rules: quantifiers, and one sentence among many.

**Quantifiers.** A sentence that holds one quantifier is kept as it is, and once with another quantifier, which changes
its truth and keeps its grammar; either sentence between its neighbours is a document. A document's query is its
sentence with the quantifier said in other words, which neither document's quantifier shares: "All ships were lost"
against "No ships were lost" is asked for by "One hundred percent of ships were lost" and "Zero ships were lost". Both
queries share as many words with the one document as with the other, so words alone can't solve a pair. As in NevIR
(Weller et al. 2024, arXiv 2305.07614) a pair is right when both queries prefer their own document: chance 25 %.

**Grounding.** The sentence that answers a question stands among other sentences of its article, once at each of several
places; the other document has another sentence of the article there. Either the answer is seen, or it isn't.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from bicross.errors import ConfigurationError, InputError
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.quantifier_swaps import Swap, swaps
from bicross.whole_file import whole_file

OTHERS = (1, 10, 50, 99)
PLACES = tuple(i / 10 for i in range(11))
"""Every position of the answering sentence among 1 or 10 others; a tenth of the document apart among more."""

Row = dict[str, str]
_Changed = tuple[str, str, Swap]


def quantifier_probe(
    passages: Mapping[str, str],
    *,
    titles: Mapping[str, str] | None = None,
    per_kind: int | None = 150,
    neighbours: int | None = 2,
    seed: int = 0,
) -> list[Row]:
    """Contrast rows on the quantifiers of passages, two for each pair of documents.

    The rules are for English. They pass over sentences with a negation, a quotation, a parenthesis or a second
    quantifier, over those that begin with a pronoun, and over uses that don't quantify ("no longer", "at all").

    Args:
        passages: Text by id. At most one sentence of each is used.
        titles: Titles by id, where the texts begin with them, as those of a `Dataset` do.
        per_kind: Most pairs of one kind ("all-none", "many-few", …), so that none drowns the others. None: all.
        neighbours: Sentences of the passage on either side of the changed one that the documents keep, so that it
            stands within what a model reads. None: the whole passage.
        seed: Of the choice among a passage's sentences, and among the pairs of a kind.

    Returns:
        Rows for `bicross.evaluation.probe`. Rows 2i and 2i + 1 are a pair: two documents, either way round.

    Raises:
        ConfigurationError: ``per_kind`` is below 1, or ``neighbours`` below 0.
    """
    if (per_kind is not None and per_kind < 1) or (neighbours is not None and neighbours < 0):
        raise ConfigurationError(
            f"per_kind must be 1 or more and neighbours 0 or more, or None, got {per_kind!r} and {neighbours!r}."
        )
    rng = np.random.default_rng(seed)
    kinds: dict[str, list[tuple[str, _Changed]]] = defaultdict(list)
    for identity, text in passages.items():
        found = list(_changed(text, (titles or {}).get(identity, ""), neighbours))
        if found:
            changed = found[int(rng.integers(len(found)))]
            kinds[changed[2].kind].append((identity, changed))
    rows = []
    for kind, pairs in sorted(kinds.items()):
        count = min(per_kind or len(pairs), len(pairs))
        for chosen in sorted(rng.choice(len(pairs), size=count, replace=False).tolist()):
            identity, (text, other, swap) = pairs[chosen]
            rows.append(_row(f"{identity}-0", kind, (swap.query, text, other), identity))
            rows.append(_row(f"{identity}-1", kind, (swap.other_query, other, text), identity))
    return rows


def _changed(text: str, title: str, neighbours: int | None) -> Iterable[_Changed]:
    """The passage, or a part of it, with a sentence as it is and changed: for every sentence and swap that fits."""
    import sentencex  # type: ignore[import-untyped]  # has no types

    head = f"{title} " if title and text.startswith(f"{title} ") else ""
    body = text[len(head) :]
    spans = [(found["start_index"], found["end_index"]) for found in sentencex.get_sentence_boundaries("en", body)]
    reach = len(spans) if neighbours is None else neighbours
    for i, (start, end) in enumerate(spans):
        sentence = body[start:end].rstrip()
        for swap in swaps(sentence) if sentence else ():
            first, last = spans[max(i - reach, 0)][0], spans[min(i + reach, len(spans) - 1)][1]
            before, after = head + body[first:start], body[start + len(sentence) : last].rstrip()
            yield before + sentence + after, before + swap.other + after, swap


def grounding_probe(
    data: Dataset,
    *,
    count: int | None = 50,
    others: Sequence[int] = OTHERS,
    places: Sequence[float] = PLACES,
    seed: int = 0,
) -> list[Row]:
    """Contrast rows on one answering sentence among other sentences of its article.

    The other sentences are those around the answering one, in the article's order. In the negative document, a sentence
    of the same article from outside of these stands in the answering sentence's place.

    Args:
        data: Sentences as documents, in the order of their articles, with the article's title; each query judged to
            have one relevant sentence.
        count: Most questions, drawn by seed from those whose articles are long enough. None: all.
        others: How many other sentences a document has.
        places: Where the answering sentence stands: 0 is first, 1 last. Positions that they round to are taken once.
        seed: Of the questions and of the sentences that stand in.

    Returns:
        Rows for `bicross.evaluation.probe`, of kind ``grounding:<others>:<place in percent>``, one group a question.

    Raises:
        ConfigurationError: A number of other sentences below 1, or a place outside 0 … 1.
        InputError: No article is long enough, or no query has one relevant sentence.
    """
    if not others or min(others) < 1 or not places or not all(0 <= place <= 1 for place in places):
        raise ConfigurationError(
            f"others must be positive whole numbers and places numbers from 0 to 1, got {others!r} and {places!r}."
        )
    articles: dict[str, list[str]] = defaultdict(list)
    for identity in data.documents:
        articles[data.titles.get(identity, "")].append(identity)
    fitting: list[tuple[str, str, list[str]]] = []
    for query in data.queries:
        relevant = [identity for identity, grade in data.qrels.get(query, {}).items() if grade > 0]
        article = articles[data.titles.get(relevant[0], "")] if len(relevant) == 1 else []
        if len(article) >= max(others) + 2 and relevant[0] in data.documents:
            fitting.append((query, relevant[0], article))
    if not fitting:
        raise InputError(
            f"Grounding needs queries with one relevant sentence, in an article (documents of one title) of "
            f"{max(others) + 2} sentences or more; {data.name!r} has none. Take fewer other sentences."
        )
    rng = np.random.default_rng(seed)
    chosen = sorted(rng.choice(len(fitting), size=min(count or len(fitting), len(fitting)), replace=False).tolist())
    return [row for i in chosen for row in _grounded(data, fitting[i], others, places, rng)]


def _grounded(
    data: Dataset,
    question: tuple[str, str, list[str]],
    others: Sequence[int],
    places: Sequence[float],
    rng: np.random.Generator,
) -> Iterable[Row]:
    """The rows of one question, its answer and its article."""
    query, answer, article = question
    title = data.titles.get(answer, "")
    sentences = {identity: data.documents[identity].removeprefix(f"{title} ") for identity in article}
    at = article.index(answer)
    for count in others:
        first = min(max(at - count // 2, 0), len(article) - count - 1)
        window = [identity for identity in article[first : first + count + 1] if identity != answer]
        outside = [i for i in article if i != answer and i not in set(window) and sentences[i] != sentences[answer]]
        if not outside:
            continue
        stand_in = outside[int(rng.integers(len(outside)))]
        seen = set()
        for place in places:
            position = round(place * count)
            if position in seen:  # a short document has fewer places
                continue
            seen.add(position)
            orders = ([*window[:position], inner, *window[position:]] for inner in (answer, stand_in))
            texts = [" ".join([*([title] if title else []), *(sentences[i] for i in order)]) for order in orders]
            kind = f"grounding:{count}:{round(100 * position / count)}"
            yield _row(f"{query}-{count}-{position}", kind, (data.queries[query], *texts), query)


def _row(identity: str, kind: str, texts: tuple[str, ...], group: str) -> Row:
    query, pos, neg = texts
    shared = {"id": identity, "split": "test", "kind": kind}
    return shared | {"query": query, "pos": pos, "neg": neg, "group": group, "source": "generated"}


def write_rows(rows: Iterable[Mapping[str, str]], path: str | os.PathLike[str]) -> None:
    """Write contrast rows as jsonl. They hold the passages' text, and are as public as those are."""
    path = Path(path)
    with whole_file(path) as part, part.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
