"""Texts as passes of the model: sorted by length, cut, and found again by place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from bicross.distillation.list_batches import ListCollator, Lists, texts_alone
from bicross.encoding.tokenizer import TextTokenizer

START, END, FIRST = 2, 3, 5
"""Ids of [CLS], [SEP] and the word w0."""


@pytest.fixture
def tokenizer(base: Path) -> TextTokenizer:
    return TextTokenizer(Tokenizer.from_file(str(base / "tokenizer.json")), max_length=64)


def collator(tokenizer: TextTokenizer, *, chunk_tokens: int, length: int = 64, prompt: str = "") -> ListCollator:
    lists = Lists.of([texts_alone(["w1"])])
    return ListCollator(lists, {"query": tokenizer}, {"query": length}, {"query": prompt}, chunk_tokens, {}, {})


def words(count: int, first: int = 0) -> str:
    return " ".join(f"w{i}" for i in range(first, first + count))


def framed(*numbers: int) -> list[int]:
    return [START, *(FIRST + number for number in numbers), END]


def in_order(chunks: dict) -> list[list[int]]:
    """The token ids of each text in the order of the texts, as `ListStudent` finds its vector."""
    rows = [
        row[kept.bool()].tolist()
        for part in chunks["passes"]
        for row, kept in zip(part["ids"], part["mask"], strict=True)
    ]
    return [rows[place] for place in chunks["place"].tolist()]


def test_passes_hold_texts_of_like_length_within_the_budget(tokenizer: TextTokenizer) -> None:
    lengths = [3, 20, 1, 7, 3, 12, 2, 20, 5]
    chunks = collator(tokenizer, chunk_tokens=30).chunks("query", [words(n, first=1) for n in lengths])
    shapes = [tuple(part["ids"].shape) for part in chunks["passes"]]
    assert shapes == [(1, 22), (1, 22), (2, 14), (4, 7), (1, 3)]  # with [CLS] and [SEP]; 12 and 7 words share a pass
    assert all(rows * width <= 30 for rows, width in shapes)
    counts = [n for part in chunks["passes"] for n in part["mask"].sum(dim=1).tolist()]
    assert counts == sorted((n + 2 for n in lengths), reverse=True)
    for part in chunks["passes"]:
        assert part["ids"].dtype == part["mask"].dtype == torch.int64
        assert (part["ids"][part["mask"] == 0] == tokenizer.pad_id).all()


def test_place_brings_the_texts_back_into_their_order(tokenizer: TextTokenizer) -> None:
    rng = np.random.default_rng(0)
    numbers = [rng.integers(24, size=n).tolist() for n in rng.integers(1, 20, size=40)]
    texts = [" ".join(f"w{i}" for i in row) for row in numbers]
    chunks = collator(tokenizer, chunk_tokens=50).chunks("query", texts)
    assert in_order(chunks) == [framed(*row) for row in numbers]
    assert sorted(chunks["place"].tolist()) == list(range(40))
    assert chunks["prompt_length"] == 0


def test_texts_are_cut_to_the_length_and_a_longer_one_is_a_pass_of_its_own(tokenizer: TextTokenizer) -> None:
    chunks = collator(tokenizer, chunk_tokens=4, length=6).chunks("query", [words(2), words(20), words(4)])
    assert in_order(chunks) == [framed(0, 1), framed(0, 1, 2, 3), framed(0, 1, 2, 3)]
    assert [tuple(part["ids"].shape) for part in chunks["passes"]] == [(1, 6), (1, 6), (1, 4)]


def test_a_prompt_stands_in_front_and_takes_its_part_of_the_length(tokenizer: TextTokenizer) -> None:
    chunks = collator(tokenizer, chunk_tokens=100, length=6, prompt="w9 w8 ").chunks("query", ["w1", words(5)])
    assert in_order(chunks) == [framed(9, 8, 1), framed(9, 8, 0, 1)]
    assert chunks["prompt_length"] == 3  # [CLS] and two words


def test_the_side_that_is_cut_is_the_tokenizers(base: Path) -> None:
    left = TextTokenizer(Tokenizer.from_file(str(base / "tokenizer.json")), max_length=6, cut_left=True)
    chunks = collator(left, chunk_tokens=100, length=5).chunks("query", [words(2), words(20)])
    assert in_order(chunks) == [framed(0, 1), framed(17, 18, 19)]
    chunks = collator(left, chunk_tokens=100, length=6).chunks("query", [words(20)])
    assert in_order(chunks) == [left.frame_single(left.ids([words(20)])[0])[0].tolist()]  # as at inference


def test_no_texts_are_no_passes(tokenizer: TextTokenizer) -> None:
    chunks = collator(tokenizer, chunk_tokens=8).chunks("query", [])
    assert chunks["passes"] == []
    assert chunks["place"].shape == (0,)
