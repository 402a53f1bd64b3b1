from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoTokenizer

from bicross.encoding import tokenizer as tokenizer_module
from bicross.encoding.specs import TransformerSpec
from bicross.encoding.tokenizer import TextTokenizer, check_texts
from bicross.encoding.tokenizer_files import load_tokenizer
from bicross.errors import InputError, InputTypeError

TEXTS = ["", " ", "the cat", "the cat sits on the mat. " * 30, "zebra 中 xyz", "w" * 300]


@pytest.fixture(scope="module")
def tokenizer(bi_folder: Path) -> TextTokenizer:
    return load_tokenizer(TransformerSpec(bi_folder, 16), 128)


def test_single_texts_are_framed_and_cut_as_transformers_does(bi_folder: Path, tokenizer: TextTokenizer) -> None:
    theirs = AutoTokenizer.from_pretrained(bi_folder)
    for text, ids in zip(TEXTS, tokenizer.ids(TEXTS), strict=True):
        row, cut = tokenizer.frame_single(ids)
        assert row.tolist() == theirs(text, truncation=True, max_length=16)["input_ids"]
        assert cut == (len(theirs(text)["input_ids"]) > 16)


@pytest.mark.parametrize("prompt", ["the cat: ", "the old\n", "w", "w ", "[SEP] ", "the cat:", " ", "the\x1c"])
def test_a_prompt_s_tokens_are_those_in_front_of_the_text(tokenizer: TextTokenizer, prompt: str) -> None:
    odd = ["\u0301e", "##cat", "[SEP] on", "]", "\x1cthe", "\n\tthe", "\u200dthe", ":", "\u00a0cat", *TEXTS]
    joint = tokenizer.ids([prompt + text for text in odd])
    assert [row.tolist() for row in tokenizer.ids(odd, prompt)] == [row.tolist() for row in joint]


def test_a_prompt_is_tokenised_once(tokenizer: TextTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    ids = tokenizer_module._ids
    monkeypatch.setattr(tokenizer_module, "_ids", lambda backend, texts: asked.extend(texts) or ids(backend, texts))
    for text in ("the cat", "the mat"):
        tokenizer.ids([text], "on the tree ")
        tokenizer.prompt_length("on the tree ")
    assert asked == ["on the tree ", "the cat", "the mat"]


@pytest.mark.parametrize("limit", [5, 8, 16, 17])
def test_pairs_are_framed_and_cut_as_transformers_does(bi_folder: Path, limit: int) -> None:
    theirs = AutoTokenizer.from_pretrained(bi_folder)
    ours = load_tokenizer(TransformerSpec(bi_folder, limit), 128)
    ids = ours.ids(TEXTS)
    for first, text in zip(ids, TEXTS, strict=True):
        for second, other in zip(ids, TEXTS, strict=True):
            row, types, cut = ours.frame_pair(first, second)
            expected = theirs([[text, other]], truncation="longest_first", max_length=limit)
            assert row.tolist() == expected["input_ids"][0]
            assert types.tolist() == expected["token_type_ids"][0]
            assert cut == (len(theirs([[text, other]])["input_ids"][0]) > limit)


def test_sixteen_threads_with_different_limits_get_their_own_ids(bi_folder: Path) -> None:
    # A tokenizer that is shared, and whose settings threads change, gives wrong ids without an exception.
    limits = [8 + i for i in range(16)]
    tokenizers = [load_tokenizer(TransformerSpec(bi_folder, limit), 128) for limit in limits]
    texts = ["the cat sits on the tree near the river " * 10] * 20
    wrong: list[int] = []

    def work(tokenizer: TextTokenizer, limit: int) -> None:
        for _ in range(10):
            rows = [tokenizer.frame_single(ids)[0] for ids in tokenizer.ids(texts)]
            if any(len(row) != limit for row in rows):
                wrong.append(limit)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(tokenizers, limits, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_offsets_point_into_the_text(tokenizer: TextTokenizer) -> None:
    ids, offsets = tokenizer.offsets("the cat sits")
    assert len(ids) == 3
    assert list(offsets) == [(0, 3), (4, 7), (8, 12)]
    assert np.array_equal(ids, tokenizer.ids(["the cat sits"])[0])
    many = tokenizer.offsets_of(["", "a dog", "the cat sits"])
    assert [(list(ids), spans) for ids, spans in many] == [
        ([], []),
        (list(tokenizer.ids(["a dog"])[0]), [(0, 1), (2, 5)]),
        (list(ids), offsets),
    ]


@pytest.mark.parametrize(
    ("texts", "error", "words"),
    [
        (["a", None], InputTypeError, "NoneType for the text at position 1"),
        (["a", "b", 3], InputTypeError, "int for the text at position 2"),
        ([b"a"], InputTypeError, "bytes for the text at position 0"),
        (["ok", "bad \ud800"], InputError, "lone surrogate '\\\\ud800' in the text at position 1, at character 4"),
        (7, InputTypeError, "sequence of strings, got int"),
        ({"a"}, InputTypeError, "sequence of strings, got set"),
    ],
)
def test_bad_texts_are_refused_with_their_position(texts: object, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        check_texts(texts)
