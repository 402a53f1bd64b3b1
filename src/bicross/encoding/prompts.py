"""Which prompt stands in front of a query or a document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from bicross.encoding.specs import TowerSpec, TransformerSpec
from bicross.encoding.tokenizer import check_text
from bicross.errors import ConfigurationError

Role = Literal["query", "document"]

_OPENS_MESSAGE = "<|im_start|>user\n"

_NAMES: dict[Role, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def role_prompt(prompts: Mapping[str, str], role: Role) -> str:
    """The prompt that a checkpoint names for a role, "" where it names none.

    >>> role_prompt({"query": "query: ", "passage": "passage: "}, "document")
    'passage: '
    """
    return next((prompts[name] for name in _NAMES[role] if name in prompts), "")


def check_prompt(spec: TowerSpec, prompt: Any) -> str:
    """A prompt for one call, once it is known to be one that the tower can have.

    Raises:
        InputTypeError, InputError: It isn't valid text.
        ConfigurationError: The tower's suffix closes a message that this prompt doesn't open.
    """
    text = check_text(prompt, "prompt")
    suffix = spec.encoder.suffix if isinstance(spec.encoder, TransformerSpec) else ""
    if suffix and not text.endswith(_OPENS_MESSAGE):
        raise ConfigurationError(
            f"This model reads texts as messages, so a prompt must end with {_OPENS_MESSAGE!r}, which its {suffix!r} "
            f"closes, got {text!r:.80}. Leave prompt out to take the checkpoint's own."
        )
    return text
