"""A collection's folder: who may open it, what its sidecar says, and how it comes into being and goes in one step."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bicross.errors import StorageFullError, StoreError, StoreLockedError
from bicross.stores.schema import Header

SIDECAR = "bicross.json"
_SHARD = "shard"
LOCK = "lock"
_SEAL = "closed.json"
_NOTES = "synced.json"
_UNBORN = "unborn"
_FORK_SECONDS = 1.0
_DROPPED = "~dropped-"  # no legal collection name begins so
_RESERVE = 256 * 1024 * 1024


class Folder:
    """``<store>/<collection>/`` with the sidecar, the lock file and the shard's folder.

    The sidecar is written last and the whole folder renamed away first, so that a collection exists exactly as long
    as its sidecar does, whenever the process is killed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shard = path / _SHARD
        self._lock: int | None = None

    def exists(self) -> bool:
        """Whether there may be a collection."""
        return (self.path / SIDECAR).exists() or self.shard.exists()

    def lock(self) -> None:
        """Make this process the one that has the folder open, making the folder where there is none.

        Raises:
            StoreLockedError: Another process has it open.
            StoreError: The folder can't be written.
        """
        patience = time.monotonic() + _FORK_SECONDS
        while self._lock is None:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
            except OSError as error:
                raise self.refusal(error) from error
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if not self._is_current(descriptor):
                    os.close(descriptor)
                    continue
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            except BlockingIOError as error:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                os.close(descriptor)
                if holder == str(os.getpid()) and time.monotonic() < patience:
                    time.sleep(0.005)  # a child that was forked just now is about to close its copy
                    continue
                raise StoreLockedError(
                    f"One process at a time may open an embedded store; process {holder or '(unknown)'} has "
                    f"{str(self.path)!r} open. Close it there, or serve both from a Qdrant server (url=…)."
                ) from error
            except OSError as error:
                os.close(descriptor)
                raise self.refusal(error) from error
            self._lock = descriptor

    def _is_current(self, descriptor: int) -> bool:
        # Between our open and our lock the last holder may have dropped the collection, and the file with it.
        try:
            return os.path.samestat(os.fstat(descriptor), (self.path / LOCK).stat())
        except FileNotFoundError:
            return False

    def unlock(self) -> None:
        """Let other processes in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def read_header(self) -> Header | None:
        """The sidecar's header; None where there is no sidecar.

        Raises:
            StoreError: It is damaged.
        """
        file = self.path / SIDECAR
        try:
            return Header.from_dict(json.loads(file.read_bytes()), repr(str(file)))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self.refusal(error) from error
        except ValueError as error:
            raise StoreError(
                f"{str(file)!r} is not JSON ({error}). Restore it from a backup, or delete the folder and index again."
            ) from error

    def write_header(self, header: Header) -> None:
        """Replace the sidecar in one step."""
        self._replace(SIDECAR, header.to_dict())

    def _replace(self, name: str, values: dict[str, Any]) -> None:
        """Replace a file in one step, on disk when this returns."""
        file = self.path / name
        temporary = file.with_suffix(".new")
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                json.dump(values, stream, indent=2)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(file)
            _sync_folder(self.path)
        except OSError as error:
            raise self.refusal(error) from error

    def install(self, make: Callable[[Path], None], header: Header) -> None:
        """Build the shard and write the sidecar; a marker tells a half-built shard from one whose sidecar is lost."""
        try:
            (self.path / _UNBORN).touch()
            _sync_folder(self.path)
            make(self.shard)
            self.write_header(header)
            self.finish_birth()
        except OSError as error:
            raise self.refusal(error) from error

    def finish_birth(self) -> None:
        """Take the marker away: from now on, a shard without a sidecar is damage."""
        (self.path / _UNBORN).unlink(missing_ok=True)

    def is_unborn(self) -> bool:
        """Whether a process was killed in `install`; nothing in the shard was acknowledged then."""
        return (self.path / _UNBORN).exists() and not (self.path / SIDECAR).exists()

    def seal(self, count: int) -> None:
        """Note, on closing, how many passages there are: a damaged shard may open with fewer and say nothing."""
        with contextlib.suppress(OSError):  # a check less, no data less
            (self.path / _SEAL).write_text(json.dumps({"count": count}), encoding="utf-8")

    def sealed_count(self) -> int | None:
        """How many passages there were at the last close; None where a process was killed since."""
        try:
            count = json.loads((self.path / _SEAL).read_bytes())["count"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return count if isinstance(count, int) else None

    def notes(self) -> dict[str, str]:
        """What was noted of what the collection holds, and nothing has been written since."""
        try:
            notes = json.loads((self.path / _NOTES).read_bytes())
        except (OSError, ValueError):
            return {}
        return notes if isinstance(notes, dict) else {}

    def note(self, name: str, value: str) -> None:
        """Note something of what the collection holds now."""
        self._replace(_NOTES, self.notes() | {name: value})

    def unseal(self) -> None:
        """Take both back, before writing: after a power failure they must not vouch for what came later."""
        there = [path for name in (_SEAL, _NOTES) if (path := self.path / name).exists()]
        for path in there:
            path.unlink()
        if there:
            _sync_folder(self.path)

    def discard(self) -> None:
        """Remove the folder: renamed in one step, then deleted, with what killed processes left of such folders."""
        try:
            self.path.rename(self.path.with_name(f"{_DROPPED}{uuid.uuid4().hex}"))
            _sync_folder(self.path.parent)
        except OSError as error:
            raise self.refusal(error) from error
        for leftover in self.path.parent.glob(f"{_DROPPED}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def size(self) -> int:
        """Space taken on disk (the engine's files are sparse). **Unit:** bytes."""
        total = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                try:
                    total += Path(folder, name).stat().st_blocks * 512
                except FileNotFoundError:  # the engine removes files as it merges
                    continue
        return total

    def check_space(self, size: int) -> None:
        """Refuse to write where the disk is nearly full: the engine maps its files and would die of SIGBUS.

        Args:
            size: What is about to be written. **Unit:** bytes.

        Raises:
            StorageFullError: Less is free than twice that and a reserve.
        """
        free = shutil.disk_usage(self.path).free
        if free < 2 * size + _RESERVE:
            raise StorageFullError(
                f"Writing {size:,} bytes safely needs {2 * size + _RESERVE:,} free; the disk of {str(self.path)!r} has "
                f"{free:,}. Free some space and run again; nothing acknowledged is lost."
            )

    def refusal(self, error: OSError) -> StoreError:
        """What to raise for an error of the file system."""
        if error.errno == errno.ENOSPC:
            return StorageFullError(f"The disk of {str(self.path)!r} is full. Free some space and run again.")
        return StoreError(
            f"An embedded store must be able to write its folder, even to read; {str(self.path)!r} can't be used: "
            f"{error.strerror or error}. Choose another path."
        )


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
