"""A run's folder: its manifest, and stages that are skipped while what they were made from stays the same."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import platform
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from bicross.errors import ConfigurationError
from bicross.whole_file import whole_file

logger = logging.getLogger(__name__)

FORMAT = 1
_PACKAGES = ("bicross", "numpy", "torch", "transformers", "tokenizers", "accelerate", "peft", "pyarrow", "datasets")


class RunFolder:
    """A folder of stages, each of which is done once.

    ``run.json`` is the manifest: the run's settings, the versions of the packages in the last call, and for every stage
    the versions that did it, a hash of what went in, the hashes of the files that came out, what it found, and how long
    it took. It is replaced as a whole after every stage, so that a kill leaves a manifest that is true.

    Args:
        folder: Created where it doesn't exist.
        recipe: JSON values that say what the run is about, for the reader; the stages' inputs decide what is done.

    Raises:
        ConfigurationError: The folder's manifest has another format, it holds other files and no manifest, or another
            process works in it.
    """

    def __init__(self, folder: str | Path, recipe: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.skipped: list[str] = []
        self.done: list[str] = []
        manifest = self._read()
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / "run.lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise ConfigurationError(
                f"One process works in a run's folder; another one is in {str(self.folder)!r}. Wait for it, or name "
                "another folder."
            ) from None
        self.manifest: dict[str, Any] = {
            "format": FORMAT,
            "recipe": _jsonable(recipe),
            "versions": _versions(),
            "stages": manifest.get("stages", {}),
        }
        self._write()

    def close(self) -> None:
        """Let other processes work in the folder."""
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def stage(
        self,
        name: str,
        inputs: Mapping[str, Any],
        do: Callable[[], Mapping[str, Any] | None],
        *,
        outputs: Sequence[str] = (),
        state: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Do a stage, or find that it is done.

        Args:
            name: The stage's name.
            inputs: JSON values on which its result depends.
            do: Does it, and returns what it found (JSON values).
            outputs: Files and folders that it makes, within the run's folder. Those left over from other inputs, or
                half-made by a kill, are removed before it begins.
            state: Where it keeps what it needs to go on after a kill; removed where the inputs have changed.

        Returns:
            What it found, now or earlier.
        """
        stages, key = self.manifest["stages"], _digest(json.dumps(_jsonable(inputs), sort_keys=True).encode())
        entry = stages.get(name, {})
        if entry.get("key") == key and entry.get("outputs") == self._hashes(outputs):
            self.skipped.append(name)
            logger.info("%s: nothing changed", name)
            return dict(entry["found"])
        for path in (*outputs, *(state if entry.get("key") != key else ())):
            _remove(self.folder / path)
        stages[name] = {"key": key, "inputs": _jsonable(inputs), "versions": self.manifest["versions"]}
        self._write()
        logger.info("%s …", name)
        started = time.monotonic()
        found = _jsonable(do() or {})
        stages[name] |= {
            "outputs": self._hashes(outputs),
            "found": found,
            "seconds": round(time.monotonic() - started, 1),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._write()
        self.done.append(name)
        return dict(found)

    def found(self, name: str) -> dict[str, Any]:
        """What a stage found."""
        return dict(self.manifest["stages"][name]["found"])

    def hash_of(self, name: str) -> str:
        """A hash of what a stage was made from and made: an input of those that go on from it."""
        entry = self.manifest["stages"][name]
        return _digest(json.dumps([entry["key"], entry["outputs"]], sort_keys=True).encode())

    def _read(self) -> dict[str, Any]:
        path = self.folder / "run.json"
        if not path.exists():
            strangers = sorted(p.name for p in self.folder.iterdir()) if self.folder.is_dir() else []
            if set(strangers) - {"run.lock", "run.json.part", "cache"}:
                raise ConfigurationError(
                    f"A run begins in a new or empty folder; {str(self.folder)!r} holds {strangers[0]!r} and no "
                    "run.json. Name another folder."
                )
            return {}
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest.get("format") != FORMAT:
            raise ConfigurationError(
                f"This version of bicross goes on with runs of format {FORMAT}; the one in {str(self.folder)!r} has "
                f"format {manifest.get('format')!r} (bicross {manifest.get('versions', {}).get('bicross')}). Name "
                "another folder; its cache can be kept with --cache."
            )
        return dict(manifest)

    def _write(self) -> None:
        with whole_file(self.folder / "run.json") as part:
            part.write_text(json.dumps(self.manifest, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def _hashes(self, outputs: Sequence[str]) -> dict[str, str | None]:
        return {output: _hash_path(self.folder / output) for output in outputs}


def _hash_path(path: Path) -> str | None:
    """SHA-256 of a file, or of a folder's files; None where there is nothing."""
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return _digest("\n".join(f"{file.relative_to(path)} {_hash_path(file)}" for file in files).encode())
    if not path.exists():
        return None
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _jsonable(values: Mapping[str, Any]) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(json.dumps(values))
    return loaded


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
