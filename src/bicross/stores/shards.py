"""One open shard per collection folder and process, shared by all stores that use it."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from bicross.errors import BicrossError, CollectionNotFoundError, StoreError, StoreLockedError
from bicross.stores.folder import LOCK, SIDECAR, Folder
from bicross.stores.gate import Gate
from bicross.stores.optimizing import optimize_in_child
from bicross.stores.schema import Header

logger = logging.getLogger(__name__)

MANY = 2_500_000
"""Numbers in vectors without an index, from which the engine builds one: in seconds, and in a process of its own."""
_FLUSH_EVERY = 256 * 1024 * 1024


class Engine(Protocol):
    """What differs from engine to engine. A shard has the methods update, optimize, flush and close."""

    def load(self, path: Path, header: Header) -> Any:
        """Open a shard."""
        ...

    def make(self, path: Path, header: Header) -> Any:
        """Create a shard, on disk when this returns."""
        ...

    def count(self, shard: Any) -> int:
        """Number of points in a shard."""
        ...

    def unindexed(self, shard: Any) -> int:
        """Number of points that aren't in its approximate index."""
        ...


class SharedShard:
    """A collection folder as this process has it open: once, whoever many stores use it."""

    def __init__(self, path: Path, engine: Engine) -> None:
        self.folder = Folder(path)
        self.users = 0
        self.header: Header | None = None
        self._writing = threading.RLock()
        self._gate = Gate()
        self._engine = engine
        self._shard: Any = None
        self._vouched = False
        self._unflushed = 0
        self._writes = 0

    @property
    def shard(self) -> Any:
        """The engine's open shard.

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
        with engine_errors(folder.path, "open"):
            shard = self._engine.load(folder.shard, header)
            count, expected = self._engine.count(shard), folder.sealed_count()
            if expected is not None and count != expected:
                shard.close()
                raise _damaged(folder.path, f"it opens with {count} passages, and had {expected} when last closed")
        self._shard, self.header = shard, header
        self._vouched = expected is not None or bool(folder.notes())

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
        with engine_errors(self.folder.path, "create"):
            self._shard = self._engine.make(path, header)

    def write_header(self, header: Header) -> None:
        """Replace the sidecar."""
        with self._writing:
            self._before_writing()
            self.folder.write_header(header)
            self.header = header

    def _before_writing(self) -> None:
        self._writes += 1
        if self._vouched:
            self.folder.unseal()
            self._vouched = False

    def writes(self) -> int:
        """How often this process has written."""
        return self._writes

    def noted(self, name: str) -> str | None:
        """What was noted under a name, if nothing has been written since, by whatever process."""
        with self._writing:
            return self.folder.notes().get(name)

    def note(self, name: str, value: str, writes: int) -> None:
        """Note something of what the collection holds, unless there were more writes than the given number."""
        with self._writing:
            if self._shard is not None and self._writes == writes:
                self.flush()
                self._vouched = True
                with contextlib.suppress(StoreError):  # a comparison more, no data less
                    self.folder.note(name, value)

    def write(self, operations: Iterable[Any], size: int) -> None:
        """Apply operations; size is what they take at most. **Unit:** bytes."""
        with self._writing, engine_errors(self.folder.path, "write"):
            self.folder.check_space(size)
            self._before_writing()
            for operation in operations:
                self.shard.update(operation)
            self._unflushed += size
            if self._unflushed > _FLUSH_EVERY:  # the engine trims its log where it is flushed; else the log only grows
                self.flush()

    @contextlib.contextmanager
    def reading(self) -> Iterator[Any]:
        """The engine's open shard, which stays open until the end of the block."""
        with engine_errors(self.folder.path, "read"), self._gate.inside():
            yield self.shard

    def optimize(self) -> bool:
        """Build the index: of many points in a process of its own, with the shard closed meanwhile; readers wait."""
        with self._writing, engine_errors(self.folder.path, "optimise"):
            self.folder.check_space(self.folder.size())
            dimension = self.header.dimension if self.header else 1
            if self._engine.unindexed(self.shard) * dimension < MANY or not sys.executable:
                return bool(self.shard.optimize())
            self.flush()
            logger.info("Building the index of %s in a process of its own; searches of it wait", self.folder.path)
            with self._gate.shut():
                count = self._engine.count(self.shard)
                self.shard.close()
                try:
                    return optimize_in_child(self.folder.path)
                finally:
                    self._shard = None
                    self._load()
                    if (now := self._engine.count(self.shard)) != count:
                        raise _damaged(self.folder.path, f"it opens with {now} passages, and had {count}")

    def flush(self) -> None:
        """Force everything to the disk."""
        with self._writing, engine_errors(self.folder.path, "flush"):
            self.shard.flush()
            self._unflushed = 0

    def close(self) -> None:
        """Flush, release the engine, let other processes in."""
        with self._writing:
            shard, self._shard, self.header = self._shard, None, None
            try:
                if shard is not None:
                    with engine_errors(self.folder.path, "close"):
                        count = self._engine.count(shard)
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
                    with engine_errors(self.folder.path, "close"):
                        shard.close()
                self.folder.discard()
            finally:
                self.folder.unlock()


class Registry:
    """Every shard that this process has open, by the real path of its folder."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        # Re-entrant, since garbage collection can close a forgotten store while this thread holds it.
        self._lock = threading.RLock()
        self._shards: dict[str, SharedShard] = {}
        self._inherited: list[SharedShard] = []

    def acquire(self, path: Path) -> SharedShard:
        """The shard of a folder, to be given back to `release`; nothing is opened yet."""
        key = os.path.realpath(path)
        with self._lock:
            shared = self._shards.setdefault(key, SharedShard(Path(key), self._engine))
            shared.users += 1
            self._shards[key] = shared  # such a close may have just taken it out
            return shared

    def release(self, shared: SharedShard) -> None:
        """Close the shard when its last user leaves."""
        with self._lock:
            shared.users -= 1
            if shared.users == 0:
                self._shards.pop(str(shared.folder.path), None)
                shared.close()

    def forget(self) -> None:
        """In a forked child: leave the parent's shards alone, and don't keep their files locked after the parent."""
        self._lock = threading.RLock()
        folders = tuple(f"{path}{os.sep}" for path in self._shards)
        # Kept for ever: the engine's destructor would wait for threads that don't exist in the child.
        self._inherited += self._shards.values()
        self._shards = {}
        if not folders:
            return
        held: list[tuple[bool, int]] = []
        for link in list(Path("/proc/self/fd").iterdir()):
            with contextlib.suppress(OSError):
                if str(target := link.readlink()).startswith(folders):
                    held.append((target.name == LOCK, int(link.name)))
        # The folder's own lock last: the parent, which may open the folder again meanwhile, waits for that one.
        for _, descriptor in sorted(held):
            with contextlib.suppress(OSError):
                os.close(descriptor)


@contextlib.contextmanager
def engine_errors(path: Path, action: str) -> Iterator[None]:
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
