from __future__ import annotations

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from haystack import Document, Pipeline

from bicross import BiEncoder
from bicross.errors import InputTypeError
from haystack_integrations.common.bicross.embedding import Embedding
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder, BicrossTextEmbedder
from tiny_models import write_bi_encoder


def test_a_text_is_embedded_as_the_core_embeds_a_query(bi_folder: Path, bi_encoder: BiEncoder) -> None:
    result = BicrossTextEmbedder(str(bi_folder)).run("the cat")
    assert result["embedding"] == bi_encoder.encode_query("the cat").tolist()
    assert isinstance(result["embedding"][0], float)
    assert result["meta"] == {"model": str(bi_folder), "fingerprint": bi_encoder.query_fingerprint, "truncated": 0}
    assert BicrossTextEmbedder(str(bi_folder)).run("the cat " * 100)["meta"]["truncated"] == 1


def test_documents_are_embedded_as_the_core_embeds_them(
    bi_folder: Path, bi_encoder: BiEncoder, documents: list[Document]
) -> None:
    before = [document.to_dict() for document in documents]
    result = BicrossDocumentEmbedder(str(bi_folder)).run(documents)
    expected = bi_encoder.encode_document([document.content for document in documents])
    np.testing.assert_array_equal(np.array([d.embedding for d in result["documents"]], np.float32), expected)
    assert [document.to_dict() for document in documents] == before
    assert [(d.id, d.content, d.meta) for d in result["documents"]] == [(d.id, d.content, d.meta) for d in documents]
    meta = result["meta"]
    assert meta["fingerprint"] == bi_encoder.document_fingerprint
    assert (meta["embedded"], meta["encoded"], meta["truncated"], meta["skipped"]) == (12, 12, 0, 0)


def test_prompts_come_from_the_checkpoint_unless_a_prefix_is_given(tmp_path: Path) -> None:
    folder = write_bi_encoder(tmp_path / "model", prompts={"query": "old ", "document": "new "})
    with BiEncoder.load(folder) as core:
        assert BicrossTextEmbedder(str(folder)).run("cat")["embedding"] == core.encode_query("cat").tolist()
        bare = BicrossTextEmbedder(str(folder), prefix="", suffix=" sun").run("cat")["embedding"]
        assert bare == core.encode_query("cat sun", prompt="").tolist()
        own = BicrossDocumentEmbedder(str(folder), prefix="red ").run([Document(content="cat")])
        assert own["documents"][0].embedding == core.encode_document(["cat"], prompt="red ")[0].tolist()
        assert own["meta"]["fingerprint"] == core.fingerprint("document", prompt="red ")


def test_meta_is_read_in_front_of_the_content(bi_folder: Path, bi_encoder: BiEncoder) -> None:
    document = Document(content="sits", meta={"title": "cat", "colour": "red", "none": None})
    node = BicrossDocumentEmbedder(
        str(bi_folder), meta_fields_to_embed=["title", "none", "absent", "colour"], embedding_separator=" ", suffix=" ."
    )
    assert node.run([document])["documents"][0].embedding == bi_encoder.encode_document("cat red sits .").tolist()


def test_documents_without_text_come_back_as_they_are_and_are_counted(bi_folder: Path) -> None:
    empty, none, titled = Document(content=""), Document(), Document(meta={"title": "cat"})
    result = BicrossDocumentEmbedder(str(bi_folder), meta_fields_to_embed=["title"]).run([empty, none, titled])
    assert [document.embedding is None for document in result["documents"]] == [False, True, False]
    assert result["meta"]["skipped"] == 1
    assert BicrossDocumentEmbedder(str(bi_folder)).run([])["documents"] == []


@pytest.mark.parametrize("cached", [False, True])
def test_truncation_is_counted(bi_folder: Path, tmp_path: Path, cached: bool) -> None:
    node = BicrossDocumentEmbedder(str(bi_folder), cache_dir=str(tmp_path / "cache") if cached else None)
    long = [Document(content="the cat " * 100), Document(content="the dog")]
    assert node.run(long)["meta"]["truncated"] == 1


def test_with_a_cache_a_second_run_encodes_nothing(bi_folder: Path, tmp_path: Path, documents: list[Document]) -> None:
    folder = str(tmp_path / "cache")
    first = BicrossDocumentEmbedder(str(bi_folder), cache_dir=folder).run(documents)
    second = BicrossDocumentEmbedder(str(bi_folder), cache_dir=folder).run(documents)
    assert (first["meta"]["encoded"], second["meta"]["encoded"], second["meta"]["embedded"]) == (12, 0, 12)
    assert [d.embedding for d in first["documents"]] == [d.embedding for d in second["documents"]]
    other_prompt = BicrossDocumentEmbedder(str(bi_folder), prefix="red ", cache_dir=folder).run(documents)
    assert other_prompt["meta"]["encoded"] == 12


def test_options_reach_the_engine(bi_folder: Path, bi_encoder: BiEncoder) -> None:
    node = BicrossTextEmbedder(str(bi_folder), truncate_dim=8, normalize_embeddings=True)
    vector = np.array(node.run("the cat")["embedding"])
    assert len(vector) == 8
    assert np.linalg.norm(vector) == pytest.approx(1.0)
    small = BicrossDocumentEmbedder(str(bi_folder), batch_size=1, progress_bar=False)
    texts = ["the cat", "the old dog sits near the river"]
    got = [d.embedding for d in small.run([Document(content=text) for text in texts])["documents"]]
    np.testing.assert_allclose(got, bi_encoder.encode_document(texts), atol=1e-6)


@pytest.mark.parametrize("wrong", [["the cat"], None, 7, b"cat", Document(content="cat")])
def test_the_text_embedder_names_its_sibling(bi_folder: Path, wrong: object) -> None:
    with pytest.raises(InputTypeError, match="use BicrossDocumentEmbedder"):
        BicrossTextEmbedder(str(bi_folder)).run(wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("wrong", ["the cat", ["the cat"], None, Document(content="cat")])
def test_the_document_embedder_names_its_sibling(bi_folder: Path, wrong: object) -> None:
    with pytest.raises(TypeError, match="use BicrossTextEmbedder"):
        BicrossDocumentEmbedder(str(bi_folder)).run(wrong)  # type: ignore[arg-type]


def test_an_embedding_is_a_list_that_keeps_its_origin() -> None:
    vector = Embedding([1.0, 2.0], "f", "m", "r", "dot")
    for copied in (copy.copy(vector), copy.deepcopy(vector), pickle.loads(pickle.dumps(vector))):
        assert copied == [1.0, 2.0]
        assert (copied.fingerprint, copied.model, copied.revision, copied.similarity) == ("f", "m", "r", "dot")


def test_the_origin_travels_through_a_pipeline(bi_folder: Path, documents: list[Document]) -> None:
    pipeline = Pipeline()
    pipeline.add_component("first", BicrossDocumentEmbedder(str(bi_folder)))
    pipeline.add_component("second", BicrossDocumentEmbedder(str(bi_folder), meta_fields_to_embed=[]))
    pipeline.connect("first.documents", "second.documents")
    result = pipeline.run({"first": {"documents": documents}})
    assert all(isinstance(d.embedding, Embedding) and d.embedding.fingerprint for d in result["second"]["documents"])
