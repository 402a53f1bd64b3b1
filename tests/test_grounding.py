"""The sentence that the cross-encoder scores highest, and where it stands."""

from __future__ import annotations

import numpy as np
import pytest

from bicross import CrossEncoder
from bicross.grounding import ground
from word_models import WordScorer


class Longest:
    """The longer a text, the higher its score."""

    fingerprint = "longest"

    def predict(self, pairs):
        self.pairs = pairs
        return np.array([len(text) for _, text in pairs], dtype=np.float32)

    def rank(self, query, texts):
        raise NotImplementedError


def test_the_best_sentence_is_the_scorers() -> None:
    text = "The river runs near the house. The red bird sits under a tree, old and small. It rains on the moon."
    scorer = Longest()
    (found,) = ground(scorer, "bird", [text])
    assert text[slice(*found.span)] == "The red bird sits under a tree, old and small."
    assert found.score == len("The red bird sits under a tree, old and small.")
    assert {query for query, _ in scorer.pairs} == {"bird"}


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("# A heading that is quite long\n\nOne sentence behind it.", ["One sentence behind it."]),
        (
            "- the first item of a list\n- the second item of it",
            ["- the first item of a list", "- the second item of it"],
        ),
        ("| a cell of a table | x |\n|---|---|", ["| a cell of a table | x |\n|---|---|"]),
        ("Short. But this one is long enough.", ["Short. But this one is long enough."]),
        ("# Only a heading", ["# Only a heading"]),
        ("  … !? ", ["… !?"]),
    ],
)
def test_what_is_a_sentence(text: str, sentences: list[str]) -> None:
    scorer = Longest()
    ground(scorer, "q", [text])
    assert [sentence for _, sentence in scorer.pairs] == sentences


def test_each_text_has_its_own_and_a_blank_one_has_none() -> None:
    texts = ["the cat sleeps on the house", "", " \n ", "a dog eats near the river"]
    found = ground(WordScorer(), "dog", texts)
    assert [None if each is None else texts[i][slice(*each.span)] for i, each in enumerate(found)] == [
        texts[0], None, None, texts[3]
    ]  # fmt: skip
    assert ground(WordScorer(), "dog", []) == []


def test_of_equal_sentences_the_first(cross_encoder: CrossEncoder) -> None:
    text = "the red bird sits on a tree. the red bird sits on a tree."
    (found,) = ground(cross_encoder, "bird", [text])
    assert found.span == (0, 28)
    assert found.score == pytest.approx(cross_encoder.predict([("bird", text[:28])])[0], abs=1e-6)


def test_a_long_text_is_read_in_part() -> None:
    scorer = Longest()
    ground(scorer, "q", ["The red bird sits on the tree. " * 500])
    assert len(scorer.pairs) == 40
