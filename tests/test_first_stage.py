"""Sparse and hybrid first stages: what a sync writes, what a search finds, what is refused."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient, models
from typer.testing import CliRunner

from bicross import BiEncoder, ExactStore, IndexReport, Passage, QdrantStore, TwoStageRetriever
from bicross.adopting import adopt
from bicross.cli import app
from bicross.errors import BicrossWarning, ConfigurationError, FingerprintMismatchError, StoreError
from bicross.sparse import BM25Encoder
from bicross.types import Floats, SparseVector

pytestmark = pytest.mark.usefixtures("quick_clients")

TEXTS = {
    "cat": "the old cat sleeps near the river",
    "dog": "a dog runs and a dog eats under the tree",
    "boat": "zyzzyva boats are made of stone",
    "rain": "rain on the far city",
    "moon": "moon over the large house near the moon",
}
PASSAGES = [Passage(text, id=name) for name, text in TEXTS.items()]


class CountingEncoder:
    def __init__(self, inner: BiEncoder) -> None:
        self.inner = inner
        self.document_fingerprint = "f1"
        self.encoded: list[str] = []

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        return self.inner.encode_query(texts)

    def encode_document(self, texts: str | Sequence[str], /) -> Floats:
        self.encoded += [] if isinstance(texts, str) else list(texts)
        return self.inner.encode_document(texts)


class CountingBM25(BM25Encoder):
    """Notes which documents it encodes."""

    encoded: list[str] = []  # noqa: RUF012  (shared with the copies of another mean length)

    def encode_document(self, texts):
        self.encoded.extend(texts)
        return super().encode_document(texts)


class WordLengths:
    """A sparse encoder of another kind, weighed by itself."""

    name = "word-lengths"
    fingerprint = "lengths"
    idf = False

    def encode_query(self, texts: Sequence[str], /) -> list[SparseVector]:
        return self.encode_document(texts)

    def encode_document(self, texts: Sequence[str], /) -> list[SparseVector]:
        found = [np.unique([len(word) for word in text.split()]).astype(np.uint32) for text in texts]
        return [SparseVector(each, np.ones(len(each), np.float32)) for each in found]


@pytest.fixture(params=["exact", "edge", "client"])
def store(request: pytest.FixtureRequest) -> Iterator[ExactStore | QdrantStore]:
    made = {
        "exact": ExactStore,
        "edge": lambda: QdrantStore(path=":memory:"),
        "client": lambda: QdrantStore(client=QdrantClient(":memory:")),
    }[request.param]()
    with made:
        yield made


@pytest.fixture
def encoder(bi_encoder: BiEncoder) -> CountingEncoder:
    return CountingEncoder(bi_encoder)


@pytest.fixture
def bm25() -> CountingBM25:
    CountingBM25.encoded = []
    return CountingBM25()


def hybrid(encoder, store, sparse_encoder=None, **options) -> TwoStageRetriever:
    return TwoStageRetriever(encoder, store, first_stage="hybrid", sparse_encoder=sparse_encoder, **options)


def ids(result) -> list[str]:
    return [hit.passage.id for hit in result]


def test_one_collection_serves_all_three(store, encoder, bm25) -> None:
    both = hybrid(encoder, store, bm25)
    assert both.index(PASSAGES) == IndexReport(new=5, encoded=5)
    assert store.count_without_sparse() == 0
    record = store.info().sparse
    assert (record.name, record.language, record.state, record.measured) == ("bm25", "en", "ready", 5)
    assert record.mean_length == bm25.measure(list(TEXTS.values()))
    lexical = TwoStageRetriever(encoder, store, first_stage="bm25", sparse_encoder=bm25)
    found = lexical.search("Zyzzyva boat?")
    assert ids(found) == ["boat"]
    assert found[0].score == found[0].stage1_score > 0
    assert ids(lexical.search("nothing of this")) == []
    dense = TwoStageRetriever(encoder, store)
    assert dense.search("Zyzzyva boat?")[0].legs == ()
    hits = both.search("Zyzzyva boat?")
    assert hits[0].passage.id == "boat"
    ranks = {leg.name: leg.rank for leg in hits[0].legs}
    assert ranks["sparse"] == 1
    assert ids(dense.search("Zyzzyva boat?"))[ranks["dense"] - 1] == "boat"
    assert sorted(ids(hits)) == sorted(TEXTS)
    assert [hit.stage1_rank for hit in hits] == [1, 2, 3, 4, 5]


def test_only_what_differs_is_made(store, encoder, bm25) -> None:
    retriever = hybrid(encoder, store, bm25)
    retriever.index(PASSAGES)
    bm25.encoded.clear()
    assert retriever.index(PASSAGES) == IndexReport(unchanged=5)
    assert bm25.encoded == []
    edited = [
        replace(PASSAGES[0], text="the cat sleeps near a quagga"),
        replace(PASSAGES[1], meta={"a": 1}),
        *PASSAGES[2:],
    ]
    assert retriever.index(edited) == IndexReport(changed=2, unchanged=3, encoded=1)
    assert bm25.encoded == ["the cat sleeps near a quagga"]
    assert ids(TwoStageRetriever(encoder, store, first_stage="bm25").search("quagga")) == ["cat"]


def test_a_dense_collection_gets_them_without_encoding_anything_again(store, encoder, bm25) -> None:
    TwoStageRetriever(encoder, store).index(PASSAGES)
    before = store.vectors(["cat"])[1].tolist()
    retriever = hybrid(encoder, store, bm25)
    with pytest.raises(StoreError, match=r"none of the 5 passages of collection 'default' has one\. Index"):
        retriever.search("cat")
    encoder.encoded.clear()
    assert retriever.index(PASSAGES) == IndexReport(unchanged=5, weighted=5)
    assert encoder.encoded == []
    assert store.vectors(["cat"])[1].tolist() == before
    assert retriever.search("zyzzyva")[0].passage.id == "boat"


def test_a_dense_sync_of_a_hybrid_collection_says_what_it_leaves_out(store, encoder, bm25) -> None:
    retriever = hybrid(encoder, store, bm25)
    retriever.index(PASSAGES[:4])
    with pytest.warns(BicrossWarning, match="1 passages were written without a sparse vector .* those of 'bm25-en@"):
        TwoStageRetriever(encoder, store).index(PASSAGES)
    with pytest.warns(BicrossWarning, match="1 of 5 passages of collection 'default' have no sparse vector"):
        retriever.search("moon")
    assert retriever.index(PASSAGES) == IndexReport(unchanged=5, weighted=1)


def test_another_mean_length_makes_all_anew(store, encoder, bm25) -> None:
    retriever = hybrid(encoder, store, bm25)
    retriever.index(PASSAGES)
    first = store.info().sparse.mean_length
    bm25.encoded.clear()
    near = [replace(PASSAGES[0], text=PASSAGES[0].text + " house"), *PASSAGES[1:]]
    assert retriever.index(near) == IndexReport(changed=1, unchanged=4, encoded=1)
    assert store.info().sparse.mean_length == first
    long = Passage("river " * 40, id="long")
    report = retriever.index([*near, long])
    assert report == IndexReport(new=1, unchanged=5, encoded=1, weighted=6)
    record = store.info().sparse
    assert record.mean_length == bm25.measure([p.full_text for p in [*near, long]])
    fresh = bm25.with_mean_length(record.mean_length)
    expected = dict(zip(TEXTS, fresh.encode_document([p.full_text for p in near]), strict=True))
    stored = store.sparse_vectors(list(TEXTS))
    for name, vector in expected.items():
        assert stored[name].indices.tolist() == vector.indices.tolist()
        assert stored[name].values == pytest.approx(vector.values)


def test_a_sync_that_was_killed_goes_on(store, encoder, bm25, monkeypatch) -> None:
    TwoStageRetriever(encoder, store).index(PASSAGES)
    monkeypatch.setattr("bicross.sparse_sync._BATCH", 2)
    retriever = hybrid(encoder, store, bm25)
    update = type(store).update_sparse

    def dies(*arguments):
        if store.count_without_sparse() < 4:
            raise KeyboardInterrupt
        return update(store, *arguments)

    monkeypatch.setattr(store, "update_sparse", dies)
    with pytest.raises(KeyboardInterrupt):
        retriever.index(PASSAGES)
    monkeypatch.setattr(store, "update_sparse", lambda *arguments: update(store, *arguments))
    assert retriever.index(PASSAGES) == IndexReport(unchanged=5, weighted=3)
    # … and while all were made anew
    monkeypatch.setattr(store, "update_sparse", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        retriever.index(PASSAGES, reweight=True)
    assert store.info().sparse.state == "renew"
    with pytest.warns(BicrossWarning, match="weights of an earlier mean length"):
        hybrid(encoder, store, bm25).search("cat")
    monkeypatch.setattr(store, "update_sparse", lambda *arguments: update(store, *arguments))
    assert retriever.index(PASSAGES) == IndexReport(unchanged=5, weighted=5)
    assert store.info().sparse.state == "ready"


def test_another_sparse_encoder_is_refused_until_it_replaces_all(store, encoder, bm25) -> None:
    hybrid(encoder, store, bm25).index(PASSAGES)
    other = hybrid(encoder, store, WordLengths())
    message = "'default' holds sparse vectors of 'bm25-en@.*'; this encoder is 'word-lengths@leng'. Index with reweight"
    with pytest.raises(FingerprintMismatchError, match=message):
        other.index(PASSAGES)
    with pytest.raises(FingerprintMismatchError, match=message):
        other.search("cat")
    assert other.index(PASSAGES, reweight=True) == IndexReport(unchanged=5, weighted=5)
    lexical = TwoStageRetriever(encoder, store, first_stage="bm25", sparse_encoder=WordLengths())
    assert [hit.score for hit in lexical.search("a cat in seven", 1)] == [3.0]
    german = hybrid(encoder, store, BM25Encoder("de"))
    assert german.index(PASSAGES, reweight=True).weighted == 5
    assert hybrid(encoder, store).search("zyzzyva")[0].passage.id == "boat"  # the language is the collection's
    assert german.index(PASSAGES, recreate=True) == IndexReport(new=5, encoded=5)


def test_killed_while_the_slot_was_replaced(encoder, bm25, tmp_path: Path, monkeypatch) -> None:
    with QdrantStore(path=tmp_path) as store:
        hybrid(encoder, store, bm25).index(PASSAGES)
        monkeypatch.setattr(store._transport, "reset_sparse", lambda **_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            hybrid(encoder, store, WordLengths()).index(PASSAGES, reweight=True)
    with QdrantStore(path=tmp_path) as store:
        retriever = hybrid(encoder, store, WordLengths())
        with pytest.raises(StoreError, match="being replaced by those of 'word-lengths@leng'"):
            retriever.search("cat")
        assert retriever.index(PASSAGES) == IndexReport(unchanged=5, weighted=5)
        assert store.count_without_sparse() == 0


def test_added_passages_have_both_vectors(store, encoder, bm25) -> None:
    retriever = hybrid(encoder, store, bm25)
    for passage in PASSAGES:
        assert retriever.add([passage]).new == 1
    assert store.count_without_sparse() == 0
    texts = list(TEXTS.values())
    assert store.info().sparse.mean_length == pytest.approx(bm25.measure(texts), rel=0.1)
    assert ids(TwoStageRetriever(encoder, store, first_stage="bm25").search("moon")) == ["moon"]


def test_filters_hold_for_both_searches(store, encoder) -> None:
    passages = [replace(p, meta={"n": i}) for i, p in enumerate(PASSAGES)]
    retriever = hybrid(encoder, store)
    retriever.index(passages)
    result = retriever.search("zyzzyva moon cat", filter={"field": "n", "operator": "<=", "value": 2})
    assert sorted(ids(result)) == ["boat", "cat", "dog"]


@pytest.mark.parametrize("fusion", ["weighted", "rrf"])
def test_every_store_fuses_alike_and_more_than_twenty(encoder, fusion) -> None:
    rng = np.random.default_rng(0)
    words = ["cat", "dog", "bird", "fish", "tree", "house", "river", "stone", "red", "green", "blue", "small", "large"]
    passages = [Passage(" ".join(rng.choice(words, 6)), id=f"{i}", meta={"n": i}) for i in range(150)]
    results = []
    for made in (ExactStore(), QdrantStore(path=":memory:"), QdrantStore(client=QdrantClient(":memory:"))):
        with made:
            retriever = hybrid(encoder, made, fusion=fusion)
            retriever.index(passages)
            found = retriever.search("a red fish in the river", 120)
            assert len(found) == 120
            short, longer = (ids(retriever.search("a red fish in the river", top_k)) for top_k in (30, 90))
            assert short == longer[:30]
            results.append({hit.passage.id: hit.score for hit in found})
    for other in results[1:]:
        shared = results[0].keys() & other.keys()
        assert len(shared) > 115  # an engine's rounding may part what scores equally
        assert [other[key] for key in shared] == pytest.approx([results[0][key] for key in shared], abs=2e-3)


def test_documents_are_found_by_both_searches(store, encoder) -> None:
    pieces = [
        Passage(f"{text} {i}", id=f"{name}#{i}", meta={"source_id": name})
        for name, text in TEXTS.items()
        for i in range(3)
    ]
    retriever = hybrid(encoder, store)
    retriever.index(pieces)
    result = retriever.search("zyzzyva boats", 4, group_by="source_id")
    assert result[0].passage.meta["source_id"] == "boat"
    assert len({hit.passage.meta["source_id"] for hit in result}) == len(result) == 4


@pytest.mark.parametrize(
    "options",
    [
        {"first_stage": "sparse"},
        {"sparse_encoder": WordLengths()},
        {"first_stage": "hybrid", "fusion": "dbsf"},
        {"first_stage": "hybrid", "sparse_weight": 2},
        {"first_stage": "hybrid", "sparse_weight": True},
    ],
)
def test_options_that_make_no_sense(encoder, options) -> None:
    with pytest.raises(ConfigurationError):
        TwoStageRetriever(encoder, ExactStore(), **options)
    with pytest.raises(ConfigurationError, match="reweight is for"):
        TwoStageRetriever(encoder, ExactStore()).index(PASSAGES, reweight=True)


def filled_by_another(bi_encoder: BiEncoder, made_by: BM25Encoder | None, *, idf: bool = True) -> QdrantClient:
    """A collection as langchain-qdrant fills one, with or without sparse vectors."""
    client = QdrantClient(":memory:")
    client.create_collection(
        "default",
        models.VectorParams(size=32, distance=models.Distance.COSINE),
        sparse_vectors_config={"langchain-sparse": models.SparseVectorParams(modifier="idf" if idf else None)},
    )
    for number, text in enumerate(TEXTS.values()):
        vector: dict = {"": bi_encoder.encode_document(text).tolist()}
        if made_by is not None:
            made = made_by.encode_document([text])[0]
            vector["langchain-sparse"] = models.SparseVector(indices=made.indices, values=made.values)
        payload = {"page_content": text, "metadata": {}}
        client.upsert("default", [models.PointStruct(id=number, vector=vector, payload=payload)])
    return client


def test_a_collection_of_another_program_is_read_by_a_like_encoder(bi_encoder) -> None:
    client = filled_by_another(bi_encoder, BM25Encoder("en", k1=1.2, mean_length=256.0))
    with QdrantStore(client=client) as store:
        retriever = TwoStageRetriever(bi_encoder, store, first_stage="bm25")
        with pytest.warns(BicrossWarning, match=r"they are like this encoder's: mean cosine 0\.9\d\d"):
            assert retriever.search("zyzzyva")[0].passage.text == TEXTS["boat"]
        other = TwoStageRetriever(bi_encoder, store, first_stage="bm25", sparse_encoder=WordLengths())
        with pytest.raises(FingerprintMismatchError, match=r"mean cosine 0\.000; at least 0\.5 is needed"):
            other.search("zyzzyva")
        adopt(store, bi_encoder)
        passages = list(store.scroll())
        both = hybrid(bi_encoder, store)
        with pytest.raises(
            FingerprintMismatchError, match=r"by \d+% of their length \(at most 10% to add to them\)\. Index with re"
        ):
            both.index(passages, "mine")
        assert both.index(passages, "mine", reweight=True).weighted == 5
        assert store.info().sparse.name == "bm25"
        assert both.search("zyzzyva")[0].passage.text == TEXTS["boat"]


def test_a_slot_that_does_not_weigh_is_told(bi_encoder) -> None:
    client = filled_by_another(bi_encoder, BM25Encoder("en", mean_length=6.0), idf=False)
    with QdrantStore(client=client) as store:
        retriever = TwoStageRetriever(bi_encoder, store, first_stage="bm25")
        with pytest.warns(BicrossWarning) as caught:
            retriever.search("zyzzyva")
        assert "'langchain-sparse' of collection 'default' has no IDF modifier; this encoder needs it" in str(
            caught[-1].message
        )
        adopt(store, bi_encoder)
        retriever.index(list(store.scroll()), "mine")
        assert store.layout().idf is True  # what is indexed here is weighed


def test_a_fixed_mean_length_is_kept(store, encoder, bm25) -> None:
    fixed = bm25.with_mean_length(100.0)
    hybrid(encoder, store, fixed).index(PASSAGES)
    assert store.info().sparse.mean_length == 100.0
    assert hybrid(encoder, store, fixed).index(PASSAGES[:4]) == IndexReport(unchanged=4)
    assert hybrid(encoder, store, bm25.with_mean_length(50.0)).index(PASSAGES) == IndexReport(unchanged=5, weighted=5)


def test_diverse_hits_come_from_all_candidates(store, encoder, cross_encoder) -> None:
    copies = [Passage("the old cat sleeps near the river.", id=f"copy{i}") for i in range(4)]
    retriever = hybrid(encoder, store)
    retriever.index([*PASSAGES, *copies])
    query = "old cat sleeps near the river"
    plain = ids(retriever.search(query, 3))
    assert {name[:4] for name in plain} <= {"cat", "copy"}
    varied = retriever.search(query, 3, diversity=0.95)
    assert ids(varied)[0] == plain[0]
    assert len({hit.passage.text for hit in varied}) == 3
    assert ids(retriever.search(query, 3, diversity=0.0)) == plain
    assert len(retriever.search(query, 100, diversity=1.0)) == 9
    reranked = hybrid(encoder, store)
    both = TwoStageRetriever(encoder, store, cross_encoder, first_stage="hybrid").search(query, 4, diversity=0.9)
    assert both[0].rerank_score is not None
    assert len({hit.passage.text for hit in both}) == 4
    for bad in (-0.1, 1.1, True, "much"):
        with pytest.raises(ConfigurationError, match="diversity must be a number from 0 to 1"):
            reranked.search(query, diversity=bad)


def test_the_command_line(tmp_path: Path, bi_folder: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"_id": p.id, "text": p.text}) + "\n" for p in PASSAGES))

    def run(*arguments: str) -> str:
        done = CliRunner().invoke(app, arguments, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.stdout

    def index(*options: str) -> dict:
        return json.loads(run("index", "a.jsonl", "--bi", str(bi_folder), "--json", "--source", "a", *options))

    assert index()["weighted"] == 0
    assert index("--first-stage", "hybrid", "--language", "none")["weighted"] == 5
    with (tmp_path / "a.jsonl").open("a") as file:
        file.write(json.dumps({"_id": "new", "text": "quaggas are rare"}) + "\n")
    assert index()["new"] == 1  # hybrid, and in the language that the collection has
    options = ["--cross", "none", "--json", "--top-k", "2"]
    assert json.loads(run("search", "quagga", "--first-stage", "bm25", *options))["hits"] == []
    found = json.loads(run("search", "quaggas", "--first-stage", "hybrid", "--diversity", "0.1", *options))["hits"]
    assert (found[0]["id"], found[0]["legs"]["sparse"]["rank"]) == ("new", 1)
    sparse = json.loads(run("info", "--json"))["collections"][0]["sparse"]
    assert (sparse["name"], sparse["language"], sparse["state"]) == ("bm25", "none", "ready")
    with pytest.raises(ConfigurationError, match="--language and --sparse are for --first-stage"):
        run("search", "quaggas", "--language", "de", *options)
    assert index("--first-stage", "hybrid", "--language", "en", "--reweight")["weighted"] == 6
    assert json.loads(run("search", "quagga", "--first-stage", "bm25", *options))["hits"][0]["id"] == "new"
