"""What text-embeddings-inference's parser asks of a saved folder, as its source of July 2026 has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bicross import BiEncoder, CrossEncoder
from tiny_families import write_encoder, write_encoder_checkpoint, write_qwen_embedding, write_zembed

POOLING = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")
BI_ENCODERS = {
    "bert": lambda folder: write_encoder_checkpoint(folder, "BertModel", "mean", newer=True),
    "xlm-roberta": lambda folder: write_encoder_checkpoint(folder, "XLMRobertaModel", "cls", max_length=None),
    "qwen": write_qwen_embedding,
    "zembed": write_zembed,
}


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("family", BI_ENCODERS)
def test_bi_encoder(tmp_path: Path, family: str) -> None:
    with BiEncoder.load(BI_ENCODERS[family](tmp_path / "m"), device="cpu") as model:
        saved = model.save(tmp_path / "saved")
        limit = model.max_length
    assert read(saved / "sentence_bert_config.json")["max_seq_length"] == limit
    modules = read(saved / "modules.json")
    assert all(module["type"].startswith("sentence_transformers.models.") for module in modules)
    (pooling,) = [module["path"] for module in modules if module["type"].endswith("Pooling")]
    config = read(saved / pooling / "config.json")
    assert sum(config[f"pooling_mode_{mode}"] for mode in POOLING) == 1
    assert config["word_embedding_dimension"] == 32
    assert {"architectures", "model_type", "hidden_size"} <= set(read(saved / "config.json"))
    assert (saved / "tokenizer.json").is_file()
    assert list(saved.glob("*.safetensors"))


@pytest.mark.parametrize("kind", ["BertForSequenceClassification", "XLMRobertaForSequenceClassification"])
def test_cross_encoder(tmp_path: Path, kind: str) -> None:
    with CrossEncoder.load(write_encoder(tmp_path / "m", kind), device="cpu") as model:
        config = read(model.save(tmp_path / "saved") / "config.json")
    assert config["architectures"] == [kind]
    assert len(config["id2label"]) == len(config["label2id"]) == 1
