"""Checks of what comes into a node, and the text that a model reads of a Document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar

from haystack import Document

from bicross.errors import ConfigurationError, InputError, InputTypeError
from bicross.sparse.languages import settle_language

T = TypeVar("T")


def chosen(given: T | None, otherwise: T) -> T:
    """A run's own value where it has one (0, 0.0 and False are values), else the node's."""
    return given if given is not None else otherwise


def check_documents(documents: Any, node: str, sibling: str) -> list[Document]:
    """Check that this is a list of Documents.

    :raises InputTypeError: It isn't; the message names the node to use instead.
    """
    if not isinstance(documents, list):
        raise InputTypeError(f"{node} takes a list of Documents; got {type(documents).__name__}. {sibling}")
    for position, document in enumerate(documents):
        if not isinstance(document, Document):
            raise InputTypeError(
                f"{node} takes a list of Documents; documents[{position}] is a {type(document).__name__}. {sibling}"
            )
    return documents


def check_string(text: Any, node: str, sibling: str) -> str:
    """Check that this is a string.

    :raises InputTypeError: It isn't; the message names the node to use instead.
    """
    if not isinstance(text, str):
        raise InputTypeError(f"{node} takes a string; got {type(text).__name__}. {sibling}")
    return text


def check_query(query: Any, node: str, sibling: str) -> str:
    """Check that this is a string with a word in it.

    :raises InputTypeError: It isn't a string.
    :raises InputError: It holds nothing but whitespace.
    """
    if not check_string(query, node, sibling).strip():
        raise InputError(f"A query must hold a word; got {query!r}. Ask for something.")
    return str(query)


def check_count(value: Any, name: str) -> int:
    """Check a number of documents.

    :raises ConfigurationError: It isn't a whole number from 1.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{name} is a whole number from 1; got {value!r}.")
    return value


def check_milliseconds(value: Any) -> float | None:
    """Check a time budget.

    :raises ConfigurationError: It isn't a number from 0.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0):
        raise ConfigurationError(f"budget_ms is a number of milliseconds from 0; got {value!r}.")
    return None if value is None else float(value)


def check_language(language: str | None) -> str | None:
    """Check the code of a language that BM25 is to be made for.

    :raises ConfigurationError: It isn't known.
    """
    if language is not None:
        settle_language(language)
    return language


class Readable(NamedTuple):
    """What a model reads of a Document, and where in it the content begins. **Unit** of start: characters."""

    text: str
    start: int


def readable(
    document: Document, meta_fields: Sequence[str] | None, separator: str, prefix: str = "", suffix: str = ""
) -> Readable | None:
    """Values of meta, then the content, joined; None where the Document has neither."""
    values = [str(document.meta[name]) for name in meta_fields or () if document.meta.get(name) is not None]
    if document.content is None and not values:
        return None
    head = prefix + "".join(value + separator for value in values)
    return Readable(head + (document.content or "") + suffix, len(head))
