"""A loaded tower: tokenizer and model."""

from __future__ import annotations

from dataclasses import dataclass

from bicross.encoding.backends import graphs
from bicross.encoding.backends.choosing import Choice, installed
from bicross.encoding.backends.graph import GraphTower, StaticTower
from bicross.encoding.backends.protocol import TowerModel
from bicross.encoding.checkpoint import weight_files
from bicross.encoding.fingerprint import GRAPHS, recorded_encoder
from bicross.encoding.loading import Files, Lease, LoadOptions, first_possible, folder_state, share
from bicross.encoding.locate import Kind
from bicross.encoding.specs import DenseSpec, StaticSpec, TowerSpec
from bicross.encoding.tokenizer import TextTokenizer
from bicross.encoding.tokenizer_files import load_static_tokenizer, load_tokenizer
from bicross.errors import CheckpointError, MissingExtraError


@dataclass(frozen=True)
class Tower:
    """A tower's settings, tokenizer and model."""

    spec: TowerSpec
    tokenizer: TextTokenizer
    model: TowerModel
    files: Files
    precision_class: str


def load_tower(spec: TowerSpec, options: LoadOptions) -> Lease[Tower]:
    """A share in a tower; loaded where nobody has loaded it with these options.

    Raises:
        CheckpointError: The folder is damaged, unsafe or incomplete.
    """
    files = files_of(spec)

    def load() -> Tower:
        if isinstance(spec.encoder, StaticSpec) and options.device == "cpu":
            return Tower(spec, load_static_tokenizer(spec.encoder.folder), StaticTower(spec), files, "float")
        choices = possible_choices("bi-encoder", spec, options)
        return first_possible(choices, lambda choice: _load(spec, options, choice, files))

    return share(("tower", spec, options, files), load)


def _load(spec: TowerSpec, options: LoadOptions, choice: Choice, files: Files) -> Tower:
    if choice.backend != "torch" and not isinstance(spec.encoder, StaticSpec):
        graph = graphs.obtain("bi-encoder", spec, choice)
        model = GraphTower(spec, graph, threads=options.graph_threads())
        return Tower(spec, graph.tokenizer(spec.encoder), model, files, graph.precision_class)
    from bicross.encoding.backends.torch import TorchTower

    tower = TorchTower(spec, options.for_torch(choice.precision))
    if isinstance(spec.encoder, StaticSpec):
        return Tower(spec, load_static_tokenizer(spec.encoder.folder), tower, files, "float")
    tokenizer = load_tokenizer(spec.encoder, tower.positions, options.trust_remote_code)
    return Tower(spec, tokenizer, tower, files, options.precision_class)


def possible_choices(kind: Kind, spec: TowerSpec, options: LoadOptions) -> tuple[Choice, ...]:
    """The choices that a folder allows: one that holds graphs in place of the weights, only those it holds.

    Where it holds none of them, the first one stays, whose error says so.

    Raises:
        MissingExtraError: What would run its graphs isn't installed.
        CheckpointError: What was asked for needs the weights.
    """
    folder = spec.encoder.folder
    if recorded_encoder(folder) is None:
        return options.choices
    if not options.without_weights:
        there = sorted(path.name for path in (folder / GRAPHS).iterdir())
        if installed("onnx") or installed("openvino"):
            raise CheckpointError(
                f"{str(folder)!r} holds the graphs {there} in place of the weights, and "
                f"{options.choices[0].name} needs the weights. Load one of the graphs, or the folder that they were "
                "exported from."
            )
        raise MissingExtraError(
            f"{str(folder)!r} holds the graphs {there} in place of the weights, and what runs them isn't installed: "
            f"pip install 'bicross[{there[0].split('-')[0]}]'"
        )
    fitting = tuple(choice for choice in options.without_weights if graphs.find(kind, spec, choice)[0] is not None)
    return fitting[:1] or options.without_weights[:1]


def files_of(spec: TowerSpec) -> Files:
    """Name, size and time of every file that a tower is made of: what tells that it was replaced.

    Raises:
        CheckpointError: There are no safe weights among them.
    """
    folder = spec.encoder.folder
    graph_folders = []
    if recorded_encoder(folder) is None:
        weight_files(folder)
    else:
        graph_folders = sorted(path for path in (folder / GRAPHS).iterdir() if path.is_dir())
    heads = (head.folder for head in spec.heads if isinstance(head, DenseSpec))
    return folder_state(folder, *heads, *graph_folders)
