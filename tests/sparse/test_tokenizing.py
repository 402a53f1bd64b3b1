"""Texts to terms, language by language and script by script."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

import mmh3
import pytest
import Stemmer

from bicross.errors import MissingExtraError
from bicross.sparse import tokenizing
from bicross.sparse.languages import SNOWBALL, UNSTEMMED, settle_language
from bicross.sparse.tokenizing import TermTable


def hashes(*terms: str) -> list[int]:
    return [abs(mmh3.hash(term)) for term in terms]


def snowball(algorithm: str, word: str) -> str:
    return str(Stemmer.Stemmer(algorithm).stemWord(word))


@pytest.mark.parametrize(
    ("language", "text", "terms"),
    [
        ("none", "The C-3PO's file_name, 42 x", ["the", "3po", "file_name", "42"]),
        ("none", "ﬁne Ｆｕｌｌ", ["fine", "full"]),
        ("none", "हिन्दी में", ["हिन्दी", "में"]),
        ("none", "東京タワー", ["東", "京", "東京", "京タ", "タワ", "ワー"]),
        ("none", "車 and 한국어를", ["車", "and", "한국", "국어", "어를"]),
        ("none", "ภาษาไทย", ["ภาษ", "าษา", "ษาไ", "าไท", "ไทย"]),
        ("none", "版本v2版", ["版", "本", "版本", "v2", "版"]),
        ("none", "İzmir DIŞ", ["izmir", "diş"]),
        ("tr", "DIŞ", [snowball("turkish", "dış")]),
        ("none", "", []),
        ("none", "… — !", []),
    ],
)
def test_words_of_every_script(language: str, text: str, terms: list[str]) -> None:
    assert TermTable(language, ()).terms(text) == hashes(*terms)


@pytest.mark.parametrize(
    ("language", "word", "stem"),
    [
        ("en", "running", "run"),
        ("en", "universities", snowball("english", "universities")),
        ("en", "собаками", snowball("russian", "собаками")),
        ("ru", "собаками", snowball("russian", "собаками")),
        ("ru", "universities", snowball("english", "universities")[:6]),
        ("auto", "universities", snowball("english", "universities")[:6]),
        ("auto", "überraschungen", snowball("english", "überraschungen")[:6]),
        ("auto", "σκύλους", snowball("greek", "σκύλους")),
        ("auto", "მეგობრები", "მეგობრ"),
        ("auto", "20240131", "20240131"),
        ("auto", "rfc1234567", "rfc1234567"),
        ("zh", "universities", snowball("english", "universities")[:6]),
        ("vi", "trường", "trường"),
        ("sr", "књигама", snowball("serbian", "књигама")),
        ("none", "universities", "universities"),
    ],
)
def test_a_word_is_stemmed_by_its_language_or_else_its_script(language: str, word: str, stem: str) -> None:
    assert TermTable(language, ()).stem(word) == stem


@pytest.mark.parametrize("language", [*SNOWBALL, *UNSTEMMED, "auto", "none"])
def test_every_language_that_is_offered_works(language: str) -> None:
    assert len(TermTable(language, None).terms("naïve Füchse лисы αλεπούδες")) == 4


def test_every_algorithm_that_is_named_is_snowballs() -> None:
    assert set(SNOWBALL.values()) <= set(Stemmer.algorithms())
    assert {settle_language(code) for code in SNOWBALL} == set(SNOWBALL.values())


def test_only_english_has_stop_words_of_its_own() -> None:
    assert TermTable("en", None).terms("The fox will be in it") == hashes("fox")
    assert TermTable("en", ()).terms("the fox") == hashes("the", "fox")
    assert TermTable("de", ["Der"]).terms("DER Fuchs der") == hashes("fuch")


def test_the_table_stays_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizing, "_KNOWN_WORDS", 3)
    table = TermTable("none", ())
    words = [f"word{number}" for number in range(10)]
    assert table.terms(" ".join(words)) == hashes(*words)
    assert len(table) <= 3


def test_threads_see_one_threads_terms() -> None:
    text = " ".join(f"running{number}s лисы{number}" for number in range(2_000))
    expected = TermTable("auto", None).terms(text)
    table = TermTable("auto", None)
    with ThreadPoolExecutor(8) as pool:
        assert all(terms == expected for terms in pool.map(table.terms, [text] * 16))


def test_a_missing_extra_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Stemmer", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'bicross\[hybrid\]'"):
        TermTable("en", None)
