from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bicross.distillation.candidates import sample_negatives, search_candidates
from bicross.distillation.labels import LabelledQuery, Labels
from bicross.errors import ConfigurationError


def test_mining_is_kept_and_read_again(toy: Labels, encoder, tmp_path: Path) -> None:
    first = search_candidates(toy, encoder, top_k=10, folder=tmp_path)
    again = search_candidates(toy, encoder, top_k=10, folder=tmp_path)
    assert encoder.calls == 2
    assert np.array_equal(first.positions, again.positions)
    assert first.of("q3") == again.of("q3")
    search_candidates(toy, encoder, top_k=11, folder=tmp_path)
    assert encoder.calls == 4
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(ConfigurationError, match="top_k must be at least 1; got 0"):
        search_candidates(toy, encoder, top_k=0)


def test_negatives_are_seeded_and_never_known_positives(toy: Labels, encoder) -> None:
    mined = search_candidates(toy, encoder, top_k=30)

    def draw(seed: int) -> list[list[str]]:
        rng = np.random.default_rng(seed)
        return [sample_negatives(toy, mined, q, count=4, window=(1, 30), rng=rng) for q in toy.queries]

    assert draw(1) == draw(1)
    assert draw(1) != draw(2)
    for query_id, drawn in zip(toy.queries, draw(1), strict=True):
        assert len(set(drawn)) == 4
        assert not set(drawn) & set(toy.queries[query_id].positives)


def test_the_window_equal_texts_and_judged_negatives(encoder) -> None:
    documents = {"d0": "a a", "d1": "a a", "d2": "a", "d3": "a b", "d4": "a c c", "d5": "z"}
    labels = Labels("x", documents, {"q": LabelledQuery("a", ("d0",), ("d5",))})
    mined = search_candidates(labels, encoder, top_k=5)
    assert set(mined.of("q")[:3]) == {"d0", "d1", "d2"}

    def draw(window: tuple[int, int], count: int) -> list[str]:
        return sample_negatives(labels, mined, "q", count=count, window=window, rng=np.random.default_rng(0))

    assert set(draw((1, 5), 9)) == {"d5", "d2", "d3", "d4"}  # d1 has the relevant text
    assert draw((4, 4), 9) == ["d5", "d3"]
    assert draw((1, 5), 1) == ["d5"]


def test_a_part_of_the_candidates(toy: Labels, encoder) -> None:
    mined = search_candidates(toy, encoder, top_k=10)
    part = mined.only(["q7", "q2"], 3)
    assert [part.of(q) for q in ("q7", "q2")] == [mined.of(q)[:3] for q in ("q7", "q2")]
    assert part.scores.shape == (2, 3)
