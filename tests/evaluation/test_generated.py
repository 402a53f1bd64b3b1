"""Probes made from passages: what is changed, what is left alone, and that words alone can't solve them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bicross.cli import app
from bicross.errors import ConfigurationError, InputError
from bicross.evaluation import Dataset, grounding_probe, probe, quantifier_probe
from bicross.evaluation.generated import write_rows
from bicross.evaluation.probes import shared_words
from bicross.evaluation.quantifier_swaps import swaps
from judge import Judge

SENTENCES = [
    ("All ships of the fleet were lost in the storm.", "No ships", "One hundred percent of ships", "Zero ships"),
    (
        "All of the ships were lost in the storm.",
        "None of the",
        "One hundred percent of the",
        "Not a single one of the",
    ),
    ("The storm destroyed every ship in the harbour.", "no ship", "any given ship", "not a single ship"),
    ("Some ships in the harbour survived the storm.", "No ships", "A certain number of ships", "Zero ships"),
    ("The survey found no evidence of a storm.", "some evidence", "zero evidence", "a certain amount of evidence"),
    ("Many of the old ships survived the storm.", "Few of the", "A large number of the", "Hardly any of the"),
    ("Most ships in the harbour survived the storm.", "Few ships", "The majority of ships", "Hardly any ships"),
    ("The storm sank at least 20 ships that night.", "at most 20", "a minimum of 20", "a maximum of 20"),
    ("The storm sank more than 20 ships that night.", "less than 20", "in excess of 20", "under 20"),
    ("The bell is only found in a storm.", "also found", "exclusively found", "additionally found"),
    ("The bell is always found in a storm.", "never found", "invariably found", "at no time found"),
    ("The storm sank three ships near the harbour.", "seven ships", "3 ships", "7 ships"),
]


@pytest.mark.parametrize(("sentence", "other", "query", "other_query"), SENTENCES)
def test_a_quantifier_is_swapped_and_said_in_other_words(
    sentence: str, other: str, query: str, other_query: str
) -> None:
    found = next(swaps(sentence))
    assert other in found.other
    assert query in found.query
    assert other_query in found.other_query
    for claim in (found.query, found.other_query):  # words alone see no difference between the documents
        assert shared_words(claim, sentence) == shared_words(claim, found.other)


def test_a_universal_claim_is_also_denied_in_part() -> None:
    found = {swap.kind: swap.other for swap in swaps("All ships of the fleet were lost in the storm.")}
    assert found["quantifier:all-not all"] == "Not all ships of the fleet were lost in the storm."


@pytest.mark.parametrize(
    "sentence",
    [
        "All ships of the fleet were not lost in the storm.",  # a negation
        "They were all lost in the storm that night.",  # begins with a pronoun, and floats
        "The ships were all lost in the storm that night.",
        "At all times the ships were in the harbour.",
        "The few ships of the fleet were lost that night.",
        "The most famous ships were lost in the storm.",
        "Ships no longer sail to the old harbour.",
        "The captain visited the harbour every year until the war.",
        "All ships and some boats were lost in the storm.",  # two quantifiers
        "Were all ships of the fleet lost in the storm?",
        "All ships were lost.",  # too short to say anything
        "Nearly all ships of the fleet were lost that night.",
    ],
)
def test_what_the_rules_are_unsure_of_is_left_alone(sentence: str) -> None:
    assert list(swaps(sentence)) == []


PASSAGES = {
    f"p{i}": f"Storm {i} A storm came from the west. {text[0]} It was long ago." for i, text in enumerate(SENTENCES)
}
TITLES = {f"p{i}": f"Storm {i}" for i in range(len(SENTENCES))}


def test_two_documents_ask_either_way_round() -> None:
    rows = quantifier_probe(PASSAGES, titles=TITLES)
    assert len(rows) == 2 * len(SENTENCES)
    for first, second in zip(rows[::2], rows[1::2], strict=True):
        assert (first["pos"], first["neg"]) == (second["neg"], second["pos"])
        assert first["group"] == second["group"]
        assert first["pos"] == PASSAGES[first["group"]]
        assert first["neg"].startswith(TITLES[first["group"]])
        assert first["neg"].endswith("It was long ago.")
        assert not first["query"].startswith("Storm")
    words = probe(rows, None, Judge(lambda *_: 0.0)).words
    assert (words.accuracy, words.group_accuracy, words.chance) == (0.5, 0.25, 0.25)


def test_the_seed_decides_and_no_kind_drowns_the_others() -> None:
    assert quantifier_probe(PASSAGES, per_kind=1, seed=1) == quantifier_probe(PASSAGES, per_kind=1, seed=1)
    kinds = [row["kind"] for row in quantifier_probe(PASSAGES, per_kind=1)[::2]]
    assert len(kinds) == len(set(kinds)) > 6
    for options in ({"per_kind": 0}, {"neighbours": -1}):
        with pytest.raises(ConfigurationError, match="per_kind must be 1 or more and neighbours 0 or more"):
            quantifier_probe(PASSAGES, **options)


def test_a_long_passage_is_kept_around_the_changed_sentence() -> None:
    around = [f"Rain fell on day {i} of that month." for i in range(9)]
    text = " ".join(["Wind", *around[:4], "Many ships of the old fleet were lost.", *around[4:]])
    first, _ = quantifier_probe({"p": text}, titles={"p": "Wind"}, neighbours=1)
    assert first["pos"] == f"Wind {around[3]} Many ships of the old fleet were lost. {around[4]}"
    assert first["neg"] == f"Wind {around[3]} Few ships of the old fleet were lost. {around[4]}"
    whole, _ = quantifier_probe({"p": text}, titles={"p": "Wind"}, neighbours=None)
    assert whole["pos"] == text


def article(length: int = 14) -> Dataset:
    titles = {f"{name}{i}": name for name in ("Rain", "Sun") for i in range(length)}
    documents = {identity: f"{title} {title} sentence {identity}." for identity, title in titles.items()}
    qrels = {"q": {"Rain5": 1}, "many": {"Rain1": 1, "Rain2": 1}}
    return Dataset("toy", documents, titles, {"q": "what about five?", "many": "?"}, qrels)


def test_the_answer_stands_at_each_place_among_its_neighbours() -> None:
    rows = grounding_probe(article(), others=(1, 10), places=(0.0, 0.2, 0.5, 1.0))
    assert [row["kind"] for row in rows] == [
        "grounding:1:0", "grounding:1:100", "grounding:10:0", "grounding:10:20", "grounding:10:50", "grounding:10:100",
    ]  # fmt: skip
    for row in rows:
        _, others, place = row["kind"].split(":")
        good, bad = (row[side].removeprefix("Rain ").split(". ") for side in ("pos", "neg"))
        assert len(good) == len(bad) == int(others) + 1
        differ = [i for i, pair in enumerate(zip(good, bad, strict=True)) if pair[0] != pair[1]]
        assert differ == [round(int(others) * int(place) / 100)]
        assert "Rain5" in good[differ[0]]
        assert "Rain5" not in row["neg"]
        assert "Sun" not in row["neg"]
    assert {row["group"] for row in rows} == {"q"}


def test_a_short_document_has_the_answer_at_every_position() -> None:
    found = [row["kind"] for row in grounding_probe(article(), others=(1, 10))]
    assert found == ["grounding:1:0", "grounding:1:100", *(f"grounding:10:{place}" for place in range(0, 101, 10))]


def test_whoever_sees_nothing_is_at_chance_wherever_the_answer_is() -> None:
    report = probe(grounding_probe(article(), others=(1, 10)), None, Judge(lambda *_: 1.0))
    assert {result.cross_encoder.accuracy for result in report.kinds.values()} == {0.5}


def test_grounding_needs_long_articles_and_sensible_places() -> None:
    with pytest.raises(InputError, match="101 sentences or more"):
        grounding_probe(article())
    for options in ({"others": ()}, {"others": (0,)}, {"places": (1.5,)}):
        with pytest.raises(ConfigurationError, match="others must be"):
            grounding_probe(article(), **options)


def test_the_command_writes_what_it_generates(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    corpus = [{"_id": key, "title": "", "text": text} for key, text in PASSAGES.items()]
    write_rows(corpus, folder / "corpus.jsonl")
    write_rows([{"_id": "q", "text": "storm"}], folder / "queries.jsonl")
    out = tmp_path / "rows.jsonl"
    command = ["probe", "--generate", "quantifiers", "--from", str(folder), "--out", str(out), "--json"]
    done = CliRunner().invoke(app, command)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert json.loads(done.stdout) == {"file": str(out), "rows": len(rows)}
    assert rows == quantifier_probe(PASSAGES)
