"""bicross info."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from bicross.cli.common import (
    DEFAULT_COLLECTION,
    DEFAULT_STORE,
    DocumentPromptOption,
    JsonOption,
    StoreKeys,
    StoreOption,
    console,
    load_bi_encoder,
    open_store,
    print_json,
)
from bicross.encoding.backends.choosing import Choice, automatic
from bicross.errors import BicrossError, CollectionNotFoundError, ConfigurationError

if TYPE_CHECKING:
    from bicross.checking import CheckReport
    from bicross.stores import CollectionInfo

_MEBIBYTE = 1 << 20


def info(
    store: StoreOption = DEFAULT_STORE,
    collection: Annotated[
        str | None, typer.Option("--collection", help="This collection alone, instead of all.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Read every passage, and re-encode a sample to compare the vectors.")
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Record which model filled a collection of another program, if it was --bi: a sample is re-encoded, "
            "nothing else. After that it can be written.",
        ),
    ] = False,
    bi: Annotated[
        str | None, typer.Option("--bi", help="Model for --check and --adopt, where the collection records none.")
    ] = None,
    text_key: Annotated[
        str | None, typer.Option("--text-key", help="Payload field with the text, where it isn't recognised.")
    ] = None,
    title_key: Annotated[str | None, typer.Option("--title-key", help="Payload field with the title.")] = None,
    meta_key: Annotated[str | None, typer.Option("--meta-key", help="Payload field with what filters reach.")] = None,
    vector_name: Annotated[str | None, typer.Option("--vector-name", help="Which of several dense vectors.")] = None,
    document_prompt: DocumentPromptOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the collections of a store: passages, dimension, layout, model, fingerprint, sparse vectors, size.

    Example: bicross info --store .bicross --check

    Example: bicross info --store http://localhost:6333 --collection news --adopt --bi BAAI/bge-small-en-v1.5
    """
    if "://" not in store and not Path(store).is_dir():
        raise CollectionNotFoundError(f"There is no store at {store!r}. Fill it: bicross index PATH…")
    keys = _keys(text_key=text_key, title_key=title_key, meta_key=meta_key, vector_name=vector_name)
    if keys and collection is None:
        raise ConfigurationError(f"Keys belong to one collection; got {sorted(keys)} without --collection. Name it.")
    broken: dict[str, str] = {}
    found = _found(store, collection, keys, broken)
    if adopt:
        name = collection or _only_unrecorded(found)
        _adopt(store, name, bi, document_prompt, keys, as_json)
        found = _found(store, collection, {}, broken)
    checks = (
        {each.name: _check(store, each, bi, document_prompt, {} if adopt else keys) for each in found} if check else {}
    )
    if as_json:
        values: dict[str, Any] = {"collections": [_values(each, checks.get(each.name)) for each in found]}
        if auto := _automatic():
            values["auto"] = auto._asdict()
        print_json(values | ({"failed": broken} if broken else {}))
    else:
        _print_table(found, checks)
    for name, reason in broken.items():
        typer.echo(f"{name}: {reason}", err=True)
    if broken or any(not report.sound for report in checks.values()):
        raise typer.Exit(1)


def _keys(**given: str | None) -> StoreKeys:
    return cast("StoreKeys", {name: value for name, value in given.items() if value is not None})


def _found(store: str, collection: str | None, keys: StoreKeys, broken: dict[str, str]) -> list[CollectionInfo]:
    """The collections; those that can't be opened, damaged or locked, go into `broken` with the reason."""
    with open_store(store, collection or DEFAULT_COLLECTION, **keys) as source:
        if collection is None:
            return source.collections(lambda name, error: broken.update({name: str(error)}))
        info = source.info()
    if info is None:
        raise CollectionNotFoundError(f"There is no collection {collection!r} in {store!r}. List them: bicross info")
    return [info]


def _only_unrecorded(found: list[CollectionInfo]) -> str:
    names = [each.name for each in found if each.fingerprint is None]
    if len(names) != 1:
        raise ConfigurationError(
            f"--adopt takes one collection; those that record no model are {names!r}. Name one: --collection NAME"
        )
    return names[0]


def _adopt(
    store: str, collection: str, bi: str | None, document_prompt: str | None, keys: StoreKeys, as_json: bool
) -> None:
    from bicross.adopting import adopt

    with (
        open_store(store, collection, **keys) as target,
        load_bi_encoder(None, bi, "float32", "auto", document_prompt=document_prompt) as encoder,
    ):
        report = adopt(target, encoder)
    if not as_json:
        console().print(report.summary, markup=False)


def _check(
    store: str, collection: CollectionInfo, bi: str | None, document_prompt: str | None, keys: StoreKeys
) -> CheckReport:
    from bicross.checking import check_collection

    named = None if collection.model else bi
    with (
        open_store(store, collection.name, **keys) as source,
        load_bi_encoder(collection, named, "float32", "auto", document_prompt=document_prompt) as encoder,
    ):
        return check_collection(source, encoder)


def _values(collection: CollectionInfo, report: CheckReport | None) -> dict[str, Any]:
    values = dataclasses.asdict(collection)
    if report is not None:
        values["check"] = dataclasses.asdict(report) | {"sound": report.sound}
    return values


def _sparse(collection: CollectionInfo) -> str:
    record = collection.sparse
    if record is None:
        return "none"
    name = f"{record.name or 'unnamed'} {record.language or ''}".rstrip()
    return name if record.state == "ready" else f"{name} (unfinished: index again)"


def _print_table(found: list[CollectionInfo], checks: dict[str, CheckReport]) -> None:
    from rich.table import Table

    table = Table()
    for name in (
        "collection",
        "passages",
        "dimension",
        "distance",
        "layout",
        "model",
        "fingerprint",
        "sparse",
        "indexed",
        "size",
    ):
        table.add_column(name, justify="right" if name in ("passages", "dimension", "indexed", "size") else "left")
    for each in found:
        size = "" if each.size_bytes is None else f"{each.size_bytes / _MEBIBYTE:.1f} MiB"
        table.add_row(
            each.name,
            str(each.count),
            str(each.dimension),
            each.distance,
            f"{each.layout}, read-only" if each.read_only else each.layout,
            each.model or "not recorded",
            (each.fingerprint or "none")[:12],
            _sparse(each),
            str(each.indexed_vectors_count),
            size,
        )
    out = console()
    out.print(table)
    for name, report in checks.items():
        out.print(f"{name}: {report.summary}", markup=False)
    if auto := _automatic():
        out.print(f"With --precision auto, {auto.backend} computes in {auto.precision} here.", markup=False)


def _automatic() -> Choice | None:
    """What computes here under --precision auto; None where that can't be told: a store is listed all the same."""
    try:
        return automatic()
    except (BicrossError, ImportError, RuntimeError):  # torch's, of a graphics card that is busy or broken
        return None
