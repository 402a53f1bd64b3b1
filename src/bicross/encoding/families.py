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

_QWEN_RERANKER = "qwen3-reranker"
_JUDGE = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: '
)
_QUERY = "\n<Query>: "
QWEN_RERANKER_TEMPLATE = PairTemplate(
    f"{_JUDGE}Given a web search query, retrieve relevant passages that answer the query{_QUERY}",
    "\n<Document>: ",
    "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n",
    instruction=(_JUDGE, _QUERY),
)
"""The frame of the model card's code, with the instruction that it has where none is given."""


def zerank_by_its_code(folder: Path, config: Mapping[str, Any], encoder: TransformerSpec) -> ScorerSpec | None:
    """zerank-1 and zerank-1-small, whose layout says nothing but the name of their own code; None for any other.

    Args:
        folder: The model's.
        config: Its config.json.
        encoder: Its transformer.
    """
    # A copy that transformers saved names the repository as well: owner/name--module.Class.
    code = [str(value).rpartition("--")[2] for value in (config.get("auto_map") or {}).values()]
    if not any(value.startswith(_ZERANK_CODE) for value in code) and not (folder / f"{_ZERANK_CODE}.py").is_file():
        return None
    from bicross.encoding.tokenizer_files import token_id

    return ScorerSpec(encoder, AnswerSpec(token_id(folder, _YES)), ZERANK_TEMPLATE)


def qwen_reranker_by_its_name(folder: Path, config: Mapping[str, Any], encoder: TransformerSpec) -> ScorerSpec | None:
    """Qwen3-Reranker as it was first published, whose files are those of any Qwen3; None for any other.

    The name is all that tells it: that of its folder, or of its repository in the hub's cache. For the arguments see
    `zerank_by_its_code`.
    """
    name = folder.parents[1].name if folder.parent.name == "snapshots" else folder.name
    if config.get("model_type") != "qwen3" or _QWEN_RERANKER not in name.lower():
        return None
    from bicross.encoding.tokenizer_files import token_id

    answer = AnswerSpec(token_id(folder, "yes"), token_id(folder, "no"))
    return ScorerSpec(encoder, answer, QWEN_RERANKER_TEMPLATE)


def temperature(spec: ScorerSpec, template: PairTemplate | None) -> float:
    """What a scorer's logits are divided by before a sigmoid makes probabilities of them; 1.0 for most.

    zerank's later layout doesn't say it: its template does, with an answer that no other is set against.
    """
    if spec.answer is None or spec.answer.false_id is not None or template is None:
        return 1.0
    texts = [template.before, template.between, template.after]
    known = ZERANK_TEMPLATE
    return ZERANK_TEMPERATURE if texts == [known.before, known.between, known.after] else 1.0
