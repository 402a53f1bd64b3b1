"""The student's model card: what it is, what it was made from, what it reached, and what nobody checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RUNS = {
    "base": "before, first stage",
    "teacher": "before, both stages (the teacher)",
    "student": "student, first stage",
    "student_two_stage": "student, both stages",
}
_HELD_OUT = {"agreement": "agreement with the teacher's scores (Spearman)", "ndcg": "nDCG@10"}


def model_card(facts: Mapping[str, Any]) -> str:
    """The card as Markdown; what is about a teacher is left out where there was none.

    Args:
        facts: ``recipe``, ``data``, ``after``, ``gap`` and ``rounds`` as `distill` collects them.
    """
    recipe, data, settings = facts["recipe"], facts["data"], facts["recipe"]["settings"]
    told = "made from the corpus, " if data["made"] else ""
    scored = recipe["teacher"] is not None or recipe["scores"] is not None
    lines = [
        "---",
        "library_name: sentence-transformers",
        "pipeline_tag: sentence-similarity",
        f"tags: [sentence-transformers, feature-extraction, bicross{', distillation' if scored else ''}]",
        "---",
        "",
        f"# {recipe['student']}, {'distilled' if scored else 'trained'} on {recipe['data']}",
        "",
        f"A bi-encoder that was trained {_taught(recipe)}. It loads in bicross and in sentence-transformers.",
        "",
        "## How it was made",
        "",
        f"- {data['documents']:,} documents; {data['queries']:,} queries ({told}{data['judged']:,} of them with a "
        "judged positive).",
        *_teachers(recipe),
        f"- {recipe['rounds']} round(s); {settings['candidates']} candidates a query, {settings['strategy']}"
        + (f", false-negative filter {settings['false_negatives']}." if scored else "."),
        f"- Towers: {settings['student']['towers']}; losses {settings['student']['losses']}; share of the weights "
        f"before training {settings['student']['base_share']:g}; seed {settings['seed']}.",
        *_rounds(facts["rounds"]),
        "",
        "Everything else is in the run's manifest, `run.json`.",
        "",
        *_figures(facts["after"]),
        *_gaps(facts["gap"]),
        "## Limits",
        "",
        "It was trained on one corpus. On others it may be worse than what it was trained from: measure before you use "
        "it there (`bicross evaluate`)."
        + (" What its teacher doesn't know, it can't have learnt: see `bicross probe`." if scored else ""),
        "",
        "## Licence",
        "",
        f"It derives from the weights of {recipe['student']} and from the texts of {recipe['data']}; their licences "
        "apply.",
        "",
    ]
    return "\n".join(lines)


def _taught(recipe: Mapping[str, Any]) -> str:
    data, teacher, scores = recipe["data"], recipe["teacher"], recipe["scores"]
    if scores is not None:
        return f"on scores of candidates ({scores}) of *{data}*"
    if teacher is not None:
        return f"to order the documents of *{data}* as the cross-encoder *{teacher}* does"
    return f"on judged queries of *{data}*"


def _teachers(recipe: Mapping[str, Any]) -> list[str]:
    lines = []
    if recipe["teacher"] is not None:
        role = "Teacher" if recipe["scores"] is None else "Measured beside it"
        lines.append(f"- {role}: {recipe['teacher']}, trained on {_listed(recipe['teacher_trained_on'])}.")
    if recipe["scores"] is not None:
        lines.append(f"- Scores that were there already: {recipe['scores']}.")
    return lines


def _listed(names: Any) -> str:
    return ", ".join(map(str, names)) if isinstance(names, list) else str(names or "data that its folder doesn't name")


def _rounds(rounds: list[dict[str, Any]]) -> list[str]:
    lines = []
    for number, found in enumerate(rounds, start=1):
        before, after = found["before"], found["after"]
        told = [
            f"{label} {_number(before.get(name))} → {_number(after[name])}"
            for name, label in _HELD_OUT.items()
            if after.get(name) is not None
        ]
        lines.append(
            f"- Round {number}: {found['lists']:,} lists; epoch {found['epoch']} was chosen on {found['held_out']} "
            f"held-out lists{': ' if told else ''}{', '.join(told)}."
        )
    return lines


def _figures(after: Mapping[str, Any] | None) -> list[str]:
    if after is None:
        return ["## Figures", "", "There were too few judged queries to measure on.", ""]
    measures = list(after["base"])
    rows = [
        f"| {label} | " + " | ".join(f"{after[run][measure]:.4f}" for measure in measures) + " |"
        for run, label in _RUNS.items()
        if run in after
    ]
    gain = after["tests"]["student"]
    return [
        "## Figures",
        "",
        f"{after['data']}: {after['queries']} queries that training didn't see.",
        "",
        "| | " + " | ".join(measures) + " |",
        "|---|" + "---|" * len(measures),
        *rows,
        "",
        f"{after['measure']} of the student against before: {gain['difference']:+.4f} "
        f"({gain['interval'][0]:+.4f} to {gain['interval'][1]:+.4f}).{_recovered(after.get('recovered'))}",
        "",
    ]


def _recovered(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if found["share"] is None:
        return " The teacher gains nothing here."
    low, high = found["interval"]
    return f" It has {found['share']:.0%} of the teacher's gain (95 %: {low:.0%} to {high:.0%})."


def _gaps(gaps: Mapping[str, Any]) -> list[str]:
    if not gaps.get("before") or not gaps.get("after"):
        return []
    lines = [
        f"On {gaps['after']['queries']} queries that training didn't see: Spearman correlation with the teacher on the "
        f"same candidates {_number(gaps['before']['spearman'])} before, {_number(gaps['after']['spearman'])} after."
    ]
    for depth, before in gaps["before"]["teacher_top10_in"].items():
        after = gaps["after"]["teacher_top10_in"].get(depth)
        lines.append(
            f"The teacher's top 10 within the first {depth}: {_number(before)} before, {_number(after)} after."
        )
    return [*lines, ""]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
