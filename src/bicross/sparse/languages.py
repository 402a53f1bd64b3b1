"""Which Snowball stemmer a language has, which words carry no meaning, and which scripts write without spaces."""

from __future__ import annotations

from bicross.errors import ConfigurationError

SNOWBALL = {
    "ar": "arabic",
    "ca": "catalan",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "et": "estonian",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "ne": "nepali",
    "nl": "dutch",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}
"""ISO 639-1 code → Snowball algorithm."""

UNSTEMMED = ("he", "ja", "km", "ko", "lo", "my", "th", "vi", "zh")
"""Languages that have no stemmer, or need none."""

OWN_SCRIPTS = {
    "arabic": ("ARABIC",),
    "armenian": ("ARMENIAN",),
    "greek": ("GREEK",),
    "he": ("HEBREW",),
    "hindi": ("DEVANAGARI",),
    "nepali": ("DEVANAGARI",),
    "russian": ("CYRILLIC",),
    "serbian": ("CYRILLIC", "LATIN"),
    "tamil": ("TAMIL",),
    "yiddish": ("HEBREW",),
}
"""The scripts of what isn't written in Latin letters, by algorithm or language; named as Unicode's characters are."""

SCRIPT_STEMMERS = {
    "ARABIC": "arabic",
    "ARMENIAN": "armenian",
    "CYRILLIC": "russian",
    "DEVANAGARI": "hindi",
    "GREEK": "greek",
    "LATIN": "english",
    "TAMIL": "tamil",
}
"""The stemmer of words whose language isn't known: that of the language which writes most in their script."""

PAIRED = ("Han", "Hiragana", "Katakana", "Hangul")
"""Scripts whose runs become pairs of characters, as in Lucene's CJKAnalyzer."""
TRIPLED = ("Thai", "Lao", "Khmer", "Myanmar")
"""Scripts without spaces whose runs become triples: a syllable takes more than one character."""

_LUCENE = (
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they this "
    "to was will with"
)
ENGLISH_STOP_WORDS = frozenset(_LUCENE.split())
"""The list of Lucene's EnglishAnalyzer, which bm25s uses too."""


def settle_language(language: str) -> str:
    """The name of the language's Snowball algorithm; its code where it has none; "auto" and "none" as they are.

    Raises:
        ConfigurationError: A language that isn't known.

    >>> settle_language("de"), settle_language("german"), settle_language("zh")
    ('german', 'german', 'zh')
    """
    if language in SNOWBALL:
        return SNOWBALL[language]
    if language in ("auto", "none", *UNSTEMMED) or language in SNOWBALL.values():
        return language
    known = ", ".join(sorted([*SNOWBALL, *UNSTEMMED]))
    raise ConfigurationError(
        f"language must be 'auto', 'none' or one of {known}, got {language!r}. With 'auto' the script decides; 'none' "
        "stems nothing."
    )


def own_scripts(settled: str) -> tuple[str, ...]:
    """The scripts in which a language's own words are written; none where its runs aren't words."""
    if settled in ("auto", "none", "ja", "km", "ko", "lo", "my", "th", "zh"):
        return ()
    return OWN_SCRIPTS.get(settled, ("LATIN",))
