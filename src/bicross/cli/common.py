"""What several commands share: options, the store behind `--store`, tables."""

from __future__ import annotations

import dataclasses
import json
import os
import warnings
from typing import TYPE_CHECKING, Annotated, Any, TypedDict, Unpack

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from bicross.stores import QdrantStore

StoreOption = Annotated[str, typer.Option("--store", help="Folder of an embedded store, or URL of a Qdrant server.")]
CollectionOption = Annotated[str, typer.Option("--collection", help="Name of the collection.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PrecisionOption = Annotated[
    str, typer.Option("--precision", help="float32, or auto: bfloat16 where the hardware computes in it.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, mps …")]

DEFAULT_STORE = ".bicross"
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

    _show_warnings_plainly()
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


def _show_warnings_plainly() -> None:
    """A user of the command line has no use for the source line of a warning."""

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        typer.echo(f"Warning: {message}", err=True)

    warnings.showwarning = show
