"""Where a model comes from, as far as its folder says: what it began as, under which licence, trained on what."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bicross.bi_encoder import BiEncoder
from bicross.encoding.locate import hub_name

logger = logging.getLogger(__name__)

Names = list[str | None]
"""Data sets, sorted, each once. None, at the end, stands for what no folder says; an empty list is nothing."""

_ROLES = ("data", "base", "teacher")
_LICENCE = ("license", "license_name", "license_link")


def trained_on(model: object) -> Names:
    """What a model was trained on, by itself or as its base and its teacher were.

    In ``bicross.json`` these three roles have a list each. A list alone is of a model's own data, as trained
    cross-encoders have it.
    """
    said = getattr(getattr(model, "checkpoint", None), "extras", {}).get("trained_on")
    roles = said if isinstance(said, Mapping) else {"data": said}
    return merged(*(roles.get(role) for role in _ROLES))


def merged(*parts: Any) -> Names:
    """Several lists of names as one; a part that is no list isn't known.

    >>> merged(["squad", "medquad"], [], ["squad"])
    ['medquad', 'squad']
    >>> merged(["squad"], None)
    ['squad', None]
    """
    listed = [name for part in parts for name in (part if isinstance(part, list) else [None])]
    names = {name if isinstance(name, str) else None for name in listed}
    return sorted(names, key=lambda name: (name is None, name or ""))


def origin(base: BiEncoder) -> dict[str, Any]:
    """What a card says of the model that another one began as: its name, and its hub id and licence where known."""
    return {
        "base": shown(base.name),
        "base_model": hub_name("bi-encoder", base.name, base.revision),
        "base_license": _stated_licence(base.checkpoint.folder / "README.md"),
    }


def shown(name: str) -> str:
    """A model's name as strangers may read it: of a folder, its last part.

    >>> shown("/home/me/models/mine"), shown("intfloat/e5-small-v2")
    ('mine', 'intfloat/e5-small-v2')
    """
    return Path(name).name if Path(name).is_absolute() else name


def _stated_licence(card: Path) -> dict[str, str] | None:
    """The fields about the licence in a card's front matter; None where it states none."""
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub.repocard import metadata_load

    try:
        said = (metadata_load(card) if card.is_file() else None) or {}
    except (ValueError, yaml.YAMLError) as error:
        logger.warning("the front matter of %s can't be read, so the student's card names no licence: %s", card, error)
        return None
    stated = {name: said[name] for name in _LICENCE if isinstance(said.get(name), str)}
    if not stated.get("license_link", "https:").startswith("http"):  # a file beside that card, which isn't copied
        del stated["license_link"]
    return stated if "license" in stated else None
