"""Pairs of texts to framed rows of token ids, whole or in windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from bicross.encoding.counting import Counts
from bicross.encoding.specs import PairTemplate
from bicross.encoding.templates import frame_length, template_rows
from bicross.encoding.tokenizer import Ids, PairRow, TextTokenizer
from bicross.encoding.windows import windows

_OVERLAP_SHARE = 0.25


class Framing(NamedTuple):
    """How a model reads a pair.

    Attributes:
        tokenizer: Its tokens.
        template: The text around a pair; None: the tokenizer's special tokens.
    """

    tokenizer: TextTokenizer
    template: PairTemplate | None = None

    def rows(self, pairs: Sequence[tuple[str, str]], prompt: str, counts: Counts) -> list[PairRow]:
        """Pairs as rows.

        Args:
            pairs: Queries and texts.
            prompt: In front of every query, or where the template has a place for an instruction.
            counts: Added to.
        """
        if self.template is not None:
            rows = template_rows(self.tokenizer, self.template, pairs, prompt)
            counts.add((ids for ids, _, _ in rows), self.tokenizer)
            return rows
        # A query, or a text, of many pairs is tokenised once.
        asked = list(dict.fromkeys(prompt + query for query, _ in pairs))
        read = list(dict.fromkeys(text for _, text in pairs))
        queries = dict(zip(asked, self.tokenizer.ids(asked), strict=True))
        texts = dict(zip(read, self.tokenizer.known_ids(read), strict=True))
        ids = [(queries[prompt + query], texts[text]) for query, text in pairs]
        counts.add((part for pair in ids for part in pair), self.tokenizer)
        return [self.tokenizer.frame_pair(first, second) for first, second in ids]

    def window_rows(
        self, query: str, texts: Sequence[str], prompt: str
    ) -> tuple[list[PairRow], list[int], list[tuple[int, int]]]:
        """Overlapping windows over texts, each as a row with the query.

        Returns:
            The rows; the text that each is of; its characters there.
        """
        tokenizer = self.tokenizer
        room = tokenizer.max_length - self._frame_length(prompt)
        head = "" if self.template is not None and self.template.instruction is not None else prompt
        query_ids = tokenizer.ids([head + query])[0][: max(room // 2, 1)]
        size = max(room - len(query_ids), 1)
        ids: list[Ids] = []
        owners: list[int] = []
        spans: list[tuple[int, int]] = []
        for owner, (tokens, offsets) in enumerate(tokenizer.offsets_of(texts)):
            for start, end in windows(len(tokens), size, int(size * _OVERLAP_SHARE)):
                ids.append(tokens[start:end])
                owners.append(owner)
                spans.append((offsets[start][0], offsets[end - 1][1]) if end > start else (0, 0))
        if self.template is None:
            return [tokenizer.frame_pair(query_ids, window) for window in ids], owners, spans
        pairs = [(query, texts[owner][start:end]) for owner, (start, end) in zip(owners, spans, strict=True)]
        return template_rows(tokenizer, self.template, pairs, prompt), owners, spans

    def _frame_length(self, prompt: str) -> int:
        if self.template is not None:
            return frame_length(self.tokenizer, self.template, prompt)
        return len(self.tokenizer.pair)
