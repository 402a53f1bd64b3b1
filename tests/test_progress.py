"""The bar says how fast it goes, and a caller is told how far it is."""

from __future__ import annotations

import sys
import time

import pytest

from bicross import BiEncoder, Passage, TwoStageRetriever
from bicross import progress as progress_module
from bicross.progress import announce, progress
from bicross.stores import ExactStore
from word_models import WordEncoder


def test_the_bar_shows_count_rate_and_time_left(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("scoring", 4, True) as advance:
        for _ in range(4):
            time.sleep(0.02)
            advance(1)
    shown = capsys.readouterr().err
    assert "scoring" in shown
    assert "4/4" in shown
    assert "/s" in shown
    assert "0:00:00" in shown


def test_nothing_is_shown_unless_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("scoring", 4) as advance:
        advance(4)
    assert capsys.readouterr().err == ""


def test_a_query_on_a_terminal_makes_no_bar(monkeypatch: pytest.MonkeyPatch, bi_encoder: BiEncoder) -> None:
    def made(*arguments: object) -> None:
        pytest.fail(f"a bar was made for {arguments}")

    monkeypatch.setattr(progress_module, "_bar", made)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    bi_encoder.encode_query("the red bird")
    with progress("scoring", 4) as advance:
        advance(4)


def test_a_bar_that_comes_late_counts_what_was_done_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress_module, "_PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with progress("scoring", 4) as advance:
        advance(3)
        time.sleep(0.03)
        advance(1)
    assert "4/4" in capsys.readouterr().err


def test_a_callable_is_told() -> None:
    told = []
    with progress("doing", 3, lambda *now: told.append(now)) as advance:
        advance(1)
        advance(2)
    announce("long", lambda *now: told.append(now))
    assert told == [("doing", 0, 3), ("doing", 1, 3), ("doing", 3, 3), ("long", 0, 0)]


def test_a_sync_is_followed_in_small_steps_and_ended_by_what_is_raised() -> None:
    passages = [Passage(f"the red bird {i}", id=str(i)) for i in range(300)]
    told: list[float] = []

    class EndedError(Exception):
        pass

    def tell(step: str, done: float, total: float) -> None:
        assert (step, total) == ("indexing", 300 - held)
        told.append(done)
        if done >= 128 and not held:
            raise EndedError

    held = 0
    retriever = TwoStageRetriever(WordEncoder(), ExactStore())
    with pytest.raises(EndedError):
        retriever.index(passages, show_progress=tell)
    held = retriever.store.count()
    assert told == [0, 64, 128]
    assert 128 <= held < 300
    told.clear()
    assert retriever.index(passages, show_progress=tell).new == 300 - held
    assert told[-1] == 300 - held
