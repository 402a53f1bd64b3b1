from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from bicross import BiEncoder, CrossEncoder
from bicross.encoding.loading import loaded_models
from bicross.errors import ConfigurationError, InputTypeError
from bicross.langchain import BicrossEmbeddings, EmbeddingsEncoder
from bicross.langchain.wrappers import encoder_of
from tiny_models import write_bi_encoder

TEXTS = ["the cat\nsleeps", "", "a red house"]


@pytest.fixture
def prompted(tmp_path: Path) -> Path:
    return write_bi_encoder(tmp_path / "prompted", prompts={"query": "the cat ", "document": "a dog "})


def test_vectors_are_the_engines_as_python_floats(bi_folder: Path, bi_encoder: BiEncoder) -> None:
    embeddings = BicrossEmbeddings(model=str(bi_folder))
    rows = embeddings.embed_documents(TEXTS)
    assert np.allclose(rows, bi_encoder.encode_document(TEXTS), atol=1e-6)
    assert np.allclose(embeddings.embed_query(TEXTS[0]), bi_encoder.encode_query(TEXTS[0]), atol=1e-6)
    assert {type(value) for row in rows for value in row} == {float}
    assert {type(value) for value in embeddings.embed_query("cat")} == {float}
    assert embeddings.embed_documents([]) == []


def test_queries_and_documents_have_their_own_prompts(prompted: Path) -> None:
    embeddings = BicrossEmbeddings(model=prompted)
    assert embeddings.embed_query("sleeps") != embeddings.embed_documents(["sleeps"])[0]
    bare = BicrossEmbeddings(model=prompted, query_prompt="", document_prompt="")
    assert np.allclose(bare.embed_query("sleeps"), bare.embed_documents(["sleeps"])[0], atol=1e-6)
    assert np.allclose(bare.embed_query("the cat sleeps"), embeddings.embed_query("sleeps"), atol=1e-6)
    assert bare.document_fingerprint != embeddings.document_fingerprint


def test_no_newline_is_stripped(bi_folder: Path) -> None:
    class Seeing:
        document_fingerprint = "f"
        seen: list[str]

        def encode_query(self, texts: str, /) -> np.ndarray:
            self.seen = [texts]
            return np.zeros(2, np.float32)

        def encode_document(self, texts: list[str], /) -> np.ndarray:
            self.seen = list(texts)
            return np.zeros((len(texts), 2), np.float32)

    encoder = Seeing()
    embeddings = BicrossEmbeddings(model=encoder)
    embeddings.embed_query("a\nb")
    assert encoder.seen == ["a\nb"]
    embeddings.embed_documents(["a\n\nb\n"])
    assert encoder.seen == ["a\n\nb\n"]


def test_asynchronous_twins_give_the_same(bi_folder: Path) -> None:
    embeddings = BicrossEmbeddings(model=str(bi_folder))

    async def both() -> tuple[list[float], list[list[float]]]:
        return await embeddings.aembed_query("the cat"), await embeddings.aembed_documents(TEXTS)

    query, documents = asyncio.run(both())
    assert query == embeddings.embed_query("the cat")
    assert documents == embeddings.embed_documents(TEXTS)


def test_a_model_is_loaded_late_and_once(bi_folder: Path) -> None:
    before = loaded_models()
    several = [BicrossEmbeddings(model=str(bi_folder), device="cpu", precision="bfloat16") for _ in range(3)]
    assert loaded_models() == before
    for embeddings in several:
        embeddings.embed_query("cat")
    assert loaded_models() == before + 1


def test_the_cache_encodes_nothing_twice(bi_encoder: BiEncoder, tmp_path: Path, monkeypatch) -> None:
    first = BicrossEmbeddings(model=bi_encoder, cache_dir=str(tmp_path))
    rows = first.embed_documents(TEXTS)
    monkeypatch.setattr(BiEncoder, "encode_document", None)
    assert BicrossEmbeddings(model=bi_encoder, cache_dir=str(tmp_path)).embed_documents(TEXTS) == rows


def test_wrong_arguments_are_refused(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        BicrossEmbeddings(model="starter", encode_kwargs={})
    with pytest.raises(ValidationError, match=r"CrossEncoder.*BicrossReranker"):
        BicrossEmbeddings(model=cross_encoder)
    with pytest.raises(ValidationError, match="device belongs to a model that is named"):
        BicrossEmbeddings(model=bi_encoder, device="cpu")
    embeddings = BicrossEmbeddings(model=bi_encoder)
    with pytest.raises(InputTypeError, match="Use embed_documents"):
        embeddings.embed_query(["a"])  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="Use embed_query"):
        embeddings.embed_documents("a")  # type: ignore[arg-type]
    with pytest.raises(InputTypeError, match="position 1"):
        embeddings.embed_documents(["a", None])  # type: ignore[list-item]


def test_options_of_a_bi_encoder_need_one(bi_encoder: BiEncoder) -> None:
    foreign = EmbeddingsEncoder(BicrossEmbeddings(model=bi_encoder))
    with pytest.raises(ConfigurationError, match="normalize needs a BiEncoder"):
        BicrossEmbeddings(model=foreign, normalize=True).embed_query("a")


def test_the_encoder_behind_embeddings(bi_encoder: BiEncoder) -> None:
    assert encoder_of(BicrossEmbeddings(model=bi_encoder)) is bi_encoder
    changed = encoder_of(BicrossEmbeddings(model=bi_encoder, document_prompt="a dog "))
    assert changed.document_fingerprint == bi_encoder.fingerprint("document", prompt="a dog ")
    assert np.allclose(
        changed.encode_document(["sleeps"]), bi_encoder.encode_document(["sleeps"], prompt="a dog "), atol=1e-6
    )


def test_without_langchain_core_one_line_says_what_to_install() -> None:
    for line in ("import bicross.langchain", "from bicross.langchain.retriever import BicrossRetriever"):
        code = f"import sys; sys.modules['langchain_core'] = None\n{line}"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        last = done.stderr.strip().splitlines()[-1]
        assert last.endswith(
            'MissingExtraError: bicross.langchain needs langchain-core: pip install "bicross[langchain]"'
        )


def test_every_name_is_there_and_none_is_loaded_early() -> None:
    import bicross.langchain as adapters

    assert all(getattr(adapters, name).__module__.startswith("bicross.langchain.") for name in adapters.__all__)
    assert not hasattr(adapters, "BicrossLoader")
    code = "import sys, bicross.langchain; print([n for n in ('torch', 'langchain_core') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
