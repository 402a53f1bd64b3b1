from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bicross import BiEncoder, CrossEncoder, ExactStore, IndexReport, Passage, QdrantStore, TwoStageRetriever
from bicross.caches import ScoreCache
from bicross.errors import (
    BicrossWarning,
    ConfigurationError,
    FingerprintMismatchError,
    InputError,
    InputTypeError,
    ModelNotFoundError,
    TruncationWarning,
)
from bicross.second_stage import SecondStage
from bicross.types import Floats, Hit, Ranked
from tiny_models import write_bi_encoder

NAMES = [
    "cat",
    "dog",
    "bird",
    "fish",
    "tree",
    "house",
    "river",
    "stone",
    "train",
    "water",
    "fire",
    "wind",
    "rain",
    "sun",
]
PASSAGES = [Passage(f"the {name} is near the old {NAMES[i - 1]}", id=name) for i, name in enumerate(NAMES)]


class CountingEncoder:
    """An encoder that says what it was asked; satisfies the protocol and nothing more."""

    def __init__(self, inner: BiEncoder, fingerprint: str = "f1") -> None:
        self.inner = inner
        self.document_fingerprint = fingerprint
        self.encoded: list[str] = []

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        return self.inner.encode_query(texts)

    def encode_document(self, texts: str | Sequence[str], /) -> Floats:
        self.encoded += [texts] if isinstance(texts, str) else list(texts)
        return self.inner.encode_document(texts)


class LengthScorer:
    """Likes short texts; satisfies the protocol and nothing more."""

    fingerprint = "length"

    def __init__(self) -> None:
        self.scored = 0

    def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
        self.scored += len(pairs)
        return np.array([-len(text) for _, text in pairs], np.float32)

    def rank(self, query: str, texts: Sequence[str], /) -> list[Ranked]:
        scores = self.predict([(query, text) for text in texts])
        return [Ranked(int(i), float(scores[i])) for i in np.argsort(-scores, kind="stable")]


@pytest.fixture(params=["exact", "edge"])
def store(request: pytest.FixtureRequest) -> Iterator[ExactStore | QdrantStore]:
    with ExactStore() if request.param == "exact" else QdrantStore(path=":memory:") as made:
        yield made


@pytest.fixture
def encoder(bi_encoder: BiEncoder) -> CountingEncoder:
    return CountingEncoder(bi_encoder)


def test_a_sync_encodes_only_what_differs(store: ExactStore, encoder: CountingEncoder) -> None:
    retriever = TwoStageRetriever(encoder, store)
    assert retriever.index(PASSAGES, source="a") == IndexReport(new=14, encoded=14)
    encoder.encoded.clear()
    assert retriever.index(PASSAGES, source="a") == IndexReport(unchanged=14)
    edited = [replace(PASSAGES[0], text="the cat sleeps"), replace(PASSAGES[1], meta={"lang": "en"}), *PASSAGES[2:]]
    assert retriever.index(edited, source="a") == IndexReport(changed=2, unchanged=12, encoded=1)
    assert encoder.encoded == ["the cat sleeps"]
    assert store.get(["cat"])[0].text == "the cat sleeps"
    assert store.get(["dog"])[0].meta == {"lang": "en"}
    assert store.count() == 14


def test_delete_missing_touches_its_own_source_alone(store: ExactStore, encoder: CountingEncoder) -> None:
    retriever = TwoStageRetriever(encoder, store)
    retriever.index(PASSAGES[:5], source="a")
    retriever.index(PASSAGES[5:10], source="b")
    assert retriever.index(PASSAGES[1:3], source="a", delete_missing=True).deleted == 3
    assert sorted(store.ids()) == sorted(p.id for p in [*PASSAGES[1:3], *PASSAGES[5:10]])
    assert retriever.index(PASSAGES[:1], source="a") == IndexReport(new=1, encoded=1)
    assert store.count() == 8


def test_a_text_in_two_sources_is_there_for_each(store: ExactStore, encoder: CountingEncoder) -> None:
    retriever = TwoStageRetriever(encoder, store)
    retriever.index([Passage("the cat")], source="a")
    retriever.index([Passage("the cat")], source="b")
    assert store.count() == 2
    retriever.index([Passage("the dog")], source="a", delete_missing=True)
    assert sorted((p.text, p.source) for p in store.scroll()) == [("the cat", "b"), ("the dog", "a")]


def test_a_document_that_became_shorter_leaves_nothing_behind(store: ExactStore, encoder: CountingEncoder) -> None:
    def pieces(*texts: str) -> list[Passage]:
        if len(texts) == 1:
            return [Passage(texts[0], id="doc")]
        meta = [{"source_id": "doc", "split_id": i, "split_count": len(texts)} for i in range(len(texts))]
        return [Passage(text, id=f"doc#{i}" if i else "doc", meta=meta[i]) for i, text in enumerate(texts)]

    retriever = TwoStageRetriever(encoder, store)
    retriever.index([*pieces("the cat", "the dog", "the bird"), *PASSAGES[5:8]], source="a")
    assert retriever.index(pieces("the cat", "the dog"), source="a") == IndexReport(changed=2, deleted=1)
    assert retriever.index(pieces("the cat"), source="a") == IndexReport(changed=1, deleted=1)
    assert sorted(store.ids()) == sorted(["doc", *(p.id for p in PASSAGES[5:8])])


def test_adding_encodes_what_differs_and_deletes_nothing(store: ExactStore, encoder: CountingEncoder) -> None:
    retriever = TwoStageRetriever(encoder, store)
    pieces = [Passage(f"the {name}", id=name, meta={"source_id": "doc"}) for name in NAMES[:3]]
    assert retriever.add([*pieces, Passage("", id="blank"), pieces[0]]) == IndexReport(new=4, encoded=4, duplicates=1)
    encoder.encoded.clear()
    edited = [replace(pieces[0], text="the old cat"), replace(pieces[1], meta={"lang": "en"}), pieces[2]]
    assert retriever.add(edited) == IndexReport(changed=2, unchanged=1, encoded=1)
    assert encoder.encoded == ["the old cat"]
    assert retriever.add(edited[:1]) == IndexReport(unchanged=1)
    assert sorted(store.ids()) == sorted(["blank", *NAMES[:3]])
    assert store.get(["dog"])[0] == edited[1]
    assert retriever.add([]) == IndexReport()
    with pytest.raises(InputTypeError, match="passages\\[1\\]"):
        retriever.add([pieces[0], "the dog"])  # type: ignore[list-item]


def test_what_was_added_belongs_to_no_sync(store: ExactStore, encoder: CountingEncoder) -> None:
    retriever = TwoStageRetriever(encoder, store)
    retriever.add(PASSAGES[:3])
    assert retriever.index(PASSAGES[5:7], source="a", delete_missing=True) == IndexReport(new=2, encoded=2)
    assert retriever.index(PASSAGES[5:6], source="a", delete_missing=True).deleted == 1
    assert store.count() == 4
    with pytest.raises(FingerprintMismatchError):
        TwoStageRetriever(CountingEncoder(encoder.inner, "f2"), store).add(PASSAGES[:1])


@pytest.mark.parametrize("own", [None, "web", ["x"], 7])
def test_meta_of_ones_own_deletes_nothing(store: ExactStore, encoder: CountingEncoder, own: object) -> None:
    passages = [replace(passage, meta={"source_id": own, "split_count": 9}) for passage in PASSAGES[:4]] + PASSAGES[4:6]
    retriever = TwoStageRetriever(encoder, store)
    retriever.index(passages, source="a")
    report = retriever.index([replace(passages[0], text="another text")], source="a")
    assert (report.changed, report.deleted) == (1, 0)
    assert store.count() == 6


def test_surplus_pieces_go_before_the_document_is_written(encoder: CountingEncoder) -> None:
    class Dying(ExactStore):
        alive = True

        def upsert(self, *arguments: object, **options: object) -> None:
            if not self.alive:
                raise RuntimeError("killed")
            super().upsert(*arguments, **options)  # type: ignore[arg-type]

    def pieces(text: str, count: int) -> list[Passage]:
        meta = {"source_id": "doc", "split_count": count}
        return [
            Passage(f"{text} {i}", id=f"doc#{i}" if i else "doc", meta=meta | {"split_id": i}) for i in range(count)
        ]

    store = Dying()
    retriever = TwoStageRetriever(encoder, store)
    retriever.index(pieces("the cat", 3), source="a")
    store.alive = False
    with pytest.raises(RuntimeError):
        retriever.index([Passage("the dog", id="doc")], source="a")
    store.alive = True
    retriever.index([Passage("the dog", id="doc")], source="a")
    assert list(store.ids()) == ["doc"]


def test_recreate_keeps_the_old_until_the_new_can_be_made(
    store: ExactStore, bi_encoder: BiEncoder, tmp_path: Path
) -> None:
    TwoStageRetriever(bi_encoder, store).index(PASSAGES)
    far = BiEncoder.load(write_bi_encoder(tmp_path / "far", similarity="euclidean"))
    with pytest.raises(ConfigurationError, match="compares by 'euclidean'"):
        TwoStageRetriever(far, store).index(PASSAGES, recreate=True)
    broken = CountingEncoder(bi_encoder)
    broken.encode_document = lambda texts: 1 / 0  # type: ignore[method-assign]
    with pytest.raises(ZeroDivisionError):
        TwoStageRetriever(broken, store).index(PASSAGES, recreate=True)
    with pytest.raises(ConfigurationError, match=r"recreate needs a source .* holds no passage now"):
        TwoStageRetriever(bi_encoder, store).index([], recreate=True)
    assert store.count() == 14
    TwoStageRetriever(bi_encoder, store).index([], recreate=True, force=True)
    assert store.count() == 0


def test_a_passage_that_changes_hands_is_told(store: ExactStore, encoder: CountingEncoder) -> None:
    retriever = TwoStageRetriever(encoder, store)
    retriever.index(PASSAGES[:2], source="a")
    with pytest.warns(
        BicrossWarning, match="1 passages had ids that the source 'a' had written; they now belong to 'b'"
    ):
        retriever.index(PASSAGES[1:3], source="b")


def test_too_big_a_passage_is_refused_with_its_position(store: ExactStore, encoder: CountingEncoder) -> None:
    with pytest.raises(InputError, match=r"passages\[1\]"):
        TwoStageRetriever(encoder, store).index([PASSAGES[0], Passage("x " * 9_000_000), PASSAGES[1]])
    assert store.count() == 0


def test_another_model_is_noticed_behind_a_retrievers_back(store: ExactStore, bi_encoder: BiEncoder) -> None:
    first = TwoStageRetriever(CountingEncoder(bi_encoder, "aaaa1111"), store)
    first.index(PASSAGES)
    assert len(first.search("cat")) == 10
    TwoStageRetriever(CountingEncoder(bi_encoder, "bbbb2222"), store).index(PASSAGES, recreate=True)
    with pytest.raises(FingerprintMismatchError):
        first.search("cat")


def test_reranking_again_forgets_the_scores_of_before(bi_encoder: BiEncoder) -> None:
    retriever = TwoStageRetriever(bi_encoder, ExactStore(), LengthScorer())
    retriever.index(PASSAGES)
    once = retriever.rerank("the cat", retriever.retrieve("the cat", 6))
    again = retriever.rerank("the cat", once, budget_ms=0)
    assert [hit.passage.id for hit in again] == [hit.passage.id for hit in once]
    assert all(hit.rerank_score is None and hit.score == hit.stage1_score for hit in again)
    with pytest.raises(ConfigurationError, match="top_k"):
        retriever.rerank("the cat", once, top_k=-1)


def test_an_empty_source_deletes_nothing_unless_forced(store: ExactStore, encoder: CountingEncoder) -> None:
    retriever = TwoStageRetriever(encoder, store)
    retriever.index(PASSAGES, source="a")
    with pytest.raises(ConfigurationError, match="it holds no passage now"):
        retriever.index([], source="a", delete_missing=True)
    assert store.count() == 14
    assert retriever.index([], source="a") == IndexReport()
    assert retriever.index([], source="a", delete_missing=True, force=True).deleted == 14
    assert store.count() == 0


def test_a_read_that_failed_in_part_deletes_nothing_unless_forced(store: ExactStore, encoder: CountingEncoder) -> None:
    class Reading(list[Passage]):
        skipped = ("broken.pdf",)

    retriever = TwoStageRetriever(encoder, store)
    retriever.index(PASSAGES, source="a")
    with pytest.raises(ConfigurationError, match="1 of its files could not be read"):
        retriever.index(Reading(PASSAGES[:3]), source="a", delete_missing=True)
    with pytest.raises(ConfigurationError, match=r"recreate needs a source .* 1 of its files could not be read"):
        retriever.index(Reading(PASSAGES[:3]), source="a", recreate=True)
    assert store.count() == 14
    report = retriever.index(Reading(PASSAGES[:3]), source="a")
    assert (report.deleted, report.skipped) == (0, 1)
    assert retriever.index(Reading(PASSAGES[:3]), source="a", recreate=True, force=True).new == store.count() == 3


def test_blank_passages_and_duplicates_are_counted(store: ExactStore, encoder: CountingEncoder) -> None:
    retriever = TwoStageRetriever(encoder, store)
    passages = [Passage("one cat", id="x"), Passage(" \n"), Passage("", id="y"), Passage("two cats", id="x")]
    assert retriever.index(passages) == IndexReport(new=1, skipped=2, duplicates=1, encoded=1)
    assert store.get(["x"])[0].text == "two cats"
    last_is_blank = [Passage("one dog", id="z"), Passage(" ", id="z")]
    assert retriever.index(last_is_blank) == IndexReport(skipped=1, duplicates=1)
    assert store.count() == 1


def test_truncation_is_reported(bi_encoder: BiEncoder) -> None:
    retriever = TwoStageRetriever(bi_encoder, ExactStore())
    with pytest.warns(TruncationWarning, match="1 of 2 passages"):
        report = retriever.index([Passage("the cat " * 50), Passage("the dog")])
    assert report.truncated == 1


@pytest.mark.parametrize(
    ("passages", "error", "words"),
    [
        ([Passage("ok"), "text"], InputTypeError, r"passages\[1\] is 'text'"),
        ("text", InputTypeError, "sequence of Passages, got str"),
        ([Passage("ok"), Passage(None)], InputError, r"passages\[1\]"),  # type: ignore[arg-type]
        ([Passage("ok"), Passage("bad \ud800")], InputError, r"passages\[1\]"),
        ([Passage("ok"), Passage("x", id="")], InputError, r"passages\[1\]"),
        ([Passage("ok"), Passage("x", meta={"when": {1, 2}})], InputError, r"passages\[1\]"),
        ([Passage("ok"), Passage("x", meta={"n": float("nan")})], InputError, r"passages\[1\]"),
    ],
)
def test_bad_passages_are_refused_before_anything_is_written(
    store: ExactStore, encoder: CountingEncoder, passages: list, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        TwoStageRetriever(encoder, store).index(passages)
    assert store.count() == 0
    assert encoder.encoded == []


def test_a_generator_is_taken(store: ExactStore, encoder: CountingEncoder) -> None:
    assert TwoStageRetriever(encoder, store).index(p for p in PASSAGES).new == 14


def test_a_collection_of_another_model_is_refused(store: ExactStore, bi_encoder: BiEncoder) -> None:
    TwoStageRetriever(CountingEncoder(bi_encoder, "aaaa1111"), store).index(PASSAGES)
    other = TwoStageRetriever(CountingEncoder(bi_encoder, "bbbb2222"), store)
    for action in (lambda: other.index(PASSAGES), lambda: other.search("cat")):
        with pytest.raises(FingerprintMismatchError, match=r"(?s)aaaa.*bbbb.*recreate=True"):
            action()
    assert store.count() == 14
    assert other.index(PASSAGES[:3], recreate=True).new == 3
    assert store.count() == 3
    assert len(other.search("cat")) == 3


def test_a_collection_without_a_fingerprint_is_searched_with_a_warning(bi_encoder: BiEncoder) -> None:
    store = ExactStore()
    store.upsert(PASSAGES, bi_encoder.encode_document([p.text for p in PASSAGES]))
    retriever = TwoStageRetriever(bi_encoder, store)
    with pytest.warns(BicrossWarning, match="doesn't say which model"):
        assert len(retriever.search("the cat", top_k=3)) == 3
    with pytest.raises(FingerprintMismatchError):
        retriever.index([Passage("new")])


def test_the_first_stage_alone(store: ExactStore, bi_encoder: BiEncoder) -> None:
    retriever = TwoStageRetriever(bi_encoder, store)
    retriever.index(PASSAGES)
    result = retriever.search("the cat", top_k=5)
    scores = bi_encoder.similarity(
        bi_encoder.encode_query("the cat"), bi_encoder.encode_document([p.text for p in PASSAGES])
    )[0]
    assert [hit.passage.id for hit in result] == [PASSAGES[i].id for i in np.argsort(-scores, kind="stable")[:5]]
    assert [hit.stage1_rank for hit in result] == [1, 2, 3, 4, 5]
    assert all(hit.rerank_score is None and hit.score == hit.stage1_score for hit in result)
    assert result.reranked == 0
    assert set(result.milliseconds) == {"encode", "retrieve", "rerank"}


def test_models_may_be_named(tmp_path: Path) -> None:
    write_bi_encoder(tmp_path / "bi")
    with ExactStore() as store:
        retriever = TwoStageRetriever(str(tmp_path / "bi"), store, "fast")
        assert isinstance(retriever.bi_encoder, BiEncoder)
        assert retriever.cross_encoder.logit_fingerprint == CrossEncoder.load("fast").logit_fingerprint  # type: ignore
        retriever.index(PASSAGES)
        assert retriever.search("the cat is near", top_k=1)[0].rerank_score is not None
        with pytest.raises(ModelNotFoundError, match="nothing-there"):
            TwoStageRetriever(retriever.bi_encoder, store, str(tmp_path / "nothing-there"))


def test_two_stages_order_by_the_cross_encoder(
    store: ExactStore, bi_encoder: BiEncoder, cross_encoder: CrossEncoder
) -> None:
    retriever = TwoStageRetriever(bi_encoder, store, cross_encoder)
    retriever.index(PASSAGES)
    result = retriever.search("the cat", top_k=4, candidates=8)
    found = retriever.retrieve("the cat", 8)
    scores = cross_encoder.predict([("the cat", hit.passage.text) for hit in found])
    best = np.argsort(-scores, kind="stable")[:4]
    assert [hit.passage.id for hit in result] == [found[int(i)].passage.id for i in best]
    np.testing.assert_allclose([hit.score for hit in result], scores[best], atol=1e-6)
    assert [hit.rerank_score for hit in result] == [hit.score for hit in result]
    assert result.reranked == 8
    assert [hit.stage1_rank for hit in result] == [int(i) + 1 for i in best]


def test_a_weight_of_one_keeps_the_first_stages_order(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    store = ExactStore()
    retriever = TwoStageRetriever(bi_encoder, store, cross_encoder, stage1_weight=1.0)
    retriever.index(PASSAGES)
    result = retriever.search("the cat", top_k=14)
    assert [hit.stage1_rank for hit in result] == list(range(1, 15))
    assert all(0.0 <= hit.score <= 1.0 for hit in result)  # still a probability
    assert len({hit.rerank_score for hit in result}) > 1


@pytest.mark.parametrize("weight", [-0.1, 1.1, "half", True])
def test_a_weight_outside_its_range_is_refused(bi_encoder: BiEncoder, weight: object) -> None:
    with pytest.raises(ConfigurationError, match="stage1_weight"):
        TwoStageRetriever(bi_encoder, ExactStore(), stage1_weight=weight)  # type: ignore[arg-type]


def test_no_time_means_no_reranking(bi_encoder: BiEncoder) -> None:
    scorer = LengthScorer()
    retriever = TwoStageRetriever(bi_encoder, ExactStore(), scorer)
    retriever.index(PASSAGES)
    result = retriever.search("the cat", top_k=5, budget_ms=0)
    assert (result.reranked, scorer.scored) == (0, 0)
    assert [hit.stage1_rank for hit in result] == [1, 2, 3, 4, 5]
    assert retriever.search("the cat", budget_ms=60_000).reranked == 14


def test_a_budget_reranks_the_best_first(bi_encoder: BiEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Slow(LengthScorer):
        now = 0.0

        def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
            Slow.now += 0.02 * len(pairs)  # what it takes, on the test's own clock
            return super().predict(pairs)

    for module in ("bicross.second_stage", "bicross.retriever"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(perf_counter=lambda: Slow.now))
    retriever = TwoStageRetriever(bi_encoder, ExactStore(), Slow())
    retriever.index(PASSAGES)
    hits = retriever.retrieve("the cat", 14)
    result = retriever.rerank("the cat", hits, budget_ms=150)
    assert 5 <= result.reranked <= 7
    scored = [hit for hit in result if hit.rerank_score is not None]
    assert sorted(hit.stage1_rank or 0 for hit in scored) == list(range(1, result.reranked + 1))
    assert list(result[: len(scored)]) == scored
    assert [hit.stage1_rank for hit in result[len(scored) :]] == list(range(result.reranked + 1, 15))


def test_what_was_not_scored_is_left_out_under_a_threshold(bi_encoder: BiEncoder) -> None:
    retriever = TwoStageRetriever(bi_encoder, ExactStore(), LengthScorer())
    retriever.index(PASSAGES)
    judged = retriever.search("the cat", top_k=14, budget_ms=0, score_threshold=-1_000)
    assert (len(judged), judged.unscored, judged.reranked) == (0, 14, 0)


def test_the_threshold_is_applied_after_reranking(bi_encoder: BiEncoder) -> None:
    retriever = TwoStageRetriever(bi_encoder, ExactStore(), LengthScorer())
    retriever.index(PASSAGES)
    lengths = sorted(len(p.text) for p in PASSAGES)
    hits = retriever.search("the cat", top_k=14, score_threshold=-lengths[3])
    assert [hit.score for hit in hits] == [-length for length in lengths if length <= lengths[3]]
    assert len(retriever.search("the cat", top_k=14, score_threshold=0.0)) == 0


def test_filters_and_neighbours(store: ExactStore, bi_encoder: BiEncoder) -> None:
    parts = [Passage(f"the {name}", meta={"source_id": "d", "split_id": i}) for i, name in enumerate(NAMES)]
    retriever = TwoStageRetriever(bi_encoder, store)
    retriever.index([*parts, Passage("the cat alone", meta={"lang": "en"})])
    hits = retriever.search("the cat", filter={"field": "meta.lang", "operator": "==", "value": "en"}, context=1)
    assert [(hit.passage.text, hit.context) for hit in hits] == [("the cat alone", ())]
    hit = retriever.search("the fish", top_k=1, context=2, filter={"field": "split_id", "operator": "==", "value": 3})[
        0
    ]
    assert [passage.text for passage in hit.context] == ["the dog", "the bird", "the fish", "the tree", "the house"]


def test_the_span_of_the_best_window_lies_in_the_text(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    retriever = TwoStageRetriever(bi_encoder, ExactStore(), cross_encoder)
    text = "the old house near the river " * 30
    with pytest.warns(TruncationWarning):
        retriever.index([Passage(text, title="the sun")])
    hit = retriever.search("the cat", windows=True)[0]
    assert hit.span is not None
    assert 0 <= hit.span[0] < hit.span[1] <= len(text)


def test_one_window_is_read_with_the_title_in_front(
    bi_encoder: BiEncoder, cross_encoder: CrossEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "the red house near the river " * 12 + "a small dog sleeps " + "the old stone " * 12
    stage = SecondStage(cross_encoder)
    read: list[str] = []
    predict = cross_encoder.predict
    monkeypatch.setattr(
        cross_encoder, "predict", lambda pairs, **options: read.extend(b for _, b in pairs) or predict(pairs, **options)
    )
    hits = [Hit(Passage(text, title="the sun"), 0.0), Hit(Passage("fish"), 0.0)]
    found = stage.rerank("small dog", hits, windows="best", window_tokens=16).hits
    span = next(hit.span for hit in found if hit.passage.title)
    assert span is not None
    window = text[span[0] : span[1]]
    assert "small dog" in window
    assert sorted(read) == sorted([f"the sun {window}", "fish"])
    with pytest.raises(ConfigurationError, match="counts the tokens of a CrossEncoder"):
        SecondStage(LengthScorer()).rerank("small dog", hits, windows="best")


def test_what_was_scored_once_is_not_scored_again(bi_encoder: BiEncoder, tmp_path: Path) -> None:
    scorer = LengthScorer()
    retriever = TwoStageRetriever(bi_encoder, ExactStore(), scorer, score_cache=tmp_path / "cache")
    retriever.index(PASSAGES)
    first = retriever.search("the cat", top_k=14)
    scored = scorer.scored
    assert scored == 14
    again = TwoStageRetriever(bi_encoder, retriever.store, scorer, score_cache=ScoreCache(tmp_path / "cache"))
    assert again.search("the cat", top_k=14).hits == first.hits
    assert scorer.scored == scored
    again.search("a dog", top_k=14)
    assert scorer.scored == 2 * scored


def test_known_scores_cost_nothing_of_a_budget(
    bi_encoder: BiEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0)

    class Slow(LengthScorer):
        def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
            clock.now += 0.02 * len(pairs)
            return super().predict(pairs)

    for module in ("bicross.second_stage", "bicross.retriever"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(perf_counter=lambda: clock.now))
    retriever = TwoStageRetriever(bi_encoder, ExactStore(), Slow(), score_cache=tmp_path)
    retriever.index(PASSAGES)
    hits = retriever.retrieve("the cat", 14)
    part = retriever.rerank("the cat", hits, budget_ms=150).reranked
    assert 5 <= part <= 7
    assert retriever.rerank("the cat", hits, budget_ms=150).reranked > part
    assert retriever.rerank("the cat", hits, budget_ms=150).reranked == 14


def test_every_stage_opens_a_span(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    spans: list[tuple[str, dict]] = []

    @contextmanager
    def observer(name: str) -> Iterator[dict]:
        tags: dict = {}
        yield tags
        spans.append((name, tags))

    retriever = TwoStageRetriever(bi_encoder, ExactStore(), cross_encoder)
    retriever.index(PASSAGES)
    with pytest.warns(TruncationWarning, match="query was longer"):
        retriever.search("the cat " * 50, candidates=8, observer=observer)
    assert [name for name, _ in spans] == ["encode", "retrieve", "rerank"]
    encode, retrieve, rerank = (tags for _, tags in spans)
    assert (encode["fingerprint"], encode["truncated"]) == (bi_encoder.query_fingerprint, 1)
    assert (retrieve["hits"], retrieve["top_k"]) == (10, 10)
    assert (rerank["reranked"], rerank["fingerprint"]) == (10, cross_encoder.fingerprint)


def test_what_the_cross_encoder_cut_is_counted(bi_encoder: BiEncoder, cross_encoder: CrossEncoder) -> None:
    retriever = TwoStageRetriever(bi_encoder, ExactStore(), cross_encoder)
    with pytest.warns(TruncationWarning):
        retriever.index([*PASSAGES[:3], Passage("the old house " * 60)])
    assert retriever.search("the cat").truncated == 1


@pytest.mark.parametrize("windows", [False, True])
def test_scores_that_are_no_numbers_are_refused(bi_encoder: BiEncoder, windows: bool) -> None:
    class Broken(LengthScorer):
        def predict(self, pairs: Sequence[tuple[str, str]], /) -> Floats:
            return np.array([np.nan if "fish" in text else 1.0 for _, text in pairs], np.float32)

    with ExactStore() as store:
        retriever = TwoStageRetriever(bi_encoder, store, Broken())
        retriever.index([Passage("a cat"), Passage("a fish")])
        with pytest.raises(InputError, match="scores must be finite, got nan for query 'cat' and text 'a fish'"):
            retriever.search("cat", windows=windows)


def test_threads_get_the_serial_answers(tmp_path: Path, cross_encoder: CrossEncoder) -> None:
    # One tokenizer with one setting, shared by towers of different limits, would cut each other's texts.
    encoders = [BiEncoder.load(write_bi_encoder(tmp_path / str(limit), max_length=limit)) for limit in (8, 24, 64)]
    texts = [("the cat sits on the old tree " * n).strip() for n in (1, 3, 9, 2)]
    pairs = [("the cat", text) for text in texts]
    work = [lambda e=e: e.encode_document(texts, return_truncation=True)[0] for e in encoders]
    work += [lambda e=e: e.encode_query(texts, return_truncation=True)[0] for e in encoders]
    work.append(lambda: cross_encoder.predict(pairs, return_truncation=True)[0])
    serial = [job() for job in work]
    with ThreadPoolExecutor(16) as threads:
        for _ in range(4):
            futures = [(i, threads.submit(work[i])) for i in list(range(len(work))) * 4]
            for i, future in futures:
                np.testing.assert_allclose(future.result(), serial[i], atol=1e-6)


@pytest.mark.parametrize("query", ["", "  \n", None, 3, "bad \ud800"])
def test_a_query_must_hold_a_word(bi_encoder: BiEncoder, query: object) -> None:
    with pytest.raises(InputError):
        TwoStageRetriever(bi_encoder, ExactStore()).search(query)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "options", [{"top_k": 0}, {"top_k": True}, {"candidates": -1}, {"budget_ms": -1}, {"context": -1}, {"top_k": 2.5}]
)
def test_counts_must_make_sense(bi_encoder: BiEncoder, options: dict) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        TwoStageRetriever(bi_encoder, ExactStore()).search("cat", **options)


def test_searching_before_indexing_finds_nothing(store: ExactStore, bi_encoder: BiEncoder) -> None:
    assert len(TwoStageRetriever(bi_encoder, store).search("cat")) == 0


def test_the_same_store_can_be_searched_by_another_retriever(tmp_path: Path, bi_encoder: BiEncoder) -> None:
    with QdrantStore(path=tmp_path / "s") as store:
        TwoStageRetriever(bi_encoder, store).index(PASSAGES)
        info = store.info()
        assert info is not None
        assert (info.model, info.fingerprint) == (bi_encoder.name, bi_encoder.document_fingerprint)
    with QdrantStore(path=tmp_path / "s") as store:
        assert TwoStageRetriever(bi_encoder, store).index(PASSAGES) == IndexReport(unchanged=14)
