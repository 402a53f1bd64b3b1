"""What some published checkpoints leave to code of their own, as values: no remote code is run.

Sources: the checkpoints' files on the model hub, as of November 2026; `docs/models.md` has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bicross.encoding.specs import AnswerSpec, PairTemplate, ScorerSpec, TransformerSpec

ZEMBED_TRANSFORMER = "modeling_zembed.ZembedTransformer"
"""A transformer whose own tokenizer method appends a suffix: the last token of it is the one that is pooled."""
ZEMBED_SUFFIX = "<|im_end|>\n"
PROJECTIONS = "projections.safetensors"
"""Learned matrices, each of which halves a vector: zembed-1's small dimensions are no slices."""

_ZERANK_CODE = "modeling_zeranker"
ZERANK_TEMPLATE = PairTemplate(
    "<|im_start|>system\n",
    "<|im_end|>\n<|im_start|>user\n",
    "<|im_end|>\n<|im_start|>assistant\n",
    strip=True,
)
ZERANK_TEMPERATURE = 5.0
"""What the logit is divided by to become a probability."""
_YES = "Yes"


def zerank_by_its_code(folder: Path, config: Mapping[str, Any], encoder: TransformerSpec) -> ScorerSpec | None:
    """zerank-1 and zerank-1-small, whose layout says nothing but the name of their own code; None for any other.

    Args:
        folder: The model's.
        config: Its config.json.
        encoder: Its transformer.
    """
    code = [str(value) for value in (config.get("auto_map") or {}).values()]
    if not any(value.startswith(_ZERANK_CODE) for value in code) and not (folder / f"{_ZERANK_CODE}.py").is_file():
        return None
    from bicross.encoding.tokenizer_files import token_id

    return ScorerSpec(encoder, AnswerSpec(token_id(folder, _YES)), ZERANK_TEMPLATE)


def temperature(spec: ScorerSpec, template: PairTemplate | None) -> float:
    """What a scorer's logits are divided by before a sigmoid makes probabilities of them; 1.0 for most.

    zerank's later layout doesn't say it: its template does, with an answer that no other is set against.
    """
    if spec.answer is None or spec.answer.false_id is not None or template is None:
        return 1.0
    texts = [template.before, template.between, template.after]
    known = ZERANK_TEMPLATE
    return ZERANK_TEMPERATURE if texts == [known.before, known.between, known.after] else 1.0
