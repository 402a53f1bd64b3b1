"""The fields that the model hub reads, and sentences that must be true wherever the card goes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub.repocard import metadata_load

from bicross.distillation.card import model_card, short_card
from bicross.distillation.flow_settings import DistillSettings


def facts(settings: DistillSettings | None = None, **recipe: Any) -> dict[str, Any]:
    known = {
        "data": "toy",
        "teacher": "/home/me/models/judge",
        "teacher_trained_on": {"cross_encoder": ["squad", None], "bi_encoder": [None]},
        "scores": None,
        "student": "/home/me/models/mine",
        "base": "mine",
        "base_model": None,
        "base_license": None,
        "rounds": 1,
        "settings": (settings or DistillSettings()).as_dict(),
    }
    data = {"documents": 3, "queries": 2, "judged": 2, "made": False}
    return {"recipe": known | recipe, "data": data, "after": None, "gap": {}, "rounds": []}


def front_matter(card: str, folder: Path) -> dict[str, Any]:
    (folder / "README.md").write_text(card, encoding="utf-8")
    fields = metadata_load(folder / "README.md")
    assert fields is not None
    return fields


def test_what_is_known_is_in_the_front_matter(tmp_path: Path) -> None:
    base = {"base": "minilm", "base_model": "sentence-transformers/all-MiniLM-L6-v2"}
    card = model_card(facts(DistillSettings(language="no"), **base, base_license={"license": "apache-2.0"}))
    assert front_matter(card, tmp_path) == {
        "language": "no",
        "license": "apache-2.0",
        "library_name": "sentence-transformers",
        "pipeline_tag": "sentence-similarity",
        "base_model": "sentence-transformers/all-MiniLM-L6-v2",
        "tags": ["sentence-transformers", "feature-extraction", "bicross", "distillation"],
    }
    assert "apache-2.0, which is what the card of minilm states." in card


def test_what_is_not_known_is_not_invented(tmp_path: Path) -> None:
    fields = front_matter(model_card(facts()), tmp_path)
    assert fields["language"] == "en"
    assert fields.keys().isdisjoint({"base_model", "license"})


def test_the_callers_licence_comes_before_the_bases(tmp_path: Path) -> None:
    other = {"license": "other", "license_name": "own"}
    card = model_card(facts(DistillSettings(license="mit"), base_license=other))
    fields = front_matter(card, tmp_path)
    assert (fields["license"], "license_name" in fields) == ("mit", False)
    assert "mit, by the choice of whoever trained it." in card


def test_a_card_for_strangers_names_no_path_and_says_what_stays_behind() -> None:
    card = model_card(facts())
    assert "/home/me" not in card
    assert "# mine, distilled on toy" in card
    assert "`run.json`, which stays in the run's folder and isn't part of the model" in card


def test_what_the_whole_teacher_was_trained_on_is_said() -> None:
    card = model_card(facts())
    assert "- Teacher: judge, trained on squad, other data that its folder doesn't name." in card
    assert "- With a share of mine, trained on data that its folder doesn't name." in card
    alone = model_card(facts(teacher_trained_on={"cross_encoder": []}))
    assert "- Teacher: judge, trained on nothing." in alone
    assert "share of mine" not in alone


def test_a_record_without_a_base_has_a_card_too(tmp_path: Path) -> None:
    settings = {"towers": "query", "losses": {"kl": 1.0}, "base_share": 0.0, "training": {"seed": 3}}
    figures = {"agreement": 0.5, "ndcg": None}
    record = {"settings": settings, "before": figures, "after": figures, "lists": 9, "epoch": 2, "held_out": 4}
    card = short_card(record)
    assert front_matter(card, tmp_path).keys().isdisjoint({"base_model", "license", "language"})
    assert "9 lists; epoch 2 was chosen on 4 held-out lists: agreement" in card


def test_a_training_that_made_nothing_better_is_told(tmp_path: Path) -> None:
    settings = {"towers": "query", "losses": {"kl": 1.0}, "base_share": 0.0, "training": {"seed": 3}}
    record = {"settings": settings, "lists": 9, "epoch": 2, "held_out": 4, "before": {"agreement": 0.5, "ndcg": None}}
    for after, warned in ((0.5, True), (0.4, True), (0.6, False)):
        card = short_card({**record, "after": {"agreement": after, "ndcg": None}})
        assert ("**No epoch was better there than the model before training.**" in card) is warned
