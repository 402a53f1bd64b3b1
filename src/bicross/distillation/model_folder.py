"""Loads the weights that a reranker starts from, and writes the folder that it ends as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from bicross.distillation.packing import model_inputs
from bicross.distillation.pruning import prune_layers
from bicross.encoding.files import write_json
from bicross.errors import ConfigurationError
from bicross.whole_file import whole_file

_IDENTITY = "torch.nn.modules.linear.Identity"
_DROPOUTS = (
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),  # BERT and RoBERTa
    *("dropout", "attention_dropout", "seq_classif_dropout"),  # DistilBERT
    *("embedding_dropout", "mlp_dropout"),  # ModernBERT
)


def check_base(base: str | Path, layers: int | Sequence[int] | None = None) -> dict[str, str]:
    """The special tokens of a base by their roles, once it is known that a reranker can start from it.

    Reads no weights.

    Args:
        base: Folder or hub name.
        layers: How many layers will be kept, or which; None: all.

    Raises:
        ConfigurationError: It isn't an encoder that classifies sequences, or hasn't these layers.
    """
    from transformers import (
        MODEL_FOR_MASKED_LM_MAPPING,
        MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
        AutoConfig,
        AutoModelForSequenceClassification,
        AutoTokenizer,
    )

    config = AutoConfig.from_pretrained(str(base), num_labels=1)
    # Decoders have no masked language model. They read the answer from the last token, which padding would move.
    known = all(
        type(config) in mapping for mapping in (MODEL_FOR_MASKED_LM_MAPPING, MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING)
    )
    if not known or config.is_encoder_decoder:
        raise ConfigurationError(
            "A reranker starts from an encoder such as BERT, DistilBERT, RoBERTa, XLM-RoBERTa or ModernBERT; "
            f"base={str(base)!r} is of the kind {config.model_type!r}. Name another base."
        )
    if layers is not None:
        with torch.device("meta"):
            model = AutoModelForSequenceClassification.from_config(config)  # type: ignore[no-untyped-call]
        prune_layers(model, layers)
    return {role: str(token) for role, token in AutoTokenizer.from_pretrained(str(base)).special_tokens_map.items()}


def load_base(
    base: str | Path,
    *,
    seed: int,
    dropout: float,
    layers: int | Sequence[int] | None = None,
    device: torch.device | str = "cpu",
    attention: Mapping[str, str] | None = None,
) -> tuple[Any, Tokenizer]:
    """A sequence-classification model with one label on the weights of ``base``, in float32, and its tokenizer.

    Args:
        base: Folder or hub name.
        seed: Of the new output layer, where ``base`` has none.
        layers: How many layers are kept, or which; None: all.
        dropout: Of hidden states and attention while training, where the architecture knows them by the usual names.
        device: Where it goes.
        attention: An option of transformers; see `TrainingSettings.attention`.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    config = AutoConfig.from_pretrained(str(base), num_labels=1)
    for name in _DROPOUTS:
        if getattr(config, name, None) is not None:
            setattr(config, name, dropout)
    torch.manual_seed(seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        str(base),
        config=config,
        dtype=torch.float32,
        **(attention or {}),
    )
    if layers is not None:
        prune_layers(model, layers)
    tokenizer = Tokenizer.from_str(AutoTokenizer.from_pretrained(str(base)).backend_tokenizer.to_str())
    return model.to(device), tokenizer


def centre_logits(model: Any, mean: float) -> None:
    """Lowers the output layer's bias by the mean logit.

    A listwise loss sees differences alone, so the logits of all candidates may drift together. Around 6, neighbouring
    bfloat16 numbers are 0.03 apart, and a hundred candidates fall on a dozen values; around 0 they keep their order.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer.out_features == 1]
    if layers and layers[-1].bias is not None:
        with torch.no_grad():
            layers[-1].bias.sub_(mean)


def write_model(
    folder: Path,
    model: Any,
    tokenizer: Tokenizer,
    *,
    special_tokens: Mapping[str, str],
    max_length: int,
    extras: Mapping[str, Any],
) -> None:
    """Writes a cross-encoder's folder: half-precision safetensors that load in sentence-transformers too.

    Args:
        folder: Made where it is missing; files of the same names are replaced.
        model: A sequence-classification model with one label.
        tokenizer: The model's.
        special_tokens: The tokenizer's, by role, such as ``pad_token``.
        max_length: The limit in tokens of a pair that the folder states.
        extras: Content of ``bicross.json``.
    """
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    config = model.config.to_diff_dict()
    for runtime in ("_attn_implementation", "attn_implementation", "transformers_version"):
        config.pop(runtime, None)
    config |= {
        "architectures": [type(model).__name__],
        "id2label": {"0": "LABEL_0"},
        "label2id": {"LABEL_0": 0},
        # The file holds float16; without this line transformers computes in it.
        "dtype": "float32",
        "sentence_transformers": {"activation_fn": _IDENTITY},
    }
    tokenizer.no_padding()
    tokenizer.no_truncation()
    write_json(folder / "config.json", config)
    write_json(folder / "bicross.json", extras)
    settings = {
        # tokenizer.json is read as it is; a class of its own might build it anew, in another way.
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        # Without this line other libraries give every token the type 0, and the scores are others.
        "model_input_names": list(model_inputs(model)),
        **special_tokens,
    }
    write_json(folder / "tokenizer_config.json", settings)
    (folder / "tokenizer.json").write_text(tokenizer.to_str(), encoding="utf-8")
    weights = {name: value.detach().cpu().half().contiguous() for name, value in model.state_dict().items()}
    with whole_file(folder / "model.safetensors") as part:
        save_file(weights, part, metadata={"format": "pt"})
