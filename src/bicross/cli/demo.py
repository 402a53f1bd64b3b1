"""bicross demo."""

from __future__ import annotations

import importlib.util
import re
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bicross.cli.common import (
    DEFAULT_COLLECTION,
    DEFAULT_STORE,
    AllowedHostOption,
    CrossOption,
    DeviceOption,
    DocumentPromptOption,
    HostOption,
    LanguageOption,
    PortOption,
    PrecisionOption,
    QueryPromptOption,
    RerankPromptOption,
    StoreOption,
    load_bi_encoder,
    load_scorer,
    load_sparse_encoder,
    open_store,
    warm_up,
)
from bicross.errors import CollectionNotFoundError, MissingExtraError, ReadError

if TYPE_CHECKING:
    from bicross.bi_encoder import BiEncoder
    from bicross.remote import RemoteBiEncoder
    from bicross.remote.loading import AnyScorer
    from bicross.server import Setup
    from bicross.stores import QdrantStore
    from bicross.types import SparseEncoder

_FOLDERS = "demo"
"""The collection of a folder, unless another is named."""


def demo(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder or file to index and search. Without one: what the store holds.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    collection: Annotated[
        str | None, typer.Option("--collection", help="Name of the collection. Default: 'demo' for a folder.")
    ] = None,
    bi: Annotated[
        str | None, typer.Option("--bi", help="Bi-encoder. Default: the collection's own, else 'starter'.")
    ] = None,
    cross: CrossOption = "starter",
    compare: Annotated[
        str | None, typer.Option("--compare", help="A second bi-encoder, to compare side by side, such as a student.")
    ] = None,
    compare_cross: Annotated[
        str | None, typer.Option("--compare-cross", help="A second cross-encoder, to compare side by side.")
    ] = None,
    language: LanguageOption = None,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8000,
    allowed_host: AllowedHostOption = None,
    query_prompt: QueryPromptOption = None,
    document_prompt: DocumentPromptOption = None,
    rerank_prompt: RerankPromptOption = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
) -> None:
    """Serve a search page: both stages at work, on a folder that is indexed, or on what a store holds.

    Example: bicross demo docs/

    Example: bicross demo --store http://localhost:6333 --collection news --compare models/student
    """
    try:
        from bicross.server import Setup, create_search_app, serve
        from bicross.server.answers import Chat
        from bicross.server.jobs import Jobs
        from bicross.server.running import check_free
    except ImportError as error:
        raise MissingExtraError('The page needs starlette, uvicorn and more: pip install "bicross[demo]"') from error
    from bicross.server.settings import allowed_hosts, read_token

    if folder is not None and not folder.exists():
        raise ReadError(f"{str(folder)!r} doesn't exist. Check its spelling.")
    token, chat = read_token(host), Chat.from_environment()
    check_free(host, port)
    name = collection or (_FOLDERS if folder else DEFAULT_COLLECTION)
    with ExitStack() as stack:
        first = stack.enter_context(open_store(store, name))
        info = first.info()
        if info is None and folder is None:
            raise CollectionNotFoundError(
                f"There is no collection {name!r} in {store!r}. Give a folder to index: bicross demo FOLDER"
            )
        encoder = load_bi_encoder(
            info, bi, precision, device, query_prompt=query_prompt, document_prompt=document_prompt
        )
        scorer = load_scorer(cross, precision, device, rerank_prompt)
        sparse = _sparse(first, folder, language)
        setups = [Setup(_name(encoder, scorer), encoder, first, scorer, sparse_encoder=sparse)]
        if compare or compare_cross:
            second = load_bi_encoder(None, compare, precision, device) if compare else encoder
            other = load_scorer(compare_cross, precision, device) if compare_cross else scorer
            where = stack.enter_context(open_store(store, _collection_of(name, encoder, second)))
            setups.append(_second(setups[0], second, other, where, folder, sparse))
        for setup in setups:
            warm_up(setup.bi_encoder, setup.cross_encoder)
        jobs = Jobs(setups)
        if folder is not None:
            from bicross import readers

            jobs.start(folder.name or str(folder), str(folder.resolve()), partial(readers.read, folder))
        app = create_search_app(
            setups,
            jobs=jobs,
            chat=chat,
            token=token,
            allowed_hosts=allowed_hosts(host, allowed_host),
        )
        serve(app, host, port)


def _sparse(store: QdrantStore, folder: Path | None, language: str | None) -> SparseEncoder | None:
    """What makes sparse vectors: what the collection has, and BM25 for a folder, where it is installed."""
    info = store.info()
    if info is not None and info.sparse is not None:
        return load_sparse_encoder(info, "hybrid", language)
    missing = [name for name in ("Stemmer", "mmh3") if importlib.util.find_spec(name) is None]
    if folder is None or missing:
        return None
    return load_sparse_encoder(info, "hybrid", language)


def _collection_of(name: str, first: BiEncoder | RemoteBiEncoder, second: BiEncoder | RemoteBiEncoder) -> str:
    """The collection that a second bi-encoder searches: the same, where its document vectors are the same."""
    if second.document_fingerprint == first.document_fingerprint:
        return name
    return f"{name}-{re.sub(r'[^a-zA-Z0-9.]+', '-', Path(second.name).name).strip('-')}"


def _second(
    first: Setup,
    encoder: BiEncoder | RemoteBiEncoder,
    scorer: AnyScorer | None,
    store: QdrantStore,
    folder: Path | None,
    sparse: SparseEncoder | None,
) -> Setup:
    from bicross.server import Setup

    if folder is None and store.header() is None:
        raise CollectionNotFoundError(
            f"{encoder.name!r} makes other document vectors than {first.name!r}, so it needs a collection of its own, "
            f"and there is no {store.collection!r}. Index it: bicross index PATH… --bi {encoder.name} --collection "
            f"{store.collection}"
        )
    name = _name(encoder, scorer)
    return Setup(name if name != first.name else f"{name} (2)", encoder, store, scorer, sparse_encoder=sparse)


def _name(encoder: BiEncoder | RemoteBiEncoder, scorer: AnyScorer | None) -> str:
    names = [Path(model.name).name for model in (encoder, scorer) if model is not None]
    return " + ".join(dict.fromkeys(names))
