from __future__ import annotations

import threading
import weakref
from collections import Counter
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bicross import BiEncoder, CrossEncoder
from bicross.encoding import batching, embedding
from tiny_models import WORDS, write_bi_encoder


class Spy:
    """Counts the tokens that go through a model, real ones and padding."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, model: object, method: str) -> None:
        self.real = self.padded = 0
        self.rows: Counter[bytes] = Counter()
        own = getattr(model, method)

        def spied(ids: np.ndarray, mask: np.ndarray, *rest: object) -> object:
            self.real += int(mask.sum())
            self.padded += mask.size
            self.rows.update(row[kept == 1].tobytes() for row, kept in zip(ids, mask, strict=True))
            return own(ids, mask, *rest)

        monkeypatch.setattr(model, method, spied)


def passages(count: int, seed: int = 0) -> list[str]:
    """Texts whose lengths spread as those of real paragraphs do: log-normally, median 70 tokens, a long tail."""
    random = np.random.default_rng(seed)
    lengths = np.clip(random.lognormal(np.log(70), 0.5, count), 4, 300).astype(int)
    return [" ".join(random.choice(WORDS, length)) for length in lengths]


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory):
    folder = write_bi_encoder(
        tmp_path_factory.mktemp("thin") / "m",
        max_length=256,
        max_position_embeddings=256,
        num_hidden_layers=1,
        hidden_size=8,
        num_attention_heads=1,
        intermediate_size=8,
    )
    with BiEncoder.load(folder, device="cpu") as model:
        yield model


def test_padding_is_under_three_percent(thin: BiEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch, thin._leases["document"].get().model, "vectors")
    thin.encode_document(passages(1_500), return_truncation=True)
    assert spy.real > 1_500 * 50
    assert spy.padded / spy.real < 1.03


def test_order_is_restored_over_slabs(thin: BiEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "SLAB_TEXTS", 7)
    texts = passages(600)
    together, cut = thin.encode_document(texts, return_truncation=True)
    some = [0, 3, 511, 512, 513, 599]
    alone, alone_cut = zip(*(thin.encode_document(texts[i], return_truncation=True) for i in some), strict=True)
    np.testing.assert_allclose(together[some], alone, atol=1e-6)
    assert cut[some].tolist() == [bool(each) for each in alone_cut]


def test_equal_texts_are_encoded_once(bi_encoder: BiEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    spy = Spy(monkeypatch, bi_encoder._leases["document"].get().model, "vectors")
    texts = ["the cat", "a dog", "the cat", "bird", "a dog", "the cat"] * 200
    vectors = bi_encoder.encode_document(texts)
    assert sum(spy.rows.values()) == 3
    np.testing.assert_array_equal(vectors[0], vectors[2])
    np.testing.assert_allclose(vectors[3], bi_encoder.encode_document("bird"), atol=1e-6)
    assert vectors.shape == (1_200, 32)


def test_equal_pairs_are_scored_once_and_cut_alike(
    cross_encoder: CrossEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = Spy(monkeypatch, cross_encoder._lease.get().model, "logits")
    long = "the house " * 100
    pairs = [("cat", "the cat"), ["cat", long], ("cat", "the cat"), ("dog", "the cat"), ("cat", long)]
    scores, cut = cross_encoder.predict(pairs, return_truncation=True)  # type: ignore[arg-type]
    assert sum(spy.rows.values()) == 3
    assert cut.tolist() == [False, True, False, False, True]
    assert scores[0] == scores[2]
    assert scores[1] == scores[4]
    assert scores[0] != scores[3]


def test_token_ids_of_three_slabs_at_most_are_in_memory(thin: BiEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "SLAB_TEXTS", 64)
    monkeypatch.setattr(embedding, "slabs", partial(batching.slabs, first=64))
    tokenizer = thin._leases["document"].get().tokenizer
    frame, lock = tokenizer.frame_single, threading.Lock()
    alive = most = 0

    def gone() -> None:
        nonlocal alive
        with lock:
            alive -= 1

    def framed(ids: np.ndarray) -> tuple[np.ndarray, bool]:
        nonlocal alive, most
        row, cut = frame(ids)
        with lock:
            alive += 1
            most = max(most, alive)
        weakref.finalize(row, gone)
        return row, cut

    monkeypatch.setattr(tokenizer, "frame_single", framed)
    thin.encode_document(passages(640), return_truncation=True)
    assert alive == 0
    assert 64 < most <= 3 * 64  # one computes, one is ready, one is being made


def test_a_slab_of_huge_texts_is_small() -> None:
    spans = list(batching.slabs([10, 1 << 20, 1 << 20, 1 << 20, 5]))
    assert [(span.start, span.stop) for span in spans] == [(0, 2), (2, 4), (4, 5)]
    assert list(batching.slabs([])) == []


@given(st.lists(st.sampled_from(["a", "bb", "ccc", "dd", ""]), max_size=30))
def test_distinct_items_stand_for_all(items: list[str]) -> None:
    order, source = batching.distinct(items, [len(item) for item in items])
    assert sorted(items[i] for i in order) == sorted(set(items))
    assert [len(items[i]) for i in order] == sorted((len(item) for item in set(items)), reverse=True)
    assert [items[i] for i in source] == items
    assert set(source) == set(order)
