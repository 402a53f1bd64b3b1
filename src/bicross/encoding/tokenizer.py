"""Text to token ids, safe under threads.

A `tokenizers.Tokenizer` keeps its truncation and padding settings inside itself, so threads that ask for different
limits cut each other's texts without an exception. Here the settings are switched off once and for ever; texts are
tokenised without special tokens, and cut, framed and padded in this module.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bicross.encoding.kept_tokens import ENTRY, KeptTokens
from bicross.errors import CheckpointError, InputError, InputTypeError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Ids = npt.NDArray[np.int32]
PairRow = tuple[Ids, Ids, bool]
"""A framed pair: its token ids, their segment ids, and whether any were cut. **Shape:** (tokens,) each."""
Spans = npt.NDArray[np.int32]
"""Where each token stands in its text. **Shape:** (tokens, 2). **Unit:** characters."""
UNLIMITED = 1_000_000
_SPACES = " \t\n"


def check_texts(texts: Any, what: str = "text") -> list[str]:
    """The texts as a list, once every one is known to be a string that can be UTF-8.

    Raises:
        InputTypeError: Something that isn't a string; names its position.
        InputError: A lone surrogate; names its position.
    """
    if not isinstance(texts, Sequence) or isinstance(texts, str | bytes | bytearray):
        raise InputTypeError(f"Texts must be a string or a sequence of strings, got {type(texts).__name__}.")
    for position, text in enumerate(texts):
        check_text(text, f"{what} at position {position}")
    return list(texts)


def check_text(text: Any, where: str = "text") -> str:
    """The text, once it is known to be a string that can be UTF-8.

    Raises:
        InputTypeError: It isn't a string.
        InputError: It holds a lone surrogate.
    """
    if not isinstance(text, str):
        raise InputTypeError(
            f"Every text must be a str, got {type(text).__name__} for the {where}. Convert it, or leave it out."
        )
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InputError(
                f"Texts must be valid Unicode, got the lone surrogate {text[error.start]!r} in the {where}, at "
                f"character {error.start}. Decode the bytes again, for example with errors='replace'."
            ) from error
    return text


@dataclass(frozen=True, slots=True)
class Frame:
    """The special tokens around a text, or around the two texts of a pair.

    Attributes:
        before, between, after: Token ids in front of, between and behind the texts.
        types: The segment id of: before, first text, between, second text, after.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    types: tuple[int, int, int, int, int]

    def __len__(self) -> int:
        return len(self.before) + len(self.between) + len(self.after)


class TextTokenizer:
    """A tokenizer whose settings never change.

    Args:
        backend: The tokenizer, which nobody else uses from now on.
        max_length: Longest input in tokens, special tokens included.
        pad_id: Id that fills short rows.
        type_ids: Whether the model wants segment ids.
        special: Whether texts are framed by special tokens.
        cut_left: Whether over-long texts lose their beginning instead of their end.
    """

    def __init__(
        self,
        backend: Tokenizer,
        *,
        max_length: int | None,
        pad_id: int = 0,
        type_ids: bool = False,
        special: bool = True,
        cut_left: bool = False,
    ) -> None:
        self._backend = backend
        self._backend.no_truncation()
        self._backend.no_padding()
        self.max_length = max_length or UNLIMITED
        self.pad_id = pad_id
        self.type_ids = type_ids
        self._cut_left = cut_left
        self._last_prompt: tuple[str, Ids] = ("", np.empty(0, np.int32))
        # Where words are cut at spaces first, and normalised character by character, a prompt and a text that a space
        # parts have the tokens of both.
        parts = type(backend.pre_tokenizer).__name__, type(backend.normalizer).__name__
        self._words_stand_alone = parts in {("BertPreTokenizer", each) for each in ("BertNormalizer", "NoneType")}
        self._known_ids: KeptTokens[Ids] = KeptTokens(partial(_ids, backend), lambda ids: ENTRY + len(ids))
        self._known_spans: KeptTokens[tuple[Ids, Spans]] = KeptTokens(
            partial(_spans, backend), lambda row: ENTRY + len(row[0])
        )
        self.unknown_id = self._find_unknown()
        self.single = self._probe_single() if special else Frame((), (), (), (0, 0, 0, 0, 0))
        self.pair = self._probe_pair() if special else Frame((), (), (), (0, 0, 0, 0, 0))

    @property
    def state(self) -> str:
        """Everything that decides over the ids, as JSON: what a fingerprint is made of."""
        settings = [self.max_length, self.pad_id, self.type_ids, self._cut_left]
        return json.dumps([json.loads(self._backend.to_str()), *settings])

    @property
    def vocabulary(self) -> int:
        """How many token ids there are, added ones included."""
        return self._backend.get_vocab_size()

    def content_limit(self) -> int:
        """Tokens of one text that fit. **Unit:** tokens, special tokens left out."""
        return self.max_length - len(self.single)

    def ids(self, texts: Sequence[str], prompt: str = "") -> list[Ids]:
        """Token ids of each text behind a prompt, uncut and without special tokens."""
        if not prompt:
            return _ids(self._backend, texts)
        if not (self._words_stand_alone and prompt[-1] in _SPACES):
            return _ids(self._backend, [prompt + text for text in texts])
        head = self._prompt_ids(prompt)
        return [np.concatenate([head, row]) for row in _ids(self._backend, texts)]

    def known_ids(self, texts: Sequence[str]) -> list[Ids]:
        """The same of texts that may come again, remembered."""
        return self._known_ids.of(texts)

    def known_spans(self, texts: Sequence[str]) -> list[tuple[Ids, Spans]]:
        """Token ids and character spans of texts that may come again, remembered."""
        return self._known_spans.of(texts)

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special tokens left out."""
        return [len(encoding) for encoding in self._backend.encode_batch_fast(list(texts), add_special_tokens=False)]

    def offsets(self, text: str) -> tuple[Ids, list[tuple[int, int]]]:
        """Token ids of a text, and the character span of each."""
        return self.offsets_of([text])[0]

    def offsets_of(self, texts: Sequence[str]) -> list[tuple[Ids, list[tuple[int, int]]]]:
        """The same of many texts, by all cores."""
        encodings = self._backend.encode_batch(list(texts), add_special_tokens=False)
        return [(np.asarray(encoding.ids, dtype=np.int32), encoding.offsets) for encoding in encodings]

    def prompt_length(self, prompt: str) -> int:
        """Tokens that a prompt takes at the head of a text, the special tokens in front of it included."""
        if not prompt:
            return 0
        return len(self.single.before) + len(self._prompt_ids(prompt))

    def _prompt_ids(self, prompt: str) -> Ids:
        """Token ids of a prompt by itself; the last one's are remembered."""
        known, ids = self._last_prompt
        if prompt != known:
            (ids,) = _ids(self._backend, [prompt])
            self._last_prompt = prompt, ids
        return ids

    def frame_single(self, ids: Ids) -> tuple[Ids, bool]:
        """Cut a text's ids to the limit and frame them; whether any were cut."""
        limit = max(self.content_limit(), 0)
        kept = self.cut(ids, limit)
        before, after = self.single.before, self.single.after
        return np.concatenate([np.array(before, np.int32), kept, np.array(after, np.int32)]), len(ids) > limit

    def frame_pair(self, first: Ids, second: Ids) -> PairRow:
        """Cut and frame a pair; its segment ids; whether any were cut.

        The longer text is cut first, as `tokenizers` does under "longest_first".
        """
        limit = max(self.max_length - len(self.pair), 0)
        room_first, room_second = longest_first(len(first), len(second), limit)
        cut = room_first < len(first) or room_second < len(second)
        first, second = self.cut(first, room_first), self.cut(second, room_second)
        parts = [self.pair.before, first, self.pair.between, second, self.pair.after]
        ids = np.concatenate([np.asarray(part, dtype=np.int32) for part in parts])
        types = np.repeat(np.array(self.pair.types, np.int32), [len(part) for part in parts])
        return ids, types, cut

    def cut(self, ids: Ids, limit: int) -> Ids:
        """The ids that stay under a limit: the first, or the last where the tokenizer cuts at the left."""
        if len(ids) <= limit:
            return ids
        return ids[len(ids) - limit :] if self._cut_left else ids[:limit]

    def _find_unknown(self) -> int | None:
        model = json.loads(self._backend.to_str())["model"]
        if isinstance(model.get("unk_id"), int):
            return int(model["unk_id"])
        token = model.get("unk_token")
        return self._backend.token_to_id(token) if isinstance(token, str) else None

    def _probe_single(self) -> Frame:
        content = self._backend.encode("a", add_special_tokens=False).ids
        framed = self._backend.encode("a")
        start = _find(framed.ids, content)
        end = start + len(content)
        types = framed.type_ids
        inner = types[start] if content else 0
        edges = (types[0] if start else inner, inner, inner, inner, types[-1] if end < len(types) else inner)
        return Frame(tuple(framed.ids[:start]), (), tuple(framed.ids[end:]), edges)

    def _probe_pair(self) -> Frame:
        first = self._backend.encode("a", add_special_tokens=False).ids
        second = self._backend.encode("b", add_special_tokens=False).ids
        framed = self._backend.encode("a", "b")
        start = _find(framed.ids, first)
        end = start + len(first)
        start2 = end + _find(framed.ids[end:], second)
        end2 = start2 + len(second)
        types = framed.type_ids
        inner = (types[start], types[start2])
        return Frame(
            tuple(framed.ids[:start]),
            tuple(framed.ids[end:start2]),
            tuple(framed.ids[end2:]),
            (
                types[0] if start else inner[0],
                inner[0],
                types[end] if start2 > end else inner[0],
                inner[1],
                types[-1] if end2 < len(types) else inner[1],
            ),
        )


def _ids(backend: Tokenizer, texts: Sequence[str]) -> list[Ids]:
    encodings = backend.encode_batch_fast(list(texts), add_special_tokens=False)
    return [np.asarray(encoding.ids, dtype=np.int32) for encoding in encodings]


def _spans(backend: Tokenizer, texts: Sequence[str]) -> list[tuple[Ids, Spans]]:
    encodings = backend.encode_batch(list(texts), add_special_tokens=False)
    return [
        (np.asarray(one.ids, dtype=np.int32), np.asarray(one.offsets, dtype=np.int32).reshape(-1, 2))
        for one in encodings
    ]


def _find(ids: Sequence[int], part: Sequence[int]) -> int:
    for start in range(len(ids) - len(part) + 1):
        if list(ids[start : start + len(part)]) == list(part):
            return start
    raise CheckpointError("A tokenizer must frame a text without changing its tokens; this one's template does.")


def longest_first(first: int, second: int, limit: int) -> tuple[int, int]:
    """How much of each text is kept.

    >>> longest_first(10, 300, 253), longest_first(300, 300, 253)
    ((10, 243), (126, 127))
    """
    if first + second <= limit:
        return first, second
    short, long = sorted((first, second))
    long = short if short > limit else max(short, limit - short)
    if short + long > limit:
        short, long = limit // 2, limit // 2 + limit % 2
    return (short, long) if first <= second else (long, short)
