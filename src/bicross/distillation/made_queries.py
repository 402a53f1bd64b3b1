"""Queries made from the corpus, where nobody has asked any: by rules, or by a generator of the caller's.

What a query was cut out of is never its whole answer: the passage without the title, or without the sentence, is what
the teacher sees as its source. And the source is no label. `keep_round_trips` keeps the queries that the teacher takes
back to their source, and then its scores are all that is learnt.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bicross.arguments import check_count
from bicross.distillation.labels import LabelledQuery, Labels
from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.distillation.query_ways import QueryMaker
from bicross.errors import ConfigurationError, InputError
from bicross.progress import progress

logger = logging.getLogger(__name__)

WAYS = ("title", "question", "span", "sentence")
QueryGenerator = Callable[[Sequence[str]], Sequence[Sequence[str]]]
"""From texts to the queries of each."""

AT_ONCE = 64


def make_queries(
    documents: Mapping[str, str],
    count: int,
    *,
    titles: Mapping[str, str] | None = None,
    ways: Sequence[str] = WAYS,
    language: str = "en",
    name: str = "corpus",
    seed: int = 0,
) -> Labels:
    """Makes queries from passages by rules.

    - ``title``: the title; its source is the passage without it.
    - ``question``: a question that stands in the passage; its source is the rest.
    - ``span``: the run of two to five different words that are rare in the corpus and rarest in the mean; its source is
      the whole passage.
    - ``sentence``: any sentence of 6 to 40 words; its source is the rest (the inverse cloze task, Lee et al. 2019).

    What counts as a question or sentence ends like one, and eight of ten of its words are words: command lines, paths
    and tables are nothing that anybody asks.

    The ways take turns, so that each makes as many queries as the others where the passages have the material. Words
    are told apart by spaces: for scripts without them use a generator.

    Args:
        documents: Text, title first, by id.
        count: Queries; fewer come back where the passages don't yield so many.
        titles: Titles by id, where the texts begin with them.
        ways: Some of `WAYS`.
        language: ISO 639-1 code, for the borders of sentences.
        name: Names the set.
        seed: Of every draw.

    Raises:
        ConfigurationError: An unknown way, or ``count`` below 1.
        InputError: Nothing can be made of these passages.
    """
    check_count(count, "count")
    check_ways(ways)
    maker = QueryMaker(documents, titles or {}, language)
    made = _Made()
    rng = np.random.default_rng(seed)
    order = [list(documents)[i] for i in rng.permutation(len(documents)).tolist()]
    for _ in ways:  # once around the corpus for each, as long as queries are missing
        for document_id in order:
            for way in sorted(ways, key=lambda way: made.counts[way]):
                if len(made.queries) < count and (way, document_id) not in made.tried:
                    made.tried.add((way, document_id))
                    if made.add(way, document_id, maker.make(way, document_id, rng)):
                        break
    return _labels(made, documents, name)


def check_ways(ways: Sequence[str]) -> None:
    """Whether these are ways of making queries.

    Raises:
        ConfigurationError: They aren't.
    """
    if not ways or not set(ways) <= set(WAYS):
        raise ConfigurationError(f"ways must be some of {WAYS!r}; got {tuple(ways)!r}.")


def generate_queries(
    documents: Mapping[str, str],
    generator: QueryGenerator,
    count: int,
    *,
    name: str = "corpus",
    seed: int = 0,
    show_progress: bool | None = None,
) -> Labels:
    """Makes queries with a generator, such as `Seq2SeqGenerator`; the source of each is the passage it was given.

    Args:
        documents: Text by id.
        generator: Called with some texts at a time; gives the queries of each, none where it has none.
        count: Queries; passages are drawn without replacement until there are so many.
        name: Names the set.
        seed: Of the draw of passages.
        show_progress: None: on a terminal, once it takes more than two seconds.

    Raises:
        InputError: The generator gave no query, or answers for another number of texts than it got.
    """
    check_count(count, "count")
    made = _Made()
    ids = list(documents)
    order = [ids[i] for i in np.random.default_rng(seed).permutation(len(ids)).tolist()]
    with progress("generating queries", count, show_progress) as advance:
        for start in range(0, len(order), AT_ONCE):
            part, before = order[start : start + AT_ONCE], len(made.queries)
            answers = generator([documents[document_id] for document_id in part])
            if len(answers) != len(part):
                raise InputError(f"A generator answers for each of {len(part)} texts; got {len(answers)} answers.")
            for document_id, queries in zip(part, answers, strict=True):
                for query in queries:
                    if len(made.queries) < count:
                        made.add("generated", document_id, (query, None))
            advance(len(made.queries) - before)
            if len(made.queries) >= count:
                break
    return _labels(made, documents, name)


def keep_round_trips(lists: CandidateLists, *, top: int = 3, of: int = 30) -> CandidateLists:
    """Keeps the queries whose source the teacher ranks among its ``top``.

    Args:
        lists: Scored lists of made queries, mined with the first ``of − 1`` dense ranks.
        top: The last place that the source may have.
        of: How many it competes with, itself included: the best dense candidates.

    Raises:
        InputError: None is left, or the lists have no sources.
    """
    passed = [(one, _place(one, of) <= top) for one in lists if "source" in one.kinds]
    if not passed:
        raise InputError("A round trip needs made queries, whose lists hold their source; these lists hold none.")
    made, kept = Counter[str](), Counter[str]()
    for one, good in passed:
        made[_way(one.query_id)] += 1
        kept[_way(one.query_id)] += good
    told = ", ".join(f"{way} {kept[way]} of {n}" for way, n in sorted(made.items()))
    logger.info("round trip: %s", told)
    if not any(kept.values()):
        raise InputError(
            f"The teacher takes none of {len(passed)} made queries back to its source ({told}): it doesn't know this "
            "corpus, or the queries are of no use. Try another teacher, or other ways."
        )
    metadata = {**lists.metadata, "round_trip": {"top": top, "of": of, "made": dict(made), "kept": dict(kept)}}
    return CandidateLists([one for one, good in passed if good], lists.documents, metadata)


def _place(one: ScoredList, of: int) -> int:
    """The source's place among the best dense candidates, by the teacher's score."""
    source = one.kinds.index("source")
    rivals = (
        score
        for score, kind, rank in zip(one.scores, one.kinds, one.ranks, strict=True)
        if kind == "dense" and rank < of
    )
    return 1 + sum(float(score) > float(one.scores[source]) for score in rivals)


def _way(query_id: str) -> str:
    return query_id.partition(":")[0]


@dataclass(slots=True)
class _Made:
    """What has been made so far."""

    queries: dict[str, LabelledQuery] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    tried: set[tuple[str, str]] = field(default_factory=set)
    texts: set[str] = field(default_factory=set)

    def add(self, way: str, document_id: str, made: tuple[str, str | None] | None) -> bool:
        if made is None or made[0].casefold() in self.texts or not made[0].strip():
            return False
        query, rest = made
        self.texts.add(query.casefold())
        self.counts[way] += 1
        name = f"{way}:{document_id}"
        name = name if name not in self.queries else f"{name}:{self.counts[way]}"
        if rest is None:
            self.queries[name] = LabelledQuery(query, (), source=document_id)
        else:
            self.parts[name] = rest
            self.queries[name] = LabelledQuery(query, (), source=name, excluded=(document_id,))
        return True


def _labels(made: _Made, documents: Mapping[str, str], name: str) -> Labels:
    if not made.queries:
        raise InputError(f"No query could be made of the {len(documents)} passages of {name!r}. Are they long enough?")
    first = {_way(name): query.text for name, query in reversed(made.queries.items())}
    told = [f"{n} by {way}, such as {first[way]!r}" for way, n in made.counts.items()]
    logger.info("made %s", "; ".join(told))
    return Labels(f"{name}-made", {**documents, **made.parts}, made.queries, hidden=frozenset(made.parts))
