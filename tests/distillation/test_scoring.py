"""The teacher's scores: each computed once, whatever happens."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from bicross.caches import ScoreCache
from bicross.distillation.labels import Labels
from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.distillation.mining import MiningSettings, mine_candidates
from bicross.distillation.scoring import score_candidates, teacher_fingerprint, weighted_teacher
from bicross.errors import ConfigurationError, FingerprintMismatchError, InputError, StorageFullError
from bicross.ranking import weighted_sum
from bicross.witness import WITNESS_PAIRS
from judge import Judge


def overlap(query: str, text: str) -> float:
    return float(len(set(query.split()) & set(text.split()))) - 0.01 * len(text)


@pytest.fixture
def lists(toy: Labels, encoder) -> CandidateLists:
    return mine_candidates(toy, encoder, settings=MiningSettings(bm25=()))


def test_every_pair_is_scored_once_and_never_again(lists: CandidateLists, tmp_path: Path) -> None:
    teacher = Judge(overlap)
    scored = score_candidates(lists, teacher, cache_dir=tmp_path)
    texts = lists.documents
    assert all(
        one.scores.tolist() == [np.float32(overlap(one.query, texts[d])) for d in one.document_ids] for one in scored
    )
    asked = teacher.asked
    assert asked <= lists.pairs
    assert np.array_equal(score_candidates(lists, teacher, cache_dir=tmp_path).scores, scored.scores)
    assert teacher.asked == asked
    assert scored.metadata["teacher"] == [{"fingerprint": "judge", "weight": 1.0}]
    assert np.isnan(lists.scores).all()


def test_a_sum_of_two_is_that_of_the_second_stage(lists: CandidateLists, encoder, tmp_path: Path) -> None:
    teacher = Judge(overlap)
    both = score_candidates(lists, [teacher, encoder], weights=[3, 1], cache_dir=tmp_path)
    for one in both:
        texts = [lists.documents[d] for d in one.document_ids]
        cross = [overlap(one.query, text) for text in texts]
        first = encoder.encode_document(texts) @ encoder.encode_query([one.query])[0]
        assert np.allclose(one.scores, weighted_sum(cross, first, 0.25), atol=1e-5)
    calls = encoder.calls
    score_candidates(lists, [teacher, encoder], weights=[1, 1], cache_dir=tmp_path)
    assert encoder.calls == calls


def test_a_bi_encoder_alone_is_a_teacher_too(lists: CandidateLists, encoder) -> None:
    scored = score_candidates(lists, encoder)
    one = scored[5]
    texts = [lists.documents[d] for d in one.document_ids]
    assert np.allclose(one.scores, encoder.encode_document(texts) @ encoder.encode_query([one.query])[0], atol=1e-6)


def test_models_that_say_nothing_add_nothing() -> None:
    assert weighted_teacher([[1.0, 2.0], [5.0, 5.0]], [1, 1]).tolist() == [1.25, 1.75]


def test_a_teacher_that_scores_all_alike_is_refused(lists: CandidateLists) -> None:
    with pytest.raises(InputError, match=r"nothing to distil.*train-reranker.*distill --loss contrastive=1"):
        score_candidates(lists, Judge(lambda _query, _text: 0.5))
    # Apart between queries, but not within one, is no order either.
    with pytest.raises(InputError, match="nothing to distil"):
        score_candidates(lists, Judge(lambda query, _text: float(len(query))))


class Named:
    """A hosted teacher, known by its name alone."""

    fingerprint = "https://h.example#m"

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def witness(self):
        return np.linspace(0.1, 0.9, len(WITNESS_PAIRS), dtype=np.float32) * self.factor

    def predict(self, pairs):
        return np.array([overlap(*pair) for pair in pairs], dtype=np.float32) * self.factor

    def rank(self, query, texts):
        raise NotImplementedError


def test_another_model_behind_a_hosted_teachers_name_is_noticed(lists: CandidateLists, tmp_path: Path) -> None:
    score_candidates(lists, Named(1.0), cache_dir=tmp_path)
    score_candidates(lists, Named(1.0), cache_dir=tmp_path)
    with pytest.raises(FingerprintMismatchError):
        score_candidates(lists, Named(-1.0), cache_dir=tmp_path)


def test_weights_and_models_are_checked(lists: CandidateLists, encoder) -> None:
    with pytest.raises(ConfigurationError, match="2 models and 1 weights"):
        score_candidates(lists, [Judge(overlap), encoder], weights=[1])
    with pytest.raises(ConfigurationError, match="not all 0"):
        score_candidates(lists, [Judge(overlap), encoder], weights=[0, 0])
    with pytest.raises(ConfigurationError, match="got int"):
        score_candidates(lists, [3])  # type: ignore[list-item]
    assert teacher_fingerprint([Judge(overlap), encoder], [2, 1]) == [
        ["judge", 2.0],
        ["bag-of-words bag-of-words query", 1.0],
    ]


def test_a_full_disk_keeps_what_was_scored(lists: CandidateLists, tmp_path: Path, monkeypatch) -> None:
    before = ScoreCache._write

    def limited(self: ScoreCache, rows: dict) -> None:
        with self._open() as connection:
            connection.execute("PRAGMA max_page_count = 6")
        before(self, rows)

    monkeypatch.setattr(ScoreCache, "_write", limited)
    teacher = Judge(overlap)
    with pytest.raises(StorageFullError, match="disk is full"):
        score_candidates(lists, teacher, cache_dir=tmp_path, batch_size=50)
    monkeypatch.undo()
    with ScoreCache(tmp_path) as cache:
        kept = len(cache)
    assert kept > 0
    assert kept == teacher.asked - 50
    teacher.asked = 0
    score_candidates(lists, teacher, cache_dir=tmp_path)
    with ScoreCache(tmp_path) as cache:
        assert teacher.asked == len(cache) - kept


SCORING = """
import sys, time
import numpy as np
from bicross.distillation.lists import CandidateLists, ScoredList
from bicross.distillation.scoring import score_candidates
from test_scoring import synthetic

class Slow:
    fingerprint = "slow"
    def predict(self, pairs):
        with open(sys.argv[2], "a") as file:
            file.write("".join("x" for _ in pairs))
        time.sleep(float(sys.argv[3]))
        return np.array([float(text.split()[-1]) for _, text in pairs], dtype=np.float32)
    def rank(self, query, texts): raise NotImplementedError

score_candidates(synthetic(100, 20), Slow(), cache_dir=sys.argv[1], batch_size=50)
"""


def synthetic(queries: int, candidates: int) -> CandidateLists:
    documents = {f"d{i}": f"text {i}" for i in range(queries + candidates)}
    nothing = np.full(candidates, np.nan, dtype=np.float32)
    ranks, kinds = np.arange(1, candidates + 1, dtype=np.int32), ("dense",) * candidates
    return CandidateLists(
        (
            ScoredList(
                f"q{q}", f"query {q}", tuple(f"d{q + i}" for i in range(candidates)), nothing, nothing, kinds, ranks
            )
            for q in range(queries)
        ),
        documents,
    )


@pytest.mark.long
def test_kill_9_loses_at_most_one_batch(tmp_path: Path) -> None:
    log = tmp_path / "asked"
    path = ":".join([str(Path(__file__).parent), *sys.path])

    def start(pause: float) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", SCORING, str(tmp_path / "cache"), str(log), str(pause)]
        return subprocess.Popen(command, env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"})

    killed = start(0.05)
    while not log.exists() or log.stat().st_size < 500:
        assert killed.poll() is None
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    before = log.stat().st_size
    with ScoreCache(tmp_path / "cache") as cache:
        kept = len(cache)
    assert before - 50 <= kept <= before
    assert start(0).wait() == 0
    assert log.stat().st_size - before == 2000 - kept
    assert start(0).wait() == 0
    assert log.stat().st_size - before == 2000 - kept  # nothing was asked again


MEMORY = """
import resource, sys
import numpy as np
from bicross.distillation.scoring import score_candidates
from test_scoring import synthetic

class Fast:
    fingerprint = "fast"
    def predict(self, pairs): return np.arange(len(pairs), dtype=np.float32)
    def rank(self, query, texts): raise NotImplementedError

score_candidates(synthetic(31_250, 32), Fast(), cache_dir=sys.argv[1])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.long
def test_a_million_pairs_cost_less_than_two_gigabytes(tmp_path: Path) -> None:
    path = ":".join([str(Path(__file__).parent), *sys.path])
    command = [sys.executable, "-c", MEMORY, str(tmp_path)]
    done = subprocess.run(
        command, env={"PYTHONPATH": path, "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 2_000_000  # kilobytes
