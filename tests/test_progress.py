"""The bar says how fast it goes."""

from __future__ import annotations

import time

import pytest

from bicross.progress import progress


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
