"""Probes: does a model tell apart texts that differ only in the thing probed, such as a negation or a quantifier?"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from bicross.arguments import check_share
from bicross.bi_encoder import similarity
from bicross.errors import ConfigurationError, InputError
from bicross.evaluation.contrasts import Contrasts, Pair, read_contrasts
from bicross.evaluation.datasets import Dataset
from bicross.evaluation.probe_figures import Doubles, Figures, Sample, outcomes
from bicross.evaluation.stages import Positions, Stages
from bicross.ranking import weighted_sum
from bicross.types import Encoder, Scorer


@dataclass(frozen=True, slots=True)
class Failure:
    """A comparison that a scorer got wrong, or in which both pairs tie.

    Attributes:
        id: Of the row.
        kind: What it probes.
        better: (query, text) that should have scored higher.
        worse: (query, text) that should have scored lower.
        scores: Of the better and of the worse pair. **Unit:** cosine or what the bi-encoder compares by; the
            cross-encoder's logit; for two stages the logit, too.
    """

    id: str
    kind: str
    better: Pair
    worse: Pair
    scores: tuple[float, float]


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What was measured on a probe, or on one kind of its comparisons.

    Attributes:
        comparisons: How many pairs of pairs were compared.
        groups: How many groups they form.
        bi_encoder: The first stage alone; None where there was none.
        cross_encoder: The second stage alone; None where there was none.
        two_stage: The weighted sum of both; None where one is missing.
        words: The share of a query's words that a text holds: what a probe gives away to a reader of words alone.
    """

    comparisons: int
    groups: int
    bi_encoder: Figures | None
    cross_encoder: Figures | None
    two_stage: Figures | None
    words: Figures


@dataclass(frozen=True, slots=True)
class ProbeReport(ProbeResult):
    """The result of `probe`.

    Attributes:
        rows: How many rows were read. A row of questions on one text holds many comparisons.
        left_out: Questions that a row calls answerable and unanswerable at once.
        stage1_weight: The first stage's weight in ``two_stage``; None where there were no two stages.
        kinds: The same for every kind, and for what several kinds have in front of a ":".
        failures: By scorer, the comparisons that it got wrong, the worst first.
    """

    rows: int
    left_out: int
    stage1_weight: float | None
    kinds: Mapping[str, ProbeResult]
    failures: Mapping[str, tuple[Failure, ...]] = field(repr=False)

    def as_dict(self, failures: int | None = None) -> dict[str, Any]:
        """The report as JSON values, with at most so many failures of each scorer (None: all)."""
        values = asdict(replace(self, failures={name: found[:failures] for name, found in self.failures.items()}))
        first = {name: values.pop(name) for name in ("rows", "comparisons", "groups", "left_out", "stage1_weight")}
        return first | values


def probe(
    source: str | os.PathLike[str] | Iterable[Mapping[str, Any]],
    bi_encoder: Encoder | None = None,
    cross_encoder: Scorer | None = None,
    *,
    stage1_weight: float | None = None,
    split: Callable[[str], Sequence[str]] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    seed: int = 0,
    show_progress: bool | None = None,
) -> ProbeReport:
    """Ask models which of two pairs of query and text fits better, where they differ only in the thing probed.

    A comparison is right when the better pair scores higher (chance 50 %), a group when all its comparisons are; a
    tie counts as what breaking it by lot gives on average, so that whoever sees nothing scores at chance.

    The two-stage score of a pair is `ranking.weighted_sum` with the means and spreads of both stages taken over all
    pairs of the probe, as if they were the candidates of one search. A search takes them over each query's candidates;
    a row has only two, whose z-scores are always +1 and −1, whatever a model thinks of them.

    Args:
        source: A jsonl file, or rows, as `contrasts.read_contrasts` reads them: contrast rows (``query``, ``pos``,
            ``neg``, ``group``, ``kind``), or rows of questions on a text (``doc``, ``answerable``, ``unanswerable``).
        bi_encoder: The first stage.
        cross_encoder: The second stage.
        stage1_weight: As in `TwoStageRetriever`. None: the weight that the cross-encoder carries, 0 where it has none.
        split: Cuts a text into passages; the one that a scorer likes best speaks for the text. None: texts stay whole.
        cache_dir: Folder of the vectors and scores; the same call goes on there after a kill. None: a temporary one.
        seed: Of the bootstrap.
        show_progress: None: on a terminal, once it takes more than two seconds.

    Raises:
        ConfigurationError: There is no model, or a weight outside 0 … 1.
        InputError: ``split`` leaves nothing of a text.
        ReadError, InputError: See `contrasts.read_contrasts`; or a scorer returned NaN.
    """
    if bi_encoder is None and cross_encoder is None:
        raise ConfigurationError("A probe needs a bi_encoder, a cross_encoder, or both; got neither.")
    weight = getattr(cross_encoder, "stage1_weight", 0.0) if stage1_weight is None else stage1_weight
    weight = check_share(weight, "stage1_weight")
    contrasts = read_contrasts(source)
    pairs = list(dict.fromkeys(pair for _, _, pair, _ in contrasts.pairs))
    passages = _passages(pairs, split)
    asked = list(dict.fromkeys(passage for found in passages for passage in found))
    scores: dict[str, Doubles] = {}
    with Stages(bi_encoder, cross_encoder, cache_dir=cache_dir) as stages:  # type: ignore[arg-type]
        table = _Table(asked)
        if bi_encoder is not None:
            scores["bi_encoder"] = table.similarities(stages, show_progress)
        if cross_encoder is not None:
            scores["cross_encoder"] = table.cross_scores(stages, show_progress)
    both = len(scores) == 2
    if both:
        scores["two_stage"] = weighted_sum(scores["cross_encoder"], scores["bi_encoder"], weight)
    scores["words"] = np.array([shared_words(*pair) for pair in asked])
    number = {pair: i for i, pair in enumerate(asked)}
    places = [[number[passage] for passage in found] for found in passages]
    scores = {name: np.array([values[parts].max() for parts in places]) for name, values in scores.items()}
    position = {pair: i for i, pair in enumerate(pairs)}
    whole = _measured(contrasts, position, scores, seed)
    return ProbeReport(
        **{name: getattr(whole, name) for name in ProbeResult.__slots__},
        rows=contrasts.rows,
        left_out=contrasts.left_out,
        stage1_weight=weight if both else None,
        kinds={kind: _measured(contrasts, position, scores, seed, kind) for kind in _kinds(contrasts)},
        failures={name: _failures(contrasts, position, values) for name, values in scores.items()},
    )


def _passages(pairs: Sequence[Pair], split: Callable[[str], Sequence[str]] | None) -> list[list[Pair]]:
    """Each pair's query with each passage of its text."""
    if split is None:
        return [[pair] for pair in pairs]
    pieces = {text: split(text) for text in dict.fromkeys(text for _, text in pairs)}
    for text, found in pieces.items():
        if not found:
            raise InputError(f"split must leave a passage of every text, got none of {text!r:.80}.")
    return [[(query, piece) for piece in pieces[text]] for query, text in pairs]


class _Table:
    """Distinct pairs as a table: a row for each query, its texts in the columns."""

    def __init__(self, pairs: list[Pair]) -> None:
        texts = {text: str(i) for i, text in enumerate(dict.fromkeys(text for _, text in pairs))}
        rows: dict[str, list[int]] = {}
        cells = []
        for query, text in pairs:
            row = rows.setdefault(query, [])
            cells.append((query, len(row)))
            row.append(int(texts[text]))
        number = {query: i for i, query in enumerate(rows)}
        self.cells = tuple(np.array([(number[query], column) for query, column in cells]).T)
        self.positions: Positions = np.full((len(rows), max(map(len, rows.values()))), -1, dtype=np.int32)
        for i, row in enumerate(rows.values()):
            self.positions[i, : len(row)] = row
        queries = {str(i): query for query, i in number.items()}
        self.data = Dataset("probe", {identity: text for text, identity in texts.items()}, {}, queries, {})

    def similarities(self, stages: Stages, show_progress: bool | None) -> Doubles:
        """**Shape:** (pairs,)."""
        documents = stages.document_vectors(self.data, show_progress=show_progress)
        queries = stages.query_vectors(self.data, show_progress=show_progress)
        name = getattr(stages.bi_encoder, "similarity_name", "cosine")
        found = np.zeros(self.positions.shape, dtype=np.float64)
        for i, row in enumerate(self.positions):
            found[i, row >= 0] = similarity(queries[i : i + 1], documents[row[row >= 0]], name)[0]
        return np.asarray(found[self.cells])

    def cross_scores(self, stages: Stages, show_progress: bool | None) -> Doubles:
        """**Shape:** (pairs,)."""
        scores = stages.cross_scores(self.data, self.positions, show_progress=show_progress)
        return np.asarray(scores[self.cells], dtype=np.float64)


def shared_words(query: str, text: str) -> float:
    """Share of the query's distinct words that the text holds.

    >>> shared_words("Zero ships sank", "No ships were lost.")
    0.3333333333333333
    """
    import regex  # type: ignore[import-untyped]  # has no types

    asked, held = (set(regex.findall(r"\w+", side.lower())) for side in (query, text))
    return len(asked & held) / max(len(asked), 1)


def _kinds(contrasts: Contrasts) -> list[str]:
    """Every kind, and every beginning that several kinds share; none where all rows are of one kind."""
    kinds = sorted({item.kind for item in contrasts.comparisons}, key=_natural)
    if len(kinds) == 1:
        return []
    found = []
    for kind in kinds:
        parts = kind.split(":")
        for end in range(1, len(parts)):
            name = ":".join(parts[:end])
            inside = sum(_within(other, name) for other in kinds)
            if name not in found and 1 < inside < len(kinds):
                found.append(name)
        found.append(kind)
    return found


def _natural(kind: str) -> list[tuple[int, str]]:
    """Numbers by their size: "g:2" stands before "g:10"."""
    return [(int(part) if part.isdecimal() else -1, part) for part in kind.split(":")]


def _within(kind: str, name: str | None) -> bool:
    return name is None or kind == name or kind.startswith(f"{name}:")


def _measured(
    contrasts: Contrasts,
    position: Mapping[Pair, int],
    scores: Mapping[str, Doubles],
    seed: int,
    name: str | None = None,
) -> ProbeResult:
    """The figures of all comparisons, or of those of one kind."""
    comparisons = [item for item in contrasts.comparisons if _within(item.kind, name)]
    members = [item for item in contrasts.pairs if _within(item[1], name)]
    number = {group: i for i, group in enumerate(dict.fromkeys(group for group, *_ in members))}
    groups = np.array([number[item.group] for item in comparisons])
    sample = Sample(
        comparisons,
        better=np.array([position[item.better] for item in comparisons]),
        worse=np.array([position[item.worse] for item in comparisons]),
        groups=groups,
        members=np.array([position[pair] for _, _, pair, _ in members]),
        member_groups=np.array([number[group] for group, *_ in members]),
        member_better=np.array([better for *_, better in members]),
    )
    figures = {stage: sample.figures(values, seed) for stage, values in scores.items()}
    return ProbeResult(
        len(comparisons),
        len(np.unique(groups)),
        figures.get("bi_encoder"),
        figures.get("cross_encoder"),
        figures.get("two_stage"),
        figures["words"],
    )


def _failures(contrasts: Contrasts, position: Mapping[Pair, int], scores: Doubles) -> tuple[Failure, ...]:
    better = scores[[position[item.better] for item in contrasts.comparisons]]
    worse = scores[[position[item.worse] for item in contrasts.comparisons]]
    failed = np.flatnonzero(outcomes(better, worse) < 1.0)
    found = []
    for i in failed[np.argsort((better - worse)[failed], kind="stable")].tolist():
        item = contrasts.comparisons[i]
        found.append(Failure(item.id, item.kind, item.better, item.worse, (float(better[i]), float(worse[i]))))
    return tuple(found)
