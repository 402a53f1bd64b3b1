"""Encoder families, on checkpoints of their layout, against a computation from the files alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from bicross import BiEncoder, CrossEncoder
from bicross.errors import CheckpointError
from tiny_families import write_encoder, write_encoder_checkpoint
from tiny_models import write_json

pytestmark = pytest.mark.long

TEXTS = ["the cat sits on the tree.", "", "a dog?", "(red) house", "the house is red and the fire is old . " * 3]
PAIRS = [(query, text) for query in ("the cat?", "where is the dog") for text in TEXTS]
TOLERANCE = 1e-5

BI_ENCODERS = {
    "bge": {"kind": "BertModel", "pooling": "cls"},
    "bge-m3": {"kind": "XLMRobertaModel", "pooling": "cls"},
    "e5": {"kind": "BertModel", "pooling": "mean", "prompts": {"query": "query: ", "passage": "passage: "}},
    "multilingual-e5": {"kind": "XLMRobertaModel", "pooling": "mean", "max_length": None},
    "gte": {"kind": "BertModel", "pooling": "mean", "normalize": False},
    "gte-modernbert": {"kind": "ModernBertModel", "pooling": "cls", "normalize": False},
    "arctic": {"kind": "BertModel", "pooling": "cls", "prompts": {"query": "find the text for this query: "}},
    "arctic-2": {"kind": "XLMRobertaModel", "pooling": "cls", "prompts": {"query": "query: "}},
    "modernbert-embed": {"kind": "ModernBertModel", "pooling": "mean", "prompts": {"query": "search_query: "}},
    "newer keys": {
        "kind": "BertModel",
        "pooling": "cls",
        "newer": True,
        "prompts": {"query": "q: ", "document": "d: "},
    },
}
CROSS_ENCODERS = {
    "bge-reranker": "XLMRobertaForSequenceClassification",
    "mxbai-rerank-v1": "DebertaV2ForSequenceClassification",
    "gte-reranker-modernbert": "ModernBertForSequenceClassification",
    "ms-marco": "BertForSequenceClassification",
}


def batch(rows: Sequence[Sequence[int]], pad: int, side: str) -> tuple[torch.Tensor, torch.Tensor]:
    length = max(map(len, rows))
    ids, mask = torch.full((len(rows), length), pad), torch.zeros((len(rows), length), dtype=torch.int64)
    for i, row in enumerate(rows):
        part = slice(length - len(row), length) if side == "left" else slice(0, len(row))
        ids[i, part], mask[i, part] = torch.tensor(row), 1
    return ids, mask


def vectors(folder: Path, texts: Sequence[str], pooling: str, limit: int, normalize: bool, side: str) -> np.ndarray:
    """**Shape:** (texts, width)."""
    import transformers
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    rows = [tokenizer.encode(text).ids for text in texts]
    rows = [row if len(row) <= limit else [*row[: limit - 1], row[-1]] for row in rows]
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    ids, mask = batch(rows, model.config.pad_token_id, side)
    with torch.no_grad():
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state
    found = []
    for states, real in zip(hidden, mask.bool(), strict=True):
        found.append(states[real][0] if pooling == "cls" else states[real].mean(dim=0))
    stacked = torch.stack(found)
    return (torch.nn.functional.normalize(stacked, dim=-1) if normalize else stacked).numpy()


@pytest.mark.filterwarnings("ignore::bicross.errors.UnknownTokensWarning")  # the vocabulary has no colon
@pytest.mark.parametrize("family", BI_ENCODERS)
def test_bi_encoder(tmp_path: Path, family: str) -> None:
    from sentence_transformers import SentenceTransformer

    layout = BI_ENCODERS[family]
    folder = write_encoder_checkpoint(tmp_path / "m", **layout)
    prompts = layout.get("prompts", {})
    limits = {"BertModel": 64, "XLMRobertaModel": 126, "ModernBertModel": 96}
    limit = layout.get("max_length", 48) or limits[layout["kind"]]
    limit = limits[layout["kind"]] if layout.get("newer") else limit
    # Padding on the left moves absolute positions: only what has relative ones can be computed that way.
    side = "left" if layout["kind"] == "ModernBertModel" else "right"
    arguments = (layout["pooling"], limit, layout.get("normalize", True), side)
    theirs = SentenceTransformer(str(folder), device="cpu")
    with BiEncoder.load(folder, device="cpu") as model:
        assert model.max_length == limit
        roles = {
            "query": (model.encode_query, theirs.encode_query, prompts.get("query", "")),
            "document": (
                model.encode_document,
                theirs.encode_document,
                prompts.get("document", prompts.get("passage", "")),
            ),
        }
        for ours, their, prompt in roles.values():
            found, _ = ours(TEXTS, return_truncation=True)
            expected = vectors(folder, [prompt + text for text in TEXTS], *arguments)
            np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=TOLERANCE)
            # Theirs has an empty prompt "document", which hides "passage": the next test.
            np.testing.assert_allclose(found, their(TEXTS, prompt=prompt), atol=TOLERANCE, rtol=TOLERANCE)
            own, _ = ours(TEXTS, prompt="find laws: ", return_truncation=True)
            np.testing.assert_allclose(own, their(TEXTS, prompt="find laws: "), atol=TOLERANCE, rtol=TOLERANCE)


@pytest.mark.filterwarnings("ignore::bicross.errors.UnknownTokensWarning")
def test_the_prompt_passage_is_not_lost(tmp_path: Path) -> None:
    from sentence_transformers import SentenceTransformer

    folder = write_encoder_checkpoint(tmp_path / "m", **BI_ENCODERS["e5"])
    with BiEncoder.load(folder, device="cpu") as model:
        found = model.encode_document(TEXTS, return_truncation=True)[0]
        theirs = SentenceTransformer(str(folder), device="cpu")
        assert np.abs(found - theirs.encode_document(TEXTS)).max() > 0.01
        model.save(tmp_path / "saved")
        theirs = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
        np.testing.assert_allclose(found, theirs.encode_document(TEXTS), atol=TOLERANCE)
        with BiEncoder.load(tmp_path / "saved", device="cpu") as again:
            assert again.document_fingerprint == model.document_fingerprint


@pytest.mark.parametrize("family", CROSS_ENCODERS)
@pytest.mark.parametrize("labels", [1, 3])
def test_cross_encoder(tmp_path: Path, family: str, labels: int) -> None:
    import transformers
    from sentence_transformers import CrossEncoder as TheirCrossEncoder
    from tokenizers import Tokenizer

    folder = write_encoder(tmp_path / "m", CROSS_ENCODERS[family], labels=labels)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    model = transformers.AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    expected = []
    for pair in PAIRS:
        encoding = tokenizer.encode(*pair)
        inputs = {"input_ids": torch.tensor([encoding.ids])}
        if family == "ms-marco":
            inputs["token_type_ids"] = torch.tensor([encoding.type_ids])
        with torch.no_grad():
            expected.append(model(**inputs).logits[0].numpy())
    with CrossEncoder.load(folder, device="cpu") as ours:
        found = ours.predict(PAIRS, activation="identity").reshape(len(PAIRS), labels)
        np.testing.assert_allclose(found, expected, atol=TOLERANCE, rtol=TOLERANCE)
        theirs = TheirCrossEncoder(str(folder), device="cpu")
        np.testing.assert_allclose(ours.predict(PAIRS), theirs.predict(PAIRS), atol=TOLERANCE, rtol=TOLERANCE)
        prompted = theirs.predict([("find laws: " + query, text) for query, text in PAIRS])
        np.testing.assert_allclose(ours.predict(PAIRS, prompt="find laws: "), prompted, atol=TOLERANCE, rtol=TOLERANCE)


def test_a_module_of_another_library_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_encoder_checkpoint(tmp_path / "m", "BertModel", "cls")
    write_json(folder / "modules.json", [{"idx": 0, "name": "0", "path": "", "type": "custom_st.Transformer"}])
    with pytest.raises(CheckpointError, match=r"got 'custom_st\.Transformer'"):
        BiEncoder.load(folder, device="cpu")
    with pytest.raises(CheckpointError, match=r"got 'custom_st\.Transformer'"):
        CrossEncoder.load(folder, device="cpu")


def test_texts_as_chat_messages_are_refused(tmp_path: Path) -> None:
    folder = write_encoder_checkpoint(tmp_path / "m", "BertModel", "cls", newer=True)
    method = {"method": "forward", "method_output_name": "last_hidden_state"}
    write_json(folder / "sentence_bert_config.json", {"modality_config": {"text": method, "message": method}})
    with pytest.raises(CheckpointError, match="chat messages"):
        BiEncoder.load(folder, device="cpu")


def test_code_of_their_own_is_named(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "m", "BertForSequenceClassification")
    write_json(
        folder / "config.json",
        {
            "model_type": "jina_bert_v9",
            "architectures": ["JinaBertForSequenceClassification"],
            "auto_map": {"AutoConfig": "x.Y"},
        },
    )
    with pytest.raises(CheckpointError, match="can't be loaded as a model"):
        CrossEncoder.load(folder, device="cpu")


def test_prompts_of_a_task_at_loading(bi_folder: Path, cross_folder: Path, tmp_path: Path) -> None:
    with (
        BiEncoder.load(bi_folder, device="cpu", query_prompt="find the ", document_prompt="some ") as model,
        BiEncoder.load(bi_folder, device="cpu") as plain,
    ):
        np.testing.assert_array_equal(model.encode_query(TEXTS), plain.encode_query(TEXTS, prompt="find the "))
        np.testing.assert_array_equal(model.encode_document(TEXTS), plain.encode_document(TEXTS, prompt="some "))
        assert model.query_fingerprint == plain.fingerprint("query", prompt="find the ")
        assert model.document_fingerprint == plain.fingerprint("document", prompt="some ")
    with (
        CrossEncoder.load(cross_folder, device="cpu", prompt="find the ") as model,
        CrossEncoder.load(cross_folder, device="cpu") as plain,
    ):
        np.testing.assert_array_equal(model.predict(PAIRS), plain.predict(PAIRS, prompt="find the "))
        assert model.fingerprint != plain.fingerprint
        model.save(tmp_path / "saved")
        with CrossEncoder.load(tmp_path / "saved", device="cpu") as again:
            assert again.fingerprint == model.fingerprint
