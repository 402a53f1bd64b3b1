"""English quantifiers: which one replaces which without breaking a sentence's grammar, and how a query says either."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import regex  # type: ignore[import-untyped]  # has no types; knows look-behinds of any length

_WORDS_OF_A_SENTENCE = (7, 30)

_ALL, _NONE, _PART = "one hundred percent of ", "not a single one of ", "just a fraction of "
_MANY, _FEW = "a large number of ", "hardly any "
_LEAST, _MOST = "a minimum of ", "a maximum of "
_NUMBERS = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 10: "ten"}

# What must follow a quantifier, as look-aheads; names in capitals aren't counted as nouns.
_THEM = r"(?:the|its|his|her|their|these|those|our) "
_SPELLED = "|".join(_NUMBERS.values())
_NOUN = rf"(?!(?:of|other|more|but|and|or|in|to|with|is|was|as|has|does|this|s|{_SPELLED}) |{_THEM})"
_PLURAL_NOUN = r"(?:[a-z-]+ )?(?:people|men|women|children|species|[a-z-]+[a-rtv-z]s)\b"
_PLURAL = rf"(?={_NOUN}{_PLURAL_NOUN})"
_TIME = r"(?!(?:year|month|week|day|night|hour|minute|time|season|summer|winter|spring|decade|centur(?:y|ie))s?\b)"
_SINGULAR = rf"(?={_NOUN}{_TIME}[a-z-]+[a-rt-z]\b)"
_MASS_NOUN = "evidence|effect|influence|information|control|support|resistance|impact|power"
_MASS = rf"(?=(?:direct |clear |real )?(?:{_MASS_NOUN})\b)"
_OF = rf"of (?={_THEM})"
_OF_MANY = rf"of (?={_THEM}{_PLURAL_NOUN})"
_AMOUNT = rf"(?=(?:[£$€]?\d[\d.,]*|one|{_SPELLED}|twenty|half|a quarter)\b)"
# What must not stand before it: "were all lost", "not all", "the few", "at all", "just about every".
_FREE = (
    r"(?<!\b(?i:at|after|above|about|not|almost|nearly|virtually|just|were|was|are|is|be|been|they|them|had|has|have) )"
)
_BARE = r"(?<!\b(?i:a|the|its|his|her|their|these|those|as|so|too|how|very|relatively|last|first|next|infinitely) )"
_PASSIVE = r"(?=[a-z]+(?:ed|en|nd|lt|wn)\b)"

# Kind; the quantifier, with the space behind it; the other one; what a query says for the first, and for the other.
_TABLE = (
    ("all-none", rf"{_FREE}(?i:all )(?:of )?(?={_THEM})", "none of ", _ALL, _NONE),
    ("all-none", rf"{_FREE}(?i:all ){_PLURAL}", "no ", _ALL, "zero "),
    ("all-none", rf"{_FREE}(?:[Ee]very |^Each ){_SINGULAR}", "no ", "any given ", "not a single "),
    ("all-none", rf"(?i:each ){_OF}", "none of ", _ALL, _NONE),
    ("all-none", rf"(?i:none ){_OF}", "all of ", _NONE, _ALL),
    ("some-none", rf"(?i:no ){_PLURAL}", "some ", "zero ", "a certain number of "),
    ("some-none", rf"(?i:no ){_MASS}", "some ", "zero ", "a certain amount of "),
    ("some-none", rf"(?i:some ){_OF}", "none of ", "a portion of ", _NONE),
    ("some-none", rf"(?i:some ){_TIME}{_PLURAL}", "no ", "a certain number of ", "zero "),
    ("some-none", rf"(?i:some ){_MASS}", "no ", "a certain amount of ", "zero "),
    ("all-not all", rf"^All (?:of )?(?={_THEM})", "not all of ", _ALL, _PART),
    ("all-not all", rf"^All {_PLURAL}", "not all ", _ALL, _PART),
    ("all-not all", rf"^Every {_SINGULAR}", "not every ", "any given ", "just the occasional "),
    ("many-few", rf"(?i:many ){_OF_MANY}", "few of ", _MANY, "hardly any of "),
    ("many-few", rf"{_BARE}(?i:many ){_PLURAL}", "few ", _MANY, _FEW),
    ("many-few", rf"{_BARE}(?i:few ){_OF_MANY}", "many of ", "hardly any of ", _MANY),
    ("many-few", rf"{_BARE}(?i:few ){_PLURAL}", "many ", _FEW, _MANY),
    ("most-few", rf"{_BARE}(?i:most ){_OF_MANY}", "few of ", "the majority of ", "hardly any of "),
    ("most-few", rf"^Most {_PLURAL}", "few ", "the majority of ", _FEW),
    ("at least-at most", rf"(?i:at least ){_AMOUNT}", "at most ", _LEAST, _MOST),
    ("at least-at most", rf"(?i:at most ){_AMOUNT}", "at least ", _MOST, _LEAST),
    ("more-less", rf"(?i:more than ){_AMOUNT}", "less than ", "in excess of ", "under "),
    ("more-less", rf"(?i:less than |fewer than ){_AMOUNT}", "more than ", "under ", "in excess of "),
    ("only-also", rf"(?<=\b(?:is|are|was|were|been|be) )only {_PASSIVE}", "also ", "exclusively ", "additionally "),
    ("always-never", r"(?i:always )", "never ", "invariably ", "at no time "),
    ("often-rarely", rf"{_BARE}(?<!\b(?:more|most) )(?i:often )", "rarely ", "on many occasions ", "seldom "),
    ("usually-rarely", r"(?i:usually )", "rarely ", "as a rule ", "seldom "),
    *(
        (
            "number",
            rf"{_BARE}(?:{word}|^{word.title()}) {_PLURAL}",
            f"{_NUMBERS[(n + 2) % 9 + 2]} ",
            f"{n} ",
            f"{(n + 2) % 9 + 2} ",
        )
        for n, word in _NUMBERS.items()
    ),
)

_ONE_WORD = (
    "all|every|each|any|some|no|none|most|many|few|only|also|always|never|often|rarely|usually|seldom|both|neither|either|"
    "several|first|second|third|last"
)
_QUANTIFIER = regex.compile(rf"\b(?:{_ONE_WORD}|at least|at most|up to|(?:more|less|fewer) than)\b", regex.IGNORECASE)
_NUMBER = regex.compile(rf"\b(?:{'|'.join(_NUMBERS.values())}|one|\d[\d.,]*)\b", regex.IGNORECASE)
_UNCLEAR = regex.compile(
    r"\b(?:not|cannot|nor|without|hardly|unless|except|but|however|although|though|despite|instead|therefore|thus)\b"
    r"|n't\b|[\"“”?!:;()\[\]]|\b(?:no (?:one|longer|more|matter|doubt|fewer|less)|some (?:time|day|sort|kind|form))\b",
    regex.IGNORECASE,
)
_DEPENDENT = regex.compile(
    r"(?:he|she|it|they|we|i|you|this|these|those|that|such|his|her|their|its|there|here|and|or|so|another|others?|by "
    r"(?:this|that)|in (?:this|that|these|those|addition))\b",
    regex.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Swap:
    """A sentence with another quantifier, and a claim for either sentence.

    Attributes:
        kind: The two quantifiers.
        other: The sentence with the other quantifier.
        query: The sentence's claim in other words.
        other_query: The other sentence's claim in other words.
    """

    kind: str
    other: str
    query: str
    other_query: str


def swaps(sentence: str) -> Iterator[Swap]:
    """Every way to change a sentence's truth by its one quantifier; none where the rules can't be sure.

    >>> found = next(swaps("All ships of the fleet were lost in the storm."))
    >>> found.other
    'No ships of the fleet were lost in the storm.'
    >>> found.query
    'One hundred percent of ships of the fleet were lost in the storm'
    """
    if not _stands_alone(sentence):
        return
    quantifiers, numbers = _QUANTIFIER.findall(sentence), _NUMBER.findall(sentence)
    for kind, pattern, *words in _patterns():
        if len(quantifiers) != (kind != "number") or (kind == "number" and len(numbers) != 1):
            continue
        match = pattern.search(sentence)
        if match is not None:
            before, after = sentence[: match.start()], sentence[match.end() :]
            other, query, other_query = (before + _cased(word, match.group()) + after for word in words)
            yield Swap(f"quantifier:{kind}", other, query.rstrip("."), other_query.rstrip("."))


@cache
def _patterns() -> tuple[tuple[Any, ...], ...]:
    return tuple((kind, regex.compile(r"(?<![\w'-])" + pattern), *words) for kind, pattern, *words in _TABLE)


def _stands_alone(sentence: str) -> bool:
    """Whether a sentence states something without negation, and is understood without the one before."""
    low, high = _WORDS_OF_A_SENTENCE
    return (
        low <= len(sentence.split()) <= high
        and sentence.endswith(".")
        and sentence[0].isupper()
        and not _UNCLEAR.search(sentence)
        and not _DEPENDENT.match(sentence)
    )


def _cased(words: str, like: str) -> str:
    return words[0].upper() + words[1:] if like[0].isupper() else words
