"""Each stage as a child run of whoever asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from langchain_core.callbacks import CallbackManager, Callbacks

from bicross.types import Observer


def child_runs(callbacks: Callbacks) -> Observer:
    """An observer that opens a run for each stage; its outputs are the stage's counts and fingerprints, no texts."""
    manager = CallbackManager.configure(inheritable_callbacks=callbacks)

    @contextmanager
    def observe(stage: str) -> Iterator[dict[str, Any]]:
        run = manager.on_chain_start(None, {}, name=stage)
        tags: dict[str, Any] = {}
        try:
            yield tags
        except BaseException as error:
            run.on_chain_error(error)
            raise
        run.on_chain_end(tags)

    return observe
