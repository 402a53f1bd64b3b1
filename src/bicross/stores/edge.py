"""The embedded transport: Qdrant's engine in this process, one shard per collection folder."""
# ruff: noqa: D102  (the methods are described by Transport and Dialect)

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import qdrant_edge as edge

from bicross.errors import BicrossError, ClosedError, CollectionNotFoundError, StoreError, StoreLockedError
from bicross.stores.filters import Node
from bicross.stores.folder import SIDECAR, Folder
from bicross.stores.inputs import COLLECTION_NAME
from bicross.stores.schema import INDEXED_FIELDS, SPARSE, Header
from bicross.stores.transport import Point, Row, Transport, as_lists, translate
from bicross.types import Floats

_DISTANCES = {"cosine": edge.Distance.Cosine, "dot": edge.Distance.Dot}
_FLUSH_EVERY = 256 * 1024 * 1024


class SharedShard:
    """A collection folder as this process has it open: once, whoever many stores use it."""

    def __init__(self, path: Path) -> None:
        self.folder = Folder(path)
        self.users = 0
        self.header: Header | None = None
        self._writing = threading.RLock()
        self._shard: edge.EdgeShard | None = None
        self._sealed = False
        self._unflushed = 0

    @property
    def shard(self) -> edge.EdgeShard:
        """The open shard.

        Raises:
            CollectionNotFoundError: Another store dropped it.
        """
        if self._shard is None:
            raise CollectionNotFoundError(f"The collection in {str(self.folder.path)!r} was dropped meanwhile.")
        return self._shard

    def open(self) -> Header | None:
        """Open what is there; None where there is no collection."""
        if self._shard is None and self.folder.exists():
            with self._writing:
                if self._shard is None:
                    self.folder.lock()
                    try:
                        self._load()
                    finally:
                        if self._shard is None:
                            self.folder.unlock()
        return self.header

    def _load(self) -> None:
        folder = self.folder
        header = folder.read_header()
        if header is None:
            if folder.is_unborn():
                shutil.rmtree(folder.shard, ignore_errors=True)
            elif folder.shard.exists():
                raise _damaged(folder.path, f"its {SIDECAR} is missing")
            return
        if not folder.shard.exists():
            raise _damaged(folder.path, "its shard is missing")
        folder.finish_birth()
        with edge_errors(folder.path, "open"):
            shard = edge.EdgeShard.load(str(folder.shard), _config(header))
            count, expected = shard.count(edge.CountRequest()), folder.sealed_count()
            if expected is not None and count != expected:
                shard.close()
                raise _damaged(folder.path, f"it opens with {count} passages, and had {expected} when last closed")
        self._shard, self.header, self._sealed = shard, header, expected is not None

    def create(self, header: Header) -> Header:
        """Make the collection, unless there is one."""
        with self._writing:
            existing = self.open()
            if existing is not None:
                return existing
            self.folder.lock()
            try:
                self.folder.check_space(0)
                self.folder.install(lambda path: self._make(path, header), header)
                self.header = header
            finally:
                if self.header is None:
                    self._shard = None
                    self.folder.unlock()
            return header

    def _make(self, path: Path, header: Header) -> None:
        with edge_errors(self.folder.path, "create"):
            self._shard = edge.EdgeShard.create(str(path), _config(header))
            for field in INDEXED_FIELDS:
                self._shard.update(edge.UpdateOperation.create_field_index(field, edge.PayloadSchemaType.Keyword))
            self._shard.flush()

    def write_header(self, header: Header) -> None:
        """Replace the sidecar."""
        with self._writing:
            self.folder.write_header(header)
            self.header = header

    def write(self, operations: Iterable[edge.UpdateOperation], size: int) -> None:
        """Apply operations; size is what they take at most. **Unit:** bytes."""
        with self._writing, edge_errors(self.folder.path, "write"):
            self.folder.check_space(size)
            if self._sealed:
                self.folder.unseal()
                self._sealed = False
            for operation in operations:
                self.shard.update(operation)
            self._unflushed += size
            if self._unflushed > _FLUSH_EVERY:  # the engine trims its log where it is flushed; else the log only grows
                self.flush()

    def optimize(self) -> bool:
        """Build the index."""
        with self._writing, edge_errors(self.folder.path, "optimise"):
            self.folder.check_space(self.folder.size())
            return self.shard.optimize()

    def flush(self) -> None:
        """Force everything to the disk."""
        with self._writing, edge_errors(self.folder.path, "flush"):
            self.shard.flush()
            self._unflushed = 0

    def close(self) -> None:
        """Flush, release the engine, let other processes in."""
        with self._writing:
            shard, self._shard, self.header = self._shard, None, None
            try:
                if shard is not None:
                    with edge_errors(self.folder.path, "close"):
                        count = shard.count(edge.CountRequest())
                        shard.flush()
                        shard.close()
                        self.folder.seal(count)
            finally:
                self.folder.unlock()

    def drop(self) -> None:
        """Remove the collection, even a damaged one."""
        with self._writing:
            if not self.folder.exists():
                return
            self.folder.lock()
            shard, self._shard, self.header = self._shard, None, None
            try:
                if shard is not None:
                    with edge_errors(self.folder.path, "close"):
                        shard.close()
                self.folder.discard()
            finally:
                self.folder.unlock()


class _Registry:
    """Every shard that this process has open, by the real path of its folder."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shards: dict[str, SharedShard] = {}
        self._inherited: list[SharedShard] = []

    def acquire(self, path: Path) -> SharedShard:
        key = os.path.realpath(path)
        with self._lock:
            shared = self._shards.setdefault(key, SharedShard(Path(key)))
            shared.users += 1
            return shared

    def release(self, shared: SharedShard) -> None:
        with self._lock:
            shared.users -= 1
            if shared.users == 0:
                self._shards.pop(str(shared.folder.path), None)
                shared.close()

    def forget(self) -> None:
        """In a forked child: leave the parent's shards alone, and don't keep their files locked after the parent."""
        self._lock = threading.Lock()
        folders = tuple(f"{path}{os.sep}" for path in self._shards)
        # Kept for ever: the engine's destructor would wait for threads that don't exist in the child.
        self._inherited += self._shards.values()
        self._shards = {}
        if not folders:
            return
        for link in list(Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(OSError):
                if str(link.readlink()).startswith(folders):
                    os.close(int(link.name))


_registry = _Registry()
os.register_at_fork(after_in_child=_registry.forget)


class EdgeTransport:
    """One collection under a folder; None as the folder = a temporary one, deleted on close."""

    def __init__(self, root: Path | None, collection: str) -> None:
        self._root = root
        self._collection = collection
        self._temporary = root is None
        self._lock = threading.Lock()
        self._held: SharedShard | None = None
        self._process: int | None = None
        self._closed = False

    @property
    def place(self) -> str:
        return ":memory:" if self._temporary else str(self._root)

    def _shared(self) -> SharedShard:
        held = self._held
        if held is None:
            with self._lock:
                if self._closed:
                    raise ClosedError(f"The store of collection {self._collection!r} was closed meanwhile.")
                if self._held is None:
                    self._process = os.getpid()
                    self._root = self._root or Path(tempfile.mkdtemp(prefix="bicross-"))
                    self._held = _registry.acquire(self._root / self._collection)
                held = self._held
        return held

    def header(self) -> Header | None:
        return self._shared().open()

    def create(self, header: Header) -> Header:
        return self._shared().create(header)

    def write_header(self, header: Header) -> None:
        self._shared().write_header(header)

    def drop(self) -> None:
        self._shared().drop()

    def collections(self) -> Iterator[tuple[str, Transport]]:
        root = self._shared().folder.path.parent
        for sidecar in sorted(root.glob(f"*/{SIDECAR}")):
            name = sidecar.parent.name
            if COLLECTION_NAME.fullmatch(name):
                transport = EdgeTransport(root, name)
                try:
                    yield name, transport
                finally:
                    transport.close()

    def sizes(self) -> tuple[int, int | None]:
        with self._reading() as shard:
            indexed = shard.info().indexed_vectors_count
        return indexed, self._shared().folder.size()

    def upsert(self, points: Sequence[Point], size: int) -> None:
        batch = [
            edge.Point(point.id, vector, point.payload) for point, vector in zip(points, as_lists(points), strict=True)
        ]
        self._shared().write([edge.UpdateOperation.upsert_points(batch)], size)

    def overwrite(self, payloads: Sequence[tuple[str, dict[str, Any]]], size: int) -> None:
        overwrite = edge.UpdateOperation.overwrite_payload
        self._shared().write((overwrite([point], payload) for point, payload in payloads), size)

    def delete(self, ids: Sequence[str]) -> None:
        self._shared().write([edge.UpdateOperation.delete_points(list(ids))], 64 * len(ids))

    def retrieve(self, ids: Sequence[str], fields: Sequence[str] | None, *, vectors: bool = False) -> list[Row]:
        with self._reading() as shard:
            records = shard.retrieve(list(ids), _selection(fields), vectors)
        return [_row(record) for record in records]

    def scroll(self, node: Node | None, fields: Sequence[str] | None, limit: int, start: Any) -> tuple[list[Row], Any]:
        request = edge.ScrollRequest(
            offset=start, limit=limit, filter=translate(node, EdgeDialect()), with_payload=_selection(fields)
        )
        with self._reading() as shard:
            records, following = shard.scroll(request)
        return [_row(record) for record in records], following

    def count(self, node: Node | None) -> int:
        with self._reading() as shard:
            return shard.count(edge.CountRequest(exact=True, filter=translate(node, EdgeDialect())))

    def query(self, vector: Floats, limit: int, ef: int, node: Node | None) -> list[Row]:
        request = edge.QueryRequest(
            limit=limit,
            query=edge.Query.Nearest(vector.tolist()),
            filter=translate(node, EdgeDialect()),
            params=edge.SearchParams(hnsw_ef=ef),
            with_payload=True,
        )
        with self._reading() as shard:
            return [_row(point) for point in shard.query(request)]

    def optimize(self) -> bool:
        return self._shared().optimize()

    def flush(self) -> None:
        self._shared().flush()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            held, self._held = self._held, None
            if held is None or self._process != os.getpid():
                return
            try:
                _registry.release(held)
            finally:
                if self._temporary and self._root is not None:
                    shutil.rmtree(self._root, ignore_errors=True)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[edge.EdgeShard]:
        shared = self._shared()
        with edge_errors(shared.folder.path, "read"):
            yield shared.shard


class EdgeDialect:
    """Conditions in the engine's classes."""

    def group(
        self, *, must: list[Any] | None = None, should: list[Any] | None = None, must_not: list[Any] | None = None
    ) -> edge.Filter:
        return edge.Filter(must=must, should=should, must_not=must_not)

    def has_id(self, ids: Iterable[str]) -> edge.HasIdCondition:
        return edge.HasIdCondition(set(ids))

    def is_empty(self, key: str) -> edge.IsEmptyCondition:
        return edge.IsEmptyCondition(key)

    def strings(self, key: str, values: Sequence[str]) -> edge.FieldCondition:
        return edge.FieldCondition(key, match=edge.MatchAny(list(values)))

    def exactly(self, key: str, value: bool | int) -> edge.FieldCondition:
        # qdrant-edge-py 0.9 takes a Python bool for an integer, but numpy's for what it is.
        exact: Any = np.bool_(value) if isinstance(value, bool) else value
        return edge.FieldCondition(key, match=edge.MatchValue(exact))

    def numbers(self, key: str, bounds: Mapping[str, float]) -> edge.FieldCondition:
        return edge.FieldCondition(key, range=edge.RangeFloat(**bounds))

    def dates(self, key: str, bounds: Mapping[str, datetime]) -> edge.FieldCondition:
        texts = {name: bound.isoformat() for name, bound in bounds.items()}
        return edge.FieldCondition(key, range=edge.RangeDateTime(**texts))


@contextlib.contextmanager
def edge_errors(path: Path, action: str) -> Iterator[None]:
    """Turn the engine's errors, which are bare Exceptions and Rust panics, into this package's.

    Raises:
        StoreLockedError: Another process has the shard.
        StoreError: Anything else; the message names the folder.
    """
    try:
        yield
    except BicrossError:
        raise
    except OSError as error:
        raise Folder(path).refusal(error) from error
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        if "WouldBlock" in str(error):
            raise StoreLockedError(
                f"The shard in {str(path)!r} is locked, perhaps by a child that this process forked. End that process."
            ) from error
        reason = (str(error) or type(error).__name__).splitlines()[0].removeprefix("Service runtime error: ")
        raise StoreError(
            f"The collection in {str(path)!r} failed to {action}: {reason}. If it stays so, the folder is damaged: "
            "restore it from a backup, or delete it and index again."
        ) from error


def _damaged(path: Path, reason: str) -> StoreError:
    return StoreError(
        f"The collection in {str(path)!r} is damaged: {reason}. Restore the folder from a backup, or delete it and "
        "index again."
    )


def _config(header: Header) -> edge.EdgeConfig:
    return edge.EdgeConfig(
        vectors={"": edge.EdgeVectorParams(size=header.dimension, distance=_DISTANCES[header.distance])},
        sparse_vectors={SPARSE: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
    )


def _selection(fields: Sequence[str] | None) -> bool | list[str]:
    if fields is None:
        return True
    return list(fields) if fields else False


def _row(record: edge.Record | edge.ScoredPoint) -> Row:
    vector: Any = record.vector or None
    return Row(str(record.id), record.payload or {}, vector, getattr(record, "score", 0.0))
