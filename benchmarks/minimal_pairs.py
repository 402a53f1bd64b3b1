"""Minimal pairs that the starter cross-encoder learns: texts that differ in a negation or a quantifier alone."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from bicross.distillation.trainer import Group
from bicross.evaluation.generated import quantifier_probe

_VERB = re.compile(
    r"\b(?:is|are|was|were|will|would|can|could|should|must|may|might|does|do|did|(?:has|have|had) been)\b"
)
_NEGATED = re.compile(r"\b(?:not|never|cannot|no|neither|nor|without)\b|n't\b", re.IGNORECASE)

LEARNT_KINDS = ("all-none", "always-never", "at least-at most", "many-few", "usually-rarely")
"""Of the quantifiers' kinds; the others are left for measuring what carries over."""


def negation_groups(folder: Path, count: int, *, seed: int) -> list[Group]:
    """Sentences and their negations: a sentence with some of its words left out belongs to itself, not to the other.

    No word that the two don't share is left out, nor is a query made of more than four fifths of its sentence.
    """
    rng = np.random.default_rng(seed)
    rows = _rows(folder / "negated-sentences.train.jsonl")
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


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _entailment_groups(folder: Path, count: int, rng: np.random.Generator) -> list[Group]:
    """A hypothesis with the premise that entails it and one that doesn't."""
    rows = _rows(folder / "scone-nli.train.jsonl")
    premises: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["split"] == "train":
            premises.setdefault(row["hypothesis"], {})[row["label"]] = row["premise"]
    both = [(query, kinds) for query, kinds in premises.items() if len(kinds) == 2]
    order = rng.permutation(len(both))[:count].tolist()
    return [Group(both[i][0], (both[i][1]["entailment"], both[i][1]["neutral"]), (1.0, 0.0)) for i in order]


def denial_groups(folder: Path, count: int, *, seed: int) -> list[Group]:
    """Sentences with "not" put in, which mean the opposite sentence and share more words with their own.

    Of a sentence S and its opposite O ("slow", "fast"): "not O" asks for S and not for O, nor for "not S"; and S asks
    for "not O". Which one is nearer by its words is the wrong one, so that words alone can't solve it. Another
    sentence, with or without "not", stands beside them: what is far by its words isn't right for that.
    """
    rng = np.random.default_rng(seed)
    rows = _rows(folder / "negated-sentences.train.jsonl")
    groups: list[Group] = []
    for position in rng.permutation(len(rows)).tolist():
        both = [rows[position]["sentence"], rows[position]["negated"]]
        if rng.random() < 0.5:
            both.reverse()
        own, other = both
        denied, denied_other = denied_sentence(own), denied_sentence(other)
        if own == other or denied is None or denied_other is None:
            continue
        asks = rng.random() < 0.5
        query, right = (denied_other, own) if asks else (own, denied_other)
        stray = rows[int(rng.integers(len(rows)))]["sentence"]
        if not asks:
            stray = denied_sentence(stray) or stray
        groups.append(Group(query, (right, other, denied, stray), (1.0, 0.0, 0.0, 0.0)))
        if len(groups) == count:
            break
    return groups


def denied_sentence(sentence: str) -> str | None:
    """The sentence with "not" behind its first auxiliary verb; None where it has none, or a negation already.

    >>> denied_sentence("Convoys were slow but effective.")
    'Convoys were not slow but effective.'
    """
    verb = _VERB.search(sentence)
    if verb is None or _NEGATED.search(sentence):
        return None
    place = verb.start() + len(verb[0].split()[0])
    return f"{sentence[:place]} not{sentence[place:]}"


def quantifier_groups(passages: Mapping[str, str], count: int, *, seed: int) -> list[Group]:
    """Claims of a quantified sentence in other words, which its passage answers and not that with another quantifier.

    By the rules of `bicross.evaluation.quantifier_probe`, of `LEARNT_KINDS` alone, at most as many of each.
    """
    rows = quantifier_probe(passages, per_kind=None, neighbours=1, seed=seed)
    groups: dict[str, list[Group]] = {}
    for row in rows:
        kind = row["kind"].removeprefix("quantifier:")
        if kind in LEARNT_KINDS and len(groups.setdefault(kind, [])) < count // len(LEARNT_KINDS):
            groups[kind].append(Group(row["query"], (row["pos"], row["neg"]), (1.0, 0.0)))
    return [group for of_kind in groups.values() for group in of_kind]
