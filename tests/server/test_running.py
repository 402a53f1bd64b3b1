"""The process around the app."""

from __future__ import annotations

import signal

import pytest

from bicross.server import create_app, running


def test_signals_that_come_later_are_heeded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def handlers() -> list[object]:
        return [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)]

    before, while_serving = handlers(), []

    class Server:
        def __init__(self, config: object) -> None:
            pass

        def run(self) -> None:
            while_serving.extend(handlers())
            signal.raise_signal(signal.SIGTERM)  # as uvicorn does at its end

    monkeypatch.setattr(running.uvicorn, "Server", Server)
    running.serve(create_app())
    assert handlers() == before
    assert not set(while_serving) & set(before)
