"""One loaded model, shared by all who name it and dropped when the last one lets go."""

from __future__ import annotations

import json
import os
import sys
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from bicross.errors import CheckpointError, ClosedError, ConfigurationError, ForkedProcessError

T = TypeVar("T")

Files = tuple[tuple[str, int, int], ...]
"""Name, size in bytes and modification time in nanoseconds of files."""
PRECISIONS = ("float32", "auto", "bfloat16", "float16")
BACKENDS = ("auto", "torch")
_OPTIONS = ("dtype", "attn_implementation", "device_map", "quantization_config")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is loaded; part of the key under which it is shared."""

    device: str
    precision: str
    backend: str
    model_options: str
    trust_remote_code: bool

    @classmethod
    def check(
        cls,
        device: str,
        precision: str,
        backend: str,
        model_options: Mapping[str, Any] | None,
        trust_remote_code: bool,
    ) -> LoadOptions:
        """Validate the options and settle what "auto" stands for.

        Raises:
            ConfigurationError: An option that isn't known, or isn't JSON.
        """
        if precision not in PRECISIONS:
            raise ConfigurationError(f"precision must be one of {PRECISIONS}, got {precision!r}.")
        if backend not in BACKENDS:
            raise ConfigurationError(f"backend must be one of {BACKENDS}, got {backend!r}.")
        options = dict(model_options or {})
        if unknown := sorted(set(options) - set(_OPTIONS)):
            raise ConfigurationError(f"model_options may hold {_OPTIONS}, got {unknown[0]!r}.")
        try:
            text = json.dumps(options, sort_keys=True)
        except TypeError as error:
            raise ConfigurationError(f"model_options must be JSON values, got {options!r}: {error}.") from error
        precision = options.get("dtype", precision)
        if precision not in PRECISIONS:
            raise ConfigurationError(f"The dtype of model_options must be one of {PRECISIONS}, got {precision!r}.")
        from bicross.encoding.backends.torch import pick_device, pick_precision

        device = pick_device(device)
        return cls(device, pick_precision(precision, device), "torch", text, trust_remote_code)

    @property
    def precision_class(self) -> str:
        """The precisions that share a fingerprint: all floats are one class, each quantisation is another."""
        quantization = json.loads(self.model_options).get("quantization_config")
        return f"quantized {json.dumps(quantization, sort_keys=True)}" if quantization else "float"


class Lease(Generic[T]):
    """A share in a loaded model. `close` or garbage collection gives it back."""

    def __init__(self, key: Hashable, value: T) -> None:
        self._value: T | None = value
        self._pid = os.getpid()
        self._finalizer = weakref.finalize(self, _release, key)

    def get(self) -> T:
        """The model.

        Raises:
            ClosedError: After `close`.
            ForkedProcessError: In a forked child, where torch's threads are gone and a call would hang.
        """
        if self._value is None:
            raise ClosedError("A model can't be used after close(). Load it again.")
        if os.getpid() != self._pid:
            raise ForkedProcessError(
                "A model can't be used in a forked child process. Load it in the child, or start the child with the "
                "'spawn' or 'forkserver' method, which computes with all threads."
            )
        return self._value

    def close(self) -> None:
        """Give the share back; twice is harmless."""
        self._value = None
        self._finalizer()


class _Entry(Generic[T]):
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.value: T | None = None
        self.users = 0


_entries: dict[Hashable, _Entry[Any]] = {}
# Re-entrant, since garbage collection can run _release while this thread holds it.
_lock = threading.RLock()


def folder_state(*folders: Path) -> Files:
    """Name, size and time of the files of folders, sub-folders left out."""
    files = [path for folder in folders for path in sorted(folder.iterdir()) if path.is_file()]
    return tuple((str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files)


def check_unchanged(before: Files, now: Files) -> None:
    """Refuse to name a fingerprint by files that aren't those that were loaded.

    Raises:
        CheckpointError: A file was replaced since.
    """
    if before != now:
        changed = sorted({name for name, *_ in set(before) ^ set(now)})
        raise CheckpointError(
            f"A loaded model's files must stay as they are, got changes in {changed[:3]}. Close the model and load it "
            "again."
        )


def share(key: Hashable, load: Callable[[], T]) -> Lease[T]:
    """A lease on what was loaded under the key; the first caller loads, others wait for it."""
    with _lock:
        entry = _entries.setdefault(key, _Entry())
        entry.users += 1
    try:
        with entry.lock:
            if entry.value is None:
                entry.value = load()
    except BaseException:
        _release(key)
        raise
    return Lease(key, entry.value)


def loaded_models() -> int:
    """How many models are in memory now."""
    return len(_entries)


def _after_fork_in_child() -> None:
    """Forget the parent's models: torch's worker threads are gone, and what waits for them waits for ever."""
    global _lock  # noqa: PLW0603  # another thread may have held it at the fork
    _lock = threading.RLock()
    _entries.clear()
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)


os.register_at_fork(after_in_child=_after_fork_in_child)


def _release(key: Hashable) -> None:
    with _lock:
        entry = _entries.get(key)
        if entry is None:
            return
        entry.users -= 1
        if entry.users <= 0:
            del _entries[key]
