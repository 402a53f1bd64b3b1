"""The last layer for the first token alone gives the logits of the whole layer."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers

from bicross.encoding.backends.first_token import FirstToken, trim

SIZES = {
    "vocab_size": 60,
    "hidden_size": 16,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 24,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "initializer_range": 0.5,
    "num_labels": 3,
}


def classifier(name: str, **settings: Any) -> Any:
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**SIZES | settings)
    if attention := settings.get("attn_implementation"):
        config._attn_implementation = attention
    return getattr(transformers, f"{name}ForSequenceClassification")(config).eval()


def logits(model: Any) -> torch.Tensor:
    ids = torch.randint(5, 60, (3, 12), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    mask[1, 7:] = mask[2, 2:] = 0
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=mask, token_type_ids=(ids > 30).long()).logits


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["Bert", "Roberta", "XLMRoberta", "Camembert", "Electra"])
def test_the_logits_are_those_of_the_whole_layer(name: str, attention: str) -> None:
    model = classifier(name, attn_implementation=attention)
    whole, names = logits(model), set(model.state_dict())
    trim(model)
    assert isinstance(model.base_model.encoder.layer[-1], FirstToken)
    assert set(model.state_dict()) == names
    torch.testing.assert_close(logits(model), whole, atol=2e-6, rtol=1e-5)
    assert whole.std(dim=0).min() > 0.01, "the texts differ"


def test_half_precision_is_no_further_from_float32_than_the_whole_layer() -> None:
    exact = logits(classifier("Bert"))
    model = classifier("Bert").bfloat16()
    whole = (logits(model) - exact).abs().max()
    trim(model)
    assert (logits(model) - exact).abs().max() <= 1.5 * whole


def test_the_other_tokens_of_the_last_layer_are_not_computed() -> None:
    model = classifier("Bert")
    trim(model)
    lengths = []
    for layer in model.base_model.encoder.layer:
        layer.intermediate.register_forward_hook(lambda _module, given, _out: lengths.append(given[0].shape[1]))
    logits(model)
    assert lengths == [12, 12, 1]


@pytest.mark.parametrize("settings", [{"is_decoder": True}, {"attn_implementation": "flash_attention_2"}])
def test_what_masks_in_another_way_stays_as_it_is(settings: dict[str, Any]) -> None:
    model = classifier("Bert", **{k: v for k, v in settings.items() if k == "is_decoder"})
    if "attn_implementation" in settings:
        model.config._attn_implementation = settings["attn_implementation"]
    trim(model)
    assert not isinstance(model.base_model.encoder.layer[-1], FirstToken)


def test_a_head_that_reads_more_stays_as_it_is() -> None:
    for name in ("DistilBert", "MPNet"):
        model = classifier(name, max_position_embeddings=64)
        before = copy.deepcopy(model.state_dict())
        whole = logits_of_ids(model)
        trim(model)
        assert set(model.state_dict()) == set(before)
        torch.testing.assert_close(logits_of_ids(model), whole)


def logits_of_ids(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.arange(5, 15)[None]).logits
