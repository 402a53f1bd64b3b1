"""The student's model card: what it is, what it was made from, what it reached, and what nobody checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bicross.distillation.held_out_lists import height
from bicross.distillation.origin import Names, shown

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
    given = settings["license"]
    licence = recipe["base_license"] if given is None else {"license": given}
    lines = [
        *_front_matter(recipe["base_model"], licence, settings["language"], ["distillation"] if scored else []),
        f"# {recipe['base']}, {'distilled' if scored else 'trained'} on {recipe['data']}",
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
        _training(settings["student"], settings["seed"]),
        *(_chosen(found, f"Round {number}") for number, found in enumerate(facts["rounds"], start=1)),
        "",
        "`bicross.json` beside this card holds the record of the last round's training. Everything else is in the "
        "manifest, `run.json`, which stays in the run's folder and isn't part of the model.",
        "",
        *_figures(facts["after"]),
        *_gaps(facts["gap"]),
        "## Limits",
        "",
        "It was trained on one corpus. On others it may be worse than what it was trained from: measure before you use "
        "it there (`bicross evaluate`)."
        + (" What its teacher doesn't know, it can't have learnt: see `bicross probe`." if scored else ""),
        "",
        *_licence(recipe["base"], licence, recipe["data"], chosen=given is not None),
    ]
    return "\n".join(lines)


def short_card(record: Mapping[str, Any]) -> str:
    """The card of a model that `train_bi_encoder` made, as Markdown.

    Args:
        record: Content of its ``bicross.json``.
    """
    base, licence, settings = record.get("base", "a bi-encoder"), record.get("base_license"), record["settings"]
    lines = [
        *_front_matter(record.get("base_model"), licence, None, []),
        f"# {base}, trained on candidate lists",
        "",
        "A bi-encoder. It loads in bicross and in sentence-transformers.",
        "",
        "## How it was made",
        "",
        _training(settings, settings["training"]["seed"]),
        _chosen(record, "Training"),
        "",
        "Everything else that is known is in `bicross.json` beside this card.",
        "",
        "## Limits",
        "",
        "It was measured on lists like those that it was trained on, and nowhere else: measure before you use it "
        "(`bicross evaluate`).",
        "",
        *_licence(base, licence, "its candidate lists", chosen=False),
    ]
    return "\n".join(lines)


def _front_matter(
    base: str | None, licence: Mapping[str, str] | None, language: str | None, tags: list[str]
) -> list[str]:
    """What the model hub reads, up to the title; what isn't known is left out."""
    fields = {
        "language": language,
        **(licence or {}),
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "base_model": base,
        "tags": ["sentence-transformers", "feature-extraction", "bicross", *tags],
    }
    # JSON is YAML; without its quotes the language "no" would be false.
    values = [f"{name}: {json.dumps(value)}" for name, value in fields.items() if value is not None]
    return ["---", *values, "---", ""]


def _licence(base: str, licence: Mapping[str, str] | None, data: str, *, chosen: bool) -> list[str]:
    told = ""
    if licence is not None:
        by = "by the choice of whoever trained it" if chosen else f"which is what the card of {base} states"
        told = f"{licence.get('license_name', licence['license'])}, {by}. "
    derived = f"It derives from the weights of {base} and from the texts of {data}; their licences apply."
    return ["## Licence", "", told + derived, ""]


def _training(student: Mapping[str, Any], seed: int) -> str:
    return (
        f"- Towers: {student['towers']}; losses {student['losses']}; share of the weights before training "
        f"{student['base_share']:g}; seed {seed}."
    )


def _taught(recipe: Mapping[str, Any]) -> str:
    data, teacher, scores = recipe["data"], recipe["teacher"], recipe["scores"]
    if scores is not None:
        return f"on scores of candidates ({scores}) of *{data}*"
    if teacher is not None:
        return f"to order the documents of *{data}* as the cross-encoder *{shown(teacher)}* does"
    return f"on judged queries of *{data}*"


def _teachers(recipe: Mapping[str, Any]) -> list[str]:
    lines = []
    if recipe["teacher"] is not None:
        role = "Teacher" if recipe["scores"] is None else "Measured beside it"
        parts = recipe["teacher_trained_on"]
        lines.append(f"- {role}: {shown(recipe['teacher'])}, trained on {_listed(parts['cross_encoder'])}.")
        if "bi_encoder" in parts:
            lines.append(f"- With a share of {recipe['base']}, trained on {_listed(parts['bi_encoder'])}.")
    if recipe["scores"] is not None:
        lines.append(f"- Scores that were there already: {recipe['scores']}.")
    return lines


def _listed(names: Names) -> str:
    told = [name for name in names if name is not None]
    unknown = [] if told == names else [f"{'other ' if told else ''}data that its folder doesn't name"]
    return ", ".join(told + unknown) or "nothing"


def _chosen(found: Mapping[str, Any], what: str) -> str:
    before, after = found["before"], found["after"]
    told = [
        f"{label} {_number(before.get(name))} → {_number(after[name])}"
        for name, label in _HELD_OUT.items()
        if after.get(name) is not None
    ]
    warning = "" if height(after) > height(before) else " **No epoch was better there than the model before training.**"
    return (
        f"- {what}: {found['lists']:,} lists; epoch {found['epoch']} was chosen on {found['held_out']} "
        f"held-out lists{': ' if told else ''}{', '.join(told)}.{warning}"
    )


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
