"""Whether a model filled a collection, told from its vectors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models

from bicross import BiEncoder, ExactStore, IndexReport, Passage, QdrantStore, TwoStageRetriever
from bicross.adopting import AdoptReport, adopt
from bicross.checking import check_collection
from bicross.errors import (
    BicrossWarning,
    CollectionNotFoundError,
    DimensionMismatchError,
    FingerprintMismatchError,
    StoreError,
)
from bicross.types import Floats
from tiny_models import WORDS, write_bi_encoder

pytestmark = pytest.mark.usefixtures("quick_clients")

# Random weights this large tell texts apart; with the usual ones, every text has nearly the same vector.
SPREAD = {"initializer_range": 0.3}
WORDY = [f"the {WORDS[i]} sits\nnear the {WORDS[i + 1]} and {WORDS[-i]}" for i in range(12, 40)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BiEncoder]:
    with BiEncoder.load(write_bi_encoder(tmp_path_factory.mktemp("one") / "model", **SPREAD), device="cpu") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BiEncoder]:
    folder = write_bi_encoder(tmp_path_factory.mktemp("two") / "other", seed=9, **SPREAD)
    with BiEncoder.load(folder, device="cpu") as loaded:
        yield loaded


def fill(vectors: Floats, metas: Sequence[dict] | None = None, texts: Sequence[str] = WORDY) -> QdrantClient:
    """A collection in langchain-qdrant's layout."""
    client = QdrantClient(":memory:")
    client.create_collection("default", models.VectorParams(size=vectors.shape[1], distance="Cosine"))
    payloads = [
        {"page_content": text, "metadata": metas[i] if metas else {"n": i, "title": f"{WORDS[i]} {WORDS[-i]}"}}
        for i, text in enumerate(texts)
    ]
    for i, payload in enumerate(payloads):
        client.upsert("default", [models.PointStruct(id=i, vector=vectors[i].tolist(), payload=payload)])
    return client


def test_the_same_model_is_adopted_and_nothing_is_encoded_again(encoder: BiEncoder) -> None:
    with QdrantStore(client=fill(encoder.encode_document(WORDY))) as store:
        before = store.vectors([str(i) for i in range(len(WORDY))])[1]
        report = adopt(store, encoder)
        assert report.worst_cosine == pytest.approx(1, abs=1e-5)
        assert report == AdoptReport(
            "default", "langchain", encoder.name, encoder.document_fingerprint, len(WORDY), report.worst_cosine
        )
        assert "28 vectors compared, worst cosine 1.0000" in report.summary
        info = store.info()
        assert (info.fingerprint, info.model) == (encoder.document_fingerprint, encoder.name)
        assert not info.read_only
        assert (store.vectors([str(i) for i in range(len(WORDY))])[1] == before).all()
        again = adopt(store, encoder)
        assert (again.sampled, again.worst_cosine) == (0, None)
        assert "nothing was compared" in again.summary
        assert check_collection(store, encoder).sound


def test_another_model_is_refused_with_the_cosine(encoder: BiEncoder, other: BiEncoder) -> None:
    with QdrantStore(client=fill(encoder.encode_document(WORDY))) as store:
        stored, made = encoder.encode_document(WORDY), other.encode_document(WORDY)
        worst = float((stored * made).sum(axis=1).min())
        assert worst < 0.9
        for use in (lambda: adopt(store, other), lambda: TwoStageRetriever(other, store).search("cat")):
            with pytest.raises(FingerprintMismatchError) as caught:
                use()
            assert f"28 of 28 sampled vectors differ from what {other.name!r} makes" in str(caught.value)
            assert f"worst cosine {worst:.4f}" in str(caught.value)
            assert "Name the model that filled it" in str(caught.value)
        assert store.info().fingerprint is None
        adopt(store, encoder)
        with pytest.raises(FingerprintMismatchError, match="recreate=True"):
            adopt(store, other)


def test_a_few_vectors_of_another_model_are_enough(encoder: BiEncoder, other: BiEncoder) -> None:
    vectors = encoder.encode_document(WORDY)
    vectors[5:7] = other.encode_document(WORDY[5:7])
    with (
        QdrantStore(client=fill(vectors)) as store,
        pytest.raises(FingerprintMismatchError, match="2 of 28 sampled vectors differ"),
    ):
        adopt(store, encoder)


def test_a_title_that_was_read_is_recognised(encoder: BiEncoder) -> None:
    titles = [f"{WORDS[i]} {WORDS[-i]}" for i in range(len(WORDY))]
    client = fill(encoder.encode_document([f"{title}\n{text}" for title, text in zip(titles, WORDY, strict=True)]))
    remedy = r"behind their 'title'\. Open it with title_key='metadata\.title'"
    with QdrantStore(client=client) as store:
        with pytest.raises(FingerprintMismatchError, match=remedy):
            adopt(store, encoder)
        with pytest.warns(BicrossWarning, match=remedy):
            assert len(TwoStageRetriever(encoder, store).search("cat")) == 10
    with QdrantStore(client=client, title_key="metadata.title") as store:
        adopt(store, encoder)
        assert store.get(["3"])[0].title == titles[3]


def test_a_title_that_was_not_read_is_recognised(encoder: BiEncoder) -> None:
    with (
        QdrantStore(client=fill(encoder.encode_document(WORDY)), title_key="metadata.title") as store,
        pytest.raises(FingerprintMismatchError, match=r"of the texts without titles\. Open it without title_key"),
    ):
        adopt(store, encoder)


def test_a_prompt_that_was_left_out_is_recognised(tmp_path: Path) -> None:
    prompts = {"query": "train ", "document": "water fire "}
    with BiEncoder.load(write_bi_encoder(tmp_path / "model", prompts=prompts, **SPREAD), device="cpu") as encoder:
        for prompt, words in (("", "without its prompt for documents"), ("train ", "with the prompt 'train '")):
            client = fill(encoder.encode_document(WORDY, prompt=prompt))
            with (
                QdrantStore(client=client) as store,
                pytest.raises(FingerprintMismatchError, match=rf"made {words}\. .*\"document\": '{prompt}' among"),
            ):
                adopt(store, encoder)
        with QdrantStore(client=fill(encoder.encode_document(WORDY))) as store:
            adopt(store, encoder)


def test_the_remedy_for_a_prompt_works(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "model", prompts={"document": "water fire "}, **SPREAD)
    with BiEncoder.load(folder, device="cpu") as encoder:
        client = fill(encoder.encode_document(WORDY, prompt=""))
    settings = folder / "config_sentence_transformers.json"
    settings.write_text(settings.read_text().replace("water fire ", ""))
    with QdrantStore(client=client) as store, BiEncoder.load(folder, device="cpu") as copy:
        assert adopt(store, copy).worst_cosine == pytest.approx(1, abs=1e-5)


def test_searching_warns_once_and_adopting_ends_it(encoder: BiEncoder) -> None:
    with QdrantStore(client=fill(encoder.encode_document(WORDY))) as store:
        retriever = TwoStageRetriever(encoder, store)
        with pytest.warns(BicrossWarning, match=r"28 of its vectors agree .*read-only. Adopt it: bicross info") as seen:
            first = [hit.passage for hit in retriever.search("the cat")]
        assert len(seen) == 1
        assert Path(seen[0].filename).name == "test_adopting.py"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert [hit.passage for hit in retriever.search("the cat")] == first
            adopt(store, encoder)
            assert [hit.passage for hit in TwoStageRetriever(encoder, store).search("the cat")] == first


def test_indexing_is_refused_until_it_is_adopted(encoder: BiEncoder) -> None:
    same = [Passage(text, id=str(i), meta={"n": i, "title": f"{WORDS[i]} {WORDS[-i]}"}) for i, text in enumerate(WORDY)]
    with QdrantStore(client=fill(encoder.encode_document(WORDY))) as store:
        retriever = TwoStageRetriever(encoder, store)
        with pytest.raises(FingerprintMismatchError, match="Adopt it"):
            retriever.index(same)
        with pytest.raises(FingerprintMismatchError, match="Adopt it"):
            retriever.add(same)
        with pytest.raises(StoreError, match="read-only"):
            retriever.index(same, recreate=True)
        adopt(store, encoder)
        assert retriever.add(same) == IndexReport(unchanged=28)
        report = retriever.index([*same[1:], Passage("a new tree", id="tree")], source="s")
        assert report == IndexReport(new=1, changed=27, encoded=1)
        assert retriever.index([*same[1:], Passage("a new tree", id="tree")], source="s") == IndexReport(unchanged=28)
        assert retriever.index(same[1:4], source="s", delete_missing=True) == IndexReport(unchanged=3, deleted=25)
        assert sorted(store.ids()) == ["0", "1", "2", "3"]
        assert store.get(["0"]) == same[:1]


def test_what_has_no_vector_to_compare(encoder: BiEncoder) -> None:
    client = fill(encoder.encode_document(WORDY[:2]), texts=[])
    with (
        QdrantStore(client=client) as store,
        pytest.raises(StoreError, match="holds none with a text among its 0 points"),
    ):
        adopt(store, encoder)
    named = QdrantClient(":memory:")
    named.create_collection("default", {"v": models.VectorParams(size=32, distance="Cosine")})
    blank = {"page_content": "x", "metadata": {}}
    named.upsert("default", [models.PointStruct(id=i, vector={}, payload=blank) for i in range(40)])
    with QdrantStore(client=named) as store:
        with pytest.raises(StoreError, match="among its 40 points"):
            adopt(store, encoder)
        vector = encoder.encode_document("x").tolist()
        named.upsert("default", [models.PointStruct(id=99, vector={"v": vector}, payload=blank)])
        assert adopt(store, encoder).sampled == 1
    with QdrantStore(client=QdrantClient(":memory:")) as store, pytest.raises(CollectionNotFoundError):
        adopt(store, encoder)


def test_vectors_of_another_length(encoder: BiEncoder) -> None:
    with QdrantStore(client=fill(np.eye(28, 8, dtype=np.float32))) as store:
        for use in (lambda: adopt(store, encoder), lambda: TwoStageRetriever(encoder, store).search("cat")):
            with pytest.raises(DimensionMismatchError, match="holds 8-d vectors; this encoder's have 32"):
                use()


def test_an_encoder_of_the_callers_own(encoder: BiEncoder) -> None:
    class Own:
        document_fingerprint = "f1"

        def encode_query(self, texts: str | Sequence[str], /) -> Floats:
            return encoder.encode_query(texts)

        encode_document = encode_query

    with QdrantStore(client=fill(encoder.encode_document(WORDY))) as store:
        report = adopt(store, Own())
        assert (report.model, report.fingerprint, report.sampled) == (None, "f1", 28)


def test_this_packages_own_collection_without_a_record_is_adopted_too(encoder: BiEncoder, other: BiEncoder) -> None:
    store = ExactStore()
    store.upsert([Passage(text, id=str(i)) for i, text in enumerate(WORDY)], encoder.encode_document(WORDY))
    with pytest.raises(FingerprintMismatchError, match="worst cosine"):
        TwoStageRetriever(other, store).search("cat")
    adopt(store, encoder)
    assert len(TwoStageRetriever(encoder, store).search("cat")) == 10


def test_another_distance_is_refused(encoder: BiEncoder) -> None:
    client = QdrantClient(":memory:")
    client.create_collection("default", models.VectorParams(size=32, distance="Dot"))
    payload = {"page_content": "the cat", "metadata": {}}
    vector = encoder.encode_document("the cat").tolist()
    client.upsert("default", [models.PointStruct(id=1, vector=vector, payload=payload)])
    with (
        QdrantStore(client=client) as store,
        pytest.raises(StoreError, match="compares vectors by 'dot'; asked for 'cosine'"),
    ):
        adopt(store, encoder)
