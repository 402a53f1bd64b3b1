"""Pairs into padded batches without waste, and scores out of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from bicross.encoding.backends.torch_loading import pick_precision
from bicross.encoding.batching import pad, plan_batches
from bicross.types import Floats

_HEADS = {"pooler", "pre_classifier", "head", "classifier", "score"}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def has_bf16(device: str) -> bool:
    """Whether a kind of device, such as "cpu", multiplies in bfloat16 natively, so that using it saves time."""
    return pick_precision("auto", device) == "bfloat16"


def model_inputs(model: Any) -> tuple[str, ...]:
    """Names of what a transformers model reads; segment ids only where it tells two segments apart.

    RoBERTa takes them and knows one segment; DistilBERT and ModernBERT swallow them with their other keywords.
    """
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    return _INPUTS if takes and (getattr(model.config, "type_vocab_size", None) or 0) > 1 else _INPUTS[:2]


def pack(
    tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], chunk_tokens: int, inputs: Sequence[str] = _INPUTS
) -> tuple[list[dict[str, Tensor]], Tensor]:
    """Tokenises pairs and fills batches of pairs of similar length, each padded to its longest.

    Args:
        tokenizer: With truncation set and padding off.
        pairs: Query and text.
        chunk_tokens: Padded tokens of a batch, at most; a longer pair is alone.
        inputs: Which tensors a batch has; see `model_inputs`.

    Returns:
        The batches, whose tensors have the shape (pairs of the batch, longest pair); and where in them the i-th pair
        went. **Shape:** (pairs,).
    """
    encodings = tokenizer.encode_batch([tuple(pair) for pair in pairs])
    chunks, order = [], []
    for rows in plan_batches([len(encoding) for encoding in encodings], chunk_tokens):
        order += rows.tolist()
        ids, mask = pad([encodings[i].ids for i in rows], 0)
        types, _ = pad([encodings[i].type_ids for i in rows], 0)
        tensors = dict(zip(_INPUTS, map(torch.from_numpy, (ids, mask, types)), strict=True))
        chunks.append({name: tensors[name] for name in inputs})
    place = torch.zeros(len(order), dtype=torch.long)
    place[torch.tensor(order, dtype=torch.long)] = torch.arange(len(order))
    return chunks, place


@contextmanager
def exact_head(model: nn.Module) -> Iterator[None]:
    """Pooler and output layer compute in float32 inside an autocast region.

    A trained pooler's tanh is close to 1 or -1, where neighbouring bfloat16 numbers are 0.004 apart, and the sum of its
    values is rounded once more: a hundred candidates fall on a dozen scores. These layers see one token of each pair,
    so exactness costs nothing.
    """
    heads = [m for name, m in model.named_modules() if name.rpartition(".")[2] in _HEADS]

    def exact(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def run(values: Tensor) -> Tensor:
            with torch.autocast(values.device.type, enabled=False):
                return forward(values.float())

        return run

    for head in heads:
        head.forward = exact(head.forward)
    try:
        yield
    finally:
        for head in heads:
            del head.forward


@torch.inference_mode()
def score_pairs(
    model: nn.Module, tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], *, max_length: int, bf16: bool
) -> Floats:
    """Scores pairs in batches sorted by length.

    Args:
        model: With one label.
        tokenizer: The model's; its truncation is set here.
        pairs: Query and text.
        max_length: Tokens of a pair.
        bf16: Whether to multiply in bfloat16.

    Returns:
        Logits. **Shape:** (pairs,).
    """
    model.eval()
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    chunks, place = pack(tokenizer, pairs, 4096, model_inputs(model))
    device = next(model.parameters()).device
    with exact_head(model), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        logits = [model(**{k: v.to(device) for k, v in chunk.items()}).logits[:, 0].float().cpu() for chunk in chunks]
    result: Floats = (torch.cat(logits)[place] if logits else torch.zeros(0)).numpy()
    return result
