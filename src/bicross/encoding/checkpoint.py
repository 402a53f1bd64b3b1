"""Reads a model folder's JSON: which modules, in which order, with which settings. Loads no weights.

Understood are the layouts of sentence-transformers up to 6.x (both key sets: the one that 5.4 introduced and the
older one) and plain transformers folders. A module that isn't known is refused with its name, never guessed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from bicross.encoding.families import PROJECTIONS, ZEMBED_SUFFIX, ZEMBED_TRANSFORMER
from bicross.encoding.specs import (
    POOLING_MODES,
    BiCheckpoint,
    DenseSpec,
    NormalizeSpec,
    PoolingSpec,
    StaticSpec,
    TowerSpec,
    TransformerSpec,
)
from bicross.errors import CheckpointError

_LEGACY_POOLING = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")


def read_json(path: Path) -> Any:
    """A JSON file's value.

    Raises:
        CheckpointError: The file is missing or isn't JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"A model folder needs {path.name!r}, got none in {str(path.parent)!r}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{str(path)!r} must be JSON, got: {error}. Fetch the model again.") from error


def optional_json(path: Path) -> dict[str, Any]:
    """A JSON file's object, empty where there is no such file.

    Raises:
        CheckpointError: The file isn't a JSON object.
    """
    value = read_json(path) if path.is_file() else {}
    if not isinstance(value, dict):
        raise CheckpointError(f"{str(path)!r} must hold a JSON object, got {type(value).__name__}.")
    return value


@contextmanager
def understood(folder: Path) -> Iterator[None]:
    """A file that is JSON, but not what it should be, is an error that names the folder."""
    try:
        yield
    except CheckpointError:
        raise
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CheckpointError(
            f"The configuration files in {str(folder)!r} must hold what their kind of model needs, got "
            f"{type(error).__name__}: {error}. Fetch the model again."
        ) from error


def read_bi_checkpoint(folder: Path) -> BiCheckpoint:
    """Describe a bi-encoder's folder.

    Raises:
        CheckpointError: A file is missing or broken, or a module isn't known.
    """
    with understood(folder):
        return _read_bi_checkpoint(folder)


def _read_bi_checkpoint(folder: Path) -> BiCheckpoint:
    settings = optional_json(folder / "config_sentence_transformers.json")
    note = None
    if (folder / "modules.json").is_file():
        modules = sorted(read_json(folder / "modules.json"), key=lambda module: int(module["idx"]))
        query, document = _towers(folder, modules)
    elif (folder / "config.json").is_file():
        config = read_json(folder / "config.json")
        if any(str(name).endswith("ForSequenceClassification") for name in config.get("architectures") or ()):
            raise CheckpointError(
                f"A bi-encoder embeds texts, got a cross-encoder ({config['architectures'][0]}) in {str(folder)!r}. "
                "Load it as a CrossEncoder."
            )
        if config.get("model_type") == "model2vec":
            heads: tuple[DenseSpec | NormalizeSpec, ...] = (NormalizeSpec(),) if config.get("normalize", True) else ()
            query = document = TowerSpec(StaticSpec(folder), None, heads)
        else:
            # A decoder's last token is the only one that has seen the whole text.
            pooling = PoolingSpec(("lasttoken" if generates(config) else "mean",))
            note = f"{str(folder)!r} has no modules.json: {pooling.modes[0]} pooling is used, without normalisation"
            query = document = TowerSpec(read_transformer(folder), pooling)
    else:
        raise CheckpointError(
            f"A bi-encoder's folder needs modules.json or config.json, got neither in {str(folder)!r}. "
            "Name the folder that holds them."
        )
    return BiCheckpoint(
        folder=folder,
        query=query,
        document=document,
        prompts={str(name): str(text or "") for name, text in (settings.get("prompts") or {}).items()},
        default_prompt_name=settings.get("default_prompt_name"),
        similarity=settings.get("similarity_fn_name") or "cosine",
        note=note,
        projections=_projections(document),
        extras=optional_json(folder / "bicross.json"),
    )


def _projections(tower: TowerSpec) -> Path | None:
    """The learned matrices that shorten a tower's vectors; the path stays where the file is missing but needed."""
    path = tower.encoder.folder / PROJECTIONS
    needed = isinstance(tower.encoder, TransformerSpec) and bool(tower.encoder.suffix)
    needed = needed or bool(optional_json(tower.encoder.folder / "bicross.json").get("projections"))
    return path if needed or path.is_file() else None


def weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a folder, sorted by name.

    Raises:
        CheckpointError: There are none, or only pickles, which can execute code when they are read.
    """
    files = sorted(folder.glob("*.safetensors"))
    if files:
        return files
    pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
    if pickles:
        raise CheckpointError(
            f"Weights must be safetensors, got only {pickles[0]!r} in {str(folder)!r}, a pickle that could execute "
            "code. Convert it on a machine you trust: load it there and call save_pretrained(safe_serialization=True)."
        )
    raise CheckpointError(f"A model folder needs a *.safetensors file, got none in {str(folder)!r}. Fetch it again.")


def generates(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is of a model that writes text, and so reads it from left to right."""
    return any(str(name).endswith("ForCausalLM") for name in config.get("architectures") or ())


def is_decoder(folder: Path) -> bool:
    """Whether a transformer is built as those that write text are; some of them read in both directions."""
    config = optional_json(folder / "config.json")
    return generates(config) or "num_key_value_heads" in config


def class_name(module: Mapping[str, Any]) -> str:
    """The class of a module of sentence-transformers.

    Raises:
        CheckpointError: It is somebody else's.
    """
    kind = str(module["type"])
    if kind == ZEMBED_TRANSFORMER:
        return kind
    if not kind.startswith("sentence_transformers."):
        raise unknown_module(kind, Path(str(module.get("path", ""))), "sentence-transformers' own modules")
    return kind.rsplit(".", 1)[-1]


def unknown_module(kind: str, folder: Path, known: str) -> CheckpointError:
    """The error for a module that can't be loaded."""
    return CheckpointError(
        f"Modules must be {known}, got {kind!r} in {str(folder)!r}. bicross doesn't guess what a module does; "
        "open an issue if it is a common one."
    )


def _towers(folder: Path, modules: Sequence[Mapping[str, Any]]) -> tuple[TowerSpec, TowerSpec]:
    """The query's and the document's tower; equal where there is one."""
    flat = [(class_name(module), folder / str(module["path"])) for module in modules]
    if not flat:
        raise CheckpointError(f"modules.json must name a module, got an empty list in {str(folder)!r}.")
    if flat[0][0] not in ("Router", "Asym"):
        tower = _tower(flat, folder)
        return tower, tower
    routes = read_routes(flat[0][1])
    query, document = (_tower(routes[name] + flat[1:], folder) for name in ("query", "document"))
    return query, document


def read_routes(folder: Path) -> dict[str, list[tuple[str, Path]]]:
    """The modules of each route of sentence-transformers' Router (or its ancestor Asym): class and folder.

    Raises:
        CheckpointError: A route for queries or documents is missing.
    """
    path = folder / "router_config.json"
    config = read_json(path if path.is_file() else folder / "config.json")
    routes = {
        route: [(class_name({"type": config["types"][name]}), folder / name) for name in names]
        for route, names in config["structure"].items()
    }
    if not {"query", "document"} <= set(routes):
        raise CheckpointError(
            f"A two-tower model needs the routes 'query' and 'document', got {sorted(routes)} in {str(folder)!r}."
        )
    return routes


def _tower(modules: Sequence[tuple[str, Path]], folder: Path) -> TowerSpec:
    encoder: TransformerSpec | StaticSpec | None = None
    pooling: PoolingSpec | None = None
    heads: list[DenseSpec | NormalizeSpec] = []
    for kind, path in modules:
        if kind == "Transformer" and encoder is None:
            encoder = _text_transformer(path)
        elif kind == ZEMBED_TRANSFORMER and encoder is None:
            encoder = replace(read_transformer(path), suffix=ZEMBED_SUFFIX)
        elif kind == "StaticEmbedding" and encoder is None:
            encoder = StaticSpec(path)
        elif kind == "Pooling" and pooling is None and not heads:
            pooling = _read_pooling(path)
        elif kind == "Dense":
            heads.append(read_dense(path))
        elif kind == "Normalize":
            heads.append(NormalizeSpec())
        elif kind != "Dropout":  # does nothing outside training
            known = "Transformer, StaticEmbedding, Pooling, Dense, Normalize, Dropout or Router, in their usual order"
            raise unknown_module(kind, path, known)
    if encoder is None:
        raise CheckpointError(f"A tower needs a Transformer or a StaticEmbedding, got none in {str(folder)!r}.")
    if isinstance(encoder, TransformerSpec) and encoder.suffix and (pooling is None or pooling.modes != ("lasttoken",)):
        raise CheckpointError(
            f"A model whose texts end in {encoder.suffix!r} must pool its last token, got "
            f"{None if pooling is None else pooling.modes} in {str(folder)!r}. Fetch the model again."
        )
    if isinstance(encoder, TransformerSpec) and pooling is None:
        raise CheckpointError(f"A Transformer needs a Pooling module behind it, got none in {str(folder)!r}.")
    return TowerSpec(encoder, pooling, tuple(heads))


def read_transformer(folder: Path) -> TransformerSpec:
    """A transformer's folder, with the settings that sentence-transformers keeps beside it."""
    settings = transformer_settings(folder)
    limit = settings.get("max_seq_length")
    return TransformerSpec(folder, None if limit is None else int(limit), bool(settings.get("do_lower_case", False)))


def _text_transformer(folder: Path) -> TransformerSpec:
    if "message" in (transformer_settings(folder).get("modality_config") or {}):
        raise CheckpointError(
            f"A bi-encoder must read texts as they are, got one that reads chat messages in {str(folder)!r}. Remove "
            "'message' from modality_config in sentence_bert_config.json if it was trained without a chat template."
        )
    return read_transformer(folder)


def transformer_settings(folder: Path) -> dict[str, Any]:
    """What sentence-transformers keeps beside a transformer; empty where there is nothing."""
    names = ("sentence_bert_config.json", "sentence_roberta_config.json", "sentence_distilbert_config.json")
    return next((optional_json(folder / name) for name in names if (folder / name).is_file()), {})


def _read_pooling(folder: Path) -> PoolingSpec:
    config = read_json(folder / "config.json")
    modes = config.get("pooling_mode")
    if modes is None:
        modes = [mode for key, mode in _LEGACY_POOLING.items() if config.get(key)] or ["mean"]
    modes = (modes,) if isinstance(modes, str) else tuple(modes)
    if unknown := [mode for mode in modes if mode not in POOLING_MODES]:
        raise CheckpointError(f"Pooling must be one of {POOLING_MODES}, got {unknown[0]!r} in {str(folder)!r}.")
    return PoolingSpec(modes, bool(config.get("include_prompt", True)))


def read_dense(folder: Path, reads: str = "sentence_embedding") -> DenseSpec:
    """A Dense module's folder.

    Raises:
        CheckpointError: It reads something else than it should here.
    """
    config = read_json(folder / "config.json")
    where = config.get("module_input_name", reads)
    if where != reads:
        raise CheckpointError(f"A Dense module must read {reads!r}, got {where!r} in {str(folder)!r}.")
    return DenseSpec(
        folder,
        int(config["in_features"]),
        int(config["out_features"]),
        bool(config.get("bias", True)),
        str(config.get("activation_function", "torch.nn.modules.activation.Tanh")),
        bool(config.get("use_residual", False)),
    )
