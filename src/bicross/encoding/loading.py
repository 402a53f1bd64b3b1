"""One loaded model, shared by all who name it and dropped when the last one lets go."""

from __future__ import annotations

import json
import logging
import os
import sys
import threading
import weakref
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar

from bicross.encoding.backends.choosing import Choice, choose, without_weights
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.hardware import usable_cores
from bicross.errors import CheckpointError, ClosedError, ConfigurationError, ForkedProcessError

T = TypeVar("T")
logger = logging.getLogger(__name__)

Files = tuple[tuple[str, int, int], ...]
"""Name, size in bytes and modification time in nanoseconds of files."""
_OPTIONS = ("dtype", "attn_implementation", "device_map", "quantization_config", "threads")


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How a model is loaded; part of the key under which it is shared.

    Attributes:
        device: Where it computes.
        choices: Backends and precisions, the preferred one first.
        without_weights: The same for a folder that holds graphs in place of the weights.
        model_options: What transformers gets, as JSON.
        trust_remote_code: Whether a checkpoint's own code may run.
        threads: How many threads a graph's call computes with; None: as many as there are cores where it is loaded.
    """

    device: str
    choices: tuple[Choice, ...]
    without_weights: tuple[Choice, ...]
    model_options: str
    trust_remote_code: bool
    threads: int | None

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
            MissingExtraError: The backend isn't installed.
        """
        options = dict(model_options or {})
        if unknown := sorted(set(options) - set(_OPTIONS)):
            raise ConfigurationError(f"model_options may hold {_OPTIONS}, got {unknown[0]!r}.")
        try:
            json.dumps(options, sort_keys=True)
        except TypeError as error:
            raise ConfigurationError(f"model_options must be JSON values, got {options!r}: {error}.") from error
        threads = _threads(options.pop("threads", None))
        precision = options.pop("dtype", precision)
        only_torch = options | ({"trust_remote_code": True} if trust_remote_code else {})
        device, choices = choose(backend, precision, device, only_torch)
        graphs = without_weights(backend, precision)
        if threads is not None and backend == "torch":
            raise ConfigurationError(
                "The threads of model_options are those of onnx and openvino, got them for torch, whose threads belong "
                "to the whole process. Set OMP_NUM_THREADS, or call torch.set_num_threads."
            )
        if threads is not None and choices[0].backend == "torch":
            logger.info("torch computes, whose threads belong to the whole process: threads=%d has no effect", threads)
        return cls(device, choices, graphs, json.dumps(options, sort_keys=True), trust_remote_code, threads)

    @property
    def precision(self) -> str:
        """What the preferred choice computes in."""
        return self.choices[0].precision

    def graph_threads(self) -> int:
        """How many threads a graph's call computes with: a worker may have fewer cores than were asked for."""
        cores = usable_cores()
        return min(self.threads or cores, cores)

    def for_torch(self, precision: str) -> TorchOptions:
        """What a torch backend is told, besides what to load."""
        return TorchOptions(self.device, precision, json.loads(self.model_options), self.trust_remote_code)

    @property
    def precision_class(self) -> str:
        """The precisions of torch that share a fingerprint: all floats are one class, each quantisation is another."""
        quantization = json.loads(self.model_options).get("quantization_config")
        return f"quantized {json.dumps(quantization, sort_keys=True)}" if quantization else "float"


def _threads(asked: Any) -> int | None:
    if asked is None:
        return None
    cores = usable_cores()
    if isinstance(asked, bool) or not isinstance(asked, int) or not 1 <= asked <= cores:
        raise ConfigurationError(
            f"The threads of model_options must be from 1 to {cores}, the cores that this process may use, got "
            f"{asked!r}."
        )
    return int(asked)


def first_possible(choices: Sequence[Choice], load: Callable[[Choice], T]) -> T:
    """What the first choice loads; where its graph can't be made or used, what the next one loads.

    Raises:
        CheckpointError, ConfigurationError: Of the last choice.
    """
    for choice, following in pairwise(choices):
        try:
            return load(choice)
        except (CheckpointError, ConfigurationError) as error:
            logger.warning("%s computes instead of %s: %s", following.backend, choice.backend, error)
    return load(choices[-1])


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
