"""Writes tiny random models: no test needs a download or a trained weight."""

from __future__ import annotations

import json
from pathlib import Path

import torch

WORDS = """
the a of to in is not no every some none cat dog bird fish tree house river stone red green blue small large
old new runs sits flies sleeps eats on under over near far city train water fire wind rain sun moon
""".split()  # noqa: SIM905


def write_tokenizer(folder: Path, max_length: int = 128) -> None:
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import BertNormalizer
    from tokenizers.pre_tokenizers import BertPreTokenizer
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        *WORDS,
        *(x for x in letters if x not in WORDS),
        *("##" + x for x in letters),
        ".",
        ",",
        "?",
    ]
    tokenizer = Tokenizer(WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=max_length,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    ).save_pretrained(folder)


def bert_config(**overrides: object):
    from transformers import BertConfig

    sizes = {"vocab_size": 200, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    return BertConfig(
        **(sizes | {"intermediate_size": 64, "max_position_embeddings": 128, "pad_token_id": 0} | overrides)
    )


def write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), encoding="utf-8")


def write_bi_encoder(
    folder: Path,
    *,
    seed: int = 0,
    pooling: dict | None = None,
    prompts: dict | None = None,
    normalize: bool = True,
    max_length: int = 64,
    similarity: str = "cosine",
    **config: object,
) -> Path:
    from transformers import BertModel

    torch.manual_seed(seed)
    BertModel(bert_config(**config)).save_pretrained(folder)
    write_tokenizer(folder)
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")] + ([("2_Normalize", "Normalize")] if normalize else [])
    write_json(
        folder / "modules.json",
        [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
    )
    width = config.get("hidden_size", 32)
    write_json(
        folder / "1_Pooling/config.json",
        {"word_embedding_dimension": width} | (pooling or {"pooling_mode_mean_tokens": True}),
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    write_json(
        folder / "config_sentence_transformers.json",
        {"prompts": prompts or {}, "default_prompt_name": None, "similarity_fn_name": similarity},
    )
    return folder


def write_cross_encoder(
    folder: Path, *, seed: int = 1, labels: int = 1, activation: str | None = None, extras: dict | None = None
) -> Path:
    from transformers import BertForSequenceClassification

    torch.manual_seed(seed)
    config = bert_config(num_labels=labels, initializer_range=0.3)
    if activation:
        config.sentence_transformers = {"activation_fn": activation}
    BertForSequenceClassification(config).save_pretrained(folder)
    write_tokenizer(folder)
    if extras:
        write_json(folder / "bicross.json", extras)
    return folder


def write_masked_lm(folder: Path, *, seed: int = 2, **config: object) -> Path:
    from transformers import BertForMaskedLM

    torch.manual_seed(seed)
    BertForMaskedLM(bert_config(vocab_size=120, initializer_range=0.5, **config)).save_pretrained(folder)
    write_tokenizer(folder)
    return folder


def write_splade(folder: Path, *, pooling: str = "max", activation: str = "relu", prompts: dict | None = None) -> Path:
    """As sentence-transformers 5.0 wrote a SparseEncoder."""
    write_masked_lm(folder)
    kinds = [("", "MLMTransformer"), ("1_SpladePooling", "SpladePooling")]
    root = "sentence_transformers.sparse_encoder.models"
    write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": path, "type": f"{root}.{kind}"} for i, (path, kind) in enumerate(kinds)],
    )
    write_json(
        folder / "1_SpladePooling/config.json",
        {"pooling_strategy": pooling, "activation_function": activation, "word_embedding_dimension": 120},
    )
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 32, "do_lower_case": False})
    write_json(folder / "config_sentence_transformers.json", {"prompts": prompts or {}, "model_type": "SparseEncoder"})
    return folder


def write_inference_free_splade(folder: Path) -> Path:
    """As sentence-transformers 6.2 writes a Router whose queries only look up a weight for each token."""
    import numpy as np
    from safetensors.numpy import save_file

    document, pooling, query = "document_0_Transformer", "document_1_SpladePooling", "query_0_SparseStaticEmbedding"
    write_masked_lm(folder / document)
    write_json(folder / document / "sentence_bert_config.json", {"transformer_task": "fill-mask"})
    write_json(folder / pooling / "config.json", {"pooling_strategy": "max", "activation_function": "relu"})
    write_tokenizer(folder / query)
    write_json(folder / query / "config.json", {"frozen": False})
    words = json.loads((folder / query / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    weights = np.random.default_rng(3).random(len(words), np.float32)
    weights[[0, 5]] = 0.0
    save_file({"weight": weights}, str(folder / query / "model.safetensors"))
    root = "sentence_transformers"
    types = {
        query: f"{root}.sparse_encoder.modules.sparse_static_embedding.SparseStaticEmbedding",
        document: f"{root}.base.modules.transformer.Transformer",
        pooling: f"{root}.sparse_encoder.modules.splade_pooling.SpladePooling",
    }
    structure = {"query": [query], "document": [document, pooling]}
    parameters = {"default_route": "document", "allow_empty_key": True, "route_mappings": {}}
    write_json(folder / "router_config.json", {"types": types, "structure": structure, "parameters": parameters})
    router = f"{root}.base.modules.router.Router"
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": router}])
    write_json(folder / "config_sentence_transformers.json", {"prompts": {}, "model_type": "SparseEncoder"})
    return folder
