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
    assert encoder.calls == 2  # of the vectors that are kept
    assert not list(tmp_path.glob("*.part"))
    with pytest.raises(ConfigurationError, match="top_k must be at least 1; got 0"):
        search_candidates(toy, encoder, top_k=0)


class Fragile:
    """An encoder that dies at its third batch of documents until it is healed; remembers what it encoded."""

    def __init__(self, inner) -> None:
        self.inner, self.document_fingerprint = inner, inner.document_fingerprint
        self.encode_query = inner.encode_query
        self.encoded: list[str] = []
        self.healed = False

    def encode_document(self, texts):
        if len(self.encoded) >= 1024 and not self.healed:
            raise KeyboardInterrupt
        self.encoded += texts
        return self.inner.encode_document(texts)


@pytest.mark.parametrize("cache", [None, "cache"])
def test_vectors_survive_a_kill(encoder, tmp_path: Path, cache: str | None) -> None:
    documents = {f"d{i}": f"a w{i}" for i in range(1200)}
    labels = Labels("x", documents, {"q": LabelledQuery("a w7", ("d7",))})
    fragile = Fragile(encoder)
    cache_dir = cache and tmp_path / cache

    def search(run: str) -> list[str]:
        folder = tmp_path / run
        return search_candidates(labels, fragile, top_k=5, folder=folder, cache_dir=cache_dir).of("q")

    with pytest.raises(KeyboardInterrupt):
        search("run")
    fragile.healed = True
    found = search("run")
    assert fragile.encoded == list(documents.values())  # each of them once
    assert found == search_candidates(labels, encoder, top_k=5).of("q")
    assert (cache_dir or tmp_path / "run").joinpath("vectors.sqlite").exists()
    if cache:  # serves another run too
        assert search("another") == found
        assert len(fragile.encoded) == len(documents)


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
