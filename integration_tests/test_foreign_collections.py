"""Collections that qdrant-haystack and langchain-qdrant fill with sentence-transformers, and read after we wrote."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "false")

from bicross import BiEncoder, IndexReport, Passage, QdrantStore, TwoStageRetriever
from bicross.adopting import adopt
from bicross.errors import BicrossWarning, FingerprintMismatchError, StoreError
from tiny_models import WORDS, write_bi_encoder

qdrant_client = pytest.importorskip("qdrant_client")
sentence_transformers = pytest.importorskip("sentence_transformers", reason="the peers' embedder")

Run = Callable[..., subprocess.CompletedProcess[str]]
TEXTS = [f"the {WORDS[i]} sits near the {WORDS[i + 1]} and {WORDS[-i]}" for i in range(12, 40)]
METAS = [{"n": i, "lang": "en" if i % 2 else "de", "topic": WORDS[i]} for i in range(len(TEXTS))]
NEWER = {"field": "meta.n", "operator": ">=", "value": 25}
# Random weights this large tell texts apart.
SPREAD = {"initializer_range": 0.3}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bi_encoder(tmp_path_factory.mktemp("models") / "tiny", **SPREAD)


@pytest.fixture(scope="module")
def wrong_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bi_encoder(tmp_path_factory.mktemp("models") / "wrong", seed=9, **SPREAD)


@pytest.fixture(scope="module")
def encoder(model: Path) -> Iterator[BiEncoder]:
    with BiEncoder.load(model, device="cpu") as loaded:
        yield loaded


@pytest.fixture(scope="module")
def wrong(wrong_model: Path) -> Iterator[BiEncoder]:
    with BiEncoder.load(wrong_model, device="cpu") as loaded:
        yield loaded


class Haystack:
    """qdrant-haystack with its SentenceTransformers embedder."""

    layout = "haystack"

    def __init__(self, model: Path, **options: Any) -> None:
        store_module = pytest.importorskip("haystack_integrations.document_stores.qdrant", reason="qdrant-haystack")
        embedders = pytest.importorskip(
            "haystack_integrations.components.embedders.sentence_transformers", reason="sentence-transformers-haystack"
        )
        from haystack import Document

        self.document = Document
        self.store = store_module.QdrantDocumentStore(
            ":memory:", embedding_dim=32, index="default", progress_bar=False, **options
        )
        meta = [{"name": id, **METAS[i]} for i, id in enumerate(self.ids)]
        documents = [Document(id=id, content=TEXTS[i], meta=meta[i]) for i, id in enumerate(self.ids)]
        embedder = embedders.SentenceTransformersDocumentEmbedder(model=str(model), progress_bar=False)
        embedder.warm_up()
        self.documents = embedder.run(documents)["documents"]
        self.store.write_documents(self.documents)
        self.client = self.store._client

    @property
    def ids(self) -> list[str]:
        return [f"doc {i}" for i in range(len(TEXTS))]

    def passages(self) -> list[Passage]:
        return [Passage(d.content, id=d.id, meta=d.meta) for d in self.documents]

    def read(self, ids: list[str]) -> list[tuple[str, str, dict]]:
        found = {document.id: document for document in self.store.get_documents_by_id(ids)}
        return [(id, found[id].content, found[id].meta) for id in ids]

    def search(self, vector: list[float], language: str) -> list[str]:
        from haystack_integrations.components.retrievers.qdrant import QdrantEmbeddingRetriever

        retriever = QdrantEmbeddingRetriever(self.store, top_k=100)
        filters = {"field": "meta.lang", "operator": "==", "value": language}
        return [document.id for document in retriever.run(vector, filters=filters)["documents"]]

    def count(self) -> int:
        return self.store.count_documents()


class LangChain:
    """langchain-qdrant with sentence-transformers as its Embeddings."""

    layout = "langchain"

    def __init__(self, model: Path, **options: Any) -> None:
        module = pytest.importorskip("langchain_qdrant", reason="langchain-qdrant")
        from langchain_core.embeddings import Embeddings

        class Local(Embeddings):
            def __init__(self) -> None:
                self.model = sentence_transformers.SentenceTransformer(str(model), device="cpu")

            def embed_documents(self, texts: list[str]) -> list[list[float]]:
                return self.model.encode(texts).tolist()

            def embed_query(self, text: str) -> list[float]:
                return self.embed_documents([text])[0]

        self.ids = [str(uuid.UUID(int=i + 1)) for i in range(len(TEXTS))]
        self.client = qdrant_client.QdrantClient(":memory:")
        vectors = qdrant_client.models.VectorParams(size=32, distance="Cosine")
        name = options.get("vector_name", "")
        self.client.create_collection("default", {name: vectors})
        self.store = module.QdrantVectorStore(self.client, "default", Local(), **options)
        self.store.add_texts(TEXTS, METAS, self.ids)

    def passages(self) -> list[Passage]:
        return [Passage(TEXTS[i], id=id, meta=METAS[i]) for i, id in enumerate(self.ids)]

    def read(self, ids: list[str]) -> list[tuple[str, str, dict]]:
        found = {d.metadata["_id"]: d for d in self.store.get_by_ids(ids)}
        return [(id, found[id].page_content, _own_meta(found[id].metadata)) for id in ids]

    def search(self, vector: list[float], language: str) -> list[str]:
        models = qdrant_client.models
        match = models.FieldCondition(key="metadata.lang", match=models.MatchValue(value=language))
        found = self.store.similarity_search_by_vector(vector, k=100, filter=models.Filter(must=[match]))
        return [document.metadata["_id"] for document in found]

    def count(self) -> int:
        return self.client.count("default").count


def _own_meta(metadata: dict) -> dict:
    return {name: value for name, value in metadata.items() if name not in ("_id", "_collection_name")}


PEERS: dict[str, Callable[[Path], Haystack | LangChain]] = {
    "haystack": Haystack,
    "haystack-hybrid": lambda model: Haystack(model, use_sparse_embeddings=True, sparse_idf=True),
    "langchain": LangChain,
    "langchain-named": lambda model: LangChain(model, vector_name="dense"),
}


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest, model: Path) -> Haystack | LangChain:
    return PEERS[request.param](model)


@pytest.fixture
def store(peer: Haystack | LangChain) -> Iterator[QdrantStore]:
    with QdrantStore(client=peer.client) as opened:
        yield opened


def test_what_a_peer_wrote_is_read_searched_and_filtered(peer, store, encoder: BiEncoder) -> None:
    expected = peer.passages()
    info = store.info()
    assert (info.layout, info.read_only, info.count, info.fingerprint) == (peer.layout, True, len(TEXTS), None)
    assert store.get(peer.ids) == expected
    assert sorted(store.ids()) == sorted(peer.ids)
    assert sorted(store.ids(NEWER)) == sorted(peer.ids[25:])
    retriever = TwoStageRetriever(encoder, store)
    with pytest.warns(BicrossWarning, match="doesn't say which model filled it") as seen:
        hits = retriever.search(TEXTS[3], top_k=3)
    assert len(seen) == 1
    assert hits[0].passage == expected[3]
    assert hits[0].score == pytest.approx(1, abs=1e-5)
    filtered = retriever.search(TEXTS[3], top_k=100, filter=NEWER)
    assert {hit.passage.meta["n"] for hit in filtered} == {25, 26, 27}


def test_it_is_read_only_until_adopted(peer, store, encoder: BiEncoder) -> None:
    with pytest.raises(FingerprintMismatchError, match="bicross info --adopt"):
        TwoStageRetriever(encoder, store).index([Passage("new")])
    with pytest.raises(StoreError, match="read-only"):
        store.delete(peer.ids[:1])
    assert peer.count() == len(TEXTS)


def test_the_wrong_model_is_refused_with_the_cosine(peer, store, encoder: BiEncoder, wrong: BiEncoder) -> None:
    worst = float((encoder.encode_document(TEXTS) * wrong.encode_document(TEXTS)).sum(axis=1).min())
    for use in (lambda: adopt(store, wrong), lambda: TwoStageRetriever(wrong, store).search("cat")):
        with pytest.raises(FingerprintMismatchError, match=f"28 of 28 .* worst cosine {worst:.2f}"):
            use()
    assert store.info().read_only


def test_after_adoption_the_peer_reads_what_we_write(peer, store, encoder: BiEncoder) -> None:
    before = store.vectors(peer.ids)[1]
    report = adopt(store, encoder)
    assert report.worst_cosine > 0.9999
    assert (report.layout, report.sampled) == (peer.layout, len(TEXTS))
    retriever = TwoStageRetriever(encoder, store)

    new = [str(uuid.UUID(int=100 + i)) for i in range(2)]
    added = [
        Passage("a train in the rain", id=new[0], meta={"n": 100, "lang": "en"}),
        Passage("a moon and a stone", id=new[1], meta={"n": 101, "lang": "de"}),
    ]
    assert retriever.add([*peer.passages(), *added]) == IndexReport(new=2, unchanged=len(TEXTS), encoded=2)
    assert (store.vectors(peer.ids)[1] == before).all()
    assert peer.count() == len(TEXTS) + 2
    assert peer.read(new) == [(p.id, p.text, dict(p.meta)) for p in added]
    assert peer.read(peer.ids) == [(p.id, p.text, dict(p.meta)) for p in peer.passages()]
    vector = encoder.encode_query("a train in the rain").tolist()
    assert peer.search(vector, "en")[0] == new[0]
    assert new[1] in peer.search(vector, "de")
    assert retriever.search("a train in the rain", top_k=1)[0].passage == added[0]


def test_a_sync_over_a_peers_collection(peer, store, encoder: BiEncoder) -> None:
    adopt(store, encoder)
    retriever = TwoStageRetriever(encoder, store)
    mine = [Passage(f"the {word} flies", title=f"About {word}", meta={"lang": "en"}) for word in WORDS[12:16]]
    assert retriever.index(mine, source="mine") == IndexReport(new=4, encoded=4)
    assert retriever.index(mine, source="mine") == IndexReport(unchanged=4)
    assert retriever.index(mine[:2], source="mine", delete_missing=True) == IndexReport(unchanged=2, deleted=2)
    assert store.count() == peer.count() == len(TEXTS) + 2
    hit = retriever.search("the cat flies", filter={"field": "source", "operator": "==", "value": "mine"})[0]
    assert hit.passage.title.startswith("About")
    id, text, meta = peer.read([hit.passage.id])[0]
    assert (id, text) == (hit.passage.id, hit.passage.text)
    # Haystack makes meta of whatever it finds in a payload, so that is where the sync's notes are; LangChain sees none.
    notes = {"_bicross": {"source": "mine", "sync": "mine", "title": hit.passage.title}}
    assert meta == {"lang": "en"} | (notes if peer.layout == "haystack" else {})
    assert store.get(peer.ids) == peer.passages()


def test_what_the_peer_changes_afterwards_is_encoded_again(model: Path, encoder: BiEncoder) -> None:
    peer = LangChain(model)
    with QdrantStore(client=peer.client) as store:
        adopt(store, encoder)
        peer.store.add_texts(["the cat runs"], [METAS[0]], [peer.ids[0]])
        retriever = TwoStageRetriever(encoder, store)
        assert retriever.add(peer.passages()) == IndexReport(changed=1, unchanged=len(TEXTS) - 1, encoded=1)
        assert store.get(peer.ids[:1]) == peer.passages()[:1]


def test_haystack_writes_back_what_it_read_and_the_sync_knows_it(model: Path, encoder: BiEncoder) -> None:
    from haystack.document_stores.types import DuplicatePolicy

    peer = Haystack(model, return_embedding=True)
    with QdrantStore(client=peer.client) as store:
        adopt(store, encoder)
        retriever = TwoStageRetriever(encoder, store)
        mine = [Passage("a tree", id="tree", title="T", meta={"lang": "en"})]
        retriever.index(mine, source="mine")
        peer.store.write_documents(peer.store.filter_documents(), policy=DuplicatePolicy.OVERWRITE)
        assert retriever.index(mine, source="mine") == IndexReport(unchanged=1)
        peer.store.update_by_filter({"field": "meta.lang", "operator": "==", "value": "en"}, {"checked": True})
        assert store.get(["tree"])[0].meta == {"lang": "en", "checked": True}
        assert retriever.index(mine, source="mine") == IndexReport(changed=1)


def test_meta_fields_that_haystack_embedded(model: Path, encoder: BiEncoder) -> None:
    from haystack_integrations.components.embedders.sentence_transformers import SentenceTransformersDocumentEmbedder

    peer = Haystack(model, recreate_index=True)
    embedder = SentenceTransformersDocumentEmbedder(
        model=str(model), meta_fields_to_embed=["topic"], progress_bar=False
    )
    embedder.warm_up()
    from haystack.document_stores.types import DuplicatePolicy

    peer.store.write_documents(embedder.run(peer.documents)["documents"], policy=DuplicatePolicy.OVERWRITE)
    with (
        QdrantStore(client=peer.client) as store,
        pytest.raises(FingerprintMismatchError, match=r"behind their 'topic'\. Open it with title_key='meta\.topic'"),
    ):
        adopt(store, encoder)
    with QdrantStore(client=peer.client, title_key="meta.topic") as store:
        adopt(store, encoder)
        TwoStageRetriever(encoder, store).add([Passage("the cat flies", id="new", title="dog")])
        assert peer.read(["new"]) == [("new", "the cat flies", {"topic": "dog"})]


def plain(encoder: BiEncoder) -> Any:
    """A collection in nobody's layout."""
    client = qdrant_client.QdrantClient(":memory:")
    models = qdrant_client.models
    client.create_collection("default", {"body": models.VectorParams(size=32, distance="Cosine")})
    vectors = encoder.encode_document(TEXTS).tolist()
    client.upsert(
        "default",
        [
            models.PointStruct(id=i, vector={"body": vectors[i]}, payload={"body": text, "doc": METAS[i], "size": 3})
            for i, text in enumerate(TEXTS)
        ],
    )
    return client


def test_a_layout_of_nobodys_is_refused_and_opens_by_keys(encoder: BiEncoder) -> None:
    client = plain(encoder)
    with QdrantStore(client=client) as store, pytest.raises(StoreError, match=r"\['body', 'doc', 'size'\]. .*text_key"):
        TwoStageRetriever(encoder, store).search("cat")
    with QdrantStore(client=client, text_key="body", meta_key="doc", vector_name="body") as store:
        adopt(store, encoder)
        retriever = TwoStageRetriever(encoder, store)
        assert {hit.passage.meta["n"] for hit in retriever.search("cat", filter=NEWER)} == {25, 26, 27}
        retriever.add([Passage("new", id="7", meta={"n": 30}), Passage("newer", id="any name")])
    with QdrantStore(client=client) as again:
        assert again.get(["7", "any name"])[0].meta == {"n": 30}
        assert client.retrieve("default", [7])[0].payload == {"body": "new", "doc": {"n": 30}, "size": 3}
        assert len(TwoStageRetriever(encoder, again).search("new", top_k=100)) == len(TEXTS) + 1


def stub_server() -> Any:
    """The stand-in server of the stores' own tests."""
    path = Path(__file__).parents[1] / "tests/stores/stub_server.py"
    spec = importlib.util.spec_from_file_location("stub_server", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_command_line_adopts(bicross: Run, model: Path, wrong_model: Path, encoder: BiEncoder) -> None:
    with stub_server().serve() as stub:
        stub.client = LangChain(model).client
        info = json.loads(bicross("info", "--store", stub.url, "--json").stdout)["collections"][0]
        assert (info["layout"], info["read_only"], info["fingerprint"]) == ("langchain", True, None)
        refused = bicross("info", "--store", stub.url, "--adopt", "--bi", str(wrong_model), check=False)
        assert refused.returncode == 1
        assert "worst cosine" in refused.stderr
        assert "Traceback" not in refused.stderr
        refused = bicross("search", "cat", "--store", stub.url, "--cross", "none", check=False)
        assert refused.returncode == 1  # it would be the starter, whose vectors have another length
        done = bicross("info", "--store", stub.url, "--adopt", "--bi", str(model))
        assert "28 vectors compared" in done.stdout
        assert "langchain" in done.stdout
        info = json.loads(bicross("info", "--store", stub.url, "--check", "--json").stdout)["collections"][0]
        assert (info["model"], info["fingerprint"]) == (str(model), encoder.document_fingerprint)
        assert info["check"]["sound"]
        found = json.loads(bicross("search", TEXTS[0], "--store", stub.url, "--cross", "none", "--json").stdout)
        assert found["hits"][0]["text"] == TEXTS[0]
        stub.client = plain(encoder)
        keys = ("--text-key", "body", "--meta-key", "doc", "--vector-name", "body")
        refused = bicross("info", "--store", stub.url, "--adopt", *keys, check=False)
        assert "Name it" in refused.stderr
        named = ("--collection", "default", "--adopt", "--bi", str(model))
        assert "text_key" in bicross("info", "--store", stub.url, *named, check=False).stderr
        bicross("info", "--store", stub.url, *named, *keys)
        found = json.loads(bicross("search", TEXTS[0], "--store", stub.url, "--cross", "none", "--json").stdout)
        assert found["hits"][0]["meta"] == METAS[0]
        assert "--adopt takes one collection" in bicross("info", "--store", stub.url, "--adopt", check=False).stderr
