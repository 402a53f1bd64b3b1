"""Text to terms: lower case, words of two characters or more, stop words dropped, stemmed; overlapping pairs or triples
of characters where a script writes without spaces.
"""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from collections.abc import Iterable
from itertools import chain
from typing import Any

import regex  # type: ignore[import-untyped]  # has no types

from bicross.errors import InputTypeError, MissingExtraError
from bicross.sparse.languages import (
    ENGLISH_STOP_WORDS,
    PAIRED,
    SCRIPT_STEMMERS,
    SNOWBALL,
    TRIPLED,
    own_scripts,
    settle_language,
)

DROPPED = -1
"""The index of a word that is none of the terms."""
HEAD = 6
"""Characters that are kept of a word whose language isn't known: a stemmer for all of them (McNamee, Nicholas and
Mayfield, SIGIR 2009)."""
_KNOWN_WORDS = 500_000
_LONGEST = 64
"""Characters; a longer word is no word, and is neither stemmed nor kept in memory."""
_VERSION = 1


def _any_of(scripts: Iterable[str]) -> str:
    return "".join(rf"\p{{Script={script}}}" for script in scripts)


# The long vowel mark belongs to no script of its own.
_PAIRED, _TRIPLED = _any_of(PAIRED) + "ー", _any_of(TRIPLED)
# `regex` counts vowel signs (Devanagari, Thai) among a word's characters, which `re` doesn't.
_WORDS = regex.compile(
    rf"(?V1)[\w&&[{_PAIRED}]]+|[\w&&[{_TRIPLED}]]+|[\w--[{_PAIRED}{_TRIPLED}]]{{2,}}",
)
_PAIRS, _TRIPLES = regex.compile(rf"[{_PAIRED}]"), regex.compile(rf"[{_TRIPLED}]")
_UNSPACED = regex.compile(rf"[{_PAIRED}{_TRIPLED}]")
_HAN = regex.compile(r"\p{Script=Han}")
_ASCII_WORDS = re.compile(r"\w\w+", re.ASCII)


class TermTable(dict[str, int]):
    """Word → index of its term, filled as words come up: each is stemmed and hashed once. Safe for threads.

    Args:
        language: As in `BM25Encoder`.
        stop_words: Words that are left out; None for the language's own.

    Raises:
        ConfigurationError: A language that isn't known.
        InputTypeError: A stop word that isn't a string; names its position.
        MissingExtraError: PyStemmer or mmh3 isn't installed.
    """

    def __init__(self, language: str, stop_words: Iterable[str] | None) -> None:
        super().__init__()
        self._language = settle_language(language)
        self._own_scripts = own_scripts(self._language)
        own = ENGLISH_STOP_WORDS if self._language == "english" else frozenset()
        self.stop_words = own if stop_words is None else _check_stop_words(stop_words)
        try:
            import mmh3
            import Stemmer  # type: ignore[import-not-found]
        except ImportError as error:
            raise MissingExtraError(
                "BM25 needs PyStemmer and mmh3. Install them with: pip install 'bicross[hybrid]'"
            ) from error
        self._hash = mmh3.hash
        self._new_stemmer = Stemmer.Stemmer
        self._snowball = ".".join(Stemmer.version().split(".")[:2])
        self._stemmers: dict[str, Any] = {}
        self._lock = threading.Lock()  # a Stemmer isn't safe under threads

    @property
    def state(self) -> str:
        """Everything that decides over a text's terms, as JSON: what a fingerprint is made of."""
        return json.dumps([_VERSION, self._language, f"Snowball {self._snowball}", sorted(self.stop_words)])

    def terms(self, text: str) -> list[int]:
        """The index of every term of a text, in its order, stop words dropped."""
        return [index for index in map(self.__getitem__, self._split(text)) if index != DROPPED]

    def __missing__(self, word: str) -> int:
        if len(self) >= _KNOWN_WORDS:
            self.clear()
        if len(word) > _LONGEST:
            return abs(self._hash(word))
        # Numbered as by Qdrant's own inference and fastembed's Qdrant/bm25.
        index = DROPPED if word in self.stop_words else abs(self._hash(self.stem(word)))
        self[word] = index
        return index

    def __reduce__(self) -> tuple[type[TermTable], tuple[str, list[str]]]:
        return TermTable, (self._language, sorted(self.stop_words))  # without its words: they come up again

    def stem(self, word: str) -> str:
        """A word's stem, by the language's stemmer; by its script where the language isn't the word's, or unknown."""
        if self._language == "none":
            return word
        script = _script(word)
        if script in self._own_scripts:
            return self._by_snowball(word, self._language) if self._language in SNOWBALL.values() else word
        if script in SCRIPT_STEMMERS:
            word = self._by_snowball(word, SCRIPT_STEMMERS[script])
            return _head(word) if script == "LATIN" else word
        return _head(word)

    def _by_snowball(self, word: str, algorithm: str) -> str:
        with self._lock:
            if algorithm not in self._stemmers:
                self._stemmers[algorithm] = self._new_stemmer(algorithm)
            return str(self._stemmers[algorithm].stemWord(word))

    def _split(self, text: str) -> Iterable[str]:
        if text.isascii() and self._language != "turkish":
            return _ASCII_WORDS.findall(text.lower())
        text = unicodedata.normalize("NFKC", text)
        if self._language == "turkish":
            text = text.replace("I", "ı")
        lowered = text.lower().replace("i\u0307", "i")  # what becomes of the dotted capital I
        words = _WORDS.findall(lowered)
        return chain.from_iterable(map(_pieces, words)) if _UNSPACED.search(lowered) else words


def _pieces(run: str) -> list[str]:
    if run.isascii():
        return [run]
    if _PAIRS.match(run):
        characters = _HAN.findall(run) if len(run) > 1 else []
        return characters + _grams(run, 2)
    return _grams(run, 3) if _TRIPLES.match(run) else [run]


def _grams(run: str, size: int) -> list[str]:
    """Overlapping pieces of a run; itself where it is shorter.

    >>> _grams("abcd", 3), _grams("ab", 3)
    (['abc', 'bcd'], ['ab'])
    """
    return [run[start : start + size] for start in range(max(len(run) - size + 1, 1))]


def _script(word: str) -> str:
    """The script of a word's first letter, as Unicode's names begin; empty without a letter.

    >>> _script("fox"), _script("лиса"), _script("42")
    ('LATIN', 'CYRILLIC', '')
    """
    letter = next((character for character in word if character.isalpha()), "")
    return unicodedata.name(letter, "").split(" ")[0] if letter else ""


def _head(word: str) -> str:
    """A word's first characters; the whole word where it holds a digit, since numbers and codes have no endings."""
    return word if any(character.isdigit() for character in word) else word[:HEAD]


def _check_stop_words(words: Iterable[str]) -> frozenset[str]:
    found = [words] if isinstance(words, str) else list(words)
    for position, word in enumerate(found):
        if not isinstance(word, str):
            raise InputTypeError(f"Stop words must be strings, got {type(word).__name__} at position {position}.")
    return frozenset(word.lower() for word in found)
