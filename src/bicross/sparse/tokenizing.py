"""Text to terms: lower case, words of two characters or more, stop words dropped, stemmed; pairs of characters where a
script writes without spaces.
"""

from __future__ import annotations

import json
import re
import threading
import unicodedata
from collections.abc import Iterable
from typing import Any

import regex  # type: ignore[import-untyped]

from bicross.errors import ConfigurationError, InputTypeError, MissingExtraError
from bicross.sparse.languages import ENGLISH_STOP_WORDS, SCRIPTS, SNOWBALL, UNSTEMMED, WITHOUT_SPACES

DROPPED = -1
"""The index of a word that is none of the terms."""
_KNOWN_WORDS = 500_000
_UNSPACED = "".join(rf"\p{{Script={script}}}" for script in WITHOUT_SPACES)
# `regex` counts vowel signs (Devanagari, Thai) among a word's characters, which `re` doesn't.
_WORDS = regex.compile(rf"(?V1)[{_UNSPACED}]+|[\w--[{_UNSPACED}]]{{2,}}")
_RUN = regex.compile(rf"[{_UNSPACED}]")
_ASCII_WORDS = re.compile(r"\w\w+", re.ASCII)
_VERSION = 1


def stemmer_algorithm(language: str) -> str | None:
    """The Snowball algorithm of a language; None where it has none.

    Raises:
        ConfigurationError: A language that isn't known.

    >>> stemmer_algorithm("de"), stemmer_algorithm("german"), stemmer_algorithm("zh")
    ('german', 'german', None)
    """
    if language in SNOWBALL.values():
        return language
    if language in SNOWBALL:
        return SNOWBALL[language]
    if language == "auto" or language in UNSTEMMED:
        return None
    known = ", ".join(sorted([*SNOWBALL, *UNSTEMMED]))
    raise ConfigurationError(
        f"language must be 'auto' or one of {known}, got {language!r}. With 'auto' the script decides; 'none' stems "
        "nothing."
    )


class TermTable(dict[str, int]):
    """Word → index of its term, filled as words come up: each is stemmed and hashed once.

    Args:
        language: As in `BM25Encoder`.
        stop_words: Words that are left out; None for the language's own.

    Raises:
        MissingExtraError: PyStemmer or mmh3 isn't installed.
    """

    def __init__(self, language: str, stop_words: Iterable[str] | None) -> None:
        super().__init__()
        try:
            import mmh3
            import Stemmer  # type: ignore[import-not-found]
        except ImportError as error:
            raise MissingExtraError(
                "BM25 needs PyStemmer and mmh3. Install them with: pip install 'bicross[hybrid]'"
            ) from error
        self._algorithm = stemmer_algorithm(language)
        self._language = language
        self._hash = mmh3.hash
        self._new_stemmer = Stemmer.Stemmer
        self._snowball = ".".join(Stemmer.version().split(".")[:2])
        self._stemmers: dict[str, Any] = {}
        self._lock = threading.Lock()  # a Stemmer isn't safe under threads
        self.stop_words = frozenset(_check_stop_words(stop_words)) if stop_words is not None else self._own_stop_words()

    @property
    def state(self) -> str:
        """Everything that decides over a text's terms, as JSON: what a fingerprint is made of."""
        return json.dumps(
            [_VERSION, self._algorithm or self._language, f"Snowball {self._snowball}", sorted(self.stop_words)]
        )

    def _own_stop_words(self) -> frozenset[str]:
        return ENGLISH_STOP_WORDS if self._algorithm == "english" else frozenset()

    def __missing__(self, word: str) -> int:
        if len(self) >= _KNOWN_WORDS:
            self.clear()
        # Numbered as by Qdrant's own inference and fastembed's Qdrant/bm25.
        index = DROPPED if word in self.stop_words else abs(self._hash(self.stem(word)))
        self[word] = index
        return index

    def stem(self, word: str) -> str:
        """A word's stem: by the language's stemmer, by its script's where the language is "auto"."""
        algorithm = self._algorithm_of(word)
        if algorithm is None:
            return word
        with self._lock:
            if algorithm not in self._stemmers:
                self._stemmers[algorithm] = self._new_stemmer(algorithm)
            return str(self._stemmers[algorithm].stemWord(word))

    def _algorithm_of(self, word: str) -> str | None:
        if self._language != "auto":
            return self._algorithm
        if word.isascii():
            return None
        return next((SCRIPTS[script] for script in SCRIPTS if regex.match(rf"\p{{Script={script}}}", word)), None)

    def terms(self, text: str) -> list[int]:
        """The index of every term of a text, in its order, stop words dropped."""
        lowered = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).lower()
        return [index for index in map(self.__getitem__, _words(lowered)) if index != DROPPED]


def _words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORDS.findall(text)
    words: list[str] = []
    for word in _WORDS.findall(text):
        if len(word) > 2 and _RUN.match(word):
            words += [word[start : start + 2] for start in range(len(word) - 1)]
        else:
            words.append(word)
    return words


def _check_stop_words(words: Iterable[str]) -> list[str]:
    found = [words] if isinstance(words, str) else list(words)
    for position, word in enumerate(found):
        if not isinstance(word, str):
            raise InputTypeError(f"Stop words must be strings, got {type(word).__name__} at position {position}.")
    return [word.lower() for word in found]
