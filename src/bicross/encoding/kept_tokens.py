"""Tokens of texts that come again: a passage is a candidate of many queries."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

KEPT_TOKENS = 1_000_000
"""Most tokens that are kept of one kind: some 7,000 passages, 20 MB with their texts and spans."""
ENTRY = 16
"""What an entry takes besides, counted in tokens: short texts would be many."""
FEW = 1_000
"""Texts of one call that are worth keeping; those of a bulk job would only push each other out."""

T = TypeVar("T")


class KeptTokens(Generic[T]):
    """What a function makes of texts, the least recently used forgotten first. Safe for threads.

    Args:
        make: Texts to what is kept of each.
        tokens: How many tokens that is.
        capacity: Most tokens kept.
    """

    def __init__(
        self, make: Callable[[Sequence[str]], list[T]], tokens: Callable[[T], int], capacity: int = KEPT_TOKENS
    ) -> None:
        self._make = make
        self._tokens = tokens
        self._capacity = capacity
        self._kept: OrderedDict[str, T] = OrderedDict()
        self._held = 0
        self._lock = threading.Lock()

    def of(self, texts: Sequence[str]) -> list[T]:
        """The same as the function gives; nobody may change it."""
        if len(texts) > FEW:
            return self._make(texts)
        found: dict[str, T] = {}
        with self._lock:
            for text in texts:
                if text in self._kept:
                    found[text] = self._kept[text]
                    self._kept.move_to_end(text)
        missing = [text for text in dict.fromkeys(texts) if text not in found]
        if missing:
            new = dict(zip(missing, self._make(missing), strict=True))
            found |= new
            self._keep(new)
        return [found[text] for text in texts]

    def _keep(self, new: dict[str, T]) -> None:
        with self._lock:
            for text, made in new.items():
                if text not in self._kept and self._tokens(made) <= self._capacity:
                    self._kept[text] = made
                    self._held += self._tokens(made)
            while self._held > self._capacity:
                self._held -= self._tokens(self._kept.popitem(last=False)[1])
