from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from bicross import IndexReport, Passage, QdrantStore, TwoStageRetriever
from bicross.errors import ConfigurationError, FingerprintMismatchError
from bicross.resync import digest_of
from bicross.types import Floats

PASSAGES = [Passage(f"text {number}", id=str(number), meta={"n": number}) for number in range(5)]
UNCHANGED = IndexReport(unchanged=5)


class Lengths:
    document_fingerprint = query_fingerprint = "f" * 64

    def encode_query(self, texts: str | Sequence[str], /) -> Floats:
        return self.encode_document(texts)

    def encode_document(self, texts: str | Sequence[str], /) -> Floats:
        return np.array([[1.0, len(text)] for text in texts], np.float32)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[QdrantStore]:
    with QdrantStore(path=tmp_path / "store") as store:
        yield store


@pytest.fixture
def retriever(store: QdrantStore) -> TwoStageRetriever:
    return TwoStageRetriever(Lengths(), store)


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many stamps each comparison with a store has read."""
    reads: list[int] = []
    stamps = QdrantStore.stamps

    def counted(self: QdrantStore, ids: Sequence[str]):
        found = stamps(self, ids)
        reads.append(len(found))
        return found

    monkeypatch.setattr(QdrantStore, "stamps", counted)
    return reads


def test_the_very_same_passages_are_not_compared_again(
    retriever: TwoStageRetriever, compared: list[int], tmp_path: Path
) -> None:
    given = [*PASSAGES, Passage(" ", id="blank"), PASSAGES[0]]
    assert retriever.index(given, source="s") == IndexReport(new=5, encoded=5, skipped=1, duplicates=1)
    assert compared == [0, 5]  # before, and whether all is there now
    again = IndexReport(unchanged=5, skipped=1, duplicates=1)
    assert retriever.index(given, source="s") == again
    assert len(compared) == 2
    retriever.store.close()
    with QdrantStore(path=tmp_path / "store") as opened:
        assert TwoStageRetriever(Lengths(), opened).index(given, source="s") == again
        assert len(compared) == 2
        other = Lengths()
        other.document_fingerprint = "e" * 64
        with pytest.raises(FingerprintMismatchError):
            TwoStageRetriever(other, opened).index(given, source="s")


def test_each_source_has_its_note_and_options_count(retriever: TwoStageRetriever, compared: list[int]) -> None:
    theirs = [Passage("of another", id="other")]
    retriever.index(theirs, source="t")
    retriever.index(PASSAGES, source="s")
    assert retriever.index(theirs, source="t").unchanged == 1  # compared: the source s was written meanwhile
    compared.clear()
    assert [retriever.index(PASSAGES, source="s"), retriever.index(theirs, source="t").unchanged] == [UNCHANGED, 1]
    assert compared == []
    assert retriever.index(PASSAGES[1:], source="s", delete_missing=True).deleted == 1
    assert retriever.index(PASSAGES[1:], source="s", delete_missing=True) == IndexReport(unchanged=4)
    assert retriever.index(PASSAGES, source="s").new == 1
    with pytest.raises(ConfigurationError, match="it holds no passage now"):
        retriever.index([], source="s", delete_missing=True)


@pytest.mark.parametrize(
    "write",
    [
        lambda store: store.delete(["3"]),
        lambda store: store.upsert([Passage("else", id="3")], [[1.0, 0.0]]),
        lambda store: store.set_payload([Passage("text 3", id="3", meta={"n": -1})]),
        lambda store: store.drop(),
    ],
)
def test_whoever_writes_ends_it(retriever: TwoStageRetriever, tmp_path: Path, write) -> None:
    retriever.index(PASSAGES, source="s")
    with QdrantStore(path=tmp_path / "store") as other:
        write(other)
    report = retriever.index(PASSAGES, source="s")
    assert report.new + report.changed >= 1
    assert {p.id: p.meta["n"] for p in retriever.store.scroll()} == {str(n): n for n in range(5)}


def test_a_write_beside_the_sync_keeps_it_from_noting(
    retriever: TwoStageRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = QdrantStore.stamps

    def then_deleted(self: QdrantStore, ids: Sequence[str]):
        found = stamps(self, ids)
        if found:
            self.delete(["3"])
        return found

    with monkeypatch.context() as patch:
        patch.setattr(QdrantStore, "stamps", then_deleted)
        retriever.index(PASSAGES, source="s")
    assert retriever.store.noted("s") is None
    assert retriever.index(PASSAGES, source="s").new == 1


def test_the_note_is_gone_before_anything_is_written(
    retriever: TwoStageRetriever, monkeypatch: pytest.MonkeyPatch
) -> None:
    retriever.index(PASSAGES, source="s")
    store = retriever.store
    assert store.noted("s") is not None
    shared = store._transport._shared()

    def killed(operation: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shared, "_shard", SimpleNamespace(update=killed))
        with pytest.raises(KeyboardInterrupt):
            shared.write([object()], 1)
    assert store.noted("s") is None
    assert retriever.index(PASSAGES, source="s") == UNCHANGED


@pytest.mark.parametrize("text", ["{", "[]", '{"s": "[]"}', '{"s": 3}'])
def test_a_damaged_note_is_no_note(
    retriever: TwoStageRetriever, compared: list[int], tmp_path: Path, text: str
) -> None:
    retriever.index(PASSAGES, source="s")
    (tmp_path / "store" / "default" / "synced.json").write_text(text)
    assert retriever.index(PASSAGES, source="s") == UNCHANGED
    assert compared == [0, 5, 5]


def test_what_can_not_be_read_twice_or_as_plain_values_is_compared() -> None:
    assert digest_of(iter(PASSAGES), "s", delete_missing=False) is None
    assert digest_of([Passage("a", meta={"on": date(2026, 1, 1)})], "s", delete_missing=False) is None
    assert digest_of(["a"], "s", delete_missing=False) is None
    digests = [
        digest_of(PASSAGES, "s", delete_missing=False),
        digest_of(PASSAGES, "t", delete_missing=False),
        digest_of(PASSAGES, "s", delete_missing=True),
        digest_of(PASSAGES[::-1], "s", delete_missing=False),
        digest_of([Passage("text", id="0", meta={"n": 1})], "s", delete_missing=False),
        digest_of([Passage("text", id="0", meta={"n": True})], "s", delete_missing=False),
        digest_of([Passage("text", id="0", title="t", meta={"n": 1})], "s", delete_missing=False),
    ]
    assert len(set(digests)) == len(digests)
    assert digests[0] == digest_of(tuple(PASSAGES), "s", delete_missing=False)


def test_a_source_that_was_not_read_wholly_is_compared() -> None:
    class Reading(list):
        skipped = (SimpleNamespace(failed=True),)

    assert digest_of(Reading(PASSAGES), "s", delete_missing=False) is None
