"""A loaded tower: tokenizer and model."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bicross.encoding.backends.torch import TorchTower
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.loading import Files, Lease, LoadOptions, folder_state, share
from bicross.encoding.specs import DenseSpec, StaticSpec, TowerSpec
from bicross.encoding.tokenizer import TextTokenizer, load_static_tokenizer, load_tokenizer


@dataclass(frozen=True)
class Tower:
    """A tower's settings, tokenizer and model."""

    spec: TowerSpec
    tokenizer: TextTokenizer
    model: TorchTower
    files: Files


def load_tower(spec: TowerSpec, options: LoadOptions) -> Lease[Tower]:
    """A share in a tower; loaded where nobody has loaded it with these options.

    Raises:
        CheckpointError: The folder is damaged, unsafe or incomplete.
    """
    files = files_of(spec)

    def load() -> Tower:
        model = TorchTower(
            spec,
            device=options.device,
            precision=options.precision,
            model_options=json.loads(options.model_options),
            trust_remote_code=options.trust_remote_code,
        )
        if isinstance(spec.encoder, StaticSpec):
            return Tower(spec, load_static_tokenizer(spec.encoder.folder), model, files)
        return Tower(spec, load_tokenizer(spec.encoder, model.positions, options.trust_remote_code), model, files)

    return share(("tower", spec, options, files), load)


def files_of(spec: TowerSpec) -> Files:
    """Name, size and time of every file that a tower is made of: what tells that it was replaced.

    Raises:
        CheckpointError: There are no safe weights among them.
    """
    weight_files(spec.encoder.folder)
    folders = [spec.encoder.folder, *(head.folder for head in spec.heads if isinstance(head, DenseSpec))]
    return folder_state(*folders)
