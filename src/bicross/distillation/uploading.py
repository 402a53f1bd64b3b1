"""Uploads a trained model's folder, with a card."""

from __future__ import annotations

from pathlib import Path

from bicross.distillation.card import short_card
from bicross.encoding.checkpoint import optional_json
from bicross.encoding.files import copy_folder
from bicross.encoding.saving import push


def upload(folder: Path, repository: str, token: str | None, private: bool) -> str:
    """Upload a bi-encoder's folder to the model hub; returns its address.

    Hidden files stay behind. A folder without a card gets a short one, made from the record of its training.
    """

    def save(target: Path) -> Path:
        copy_folder(folder, target)
        card = target / "README.md"
        if not card.exists():
            card.write_text(short_card(optional_json(target / "bicross.json")), encoding="utf-8")
        return target

    return push(save, repository, token, private)
