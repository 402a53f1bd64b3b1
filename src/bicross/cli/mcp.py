"""bicross mcp."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bicross.cli.common import (
    DEFAULT_COLLECTION,
    DEFAULT_STORE,
    BudgetOption,
    CollectionOption,
    CrossOption,
    DeviceOption,
    DocumentPromptOption,
    FirstStageOption,
    LanguageOption,
    Models,
    PrecisionOption,
    QueryPromptOption,
    RerankPromptOption,
    SparseOption,
    StoreOption,
    find_collection,
    load_models,
    open_store,
)
from bicross.errors import MissingExtraError

if TYPE_CHECKING:
    from bicross.stores import CollectionInfo, QdrantStore
    from bicross.types import SearchResult


def mcp(
    store: StoreOption = DEFAULT_STORE,
    collection: CollectionOption = DEFAULT_COLLECTION,
    about: Annotated[
        str | None, typer.Option(help="What the collection holds: agents read it to know when to search.")
    ] = None,
    cross: CrossOption = "starter",
    candidates: Annotated[int, typer.Option(min=1, help="What the first stage hands to the second.")] = 100,
    budget_ms: BudgetOption = None,
    max_characters: Annotated[
        int, typer.Option(min=1, help="Longest text of a hit, in characters; more is cut, and marked.")
    ] = 4_000,
    first_stage: FirstStageOption = "dense",
    language: LanguageOption = None,
    sparse: SparseOption = None,
    query_prompt: QueryPromptOption = None,
    document_prompt: DocumentPromptOption = None,
    rerank_prompt: RerankPromptOption = None,
    precision: PrecisionOption = "float32",
    device: DeviceOption = "auto",
) -> None:
    """Serve a collection to agents over MCP (stdio): one tool, search, which changes nothing.

    Example: bicross mcp --store /srv/handbook --about "the handbook of our bicycle workshop"

    Example: bicross mcp --store http://localhost:6333 --collection tickets --first-stage hybrid --budget-ms 500
    """
    try:
        from bicross.server.agents import create_mcp_server
    except ImportError as error:
        raise MissingExtraError('bicross mcp needs the MCP SDK: pip install "bicross[mcp]"') from error

    def load(info: CollectionInfo) -> Models:
        return load_models(
            info,
            cross=cross,
            first_stage=first_stage,
            language=language,
            sparse=sparse,
            precision=precision,
            device=device,
            query_prompt=query_prompt,
            document_prompt=document_prompt,
            rerank_prompt=rerank_prompt,
        )

    searcher = Searcher(lambda: open_store(store, collection), load, candidates=candidates, budget_ms=budget_ms)
    create_mcp_server(searcher, about=about, max_characters=max_characters).run("stdio")


class Searcher:
    """Searches a collection that other processes fill meanwhile.

    The store is open during a search and no longer, since an embedded one is open in one process at a time. The models
    stay, until another one has filled the collection.
    """

    def __init__(
        self,
        open: Callable[[], QdrantStore],
        load: Callable[[CollectionInfo], Models],
        *,
        candidates: int = 100,
        budget_ms: float | None = None,
    ) -> None:
        self._open, self._load = open, load
        self._candidates, self._budget_ms = candidates, budget_ms
        self._lock = threading.Lock()
        self._models: tuple[tuple[Any, ...], Models] | None = None

    def __call__(self, query: str, top_k: int, filter: Mapping[str, Any] | None, /) -> SearchResult:
        """Up to `top_k` hits, best first."""
        with self._open() as source:
            retriever = self._models_for(find_collection(source)).over(source)
            return retriever.search(query, top_k, candidates=self._candidates, filter=filter, budget_ms=self._budget_ms)

    def _models_for(self, info: CollectionInfo) -> Models:
        filled_by = (info.fingerprint, info.model, info.revision, info.dimension, info.sparse)
        with self._lock:
            if self._models is None or self._models[0] != filled_by:
                self._models = filled_by, self._load(info)
            return self._models[1]
