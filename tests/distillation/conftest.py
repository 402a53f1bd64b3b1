"""A toy search task and a tiny random model to learn it with."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bicross.distillation.labels import LabelledQuery, Labels
from bicross.types import Floats

WORDS = [f"w{i}" for i in range(24)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tiny matrices gain nothing from threads, and lose much where other work keeps the cores busy."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class BagOfWords:
    """An encoder that counts words; deterministic, and says how often it was asked."""

    document_fingerprint = "bag-of-words"

    def __init__(self) -> None:
        self.calls = 0

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        self.calls += 1
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.split():
                vectors[row, zlib.crc32(word.encode()) % 64] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

    encode_document = encode_query


@pytest.fixture
def encoder() -> BagOfWords:
    return BagOfWords()


class Hub:
    """In place of `huggingface_hub.HfApi`: remembers what the last one was told, and the files."""

    calls: list[tuple[Any, ...]]
    files: dict[str, bytes]

    def __init__(self, token: str | None = None) -> None:
        type(self).calls = [("token", token)]

    def create_repo(self, repo_id: str, *, private: bool, exist_ok: bool) -> str:
        self.calls.append(("create", repo_id, private, exist_ok))
        return f"https://hub.example/{repo_id}"

    def upload_folder(self, *, repo_id: str, folder_path: Path) -> None:
        self.calls.append(("upload", repo_id))
        files = (path for path in folder_path.rglob("*") if path.is_file())
        type(self).files = {path.relative_to(folder_path).as_posix(): path.read_bytes() for path in files}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    monkeypatch.setattr("huggingface_hub.HfApi", Hub)
    return Hub


@pytest.fixture
def toy() -> Labels:
    """60 queries: the relevant document holds the query's words and, unlike others that do, the word w0."""
    rng = np.random.default_rng(0)
    documents, queries = {}, {}
    for i in range(80):
        words = rng.choice(WORDS[1:], size=6).tolist()
        documents[f"d{i}"] = " ".join([*words, "w0"] if i < 60 else words)
        if i < 60:
            queries[f"q{i}"] = LabelledQuery(" ".join(words[:2]), (f"d{i}",))
            documents[f"d{i}-twin"] = " ".join(words)
    return Labels("toy", documents, queries, {f"d{i}": f"article {i // 4}" for i in range(80)})


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a random BERT of two layers, 32 wide, and a word tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    folder = tmp_path_factory.mktemp("base")
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(special + WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    import torch

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(special) + len(WORDS),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    BertModel(config).save_pretrained(folder)
    return folder
