"""BicrossRetriever: both stages as LangChain's `BaseRetriever`."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever, LangSmithRetrieverParams
from pydantic import ConfigDict, Field, field_validator

from bicross.errors import ConfigurationError
from bicross.langchain.documents import hit_document
from bicross.langchain.threads import in_threads
from bicross.langchain.tracing import child_runs
from bicross.retriever import TwoStageRetriever
from bicross.stores.inputs import check_at_least_one

_SEARCH = (
    "k",
    "candidates",
    "filter",
    "score_threshold",
    "budget_ms",
    "windows",
    "context",
    "group_by",
    "group_size",
    "diversity",
)


class BicrossRetriever(BaseRetriever):
    """Searches in two stages.

    Every option can be given for one call: ``retriever.invoke(query, k=3, filter=…)``. The metadata of a document holds
    ``relevance_score`` (what they are ordered by), ``stage1_score``, ``stage1_rank`` and, where the cross-encoder
    scored it, ``rerank_score``; with ``group_by`` also ``document_id`` and ``document_span``.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    retriever: TwoStageRetriever
    """Bi-encoder, store and cross-encoder."""
    k: int = Field(default=4, gt=0)
    """How many documents to return."""
    candidates: int = Field(default=100, gt=0)
    """What the first stage hands to the second."""
    filter: dict[str, Any] | None = None
    """Haystack's filter dict; ``meta.`` may be left out of field names."""
    group_by: str | None = None
    """Search whole documents over their chunks: the metadata field whose value the chunks of one share, ``source_id``
    or, for LangChain's own splitters, ``meta.source``. Only the best chunks of each come back, `k` counts documents."""
    group_size: int = Field(default=1, gt=0)
    """Most chunks of a document."""
    search_kwargs: dict[str, Any] = Field(default_factory=dict)
    """Further options of `TwoStageRetriever.search`: score_threshold, budget_ms, windows, context, diversity."""

    @field_validator("search_kwargs")
    @classmethod
    def _check_names(cls, given: dict[str, Any]) -> dict[str, Any]:
        if unknown := sorted(set(given) - set(_SEARCH)):
            raise ConfigurationError(f"A search takes {', '.join(_SEARCH)}; got {unknown[0]!r}.")
        return given

    def _get_relevant_documents(
        self,
        query: str,
        *,
        run_manager: CallbackManagerForRetrieverRun,
        k: int | None = None,
        candidates: int | None = None,
        filter: dict[str, Any] | None = None,
        **search_kwargs: Any,
    ) -> list[Document]:
        own = {name: getattr(self, name) for name in ("k", "candidates", "filter", "group_by", "group_size")}
        call = self._check_names({"k": k, "candidates": candidates, "filter": filter} | search_kwargs)
        options = own | self.search_kwargs | {name: value for name, value in call.items() if value is not None}
        top_k = check_at_least_one(options.pop("k"), "k")
        result = self.retriever.search(query, top_k, observer=child_runs(run_manager.get_child()), **options)
        return [hit_document(hit, grouped=options["group_by"] is not None) for hit in result]

    async def _aget_relevant_documents(
        self,
        query: str,
        *,
        run_manager: AsyncCallbackManagerForRetrieverRun,
        k: int | None = None,
        candidates: int | None = None,
        filter: dict[str, Any] | None = None,
        **search_kwargs: Any,
    ) -> list[Document]:
        options = {"k": k, "candidates": candidates, "filter": filter, "run_manager": run_manager.get_sync()}
        parts = self.retriever.bi_encoder, self.retriever.store, self.retriever.cross_encoder
        return await in_threads(parts, self._get_relevant_documents, query, **options, **search_kwargs)

    def _get_ls_params(self, **kwargs: Any) -> LangSmithRetrieverParams:
        params = super()._get_ls_params(**kwargs)
        encoder = self.retriever.bi_encoder
        params["ls_vector_store_provider"] = type(self.retriever.store).__name__
        params["ls_embedding_provider"] = type(encoder).__name__
        params["ls_embedding_model"] = getattr(encoder, "name", None)
        return params
