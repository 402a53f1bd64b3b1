"""The share of a teacher's gain that a student has."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest

from bicross.distillation.measuring import measure_pair, recovered_share
from bicross.errors import InputError
from bicross.evaluation.datasets import Dataset
from judge import Judge

WORDS = [f"w{i}" for i in range(40)]


class Words:
    """An encoder that sees the words it knows."""

    def __init__(self, known: list[str]) -> None:
        self.known = known
        self.document_fingerprint = f"words {zlib.crc32(' '.join(known).encode())}"

    def encode_query(self, texts, /):
        texts = [texts] if isinstance(texts, str) else texts
        rows = [[float(text.split().count(word)) for word in self.known] + [0.01] for text in texts]
        return np.array(rows, dtype=np.float32)

    encode_document = encode_query


@pytest.fixture
def data() -> Dataset:
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, size=8)) for _ in range(60)]
    documents = {f"d{i}": text for i, text in enumerate(texts)}
    queries = {f"q{i}": " ".join(texts[i].split()[:3]) for i in range(30)}
    return Dataset("toy", documents, {}, queries, {f"q{i}": {f"d{i}": 1} for i in range(30)})


def test_the_three_are_measured_on_the_same_queries(data: Dataset, tmp_path: Path) -> None:
    teacher = Judge(lambda query, text: float(len(set(query.split()) & set(text.split()))))
    base, student = Words(WORDS[:10]), Words(WORDS[:30])
    report = measure_pair(base, teacher, data, student=student, candidates=60, cache_dir=tmp_path)
    assert report["queries"] == 30
    assert report["base"]["nDCG@10"] < report["student"]["nDCG@10"] < report["teacher"]["nDCG@10"]
    share = (report["student"]["nDCG@10"] - report["base"]["nDCG@10"]) / (
        report["teacher"]["nDCG@10"] - report["base"]["nDCG@10"]
    )
    assert report["recovered"]["share"] == pytest.approx(share)
    assert report["recovered"]["interval"][0] < share < report["recovered"]["interval"][1]
    assert report["tests"]["teacher"]["difference"] == pytest.approx(
        report["teacher"]["nDCG@10"] - report["base"]["nDCG@10"]
    )
    asked = teacher.asked
    assert measure_pair(base, teacher, data, candidates=60, cache_dir=tmp_path)["base"] == report["base"]
    assert teacher.asked == asked


def test_without_a_teacher_what_is_about_it_is_left_out(data: Dataset, tmp_path: Path) -> None:
    teacher, base, student = Judge(lambda _query, text: float(len(text))), Words(WORDS[:10]), Words(WORDS[:30])
    whole = measure_pair(base, teacher, data, student=student, cache_dir=tmp_path)
    alone = measure_pair(base, None, data, student=student, cache_dir=tmp_path)
    assert set(whole) - set(alone) == {"teacher", "student_two_stage", "recovered"}
    assert set(alone["tests"]) == {"student"}
    assert all(alone[name] == whole[name] for name in alone if name != "tests")
    assert alone["tests"]["student"] == whole["tests"]["student"]
    before = measure_pair(base, None, data)
    assert (before["base"], before["tests"]) == (whole["base"], {})


def test_a_share_by_hand() -> None:
    share = recovered_share([0.1, 0.3], [0.5, 0.5], [0.2, 0.6])
    assert share.share == pytest.approx(0.4 / 0.6)
    assert share.interval is not None
    assert share.interval[0] == pytest.approx(0.25)  # both resampled queries are the first: 0.1 of 0.4
    assert share.interval[1] == pytest.approx(1.5)  # ... the second: 0.3 of 0.2


def test_without_a_gain_there_is_no_share() -> None:
    assert recovered_share([0.5], [0.5], [0.9]).share is None
    with pytest.raises(InputError, match="same queries three times"):
        recovered_share([0.5], [0.5, 0.4], [0.9])
