"""Which prompt stands in front of a query or a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

Role = Literal["query", "document"]

_NAMES: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def role_prompt(prompts: Mapping[str, str], role: Role) -> str:
    """The prompt that a checkpoint names for a role, "" where it names none.

    >>> role_prompt({"query": "query: ", "passage": "passage: "}, "document")
    'passage: '
    """
    return next((prompts[name] for name in _NAMES[role] if name in prompts), "")
