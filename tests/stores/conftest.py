from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
from qdrant_client import QdrantClient

from bicross.stores import ExactStore, QdrantStore, Store
from bicross.types import Floats, Passage

from .stub_server import serve

SERVER = os.environ.get("QDRANT_URL")
HTTP = pytest.param("client-http", marks=pytest.mark.long)
TRANSPORTS = ("exact", "edge", "client-memory", HTTP, *(("server",) if SERVER else ()))


@contextmanager
def opened(transport: str, folder: Path) -> Iterator[Store]:
    """An empty store; what it leaves is removed."""
    with ExitStack() as stack:
        store: Store
        if transport == "exact":
            store = ExactStore()
        elif transport == "edge":
            store = QdrantStore(path=folder / "store")
        elif transport == "client-memory":
            store = QdrantStore(client=QdrantClient(":memory:"))
        elif transport == "client-http":
            store = QdrantStore(url=stack.enter_context(serve()).url)
        else:
            name = f"bicross-test-{uuid.uuid4().hex[:12]}"
            store = QdrantStore(url=SERVER, api_key=os.environ.get("QDRANT_API_KEY"), collection=name)
        with store:
            yield store
        if transport == "server":
            with QdrantStore(url=SERVER, api_key=os.environ.get("QDRANT_API_KEY"), collection=name) as again:
                again.drop()


@pytest.fixture(scope="session", autouse=True)
def _quick(quick_clients: None) -> None:
    """Hundreds of clients are opened here."""


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
    with opened(request.param, folder) as fresh:
        yield fresh


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
