"""What a folder says of where its model comes from, and how that is handed on."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from types import SimpleNamespace

import pytest

from bicross.bi_encoder import BiEncoder
from bicross.cross_encoder import CrossEncoder
from bicross.distillation.origin import origin, trained_on
from tiny_models import write_bi_encoder, write_cross_encoder

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ({}, [None]),
        ({"trained_on": None}, [None]),
        ({"trained_on": ["tldr", "squad", "tldr"]}, ["squad", "tldr", None]),
        ({"trained_on": {"data": [], "base": [], "teacher": []}}, []),
        ({"trained_on": {"data": ["toy"], "base": ["b", "a"], "teacher": ["b"]}}, ["a", "b", "toy"]),
        ({"trained_on": {"data": ["toy"], "base": [], "teacher": [None]}}, ["toy", None]),
        ({"trained_on": {"data": ["toy"], "base": []}}, ["toy", None]),
        ({"trained_on": {"data": "toy", "base": [3], "teacher": []}}, [None]),
    ],
)
def test_what_is_not_said_is_told_apart_from_nothing(said, names) -> None:
    assert trained_on(SimpleNamespace(checkpoint=SimpleNamespace(extras=said))) == names


def test_a_scorer_without_a_folder_says_nothing() -> None:
    assert trained_on(object()) == [None]


def test_both_encoders_read_it_and_keep_it_where_they_are_saved(tmp_path: Path) -> None:
    said = {"trained_on": {"data": ["toy"], "base": [], "teacher": ["squad"]}}
    cross = write_cross_encoder(tmp_path / "cross", extras=said)
    bi = write_bi_encoder(tmp_path / "bi")
    (bi / "bicross.json").write_text(json.dumps(said))
    for kind, folder in ((CrossEncoder, cross), (BiEncoder, bi)):
        with kind.load(folder, device="cpu") as model:
            saved = model.save(tmp_path / f"{folder.name}-saved")
        with kind.load(saved, device="cpu") as again:
            assert trained_on(again) == ["squad", "toy"]


def test_a_record_of_another_shape_breaks_no_loading(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "bi")
    (folder / "bicross.json").write_text('{"trained_on": 7}')
    with BiEncoder.load(folder, device="cpu") as model:
        assert trained_on(model) == [None]


def test_a_base_from_a_folder_has_no_hub_id_and_hides_its_path(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "mine")
    with BiEncoder.load(folder, device="cpu") as model:
        assert origin(model) == {"base": "mine", "base_model": None, "base_license": None}


@pytest.mark.parametrize(
    ("card", "licence"),
    [
        ("---\nlicense: apache-2.0\n---\n# x\n", {"license": "apache-2.0"}),
        (
            "---\nlicense: other\nlicense_name: own\nlicense_link: LICENSE\n---\n",
            {"license": "other", "license_name": "own"},
        ),
        ("---\nlicense: other\nlicense_link: https://a.example\n---\n",
         {"license": "other", "license_link": "https://a.example"}),
        ("---\nlicense: [mit, gpl]\n---\n", None),
        ("# no front matter\n\nlicense: mit\n", None),
    ],
)  # fmt: skip
def test_a_licence_is_what_the_bases_card_states(tmp_path: Path, card: str, licence: dict | None) -> None:
    repository = tmp_path / "models--someone--tiny"
    folder = write_bi_encoder(repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    (folder / "README.md").write_text(card)
    with BiEncoder.load("someone/tiny", cache_dir=tmp_path, local_files_only=True, device="cpu") as model:
        assert origin(model) == {"base": "someone/tiny", "base_model": "someone/tiny", "base_license": licence}


def test_a_card_that_cannot_be_read_states_no_licence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_bi_encoder(tmp_path / "mine")
    (folder / "README.md").write_text("---\nlicense: [mit\n---\n")
    with BiEncoder.load(folder, device="cpu") as model, caplog.at_level(logging.WARNING):
        assert origin(model)["base_license"] is None
    assert "names no licence" in caplog.text


def test_starters_have_the_hub_ids_under_which_they_are_sought(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("BICROSS_MODELS", str(tmp_path))
    for name, directory, repository in (
        ("starter", "starter-bi-encoder", "bicross/starter-bi-encoder"),
        ("minilm", "all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2"),
    ):
        write_bi_encoder(tmp_path / directory)
        with BiEncoder.load(name, device="cpu") as model:
            assert (origin(model)["base"], origin(model)["base_model"]) == (name, repository)
