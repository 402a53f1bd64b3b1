from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bicross.stores import ExactStore, QdrantStore, Store
from bicross.types import Floats, Passage

SERVER = os.environ.get("QDRANT_URL")
TRANSPORTS = ("exact", "edge", "client-memory", *(("server",) if SERVER else ()))


def open_store(transport: str, folder: Path) -> Store:
    """An empty store."""
    if transport == "exact":
        return ExactStore()
    if transport == "edge":
        return QdrantStore(path=folder / "store")
    if transport == "client-memory":
        from qdrant_client import QdrantClient

        return QdrantStore(client=QdrantClient(":memory:"))
    name = f"bicross-test-{uuid.uuid4().hex[:12]}"
    return QdrantStore(url=SERVER, api_key=os.environ.get("QDRANT_API_KEY"), collection=name)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder, in memory where there is room: the engine syncs its files, which a disk takes its time for."""
    shared = Path("/dev/shm")
    if not shared.is_dir() or shutil.disk_usage(shared).free < 2**30:
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="bicross-test-", dir=shared) as name:
        yield Path(name)


@pytest.fixture(params=TRANSPORTS)
def store(request: pytest.FixtureRequest, folder: Path) -> Iterator[Store]:
    opened = open_store(request.param, folder)
    yield opened
    if request.param == "server":
        opened.drop()
    opened.close()


@pytest.fixture
def make_passages() -> Callable[..., tuple[list[Passage], Floats]]:
    def make(count: int, dimension: int = 8, seed: int = 0) -> tuple[list[Passage], Floats]:
        rng = np.random.default_rng(seed)
        passages = [
            Passage(
                f"text {i}", id=f"p{i}", title=f"title {i % 3}", meta={"n": i, "even": i % 2 == 0}, source=f"s{i % 2}"
            )
            for i in range(count)
        ]
        return passages, rng.normal(size=(count, dimension)).astype(np.float32)

    return make
