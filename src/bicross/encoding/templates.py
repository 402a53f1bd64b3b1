"""Pairs framed by text, as decoders read them: what stands around query and document is never cut."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bicross.encoding.specs import ChatTemplateSpec, PairTemplate, ScorerSpec
from bicross.encoding.tokenizer import Ids, PairRow, TextTokenizer, longest_first
from bicross.encoding.tokenizer_files import chat_tokenizer
from bicross.errors import CheckpointError

# Characters of Unicode's private use area, which no template holds.
_QUERY, _DOCUMENT, _INSTRUCTION = "\ue000", "\ue001", "\ue002"


def read_template(spec: ScorerSpec, trust_remote_code: bool = False) -> PairTemplate | None:
    """What a scorer's pairs are framed with; None: special tokens alone.

    Raises:
        CheckpointError: The chat template has no place for a query and a document, or does more than frame them.
    """
    if not isinstance(spec.template, ChatTemplateSpec):
        return spec.template
    folder = spec.encoder.folder
    tokenizer = chat_tokenizer(folder, trust_remote_code)
    options = json.loads(spec.template.options)

    def render(query: str, document: str, instruction: str = "") -> str:
        messages = [{"role": "query", "content": query}, {"role": "document", "content": document}]
        if instruction:
            messages.insert(0, {"role": "system", "content": instruction})
        try:
            return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
        except Exception as error:  # transformers and a template may raise anything
            raise _unfit(folder, f"{type(error).__name__}: {str(error)[:200]}") from error

    plain = _take_apart(render(_QUERY, _DOCUMENT), folder)
    padded = _take_apart(render(f" {_QUERY} ", f" {_DOCUMENT} "), folder)
    spaced = (f"{plain.before} ", f" {plain.between} ", f" {plain.after}")
    texts = (padded.before, padded.between, padded.after)
    if texts not in (spaced, (plain.before, plain.between, plain.after)):
        raise _unfit(folder, "one that changes the whitespace around one of them alone")
    instructed = render(_QUERY, _DOCUMENT, _INSTRUCTION)
    return replace(plain, strip=texts != spaced, instruction=_instruction(instructed, plain))


def _take_apart(rendered: str, folder: Path) -> PairTemplate:
    if rendered.count(_QUERY) != 1 or rendered.count(_DOCUMENT) != 1:
        raise _unfit(folder, repr(rendered[:200]))
    before, rest = rendered.split(_QUERY)
    if _DOCUMENT in before:
        raise _unfit(folder, "one that puts the document first")
    between, after = rest.split(_DOCUMENT)
    return PairTemplate(before, between, after)


def _instruction(rendered: str, plain: PairTemplate) -> tuple[str, str] | None:
    """What stands around an instruction in front of the query; None where the template leaves it out."""
    before, _, rest = rendered.partition(_QUERY)
    if before.count(_INSTRUCTION) != 1 or rest != f"{plain.between}{_DOCUMENT}{plain.after}":
        return None
    front, _, behind = before.partition(_INSTRUCTION)
    return front, behind


def _unfit(folder: Path, got: str) -> CheckpointError:
    return CheckpointError(
        f"The chat template of a model that scores pairs must frame one message of the role 'query' and one of the "
        f"role 'document', as they are, got {got} in {str(folder)!r}. Fetch the model again."
    )


def template_rows(
    tokenizer: TextTokenizer, template: PairTemplate, pairs: Sequence[tuple[str, str]], prompt: str
) -> list[PairRow]:
    """Token ids of framed pairs.

    A whole pair is tokenised at once, since a text's first and last characters may share a token with the frame.

    Args:
        tokenizer: Its special tokens aren't added: the template writes its own.
        template: The frame.
        pairs: Queries and documents.
        prompt: A task's instruction; stands in front of the query where the template has no place for it.
    """
    frame, texts = _filled(template, prompt, pairs)
    rows = tokenizer.ids([frame.before + query + frame.between + text + frame.after for query, text in texts])
    limit = tokenizer.max_length
    shown = [
        ids if len(ids) <= limit else _shortened(tokenizer, frame, *pair) for ids, pair in zip(rows, texts, strict=True)
    ]
    return [(ids, np.zeros(len(ids), np.int32), len(whole) > limit) for ids, whole in zip(shown, rows, strict=True)]


def frame_length(tokenizer: TextTokenizer, template: PairTemplate, prompt: str) -> int:
    """Tokens of the frame without query and document."""
    frame, _ = _filled(template, prompt, [])
    return tokenizer.count([frame.before + frame.between + frame.after])[0]


def _filled(
    template: PairTemplate, prompt: str, pairs: Sequence[tuple[str, str]]
) -> tuple[PairTemplate, list[tuple[str, str]]]:
    """The frame with its instruction, and the texts as they stand in it."""
    texts = [(query.strip(), text.strip()) for query, text in pairs] if template.strip else list(pairs)
    if not prompt:
        return template, texts
    if template.instruction is None:
        return template, [(prompt + query, text) for query, text in texts]
    front, behind = template.instruction
    return replace(template, before=front + prompt + behind), texts


def _shortened(tokenizer: TextTokenizer, frame: PairTemplate, query: str, text: str) -> Ids:
    """The ids of a pair whose texts are cut until it fits, the longer one first."""
    limit = tokenizer.max_length
    ends = [[end for _, end in tokenizer.offsets(part)[1]] for part in (query, text)]
    room = limit - tokenizer.count([frame.before + frame.between + frame.after])[0]
    if room < 0:
        raise CheckpointError(
            f"What stands around a query and a text must fit into the model's {limit} tokens, got {limit - room}. "
            "Give a shorter prompt."
        )
    while True:
        kept = longest_first(len(ends[0]), len(ends[1]), room)
        first, second = (
            part[: of[count - 1] if count else 0] for part, of, count in zip((query, text), ends, kept, strict=True)
        )
        ids = tokenizer.ids([frame.before + first + frame.between + second + frame.after])[0]
        if len(ids) <= limit:
            return ids
        room -= len(ids) - limit
