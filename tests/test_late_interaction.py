from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from bicross import ExactStore, LateInteractionReranker, Passage, Scorer, TwoStageRetriever
from bicross.errors import CheckpointError, ConfigurationError, InputTypeError, TruncationWarning
from tiny_families import write_encoder_checkpoint, write_multi_vector, write_pylate, write_stanford
from tiny_models import write_cross_encoder, write_json

TEXTS = [
    "the cat sits on the tree .",
    "",
    "a dog ?",
    "old house , old tree",
    "the fire is old and the wind runs . " * 3,
]
QUERIES = ["the cat", "is the old dog not near ?", "a red fish swims under the river and no bird flies over it"]
PAIRS = [(query, text) for query in QUERIES for text in TEXTS]
TOLERANCE = 1e-5

LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "stanford": write_stanford,
    "stanford, attending": lambda folder: write_stanford(folder, attend=True),
    "pylate": write_pylate,
    "pylate, not expanded": lambda folder: write_pylate(folder, expand=False),
    "multi-vector": write_multi_vector,
    "multi-vector, fixed": lambda folder: write_multi_vector(folder, strategy="fixed", attend=False),
    "multi-vector, not expanded": lambda folder: write_multi_vector(folder, strategy=None),
}


@pytest.fixture(params=LAYOUTS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return LAYOUTS[request.param](tmp_path / "model")


@pytest.fixture(scope="module")
def stanford(tmp_path_factory: pytest.TempPathFactory):
    with LateInteractionReranker.load(write_stanford(tmp_path_factory.mktemp("s") / "m"), device="cpu") as model:
        yield model


@pytest.mark.filterwarnings("ignore::bicross.errors.UnknownTokensWarning")
def test_as_sentence_transformers(folder: Path) -> None:
    from sentence_transformers import MultiVectorEncoder

    theirs = MultiVectorEncoder(str(folder), device="cpu")
    table = theirs.similarity(theirs.encode_query(QUERIES), theirs.encode_document(TEXTS)).numpy()
    with LateInteractionReranker.load(folder, device="cpu") as model:
        scores, _ = model.predict(PAIRS, return_truncation=True)
        np.testing.assert_allclose(scores.reshape(table.shape), table, atol=TOLERANCE)
        alone = [model.predict([pair], return_truncation=True)[0][0] for pair in PAIRS]
        np.testing.assert_allclose(scores, alone, atol=TOLERANCE)


def test_scores_from_the_files_alone(stanford: LateInteractionReranker) -> None:
    """ColBERT as its paper has it: [CLS] [Q] query [SEP] filled up with [MASK], which nobody sees; MaxSim."""
    import transformers
    from tokenizers import Tokenizer

    folder = stanford.checkpoint.folder
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    bert = transformers.BertModel.from_pretrained(folder).eval()
    layer = load_file(folder / "model.safetensors")["linear.weight"]

    def vectors(text: str, marker: str, limit: int, fill: bool) -> torch.Tensor:
        content = tokenizer.encode(text, add_special_tokens=False).ids[: limit - 3]
        ids = [2, tokenizer.token_to_id(marker), *content, 3]
        mask = [1] * len(ids)
        if fill:
            missing = limit - len(ids)
            ids, mask = ids + [tokenizer.token_to_id("[MASK]")] * missing, mask + [0] * missing
        with torch.no_grad():
            states = bert(torch.tensor([ids]), attention_mask=torch.tensor([mask])).last_hidden_state[0] @ layer.T
        states = torch.nn.functional.normalize(states, dim=-1)
        points = {tokenizer.token_to_id(point) for point in ".,?"}
        return states if fill else states[[token not in points for token in ids]]

    expected = [
        (vectors(query, "[unused0]", 12, True) @ vectors(text, "[unused1]", 20, False).T).max(dim=1).values.sum()
        for query, text in PAIRS
    ]
    scores, cut = stanford.predict(PAIRS, return_truncation=True)
    np.testing.assert_allclose(scores, expected, atol=TOLERANCE)
    assert cut.tolist() == [query == QUERIES[2] or text == TEXTS[4] for query, text in PAIRS]


def test_it_is_a_scorer_and_ranks(stanford: LateInteractionReranker) -> None:
    assert isinstance(stanford, Scorer)
    ranked = stanford.rank("the cat", TEXTS[:4], top_k=2)
    scores = stanford.predict([("the cat", text) for text in TEXTS[:4]])
    assert [item.index for item in ranked] == np.argsort(-scores, kind="stable")[:2].tolist()
    assert stanford.score_unit == "sum of cosines"
    assert (stanford.dimension, stanford.max_length) == (16, 20)


def test_as_a_second_stage(stanford: LateInteractionReranker, bi_encoder) -> None:
    with ExactStore() as store:
        engine = TwoStageRetriever(bi_encoder, store, stanford)
        engine.index([Passage(text, id=str(i)) for i, text in enumerate(TEXTS[:4]) if text], source="x")
        hits = engine.search("the old cat", top_k=3).hits
    scores = stanford.predict([("the old cat", hit.passage.text) for hit in hits])
    np.testing.assert_allclose([hit.score for hit in hits], scores, atol=TOLERANCE)
    assert (np.diff(scores) <= 0).all()


def test_what_a_second_stage_cuts_is_counted(stanford: LateInteractionReranker, bi_encoder) -> None:
    with ExactStore() as store:
        engine = TwoStageRetriever(bi_encoder, store, stanford)
        engine.index([Passage(text, id=str(i)) for i, text in enumerate(TEXTS) if text], source="x")
        found = engine.search("the old cat")
    assert (found.reranked, found.truncated) == (4, 1)


def test_in_the_gap_report(stanford: LateInteractionReranker, bi_encoder) -> None:
    pytest.importorskip("ir_measures")
    from bicross.evaluation.gap import gap_report
    from word_models import corpus

    report = gap_report(bi_encoder, stanford, corpus(documents=20, queries=3), pool=10, timing=False)
    assert report.setting.units["teacher"] == "sum of cosines"


def test_cut_texts_are_counted(stanford: LateInteractionReranker) -> None:
    with pytest.warns(TruncationWarning, match="1 of 2 texts were longer than the model's 20 tokens"):
        stanford.predict([("the cat", TEXTS[0]), ("the cat", TEXTS[4])])


def test_the_fingerprint(stanford: LateInteractionReranker, tmp_path: Path) -> None:
    prints = {stanford.fingerprint}
    for i, change in enumerate([{}, {"query_maxlen": 13}, {"doc_maxlen": 21}, {"mask_punctuation": False}]):
        folder = write_stanford(tmp_path / str(i))
        metadata = json.loads((folder / "artifact.metadata").read_text())
        write_json(folder / "artifact.metadata", metadata | change)
        with LateInteractionReranker.load(folder, device="cpu") as model:
            prints.add(model.fingerprint)
    assert len(prints) == 4
    stanford.save(tmp_path / "saved")
    with LateInteractionReranker.load(tmp_path / "saved", device="cpu") as again:
        assert again.fingerprint == stanford.fingerprint


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda folder: write_encoder_checkpoint(folder, "BertModel", "mean"), "a Pooling module"),
        (write_cross_encoder, r"architectures \['BertForSequenceClassification'\]"),
    ],
)
def test_another_kind_of_model_is_refused(tmp_path: Path, write: Callable[[Path], Path], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        LateInteractionReranker.load(write(tmp_path / "m"), device="cpu")


def test_token_pooling_is_refused_by_name(tmp_path: Path) -> None:
    folder = write_multi_vector(tmp_path / "m")
    modules = json.loads((folder / "modules.json").read_text())
    kind = "sentence_transformers.multi_vector_encoder.modules.token_pooling.HierarchicalTokenPooling"
    write_json(folder / "modules.json", [*modules, {"idx": 4, "name": "4", "path": "4", "type": kind}])
    with pytest.raises(CheckpointError, match="HierarchicalTokenPooling"):
        LateInteractionReranker.load(folder, device="cpu")


def test_bad_input(stanford: LateInteractionReranker) -> None:
    with pytest.raises(InputTypeError, match="position 1"):
        stanford.predict([("a", "b"), ("a", None)])
    with pytest.raises(ConfigurationError, match="top_k"):
        stanford.rank("a", ["b"], top_k=0)
    assert stanford.predict([]).shape == (0,)
    assert stanford.rank("a", []) == []
