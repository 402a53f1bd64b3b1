"""Files of a model folder: written, copied, and a folder for them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from bicross.errors import ConfigurationError


def make_empty(folder: Path) -> None:
    """Create a folder that nothing is in.

    Raises:
        ConfigurationError: It holds files already.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigurationError(
            f"A model is saved into a new or empty folder, got {str(folder)!r}, which isn't empty."
        )
    folder.mkdir(parents=True, exist_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file for people to read."""
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def copy_files(source: Path, target: Path, patterns: tuple[str, ...]) -> None:
    """Copy the files whose names match."""
    for pattern in patterns:
        for path in source.glob(pattern):
            if path.is_file():
                shutil.copyfile(path, target / path.name)


def copy_folder(source: Path, target: Path) -> Path:
    """Copy a model folder with its sub-folders; hidden files stay behind.

    Raises:
        ConfigurationError: The target holds files already.
    """
    make_empty(target)
    shutil.copytree(source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".*"))
    return target
