"""A reranker starts from other architectures than BERT, each with the special tokens and inputs of its own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from bicross import CrossEncoder
from bicross.distillation import reranker as reranker_module
from bicross.distillation.fitting import TrainingSettings
from bicross.distillation.labels import Labels
from bicross.distillation.model_folder import centre_logits, load_base, write_model
from bicross.distillation.packing import model_inputs, pack, score_pairs
from bicross.distillation.reranker import RerankerReport, train_reranker
from bicross.errors import ConfigurationError

pytestmark = pytest.mark.long

SETTINGS = TrainingSettings(batch_size=8, learning_rate=5e-3, max_length=32, bf16=False, show_progress=False)
BERT_TOKENS = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
BERT_TOKENS |= {"mask_token": "[MASK]"}
ROBERTA_TOKENS = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
ROBERTA_TOKENS |= {"mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"}
SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}


@dataclass(frozen=True)
class Family:
    """What a base of transformers' classes of this name is made of.

    Attributes:
        tokenizer: Its tokenizer's class, as on the hub.
        tokens: The special tokens by role; their ids are their places.
        config: Of its model.
        depth: The key that holds the number of layers.
    """

    tokenizer: str
    tokens: dict[str, str]
    config: dict[str, object]
    depth: str = "num_hidden_layers"


_ROBERTA = {**SIZES, "pad_token_id": 1, "type_vocab_size": 1}
_LOCAL = {"local_attention": 4, "global_attn_every_n_layers": 3}
FAMILIES = {
    "DistilBert": Family(
        "DistilBertTokenizer", BERT_TOKENS, {"dim": 32, "n_layers": 4, "n_heads": 2, "hidden_dim": 64}, "n_layers"
    ),
    "Roberta": Family("RobertaTokenizer", ROBERTA_TOKENS, _ROBERTA),
    "XLMRoberta": Family("XLMRobertaTokenizer", ROBERTA_TOKENS, _ROBERTA),
    "ModernBert": Family(
        "PreTrainedTokenizerFast",
        BERT_TOKENS,
        {**SIZES, **_LOCAL, "pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2}
        | {"eos_token_id": 3},
    ),
}


def write_base(folder: Path, family: str, texts: list[str]) -> Path:
    """A random transformer of four layers, and a tokenizer of its family's kind that was trained on the texts."""
    import transformers

    tokens = FAMILIES[family].tokens
    special = list(dict.fromkeys(tokens.values()))
    if family == "DistilBert":
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(special_tokens=special, vocab_size=300, show_progress=False)
    elif family == "XLMRoberta":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.UnigramTrainer(
            special_tokens=special, unk_token="<unk>", vocab_size=100, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            special_tokens=special,
            vocab_size=400,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    tokenizer.train_from_iterator(texts, trainer)
    cls, sep = ((tokens[name], tokenizer.token_to_id(tokens[name])) for name in ("cls_token", "sep_token"))
    if family in ("Roberta", "XLMRoberta"):
        tokenizer.post_processor = processors.RobertaProcessing(sep, cls)
    else:
        tokenizer.post_processor = processors.BertProcessing(sep, cls)
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": FAMILIES[family].tokenizer, "model_max_length": 64, **tokens}
    if family != "XLMRoberta":
        settings["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    torch.manual_seed(0)
    shape = {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 66, "initializer_range": 0.1}
    config = getattr(transformers, f"{family}Config")(**shape, **FAMILIES[family].config)
    getattr(transformers, f"{family}Model")(config).save_pretrained(folder)
    return folder


PAIRS = [(" ".join(f"w{(i * j) % 24}" for j in range(1, 4)), f"w{i} w{i + 1} w0") for i in range(20)]
PAIRS += [("w1", ""), ("", "w3"), ("w2", " ".join(["w4", "w5"] * 5))]


def train(toy: Labels, base: Path, encoder, out: Path, **changes) -> RerankerReport:
    arguments = {"negatives": 3, "window": (1, 30), "candidates": 20, "epochs": 1, "held_out": 12}
    arguments |= {"inference_length": 32, "settings": SETTINGS}
    return train_reranker(toy, out=out, base=base, bi_encoder=encoder, **{**arguments, **changes})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """The scores of `PAIRS` by the model that is written, at its precision."""
    scores = {}

    def spy(folder, model, tokenizer, **keywords):
        model.load_state_dict({name: value.half().float() for name, value in model.state_dict().items()})
        scores["trained"] = score_pairs(model, tokenizer, PAIRS, max_length=32, bf16=False)
        write_model(folder, model, tokenizer, **keywords)

    monkeypatch.setattr(reranker_module, "write_model", spy)
    return scores


@pytest.mark.parametrize("layers", [None, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_reranker_scores_as_trained_once_it_is_loaded(
    toy: Labels, encoder, tmp_path: Path, trained, family: str, layers: int | None
) -> None:
    import sentence_transformers
    from transformers import AutoTokenizer

    base, out = write_base(tmp_path / "base", family, list(toy.documents.values())), tmp_path / "model"
    train(toy, base, encoder, out, layers=layers)
    with CrossEncoder.load(out, device="cpu") as model:
        assert model.max_length == 32
        found = model.predict(PAIRS, activation="identity")
    assert np.std(trained["trained"]) > 1e-3
    np.testing.assert_allclose(found, trained["trained"], atol=1e-5)
    theirs = sentence_transformers.CrossEncoder(str(out), device="cpu")
    np.testing.assert_allclose(theirs.predict(PAIRS), trained["trained"], atol=1e-5)
    ours, own = (AutoTokenizer.from_pretrained(folder) for folder in (out, base))
    assert ours.special_tokens_map == own.special_tokens_map == FAMILIES[family].tokens
    assert ours.model_input_names == ["input_ids", "attention_mask"]
    assert ours(*PAIRS[0]).input_ids == own(*PAIRS[0]).input_ids
    assert json.loads((out / "config.json").read_text())[FAMILIES[family].depth] == (layers or 4)


def test_segments_are_numbered_for_a_model_that_tells_them_apart_alone(toy: Labels, base: Path, tmp_path: Path) -> None:
    """A tokenizer may number them nevertheless: RoBERTa's embedding has one row, and a 1 would be out of range."""
    folder = write_base(tmp_path / "base", "Roberta", list(toy.documents.values()))
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B:1 </s>:1", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", **ROBERTA_TOKENS}  # takes the file as it is
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    model, tokenizer = load_base(folder, seed=0, dropout=0.0)
    assert np.isfinite(score_pairs(model, tokenizer, PAIRS, max_length=32, bf16=False)).all()
    assert model_inputs(model) == ("input_ids", "attention_mask")
    assert model_inputs(load_base(base, seed=0, dropout=0.0)[0]) == ("input_ids", "attention_mask", "token_type_ids")


@pytest.mark.parametrize("family", FAMILIES)
def test_dropout_is_what_was_asked_for(toy: Labels, tmp_path: Path, family: str) -> None:
    base = write_base(tmp_path / "base", family, list(toy.documents.values()))
    model, _ = load_base(base, seed=0, dropout=0.25)
    found = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert found == {0.25}
    model, tokenizer = load_base(base, seed=0, dropout=0.0)
    chunks, _ = pack(tokenizer, PAIRS, 4096, model_inputs(model))
    model.train()
    assert torch.equal(model(**chunks[0]).logits, model(**chunks[0]).logits)


def test_half_precision_keeps_apart_what_is_close_in_modernbert(toy: Labels, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "ModernBert", list(toy.documents.values()))
    model, tokenizer = load_base(base, seed=0, dropout=0.0)
    centre_logits(model, -6.0)
    pairs = [("w1", f"w{i} w{j}") for i in range(10) for j in range(10)]
    seen = []
    model.head.register_forward_hook(lambda *given: seen.append(given[2].dtype))
    half = score_pairs(model, tokenizer, pairs, max_length=32, bf16=True)
    assert len(set(half.tolist())) > 50
    assert set(seen) == {torch.float32}


def test_modernbert_s_first_layer_stays_where_it_is(toy: Labels, encoder, tmp_path: Path) -> None:
    base = write_base(tmp_path / "base", "ModernBert", list(toy.documents.values()))
    with pytest.raises(ConfigurationError, match=r"built like the one whose place it takes.*layers=\(1, 3\)"):
        train(toy, base, encoder, tmp_path / "model", layers=(1, 3))
    assert encoder.calls == 0


@pytest.mark.parametrize(
    ("kind", "sizes"),
    [
        ("Qwen3", {**SIZES, "num_key_value_heads": 2, "head_dim": 16}),
        ("T5", {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_kv": 16, "d_ff": 64}),
        ("Bart", {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2}),
        ("CLIPText", SIZES),
    ],
)
def test_what_is_no_encoder_is_refused_before_any_work(
    toy: Labels, encoder, tmp_path: Path, kind: str, sizes: dict[str, int]
) -> None:
    import transformers

    getattr(transformers, f"{kind}Config")(vocab_size=50, **sizes).save_pretrained(tmp_path / "base")
    with pytest.raises(ConfigurationError, match=r"starts from an encoder.*is of the kind '\w+'\. Name another base"):
        train(toy, tmp_path / "base", encoder, tmp_path / "model")
    assert encoder.calls == 0
    assert not (tmp_path / "model.run").exists()


def test_layers_that_a_base_lacks_are_refused_before_any_work(toy: Labels, base: Path, encoder, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="layers must be from 1 to the model's 2; got 3"):
        train(toy, base, encoder, tmp_path / "model", layers=3)
    assert encoder.calls == 0
    assert not (tmp_path / "model.run").exists()
