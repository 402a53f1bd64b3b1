"""Decoder families, on checkpoints of their layout, against a computation from the files alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from bicross import BiEncoder, CrossEncoder
from bicross.encoding.specs import AnswerSpec
from bicross.errors import CheckpointError, ConfigurationError, TruncationWarning
from tiny_families import (
    CHAIN,
    LOWER_NO,
    LOWER_YES,
    YES,
    write_logit_score,
    write_older_qwen_reranker,
    write_older_zerank,
    write_qwen,
    write_qwen_embedding,
    write_qwen_reranker,
    write_qwen_tokenizer,
    write_zembed,
    write_zerank,
    zembed_prompt,
)

pytestmark = pytest.mark.long

TEXTS = [
    "the cat sits on the tree.",
    "",
    " \n the fish",
    "  a dog\n\nruns?\n",
    "(red) house",
    "the house is red and the fire is old . " * 3,
    "zebra 中",
]
PAIRS = [(query, text) for query in ("the cat?", " where is\nthe dog?\n") for text in TEXTS]
TOLERANCE = 1e-5
RERANKER_PROMPT = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: {instruction}\n'
    "<Query>: {query}\n<Document>: {document}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)
DEFAULT_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


def token_ids(folder: Path, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [tokenizer.encode(text, add_special_tokens=special).ids for text in texts]


def last_hidden(folder: Path, rows: Sequence[Sequence[int]], side: str, kind: str = "AutoModel") -> torch.Tensor:
    """The last token's hidden state (or logits) of rows, all in one batch. **Shape:** (rows, width)."""
    import transformers

    model = getattr(transformers, kind).from_pretrained(folder, dtype=torch.float32).eval()
    length = max(len(row) for row in rows)
    ids = torch.zeros((len(rows), length), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        part = slice(length - len(row), length) if side == "left" else slice(0, len(row))
        ids[i, part], mask[i, part] = torch.tensor(row), 1
    with torch.no_grad():
        out = model(input_ids=ids, attention_mask=mask)
    states = out.logits if kind == "AutoModelForCausalLM" else out.last_hidden_state
    last = [length - 1 if side == "left" else len(row) - 1 for row in rows]
    return states[torch.arange(len(rows)), last]


def unit(vectors: torch.Tensor) -> np.ndarray:
    return torch.nn.functional.normalize(vectors, dim=-1).numpy()


def zerank_text(query: str, text: str) -> str:
    return (
        f"<|im_start|>system\n{query.strip()}<|im_end|>\n<|im_start|>user\n{text.strip()}<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.fixture(scope="module")
def zembed_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zembed(tmp_path_factory.mktemp("zembed") / "model")


@pytest.fixture(scope="module")
def zembed(zembed_folder: Path):
    with BiEncoder.load(zembed_folder, device="cpu") as model:
        yield model


@pytest.fixture(scope="module")
def zerank_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_zerank(tmp_path_factory.mktemp("zerank") / "model")


@pytest.fixture(scope="module")
def zerank(zerank_folder: Path):
    with CrossEncoder.load(zerank_folder, device="cpu") as model:
        yield model


class TestZembed:
    @pytest.mark.parametrize("role", ["query", "document"])
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_vectors(self, zembed: BiEncoder, zembed_folder: Path, role: str, side: str) -> None:
        rows = token_ids(zembed_folder, [zembed_prompt(role) + text + "<|im_end|>\n" for text in TEXTS])
        expected = unit(last_hidden(zembed_folder, rows, side))
        encode = zembed.encode_query if role == "query" else zembed.encode_document
        np.testing.assert_allclose(encode(TEXTS), expected, atol=TOLERANCE)

    @pytest.mark.parametrize("text", TEXTS)
    def test_alone_as_in_a_batch(self, zembed: BiEncoder, text: str) -> None:
        alone = zembed.encode_document(text)
        np.testing.assert_allclose(alone, zembed.encode_document(TEXTS)[TEXTS.index(text)], atol=TOLERANCE)

    @pytest.mark.parametrize(("side", "pad"), [("right", True), ("left", False)])
    def test_padding_side_and_padding_token_change_nothing(
        self, zembed: BiEncoder, tmp_path: Path, side: str, pad: bool
    ) -> None:
        with BiEncoder.load(write_zembed(tmp_path / "m", side=side, pad=pad), device="cpu") as other:
            np.testing.assert_array_equal(other.encode_query(TEXTS), zembed.encode_query(TEXTS))

    @pytest.mark.parametrize("dimension", CHAIN[1:])
    def test_shorter_vectors_by_the_chain(self, zembed: BiEncoder, zembed_folder: Path, dimension: int) -> None:
        rows = token_ids(zembed_folder, [zembed_prompt("query") + text + "<|im_end|>\n" for text in TEXTS])
        vectors = last_hidden(zembed_folder, rows, "right")
        for small, matrix in sorted(
            load_file(zembed_folder / "projections.safetensors").items(), key=lambda x: -int(x[0])
        ):
            if int(small) >= dimension:
                vectors = vectors @ matrix
        short = zembed.encode_query(TEXTS, truncate_dim=dimension)
        np.testing.assert_allclose(short, unit(vectors), atol=TOLERANCE)
        leading = zembed.encode_query(TEXTS)[:, :dimension]
        assert np.abs(short - leading).max() > 0.05
        with BiEncoder.load(zembed_folder, device="cpu", truncate_dim=dimension) as loaded:
            np.testing.assert_array_equal(loaded.encode_query(TEXTS), short)
            assert loaded.dimension == dimension
            assert loaded.query_fingerprint == zembed.fingerprint("query", truncate_dim=dimension)
            assert loaded.query_fingerprint != zembed.query_fingerprint

    @pytest.mark.parametrize("turned", [True, False])
    def test_matrices_are_read_either_way_round(self, zembed: BiEncoder, tmp_path: Path, turned: bool) -> None:
        folder = write_zembed(tmp_path / "m")
        path = folder / "projections.safetensors"
        matrices = load_file(path)
        save_file({name: (m.T if turned else m).contiguous() for name, m in matrices.items()}, path)
        with BiEncoder.load(folder, device="cpu") as other:
            ours = other.encode_query(TEXTS, truncate_dim=8)
            np.testing.assert_allclose(ours, zembed.encode_query(TEXTS, truncate_dim=8), atol=1e-6)

    def test_a_dimension_that_is_not_in_the_chain(self, zembed: BiEncoder, zembed_folder: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"one of \[32, 16, 8, 4\].*got 10"):
            zembed.encode_query("a", truncate_dim=10)
        with pytest.raises(ConfigurationError, match="got 5"):
            BiEncoder.load(zembed_folder, device="cpu", truncate_dim=5)

    def test_a_missing_file_of_matrices(self, tmp_path: Path) -> None:
        folder = write_zembed(tmp_path / "m")
        (folder / "projections.safetensors").unlink()
        with BiEncoder.load(folder, device="cpu") as model:
            assert model.encode_query("a").shape == (32,)
            with pytest.raises(CheckpointError, match=r"needs? the learned matrices in 'projections.safetensors'"):
                model.encode_query("a", truncate_dim=8)
            model.save(tmp_path / "saved")
        with BiEncoder.load(tmp_path / "saved", device="cpu") as model, pytest.raises(CheckpointError, match="learned"):
            model.encode_query("a", truncate_dim=8)

    def test_matrices_that_are_no_chain(self, tmp_path: Path) -> None:
        folder = write_zembed(tmp_path / "m")
        save_file({"16": torch.ones(31, 16)}, folder / "projections.safetensors")
        with (
            BiEncoder.load(folder, device="cpu") as model,
            pytest.raises(CheckpointError, match=r"one chain.*\(31, 16\)"),
        ):
            model.encode_query("a", truncate_dim=16)

    def test_the_text_is_cut_and_never_the_frame(self, zembed: BiEncoder, zembed_folder: Path) -> None:
        long = "the cat sits on a tree near the river . " * 40
        prompt, suffix = (token_ids(zembed_folder, [part])[0] for part in (zembed_prompt("query"), "<|im_end|>\n"))
        body = token_ids(zembed_folder, [long])[0][: 128 - len(prompt) - len(suffix)]
        expected = unit(last_hidden(zembed_folder, [prompt + body + suffix], "left"))[0]
        with pytest.warns(TruncationWarning, match="128 tokens"):
            np.testing.assert_allclose(zembed.encode_query(long), expected, atol=TOLERANCE)

    def test_a_prompt_that_opens_no_message_is_refused(self, zembed: BiEncoder) -> None:
        with pytest.raises(ConfigurationError, match=r"must end with '<\|im_start\|>user\\n'.*got 'query: '"):
            zembed.encode_query("a", prompt="query: ")
        own = zembed.encode_query("a", prompt=zembed_prompt("find laws"))
        assert np.abs(own - zembed.encode_query("a")).max() > 1e-3

    def test_a_tokenizer_that_adds_a_token_behind_the_frame_is_refused(self, tmp_path: Path) -> None:
        folder = write_zembed(tmp_path / "m")
        write_qwen_tokenizer(folder, ends_with="<|endoftext|>")
        with pytest.raises(CheckpointError, match=r"must be the last of '<\|im_end\|>\\n'"):
            BiEncoder.load(folder, device="cpu")

    def test_another_pooling_is_refused(self, tmp_path: Path) -> None:
        folder = write_zembed(tmp_path / "m")
        (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode": "mean"}))
        with pytest.raises(CheckpointError, match=r"must pool its last token, got \('mean',\)"):
            BiEncoder.load(folder, device="cpu")

    def test_sentence_transformers_leaves_the_suffix_out(self, zembed: BiEncoder, zembed_folder: Path) -> None:
        """Since 5.4 it no longer asks a module's `tokenize`, where the published code appends the suffix."""
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.base.modules import Normalize, Transformer
        from sentence_transformers.sentence_transformer.modules import Pooling

        class ZembedTransformer(Transformer):  # what the published code does, in our words
            def tokenize(self, texts, **options):
                return super().tokenize([f"{text}<|im_end|>\n" for text in texts], **options)

        theirs = SentenceTransformer(
            modules=[ZembedTransformer.load(str(zembed_folder)), Pooling(32, pooling_mode="lasttoken"), Normalize()],
            prompts={"query": zembed_prompt("query")},
            device="cpu",
        )
        ours = zembed.encode_query(TEXTS)
        cosines = (ours * theirs.encode(TEXTS, prompt_name="query")).sum(axis=1)
        assert cosines.max() < 0.99
        by_hand = theirs.encode([f"{text}<|im_end|>\n" for text in TEXTS], prompt_name="query")
        np.testing.assert_allclose(ours, by_hand, atol=TOLERANCE)

    def test_saved_it_loads_anywhere_and_is_right(self, zembed: BiEncoder, tmp_path: Path) -> None:
        from sentence_transformers import SentenceTransformer

        zembed.save(tmp_path / "saved")
        kinds = [module["type"] for module in json.loads((tmp_path / "saved/modules.json").read_text())]
        assert kinds[0] == "sentence_transformers.models.Transformer"
        theirs = SentenceTransformer(str(tmp_path / "saved"), device="cpu")
        np.testing.assert_allclose(theirs.encode_query(TEXTS), zembed.encode_query(TEXTS), atol=TOLERANCE)
        with BiEncoder.load(tmp_path / "saved", device="cpu") as again:
            assert again.document_fingerprint == zembed.document_fingerprint
            assert again.fingerprint("query", truncate_dim=8) == zembed.fingerprint("query", truncate_dim=8)
            short = again.encode_query(TEXTS, truncate_dim=8)
            np.testing.assert_array_equal(short, zembed.encode_query(TEXTS, truncate_dim=8))


class TestZerank:
    @pytest.mark.parametrize("side", ["left", "right"])
    def test_scores(self, zerank: CrossEncoder, zerank_folder: Path, side: str) -> None:
        rows = token_ids(zerank_folder, [zerank_text(*pair) for pair in PAIRS])
        logits = last_hidden(zerank_folder, rows, side, "AutoModelForCausalLM")[:, YES].numpy()
        np.testing.assert_allclose(zerank.predict(PAIRS), logits, atol=TOLERANCE)
        probability = 1 / (1 + np.exp(-logits / 5))
        np.testing.assert_allclose(zerank.predict(PAIRS, activation="sigmoid"), probability, atol=TOLERANCE)
        assert zerank.score_unit == "logit"

    def test_as_sentence_transformers(self, zerank: CrossEncoder, zerank_folder: Path) -> None:
        from sentence_transformers import CrossEncoder as TheirCrossEncoder

        theirs = TheirCrossEncoder(str(zerank_folder), device="cpu")
        np.testing.assert_allclose(zerank.predict(PAIRS), theirs.predict(PAIRS), atol=TOLERANCE)

    @pytest.mark.parametrize("tied", [True, False])
    def test_older_layout(self, tmp_path: Path, tied: bool) -> None:
        folder = write_older_zerank(tmp_path / "m", tied=tied)
        rows = token_ids(folder, [zerank_text(*pair) for pair in PAIRS])
        logits = last_hidden(folder, rows, "right", "AutoModelForCausalLM")[:, YES].numpy()
        with CrossEncoder.load(folder, device="cpu") as model:
            assert model.score_unit == "probability"
            np.testing.assert_allclose(model.predict(PAIRS, activation="identity"), logits, atol=TOLERANCE)
            np.testing.assert_allclose(model.predict(PAIRS), 1 / (1 + np.exp(-logits / 5)), atol=TOLERANCE)
            model.save(tmp_path / "saved")
            with CrossEncoder.load(tmp_path / "saved", device="cpu") as again:
                assert again.fingerprint == model.fingerprint
        from sentence_transformers import CrossEncoder as TheirCrossEncoder

        theirs = TheirCrossEncoder(str(tmp_path / "saved"), device="cpu")
        np.testing.assert_allclose(theirs.predict(PAIRS, activation_fn=torch.nn.Identity()), logits, atol=TOLERANCE)

    def test_older_layout_in_a_copy_that_names_its_repository(self, tmp_path: Path) -> None:
        folder = write_older_zerank(tmp_path / "m")
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"] = {"AutoConfig": "zeroentropy/zerank-1-small--modeling_zeranker.ZEConfig"}
        (folder / "config.json").write_text(json.dumps(config))
        with CrossEncoder.load(folder, device="cpu") as model:
            assert model.checkpoint.scorer.answer == AnswerSpec(YES)

    def test_a_missing_head_is_refused(self, tmp_path: Path) -> None:
        folder = write_older_zerank(tmp_path / "m", tied=False)
        tensors = load_file(folder / "model.safetensors")
        del tensors["lm_head.weight"]
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
        with pytest.raises(CheckpointError, match=r"needs 'lm_head.weight'"):
            CrossEncoder.load(folder, device="cpu")

    def test_only_one_row_of_the_head_is_computed(self, zerank: CrossEncoder) -> None:
        model = zerank._lease.get().model
        assert model._rows.shape == (1, 32)
        assert not hasattr(model._model, "lm_head")

    @pytest.mark.parametrize("query", ["the cat", "the cat sits on the tree near the river . " * 60])
    def test_the_texts_are_cut_and_never_the_frame(self, zerank: CrossEncoder, zerank_folder: Path, query: str) -> None:
        text = "the dog runs under the house . " * 120
        with pytest.warns(TruncationWarning, match="1 of 1 texts"):
            score = zerank.predict([(query, text)])
        row = zerank._lease.get().framing.rows([(query, text)], "", _Counts())[0][0].tolist()
        front, end = token_ids(zerank_folder, ["<|im_start|>system\n", "<|im_end|>\n<|im_start|>assistant\n"])
        between = token_ids(zerank_folder, ["<|im_end|>\n<|im_start|>user\n"])[0]
        assert 510 <= len(row) <= 512
        assert row[: len(front)] == front
        assert row[-len(end) :] == end
        assert any(row[i : i + len(between)] == between for i in range(len(row)))
        expected = last_hidden(zerank_folder, [row], "right", "AutoModelForCausalLM")[0, YES]
        np.testing.assert_allclose(score, [expected], atol=TOLERANCE)

    def test_an_overlong_text_as_sentence_transformers(self, zerank: CrossEncoder, zerank_folder: Path) -> None:
        from sentence_transformers import CrossEncoder as TheirCrossEncoder

        pair = ("the cat", "the dog runs under the house . " * 120)
        with pytest.warns(TruncationWarning):
            ours = zerank.predict([pair])
        theirs = TheirCrossEncoder(str(zerank_folder), device="cpu").predict([pair])
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)

    def test_windows(self, zerank: CrossEncoder) -> None:
        text = "the dog runs under the house . " * 120
        (best,) = zerank.rank("the cat", [text], windows=True)
        start, end = best.span
        np.testing.assert_allclose(best.score, zerank.predict([("the cat", text[start:end])])[0], atol=TOLERANCE)
        (short,) = zerank.rank("the cat", ["the dog"], windows=True)
        assert short.span == (0, 7)
        (one,) = zerank.rank("dog", [text], windows="best", window_tokens=16)
        start, end = one.span
        np.testing.assert_allclose(one.score, zerank.predict([("dog", text[start:end])])[0], atol=TOLERANCE)

    @pytest.mark.parametrize("name", ["Qwen3-0.6B", "qwen3-reranker/Qwen3-0.6B"])
    def test_a_decoder_without_an_answer_is_refused(self, tmp_path: Path, name: str) -> None:
        folder = write_older_qwen_reranker(tmp_path / name)
        with pytest.raises(CheckpointError, match=r"needs a LogitScore module.*must hold 'Qwen3-Reranker'"):
            CrossEncoder.load(folder, device="cpu")

    @pytest.mark.parametrize("true_id", [9_801, -1])
    def test_an_answer_that_is_no_token_is_refused(self, tmp_path: Path, true_id: int) -> None:
        folder = write_logit_score(tmp_path / "m", "{{ messages[0].content ~ messages[1].content }}", true_id, None)
        with pytest.raises(CheckpointError, match="must be tokens of the model"):
            CrossEncoder.load(folder, device="cpu")

    @pytest.mark.parametrize(
        "template",
        ["{{ messages[0].content }}", "{{ messages[1].content ~ messages[0].content }}", "{{ raise_exception('no') }}"],
    )
    def test_a_template_without_a_place_for_the_pair_is_refused(self, tmp_path: Path, template: str) -> None:
        folder = write_logit_score(tmp_path / "m", template, YES, None)
        with pytest.raises(CheckpointError, match="must frame one message of the role 'query'"):
            CrossEncoder.load(folder, device="cpu")

    def test_the_fingerprint_holds_answers_and_template(self, zerank: CrossEncoder, tmp_path: Path) -> None:
        from tiny_families import ZERANK_CHAT

        prints = {zerank.logit_fingerprint}
        for i, (true_id, false_id) in enumerate([(LOWER_YES, None), (YES, LOWER_NO)]):
            folder = write_logit_score(tmp_path / str(i), ZERANK_CHAT, true_id, false_id)
            with CrossEncoder.load(folder, device="cpu") as other:
                prints.add(other.logit_fingerprint)
        folder = write_logit_score(tmp_path / "t", ZERANK_CHAT.replace("assistant", "judge"), YES, None)
        with CrossEncoder.load(folder, device="cpu") as other:
            prints.add(other.logit_fingerprint)
        assert len(prints) == 4

    @pytest.mark.parametrize("backend", ["onnx", "openvino"])
    def test_graphs_are_refused_by_name(self, zerank_folder: Path, backend: str) -> None:
        pytest.importorskip("onnxruntime" if backend == "onnx" else "openvino")
        with pytest.raises(CheckpointError, match=r"by torch alone.*Use backend='torch'"):
            CrossEncoder.load(zerank_folder, device="cpu", backend=backend)

    def test_auto_comes_to_torch(self, zerank_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("BICROSS_BACKEND")
        with CrossEncoder.load(zerank_folder, device="cpu") as model:
            assert model.backend == "torch"


class TestQwen:
    @pytest.mark.parametrize("side", ["left", "right"])
    @pytest.mark.parametrize("instruction", [None, "Find laws"])
    def test_reranker(self, tmp_path: Path, side: str, instruction: str | None) -> None:
        from sentence_transformers import CrossEncoder as TheirCrossEncoder

        folder = write_qwen_reranker(tmp_path / "m", side=side)
        texts = [
            RERANKER_PROMPT.format(instruction=instruction or DEFAULT_INSTRUCTION, query=query, document=text)
            for query, text in PAIRS
        ]
        logits = last_hidden(folder, token_ids(folder, texts), side, "AutoModelForCausalLM")
        expected = (logits[:, LOWER_YES] - logits[:, LOWER_NO]).numpy()
        with CrossEncoder.load(folder, device="cpu") as model:
            scores = model.predict(PAIRS, prompt=instruction)
            np.testing.assert_allclose(scores, expected, atol=TOLERANCE)
            alone = [model.predict([pair], prompt=instruction)[0] for pair in PAIRS]
            np.testing.assert_allclose(scores, alone, atol=TOLERANCE)
        theirs = TheirCrossEncoder(str(folder), device="cpu").predict(PAIRS, prompt=instruction)
        np.testing.assert_allclose(scores, theirs, atol=TOLERANCE)

    @pytest.mark.parametrize("name", ["Qwen3-Reranker-0.6B", "models--Qwen--Qwen3-Reranker-0.6B/snapshots/1a2b"])
    @pytest.mark.parametrize("instruction", [None, "Find laws"])
    def test_reranker_as_first_published(self, tmp_path: Path, name: str, instruction: str | None) -> None:
        folder = write_older_qwen_reranker(tmp_path / name)
        texts = [
            RERANKER_PROMPT.format(instruction=instruction or DEFAULT_INSTRUCTION, query=query, document=text)
            for query, text in PAIRS
        ]
        logits = last_hidden(folder, token_ids(folder, texts), "left", "AutoModelForCausalLM")
        yes_and_no = logits[:, [LOWER_YES, LOWER_NO]]
        with CrossEncoder.load(folder, device="cpu", prompt=instruction) as model:
            raw = model.predict(PAIRS, activation="identity")
            np.testing.assert_allclose(raw, (yes_and_no[:, 0] - yes_and_no[:, 1]).numpy(), atol=TOLERANCE)
            probability = yes_and_no.softmax(dim=1)[:, 0].numpy()  # what the card's code prints
            np.testing.assert_allclose(model.predict(PAIRS), probability, atol=TOLERANCE)
            assert model.score_unit == "probability"

    def test_reranker_of_either_layout_is_the_same_model(self, tmp_path: Path) -> None:
        from sentence_transformers import CrossEncoder as TheirCrossEncoder

        older = write_older_qwen_reranker(tmp_path / "Qwen3-Reranker-0.6B")
        newer = write_qwen_reranker(tmp_path / "m")
        with CrossEncoder.load(older, device="cpu") as model, CrossEncoder.load(newer, device="cpu") as other:
            assert model.logit_fingerprint == other.logit_fingerprint
            model.save(tmp_path / "saved")
            with CrossEncoder.load(tmp_path / "saved", device="cpu") as again:
                assert again.fingerprint == model.fingerprint
            theirs = TheirCrossEncoder(str(tmp_path / "saved"), device="cpu")
            for instruction in (None, 'Find "laws"'):
                raw = model.predict(PAIRS, prompt=instruction, activation="identity")
                found = theirs.predict(PAIRS, prompt=instruction, activation_fn=torch.nn.Identity())
                np.testing.assert_allclose(raw, found, atol=TOLERANCE)

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_embedding(self, tmp_path: Path, side: str) -> None:
        from sentence_transformers import SentenceTransformer

        folder = write_qwen_embedding(tmp_path / "m", side=side)
        with BiEncoder.load(folder, device="cpu") as model:
            theirs = SentenceTransformer(str(folder), device="cpu")
            for prompt in (None, "Instruct: Find laws\nQuery: "):
                head = model.prompts["query"] if prompt is None else prompt
                rows = token_ids(folder, [head + text for text in TEXTS], special=True)
                ours = model.encode_query(TEXTS, prompt=prompt)
                np.testing.assert_allclose(ours, unit(last_hidden(folder, rows, side)), atol=TOLERANCE)
                np.testing.assert_allclose(ours, theirs.encode_query(TEXTS, prompt=prompt), atol=TOLERANCE)
            ours = model.encode_document(TEXTS, truncate_dim=8)
            np.testing.assert_allclose(ours, theirs.encode_document(TEXTS)[:, :8], atol=TOLERANCE)

    @pytest.mark.parametrize("pad", [True, False])
    def test_sequence_classifier(self, tmp_path: Path, pad: bool) -> None:
        """A reranker that was converted: the pair is two texts that the user has framed."""
        folder = tmp_path / "m"
        write_qwen(folder, kind="Qwen3ForSequenceClassification", num_labels=1, pad_token_id=9797 if pad else None)
        write_qwen_tokenizer(folder, pad=pad)
        pairs = [(f"<Query>: {query}\n", f"<Document>: {text}<|im_end|>") for query, text in PAIRS]
        rows = token_ids(folder, [query + text for query, text in pairs])
        expected = last_hidden(folder, rows, "right") @ load_file(folder / "model.safetensors")["score.weight"].T
        with CrossEncoder.load(folder, device="cpu") as model:
            ours = model.predict(pairs, activation="identity")
            np.testing.assert_allclose(ours, expected[:, 0].numpy(), atol=TOLERANCE)

    def test_bare_decoder_pools_its_last_token(self, tmp_path: Path) -> None:
        folder = write_qwen(tmp_path / "m")
        write_qwen_tokenizer(folder)
        rows = token_ids(folder, [text for text in TEXTS if text])
        with BiEncoder.load(folder, device="cpu") as model:
            ours = model.encode_document([text for text in TEXTS if text])
        np.testing.assert_allclose(ours, last_hidden(folder, rows, "right").numpy(), atol=TOLERANCE, rtol=TOLERANCE)


class _Counts:
    def add(self, *_: object) -> None:
        pass
