"""bicross info."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bicross.cli.common import (
    DEFAULT_COLLECTION,
    DEFAULT_STORE,
    JsonOption,
    StoreOption,
    console,
    open_store,
    print_json,
)
from bicross.errors import CollectionNotFoundError

if TYPE_CHECKING:
    from bicross.checking import CheckReport
    from bicross.stores import CollectionInfo

_MEBIBYTE = 1 << 20


def info(
    store: StoreOption = DEFAULT_STORE,
    check: Annotated[
        bool, typer.Option("--check", help="Read every passage, and re-encode a sample to compare the vectors.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List the collections of a store: passages, dimension, model, fingerprint, size.

    Example: bicross info --store .bicross --check
    """
    if "://" not in store and not Path(store).is_dir():
        raise CollectionNotFoundError(f"There is no store at {store!r}. Fill it: bicross index PATH…")
    with open_store(store, DEFAULT_COLLECTION) as source:
        found = source.collections()
    checks = {each.name: _check(store, each) for each in found} if check else {}
    if as_json:
        print_json({"collections": [_values(each, checks.get(each.name)) for each in found]})
    else:
        _print_table(found, checks)
    if any(not report.sound for report in checks.values()):
        raise typer.Exit(1)


def _check(store: str, collection: CollectionInfo) -> CheckReport:
    from bicross.bi_encoder import BiEncoder
    from bicross.checking import check_collection

    with (
        open_store(store, collection.name) as source,
        BiEncoder.load(collection.model or "starter", revision=collection.revision) as encoder,
    ):
        return check_collection(source, encoder)


def _values(collection: CollectionInfo, report: CheckReport | None) -> dict[str, Any]:
    values = dataclasses.asdict(collection)
    if report is not None:
        values["check"] = dataclasses.asdict(report) | {"sound": report.sound}
    return values


def _print_table(found: list[CollectionInfo], checks: dict[str, CheckReport]) -> None:
    from rich.table import Table

    table = Table()
    for name in ("collection", "passages", "dimension", "distance", "model", "fingerprint", "indexed", "size"):
        table.add_column(name, justify="right" if name in ("passages", "dimension", "indexed", "size") else "left")
    for each in found:
        size = "" if each.size_bytes is None else f"{each.size_bytes / _MEBIBYTE:.1f} MiB"
        table.add_row(
            each.name,
            str(each.count),
            str(each.dimension),
            each.distance,
            each.model or "not recorded",
            (each.fingerprint or "none")[:12],
            str(each.indexed_vectors_count),
            size,
        )
    out = console()
    out.print(table)
    for name, report in checks.items():
        out.print(f"{name}: {report.summary}", markup=False)
