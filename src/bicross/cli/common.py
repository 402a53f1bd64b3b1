"""What several commands share: options, the store behind `--store`, tables."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import warnings
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack

import typer

from bicross.errors import ConfigurationError

if TYPE_CHECKING:
    from rich.console import Console

    from bicross.bi_encoder import BiEncoder
    from bicross.stores import CollectionInfo, QdrantStore

StoreOption = Annotated[str, typer.Option("--store", help="Folder of an embedded store, or URL of a Qdrant server.")]
CollectionOption = Annotated[str, typer.Option("--collection", help="Name of the collection.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="float32, or auto: bfloat16 where the hardware computes in it.")
]
CacheOption = Annotated[str, typer.Option("--cache", help="Folder of vectors and scores that are kept.")]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps …")]

DEFAULT_STORE = ".bicross"
DEFAULT_CACHE = ".bicross/cache"
DEFAULT_COLLECTION = "default"


class StoreKeys(TypedDict, total=False):
    """Where another program's collection has what; see `QdrantStore`."""

    text_key: str
    title_key: str
    meta_key: str
    vector_name: str


def open_store(place: str, collection: str, **keys: Unpack[StoreKeys]) -> QdrantStore:
    """The store at a folder or URL; a server's key comes from $QDRANT_API_KEY."""
    from bicross.stores import QdrantStore

    if re.fullmatch(r"[\w.-]+:\d+", place):
        raise ConfigurationError(
            f"--store takes a folder or a URL, got {place!r}. For a server write http://{place}; for a folder of that "
            f"name ./{place}."
        )
    if place.startswith(("http://", "https://")):
        return QdrantStore(url=place, collection=collection, api_key=os.environ.get("QDRANT_API_KEY"), **keys)
    return QdrantStore(path=place, collection=collection, **keys)


def console(*, stderr: bool = False) -> Console:
    """Where tables go."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False)


def print_json(value: Any) -> None:
    """One line of JSON on standard output."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = dataclasses.asdict(value)
    typer.echo(json.dumps(value, ensure_ascii=False))


def load_bi_encoder(info: CollectionInfo | None, model: str | None, precision: str, device: str) -> BiEncoder:
    """The bi-encoder that was named, else the one that filled the collection, else the starter."""
    from bicross.bi_encoder import BiEncoder

    if model is not None or info is None or info.model is None:
        return BiEncoder.load(model or "starter", precision=precision, device=device)
    encoder = BiEncoder.load(info.model, revision=info.revision, precision=precision, device=device)
    if encoder.dimension <= info.dimension:
        return encoder
    with encoder:  # open until the second has its share of the weights
        return BiEncoder.load(  # it was filled with the leading dimensions alone
            info.model, revision=info.revision, precision=precision, device=device, truncate_dim=info.dimension
        )


def show_warnings_plainly() -> None:
    """A user of the command line has no use for the source line of a warning."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"Warning: {message}", err=True)

    warnings.showwarning = show
