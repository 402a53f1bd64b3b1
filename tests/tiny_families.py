"""Writes tiny random checkpoints with the files and keys of published families; sizes apart, as they lie on the hub.

Token ids that a checkpoint names (the answers of the rerankers) are the published ones.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file

from tiny_models import WORDS, write_json, write_tokenizer

YES, LOWER_YES, LOWER_NO = 9454, 9693, 2152
VOCABULARY = 9_800
QWEN_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
CHAIN = (32, 16, 8, 4)
ST = "sentence_transformers"
QWEN_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def write_qwen_tokenizer(
    folder: Path,
    *,
    side: str = "left",
    pad: bool = True,
    ends_with: str | None = None,
    chat_template: str | None = None,
) -> None:
    """A byte-level tokenizer with Qwen's pattern.

    Args:
        folder: Where to.
        side: Where other libraries pad.
        pad: Whether there is a padding token.
        ends_with: The special token behind every text.
        chat_template: The content of chat_template.jinja.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
    from tokenizers.models import BPE

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces, merges = list(letters), []
    for word in ["Yes", "yes", "no", *WORDS, *("Ġ" + word for word in WORDS)]:
        built = word[0]
        for letter in word[1:]:
            if (built, letter) not in merges:
                merges.append((built, letter))
            built += letter
            pieces.append(built)
    pieces = list(dict.fromkeys([*pieces, "ĊĊ", ".Ċ", "?Ċ"]))
    merges += [("Ċ", "Ċ"), (".", "Ċ"), ("?", "Ċ")]
    fixed = {"Yes": YES, "yes": LOWER_YES, "no": LOWER_NO}
    free = iter(i for i in range(VOCABULARY - len(QWEN_SPECIAL)) if i not in fixed.values())
    vocabulary = {piece: fixed[piece] if piece in fixed else next(free) for piece in pieces}
    vocabulary |= {f"<unused{i}>": i for i in free}
    tokenizer = Tokenizer(BPE(vocabulary, merges, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_WORDS), "isolated", invert=False),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in QWEN_SPECIAL])
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    if ends_with:
        end = (ends_with, tokenizer.token_to_id(ends_with))
        last = processors.TemplateProcessing(
            single=["$A", ends_with], pair=["$A", "$B", ends_with], special_tokens=[end]
        )
        tokenizer.post_processor = processors.Sequence([tokenizer.post_processor, last])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "Qwen2Tokenizer",
        "eos_token": "<|im_end|>",
        "model_max_length": 512,
        "padding_side": side,
        "clean_up_tokenization_spaces": False,
        "added_tokens_decoder": {
            str(tokenizer.token_to_id(token)): {
                "content": token,
                "lstrip": False,
                "normalized": False,
                "rstrip": False,
                "single_word": False,
                "special": True,
            }
            for token in QWEN_SPECIAL
        },
    }
    if pad:
        config["pad_token"] = "<|endoftext|>"
    write_json(folder / "tokenizer_config.json", config)
    if chat_template is not None:
        (folder / "chat_template.jinja").write_text(chat_template, encoding="utf-8")


def write_qwen(folder: Path, *, seed: int = 11, kind: str = "Qwen3ForCausalLM", shards: bool = False, **config: object):
    """The weights of a tiny Qwen3."""
    import transformers

    torch.manual_seed(seed)
    sizes = {
        "vocab_size": VOCABULARY,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "max_position_embeddings": 512,
        "tie_word_embeddings": True,
        "initializer_range": 0.3,
        "use_cache": True,
    }
    model = getattr(transformers, kind)(transformers.Qwen3Config(**(sizes | config)))
    model.save_pretrained(folder, max_shard_size="300KB" if shards else "1GB")
    return folder


def write_modules(folder: Path, *modules: tuple[str, str]) -> None:
    write_json(
        folder / "modules.json",
        [{"idx": i, "name": str(i), "path": path, "type": kind} for i, (path, kind) in enumerate(modules)],
    )


def write_pooling(folder: Path, width: int = 32, **modes: bool) -> None:
    keys = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
    config = {f"pooling_mode_{key}": modes.get(key, False) for key in keys}
    write_json(folder / "config.json", {"word_embedding_dimension": width} | config | {"include_prompt": True})


def write_settings(folder: Path, prompts: dict[str, str], **more: object) -> None:
    settings = {"prompts": prompts, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    write_json(folder / "config_sentence_transformers.json", settings | more)


def zembed_prompt(role: str) -> str:
    return f"<|im_start|>system\n{role}<|im_end|>\n<|im_start|>user\n"


def write_zembed(folder: Path, *, side: str = "left", pad: bool = True, max_length: int = 128) -> Path:
    """zeroentropy/zembed-1-embedding, its code left out: nobody runs it."""
    write_qwen(folder, shards=True)
    write_qwen_tokenizer(folder, side=side, pad=pad, chat_template="{{ messages[0].content }}")
    write_modules(
        folder,
        ("", "modeling_zembed.ZembedTransformer"),
        ("1_Pooling", f"{ST}.models.Pooling"),
        ("2_Normalize", f"{ST}.models.Normalize"),
    )
    write_pooling(folder / "1_Pooling", lasttoken=True)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    prompts = {role: zembed_prompt(role) for role in ("query", "document")}
    write_settings(folder, prompts, default_prompt_name="document")
    generator = torch.Generator().manual_seed(3)
    pairs = pairwise(CHAIN)
    matrices = {str(small): torch.randn(big, small, generator=generator) / big**0.5 for big, small in pairs}
    save_file(matrices, folder / "projections.safetensors")
    return folder


ZERANK_CHAT = (
    "{%- for message in messages %}"
    "{%- set role = {'query': 'system', 'document': 'user'}.get(message.role, message.role) %}"
    "{{- '<|im_start|>' + role + '\\n' + (message.content | trim) + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
QWEN_RERANKER_CHAT = (
    "<|im_start|>system\n"
    "Judge whether the Document meets the requirements based on the Query and the Instruct provided. Note that the "
    'answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n'
    '<Instruct>: {{ messages | selectattr("role", "eq", "system") | map(attribute="content") | first | '
    'default("Given a web search query, retrieve relevant passages that answer the query") }}\n'
    '<Query>: {{ messages | selectattr("role", "eq", "query") | map(attribute="content") | first }}\n'
    '<Document>: {{ messages | selectattr("role", "eq", "document") | map(attribute="content") | first }}<|im_end|>\n'
    "<|im_start|>assistant\n<think>\n\n</think>\n\n\n"
)


def write_logit_score(
    folder: Path, chat_template: str, true_id: int, false_id: int | None, *, side: str = "left", pad: bool = True
) -> Path:
    """The layout of decoder rerankers since sentence-transformers 5.4."""
    write_qwen(folder)
    write_qwen_tokenizer(folder, side=side, pad=pad, chat_template=chat_template)
    write_modules(
        folder,
        ("", f"{ST}.base.modules.transformer.Transformer"),
        ("1_LogitScore", f"{ST}.cross_encoder.modules.logit_score.LogitScore"),
    )
    write_json(folder / "1_LogitScore/config.json", {"true_token_id": true_id, "false_token_id": false_id})
    logits = {"method": "forward", "method_output_name": "logits"}
    write_json(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "text-generation",
            "modality_config": {"text": logits, "message": logits | {"format": "flat"}},
            "module_output_name": "causal_logits",
            "processing_kwargs": {"chat_template": {"add_generation_prompt": True}},
        },
    )
    identity = "torch.nn.modules.linear.Identity"
    settings = {"model_type": "CrossEncoder", "activation_fn": identity, "prompts": {}, "default_prompt_name": None}
    write_json(folder / "config_sentence_transformers.json", settings)
    return folder


def write_zerank(folder: Path, *, side: str = "left", pad: bool = True) -> Path:
    """zeroentropy/zerank-2."""
    return write_logit_score(folder, ZERANK_CHAT, YES, None, side=side, pad=pad)


def write_older_zerank(folder: Path, *, tied: bool = True) -> Path:
    """zeroentropy/zerank-1 and zerank-1-small: nothing but the name of code that isn't run."""
    write_qwen(folder, tie_word_embeddings=tied, seed=11)
    write_qwen_tokenizer(folder)
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", config | {"auto_map": {"AutoConfig": "modeling_zeranker.ZEConfig"}})
    return folder


def write_qwen_reranker(folder: Path, *, side: str = "left") -> Path:
    """Qwen/Qwen3-Reranker."""
    return write_logit_score(folder, QWEN_RERANKER_CHAT, LOWER_YES, LOWER_NO, side=side)


def write_older_qwen_reranker(folder: Path, *, side: str = "left") -> Path:
    """Qwen/Qwen3-Reranker as it was first published: the files of any Qwen3, with a chat template for chats."""
    write_qwen(folder)
    chat = "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' + message.content }}{%- endfor %}"
    write_qwen_tokenizer(folder, side=side, chat_template=chat)
    return folder


def write_qwen_embedding(folder: Path, *, side: str = "left", chat_template: str | None = None) -> Path:
    """Qwen/Qwen3-Embedding: the tokenizer ends every text with <|endoftext|>."""
    write_qwen(folder)
    write_qwen_tokenizer(folder, side=side, ends_with="<|endoftext|>", chat_template=chat_template)
    write_modules(
        folder,
        ("", f"{ST}.models.Transformer"),
        ("1_Pooling", f"{ST}.models.Pooling"),
        ("2_Normalize", f"{ST}.models.Normalize"),
    )
    write_pooling(folder / "1_Pooling", lasttoken=True)
    query = "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
    write_settings(folder, {"query": query, "document": ""})
    return folder


def write_unigram_tokenizer(folder: Path, max_length: int = 126) -> None:
    """XLM-RoBERTa's kind: pieces with a space in front, ``<s> a </s></s> b </s>``."""
    from tokenizers import Tokenizer, normalizers, pre_tokenizers
    from tokenizers.models import Unigram
    from tokenizers.processors import TemplateProcessing

    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    pieces = [*(f"▁{word}" for word in WORDS), "▁", *letters, ".", ",", "?", "(", ")"]
    scores = [(token, 0.0) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    scores += [(piece, -1.0 - i / 100) for i, piece in enumerate(dict.fromkeys(pieces))]
    tokenizer = Tokenizer(Unigram(scores, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>"])
    tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    roles = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    config = {"tokenizer_class": "XLMRobertaTokenizer", "unk_token": "<unk>", "pad_token": "<pad>"}
    write_json(folder / "tokenizer_config.json", roles | config | {"model_max_length": max_length})


def write_encoder(folder: Path, kind: str, *, labels: int = 1, seed: int = 7) -> Path:
    """A transformer of an encoder family with its tokenizer.

    Args:
        folder: Where to.
        kind: The transformers class, such as "BertModel" or "XLMRobertaForSequenceClassification".
        labels: Of a classifier.
        seed: Of its weights.
    """
    import transformers

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    sizes |= {"vocab_size": 200, "initializer_range": 0.3, "num_labels": labels, "pad_token_id": 0}
    family = kind.removesuffix("Model").removesuffix("ForSequenceClassification")
    own: dict[str, dict[str, object]] = {
        "Bert": {"max_position_embeddings": 64},
        "XLMRoberta": {"max_position_embeddings": 130, "pad_token_id": 1, "type_vocab_size": 1},
        "ModernBert": {
            "max_position_embeddings": 96,
            "global_attn_every_n_layers": 2,
            "local_attention": 8,
            "reference_compile": False,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
        "DebertaV2": {
            "max_position_embeddings": 96,
            "relative_attention": True,
            "position_buckets": 16,
            "pos_att_type": ["p2c", "c2p"],
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "position_biased_input": False,
            "type_vocab_size": 0,
        },
    }
    torch.manual_seed(seed)
    config = getattr(transformers, f"{family}Config")(**(sizes | own[family]))
    getattr(transformers, kind)(config).save_pretrained(folder)
    if family == "XLMRoberta":
        write_unigram_tokenizer(folder)
    else:
        write_tokenizer(folder, 96)
        if family != "Bert":
            _without_types(folder)
    return folder


def _without_types(folder: Path) -> None:
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    write_json(path, config | {"model_input_names": ["input_ids", "attention_mask"]})


def write_encoder_checkpoint(
    folder: Path,
    kind: str,
    pooling: str,
    *,
    prompts: dict[str, str] | None = None,
    max_length: int | None = 48,
    newer: bool = False,
    normalize: bool = True,
) -> Path:
    """A bi-encoder in sentence-transformers' older key set, or in that of 5.4 and later.

    Args:
        folder: Where to.
        kind: Its transformer's class.
        pooling: "cls" or "mean".
        prompts: In the checkpoint; most families state theirs on the model card alone.
        max_length: In sentence_bert_config.json; None: the file is left out.
        newer: Which key set.
        normalize: Whether there is a Normalize module.
    """
    write_encoder(folder, kind)
    roots = ("base.modules.transformer", "sentence_transformer.modules.pooling", "base.modules.normalize")
    kinds = [
        f"{ST}.{root}.{name}" if newer else f"{ST}.models.{name}"
        for root, name in zip(roots, ("Transformer", "Pooling", "Normalize"), strict=True)
    ]
    write_modules(folder, *list(zip(("", "1_Pooling", "2_Normalize"), kinds, strict=True))[: 3 if normalize else 2])
    if newer:
        write_json(folder / "1_Pooling/config.json", {"embedding_dimension": 32, "pooling_mode": pooling})
        method = {"text": {"method": "forward", "method_output_name": "last_hidden_state"}}
        settings = {"transformer_task": "feature-extraction", "modality_config": method}
        write_json(folder / "sentence_bert_config.json", settings | {"module_output_name": "token_embeddings"})
    else:
        write_pooling(folder / "1_Pooling", **{"cls": {"cls_token": True}, "mean": {"mean_tokens": True}}[pooling])
        if max_length is not None:
            write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    write_settings(folder, prompts or {}, model_type="SentenceTransformer")
    return folder


def write_colbert_weights(folder: Path, *, seed: int = 21, head: bool) -> Path:
    """A BERT with its tokenizer, which has "[unused0]", "[unused1]" and "[MASK]"; with Stanford's head or without."""
    from transformers import BertModel

    from tiny_models import bert_config

    torch.manual_seed(seed)
    model = BertModel(bert_config(initializer_range=0.3, max_position_embeddings=64))
    tensors = {f"bert.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    if head:
        tensors["linear.weight"] = torch.randn(16, 32) / 6
        folder.mkdir(parents=True, exist_ok=True)
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        config = model.config.to_dict() | {"architectures": ["HF_ColBERT"]}
        write_json(folder / "config.json", config)
    else:
        model.save_pretrained(folder)
    write_tokenizer(folder, 64)
    words = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = words["model"]["vocab"]
    for token in ("[unused0]", "[unused1]", "[MASK]"):
        vocabulary[token] = len(vocabulary)
    words["added_tokens"].append(words["added_tokens"][0] | {"id": vocabulary["[MASK]"], "content": "[MASK]"})
    write_json(folder / "tokenizer.json", words)
    path = folder / "tokenizer_config.json"
    write_json(path, json.loads(path.read_text(encoding="utf-8")) | {"mask_token": "[MASK]"})
    return folder


def write_stanford(folder: Path, *, attend: bool = False) -> Path:
    """colbert-ir/colbertv2.0: the layer among the weights, the settings in artifact.metadata."""
    write_colbert_weights(folder, head=True)
    lengths = {"query_maxlen": 12, "doc_maxlen": 20}
    tokens = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]"}
    write_json(
        folder / "artifact.metadata", lengths | tokens | {"mask_punctuation": True, "attend_to_mask_tokens": attend}
    )
    return folder


def write_pylate(folder: Path, *, expand: bool = True) -> Path:
    """As PyLate 1.x saves: two modules, prefixes and lengths beside the prompts."""
    write_colbert_weights(folder, head=False)
    write_modules(folder, ("", f"{ST}.models.Transformer"), ("1_Dense", "pylate.models.Dense.Dense"))
    write_token_dense(folder / "1_Dense")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 19, "do_lower_case": False})
    settings = {"model_type": "ColBERT", "similarity_fn_name": "MaxSim", "query_prefix": "[unused0]"}
    settings |= {"document_prefix": "[unused1]", "query_length": 12, "document_length": 20}
    more = {"attend_to_expansion_tokens": False, "skiplist_words": [".", ",", "?"], "do_query_expansion": expand}
    write_settings(folder, {}, **(settings | more))
    return folder


def write_multi_vector(folder: Path, *, strategy: str | None = "min", attend: bool = True) -> Path:
    """As sentence-transformers 6.x saves a MultiVectorEncoder."""
    write_colbert_weights(folder, head=False)
    write_modules(
        folder,
        ("", f"{ST}.base.modules.transformer.Transformer"),
        ("1_Dense", f"{ST}.base.modules.dense.Dense"),
        ("2_MultiVectorMask", f"{ST}.multi_vector_encoder.modules.multi_vector_mask.MultiVectorMask"),
        ("3_Normalize", f"{ST}.base.modules.normalize.Normalize"),
    )
    names = {"module_input_name": "token_embeddings", "module_output_name": "token_embeddings"}
    write_token_dense(folder / "1_Dense", **names)
    mask = {"skiplist_words": [".", "the"], "skiplist_tasks": ["query", "document"], "keep_only_token_ids": None}
    write_json(folder / "2_MultiVectorMask/config.json", mask)
    write_json(folder / "3_Normalize/config.json", names)
    expansion = None if strategy is None else {"strategy": strategy, "attend": attend, "token": None, "length": 12}
    write_json(
        folder / "sentence_bert_config.json",
        {
            "transformer_task": "feature-extraction",
            "modality_config": {"text": {"method": "forward", "method_output_name": "last_hidden_state"}},
            "module_output_name": "token_embeddings",
            "query_length": 16,
            "document_length": 20,
            "query_expansion": expansion,
        },
    )
    prompts = {"query": "find ", "document": "old "}
    write_settings(folder, prompts, model_type="MultiVectorEncoder")
    settings = folder / "config_sentence_transformers.json"
    write_json(settings, json.loads(settings.read_text()) | {"similarity_fn_name": "maxsim"})
    return folder


def write_token_dense(folder: Path, **names: str) -> None:
    generator = torch.Generator().manual_seed(9)
    identity = "torch.nn.modules.linear.Identity"
    sizes = {"in_features": 32, "out_features": 16, "bias": False, "activation_function": identity}
    write_json(folder / "config.json", sizes | names)
    save_file({"linear.weight": torch.randn(16, 32, generator=generator) / 6}, folder / "model.safetensors")
