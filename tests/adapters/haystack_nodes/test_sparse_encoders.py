"""Any sparse encoder in the document store and the retriever: searched with, refused, loaded late, saved."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from haystack import Document, Pipeline, component
from haystack.core.errors import DeserializationError
from haystack.dataclasses import SparseEmbedding
from haystack.utils import ComponentDevice, Secret, deserialize_secrets_inplace

from bicross import BiEncoder, TwoStageRetriever
from bicross.encoding.loading import loaded_models
from bicross.errors import ConfigurationError, FingerprintMismatchError
from bicross.sparse import BM25Encoder, SparseCallable, SpladeEncoder
from bicross.types import SparseEncoder, SparseVector
from haystack_integrations.common.bicross.sparse import SparseEmbedders
from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder
from haystack_integrations.components.retrievers.bicross import BicrossRetriever
from haystack_integrations.document_stores.bicross import BicrossDocumentStore
from tiny_models import write_splade

TEXTS = ["the red house", "an old bird", "the fish in the water", "a green tree near the city"]
MODULE = "haystack_integrations.common.bicross.sparse"


def lengths(text: str) -> tuple[list[int], list[float]]:
    found = sorted({len(word) for word in text.split()})
    return found, [1.0] * len(found)


@component
class TextLengths:
    """With a key, as those have that ask a host."""

    def __init__(self, scale: float = 1.0, key: Secret | None = None) -> None:
        self.scale = scale
        self.key = key

    def to_dict(self) -> dict[str, Any]:
        key = self.key.to_dict() if self.key else None
        return {"type": f"{__name__}.TextLengths", "init_parameters": {"scale": self.scale, "key": key}}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> TextLengths:
        deserialize_secrets_inplace(data["init_parameters"], ["key"])
        return cls(**data["init_parameters"])

    @component.output_types(sparse_embedding=SparseEmbedding)
    def run(self, text: str) -> dict[str, SparseEmbedding]:
        indices, values = lengths(text)
        return {"sparse_embedding": SparseEmbedding(indices, [self.scale * value for value in values])}


@component
class DocumentLengths:
    """Without methods for saving: Haystack does without them."""

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, list[Document]]:
        vectors = [SparseEmbedding(*lengths(document.content or "")) for document in documents]
        return {
            "documents": [replace(d, sparse_embedding=vector) for d, vector in zip(documents, vectors, strict=True)]
        }


class Bare:
    """Satisfies the protocol, and inherits nothing."""

    fingerprint = "bare"
    idf = False

    def encode_query(self, texts: list[str], /) -> list[SparseVector]:
        return SparseCallable(lengths, fingerprint="x").encode_query(texts)

    def encode_document(self, texts: list[str], /) -> list[SparseVector]:
        return self.encode_query(texts)


class OtherBM25(BM25Encoder):
    pass


def pair(**options: Any) -> SparseEmbedders:
    return SparseEmbedders(TextLengths(**options), DocumentLengths(), fingerprint="lengths 1", idf=True)


@pytest.fixture(scope="module")
def splade(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_splade(tmp_path_factory.mktemp("splade") / "model")


@pytest.fixture(scope="module")
def embedded(bi_folder: Path) -> list[Document]:
    documents = [Document(id=str(place), content=text) for place, text in enumerate(TEXTS)]
    return BicrossDocumentEmbedder(str(bi_folder)).run(documents)["documents"]


@pytest.fixture
def stores() -> Iterator[Callable[..., BicrossDocumentStore]]:
    made: list[BicrossDocumentStore] = []

    def make(**options: Any) -> BicrossDocumentStore:
        made.append(BicrossDocumentStore(**options))
        return made[-1]

    yield make
    for store in made:
        store.close()


GIVEN: dict[str, Callable[[Path], Any]] = {
    "name": str,
    "folder": lambda splade: splade,
    "loaded": lambda splade: SpladeEncoder.load(splade, max_terms=9, max_query_terms=4, device="cpu"),
    "settings": lambda splade: {"splade": {"name_or_path": splade, "max_terms": 9}},
    "bm25": lambda _: BM25Encoder("de", k1=1.2, b=0.5, stop_words=["the"]),
    "bm25 settings": lambda _: {"bm25": {"language": "de", "k1": 1.2}},
    "pair": lambda _: pair(),
    "function": lambda _: SparseCallable(lengths, fingerprint="lengths 2"),
    "protocol": lambda _: Bare(),
}
EQUAL: dict[str, Callable[[Path], SparseEncoder]] = GIVEN | {
    "name": SpladeEncoder.load,
    "folder": SpladeEncoder.load,
    "settings": lambda splade: SpladeEncoder.load(splade, max_terms=9),
    "bm25 settings": lambda _: BM25Encoder("de", k1=1.2),
}
SAVED = [kind for kind in GIVEN if kind not in ("function", "protocol")]


def found(result: dict[str, Any]) -> list[tuple[str, float]]:
    return [(document.id, pytest.approx(document.score, rel=1e-5)) for document in result["documents"]]


@pytest.mark.parametrize("kind", GIVEN)
def test_words_are_weighed_as_the_core_weighs_them(
    kind: str, splade: Path, embedded: list[Document], bi_folder: Path, bi_encoder: BiEncoder, stores: Any
) -> None:
    store, encoder = stores(sparse_encoder=GIVEN[kind](splade)), EQUAL[kind](splade)
    for part in (embedded[:2], embedded[2:]):
        store.write_documents(part)
    assert store.store.count_without_sparse() == 0
    assert store.store.header().sparse.fingerprint == encoder.fingerprint
    node = BicrossRetriever(store, str(bi_folder), None)
    for first_stage in ("bm25", "hybrid"):
        core = TwoStageRetriever(bi_encoder, store.store, first_stage=first_stage, sparse_encoder=encoder)
        expected = [(hit.passage.id, hit.score) for hit in core.search("the old city")]
        assert expected
        assert found(node.run("the old city", first_stage=first_stage)) == expected
    assert found(asyncio.run(node.run_async("the old city", first_stage="hybrid"))) == expected
    named = BicrossRetriever(store, str(bi_folder), None, first_stage="hybrid", sparse_encoder=GIVEN[kind](splade))
    assert found(named.run("the old city")) == expected


def test_another_encoder_than_the_collections_is_refused(
    splade: Path, embedded: list[Document], bi_folder: Path, tmp_path: Path, stores: Any
) -> None:
    store = stores(path=tmp_path, sparse_encoder=pair())
    store.write_documents(embedded)
    options: dict[str, Any] = {"model": str(bi_folder), "ranker_model": None, "first_stage": "bm25"}
    for other in ({"sparse_encoder": str(splade)}, {"language": "en"}):
        with pytest.raises(FingerprintMismatchError, match=r"@leng'.*or pass the sparse_encoder that made them"):
            BicrossRetriever(store, **options, **other).run("the cat")
    store.close()
    again = stores(path=tmp_path, sparse_encoder=str(splade))
    with pytest.raises(FingerprintMismatchError, match=r"add_sparse\(reweight=True\)"):
        again.write_documents([replace(embedded[0], id="new")])
    assert again.count_documents() == 4
    assert (again.add_sparse(reweight=True), again.add_sparse()) == (4, 0)
    assert len(BicrossRetriever(again, **options).run("the cat")["documents"]) == 4
    again.close()
    without = stores(path=tmp_path)
    with pytest.raises(ConfigurationError, match="sparse_language or a sparse_encoder; got neither"):
        without.add_sparse()
    assert len(BicrossRetriever(without, **options, sparse_encoder=splade).run("the cat")["documents"]) == 4


REFUSED: list[tuple[Any, str]] = [
    (3, r"is a SparseEncoder; got a int\. BM25Encoder\(\) is one"),
    (["naver/splade"], "got a list"),
    (BM25Encoder, "got the class BM25Encoder"),
    (lengths, r"got a function\. Wrap a function: SparseCallable\(function, fingerprint="),
    (TextLengths(), r"got a TextLengths\. Wrap Haystack's sparse embedders: SparseEmbedders\("),
    ("https://user:s3cret@host/v1#splade", "a name on the model hub; got an address"),
    ({"splade": {"name_or_path": "https://user:s3cret@host/v1#splade"}}, "got an address"),
    ({}, r"\{'bm25': settings\} or \{'splade': settings\}; got the keys \[\]"),
    ({"bm25": {}, "splade": {}}, r"got the keys \['bm25', 'splade'\]"),
    ({"colbert": {"token": "s3cret"}}, r"got the keys \['colbert'\]"),
    ({"bm25": "s3cret"}, r"got the keys \['bm25'\]"),
    ({"bm25": {"tongue": "de"}}, "language, k1, b, mean_length, stop_words; got 'tongue'"),
    ({"bm25": {"language": "klingon"}}, "klingon"),
    ({"splade": {"max_terms": 3}}, "got no name_or_path"),
    ({"splade": {"name_or_path": "a/b", "token": "s3cret"}}, "got 'token'. Leave it out; .* comes from HF_TOKEN"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED, ids=[message[:30] for _, message in REFUSED])
def test_what_is_no_sparse_encoder_is_refused(given: Any, message: str) -> None:
    for make in (BicrossDocumentStore, lambda **options: BicrossRetriever(BicrossDocumentStore(), **options)):
        with pytest.raises(ConfigurationError, match=message) as caught:
            make(sparse_encoder=given)
        assert "s3cret" not in str(caught.value)


def test_a_language_and_an_encoder_exclude_each_other() -> None:
    with pytest.raises(ConfigurationError, match=r"takes the place of sparse_language; got sparse_language='en' and a"):
        BicrossDocumentStore(sparse_language="en", sparse_encoder="a/b")
    with pytest.raises(ConfigurationError, match=r"takes the place of language; got language='en' and a BM25Encoder"):
        BicrossRetriever(BicrossDocumentStore(), language="en", sparse_encoder=BM25Encoder())


def test_nothing_is_loaded_before_it_is_needed(
    tmp_path: Path, bi_folder: Path, embedded: list[Document], stores: Any
) -> None:
    splade = write_splade(tmp_path / "model")
    gc.collect()  # what earlier tests left open
    before = loaded_models()
    stores(sparse_encoder="no/such-model")
    store = stores(sparse_encoder=splade)
    nodes = [BicrossRetriever(store, str(bi_folder), None, first_stage=kind) for kind in ("dense", "hybrid", "bm25")]
    own = BicrossRetriever(store, str(bi_folder), None, sparse_encoder=str(splade))
    store.write_documents([])
    assert loaded_models() == before
    nodes[0].warm_up()
    with_encoder = loaded_models()
    store.write_documents(embedded)
    assert loaded_models() == with_encoder + 1
    for node in (*nodes, own):
        node.warm_up()
        node.run("the cat", first_stage="hybrid")
    assert loaded_models() == with_encoder + 1, "one model serves them all"
    nodes[1].close()
    assert nodes[2].run("the cat")["documents"], "what another node closed is closed for that one alone"
    for node in (*nodes, own):
        node.close()
    assert loaded_models() <= before
    given = SpladeEncoder.load(splade)
    other = BicrossRetriever(stores(sparse_encoder=given), str(bi_folder), None, first_stage="bm25")
    other.warm_up()
    other.close()
    assert len(given.encode_query("the cat")), "what was given stays its owner's"


@pytest.mark.parametrize("kind", SAVED)
def test_what_has_settings_is_saved(kind: str, splade: Path) -> None:
    store = BicrossDocumentStore(sparse_encoder=GIVEN[kind](splade))
    pipeline = Pipeline()
    pipeline.add_component("search", BicrossRetriever(store, sparse_encoder=GIVEN[kind](splade)))
    text = pipeline.dumps()
    gc.collect()
    before = loaded_models()
    restored = Pipeline.loads(text, allowed_modules=[__name__])
    assert loaded_models() == before
    assert restored.dumps() == text
    node, expected = restored.get_component("search"), EQUAL[kind](splade)
    for encoder in (node._sparse_encoder.get(), node.document_store.loaded_sparse_encoder):
        assert (encoder.fingerprint, encoder.idf) == (expected.fingerprint, expected.idf)
        assert encoder.encode_query(["the old city"]) == expected.encode_query(["the old city"])
    node.close()


def test_what_is_saved_is_pinned(splade: Path) -> None:
    def saved(given: Any) -> Any:
        return BicrossDocumentStore(sparse_encoder=given).to_dict()["init_parameters"]["sparse_encoder"]

    assert saved(None) is None
    assert saved("naver/splade-v3") == "naver/splade-v3"
    assert saved(BM25Encoder("de", k1=1.2)) == {
        "bm25": {"language": "de", "k1": 1.2, "b": 0.75, "mean_length": None, "stop_words": None}
    }
    settings = saved(SpladeEncoder.load(splade, max_terms=9))["splade"]
    assert (settings["name_or_path"], settings["max_terms"]) == (str(splade.resolve()), 9)
    assert "device" not in settings
    named = {"splade": {"name_or_path": Path("a/b"), "cache_dir": Path("/models")}}
    store = BicrossDocumentStore(sparse_encoder=named)
    kept = store.to_dict()["init_parameters"]["sparse_encoder"]
    assert kept == {"splade": {"name_or_path": "a/b", "cache_dir": "/models"}}
    kept["splade"]["cache_dir"] = "/elsewhere"
    assert store.to_dict()["init_parameters"]["sparse_encoder"]["splade"]["cache_dir"] == "/models"
    assert json.loads(json.dumps(settings)) == settings
    assert saved(pair()) == {
        "type": f"{MODULE}.SparseEmbedders",
        "init_parameters": {
            "text_embedder": TextLengths().to_dict(),
            "document_embedder": {"type": f"{__name__}.DocumentLengths", "init_parameters": {}},
            "fingerprint": "lengths 1",
            "idf": True,
        },
    }


@pytest.mark.parametrize("given", [SparseCallable(lengths, fingerprint="x"), Bare(), OtherBM25()])
def test_what_has_no_settings_is_not_saved(given: Any) -> None:
    store = BicrossDocumentStore(sparse_encoder=given)
    nodes = (store, BicrossRetriever(store), BicrossRetriever(BicrossDocumentStore(), sparse_encoder=given))
    for node in nodes:
        with pytest.raises(ConfigurationError, match=f"got a {type(given).__name__}, .* Use BM25Encoder, a SPLADE"):
            node.to_dict()


def test_an_encoder_may_save_itself() -> None:
    class Saving(Bare):
        def to_dict(self) -> dict[str, Any]:
            return {"type": f"{__name__}.Saving", "init_parameters": {}}

    saved = BicrossDocumentStore(sparse_encoder=Saving()).to_dict()["init_parameters"]["sparse_encoder"]
    assert saved == {"type": f"{__name__}.Saving", "init_parameters": {}}


def test_a_saved_pair_is_loaded_from_trusted_modules_alone() -> None:
    pipeline = Pipeline()
    pipeline.add_component("search", BicrossRetriever(BicrossDocumentStore(sparse_encoder=pair())))
    with pytest.raises(DeserializationError, match=rf"{__name__}.* allowlist"):
        Pipeline.loads(pipeline.dumps())


def test_secrets_are_never_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "s3cret")
    store = BicrossDocumentStore(sparse_encoder=pair(key=Secret.from_env_var("SOME_KEY")))
    node = BicrossRetriever(store, sparse_encoder="a/b", token=Secret.from_env_var("SOME_KEY"))
    saved = node.to_dict()
    assert "SOME_KEY" in str(saved)
    assert "s3cret" not in f"{saved} {store!r} {node!r} {store.sparse_encoder!r}"
    restored = BicrossDocumentStore(sparse_encoder=pair(key=Secret.from_token("s3cret")))
    with pytest.raises(ValueError, match="token"):
        restored.to_dict()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"token": "hub", "device": "auto", "local_files_only": False, "trust_remote_code": False}),
        (
            {"device": ComponentDevice.from_str("cpu"), "local_files_only": True, "trust_remote_code": True},
            {"token": "hub", "device": "cpu", "local_files_only": True, "trust_remote_code": True},
        ),
        ({"token": Secret.from_env_var("OWN")}, {"token": "own"}),
        ({"token": Secret.from_env_var("OWN"), "ranker_model": "https://host/v1#m"}, {"token": None}),
        ({"token": None}, {"token": None}),
    ],
)
def test_a_checkpoint_is_loaded_as_the_node_says(
    options: dict[str, Any], expected: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, Any]] = []
    monkeypatch.setenv("HF_API_TOKEN", "hub")
    monkeypatch.setenv("OWN", "own")
    monkeypatch.setattr(SpladeEncoder, "load", lambda **given: seen.append(given))
    given = {"splade": {"name_or_path": "a/b", "revision": "r"}}
    BicrossRetriever(BicrossDocumentStore(), **options, sparse_encoder=given)._sparse_encoder.get()
    assert seen[0].items() >= ({"name_or_path": "a/b", "revision": "r"} | expected).items()
    own = {"splade": {"name_or_path": "a/b", "local_files_only": False, "device": "cuda:1"}}
    BicrossRetriever(BicrossDocumentStore(), **options, sparse_encoder=own)._sparse_encoder.get()
    assert (seen[1]["local_files_only"], seen[1]["device"]) == (False, "cuda:1"), "its own settings come first"
    assert BicrossDocumentStore(sparse_encoder="a/b").loaded_sparse_encoder is None  # what the stand-in gives
    assert seen[2] == {"name_or_path": "a/b", "token": "hub"}
