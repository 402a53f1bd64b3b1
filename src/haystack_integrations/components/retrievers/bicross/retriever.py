"""Both stages in one node: a query in, reranked Documents out."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from haystack import Document, component, default_to_dict
from haystack.document_stores.types import FilterPolicy, apply_filter_policy
from haystack.utils import ComponentDevice, Secret

from bicross.arguments import check_share
from bicross.bi_encoder import BiEncoder
from bicross.first_stage import check_kind
from bicross.fusion import check_fusion
from bicross.lifecycle import Closing
from bicross.remote.bi_encoder import RemoteBiEncoder
from bicross.remote.loading import load_bi_encoder, load_cross_encoder
from bicross.retriever import TwoStageRetriever
from bicross.types import SparseEncoder
from haystack_integrations.common.bicross.conversion import hits_to_documents
from haystack_integrations.common.bicross.inputs import (
    check_count,
    check_language,
    check_milliseconds,
    check_query,
    chosen,
)
from haystack_integrations.common.bicross.node import (
    Node,
    OnFirstUse,
    arguments,
    check_one_host,
    hub_token,
    load_options,
    torch_device,
)
from haystack_integrations.common.bicross.sparse_encoders import (
    bm25,
    check_sparse_encoder,
    let_go,
    load_sparse_encoder,
    saved_sparse_encoder,
)
from haystack_integrations.common.bicross.tracing import observer
from haystack_integrations.components.retrievers.bicross.checks import check_document_store, policy_of
from haystack_integrations.document_stores.bicross import BicrossDocumentStore, haystack_errors

if TYPE_CHECKING:
    from bicross.remote.loading import AnyScorer


@component
class BicrossRetriever(Node):
    """Finds with a bi-encoder and reorders with a cross-encoder.

    Documents carry the first stage's score in `meta["retrieval_score"]` and the cross-encoder's in
    `meta["rerank_score"]`.

    ### Usage example

    ```python
    from haystack_integrations.components.retrievers.bicross import BicrossRetriever
    from haystack_integrations.document_stores.bicross import BicrossDocumentStore

    retriever = BicrossRetriever(BicrossDocumentStore(path=".bicross"), top_k=5)
    documents = retriever.run("How do I install it?")["documents"]
    ```
    """

    def __init__(
        self,
        document_store: BicrossDocumentStore,
        model: str | Path = "starter",
        ranker_model: str | Path | None = "starter",
        *,
        filters: dict[str, Any] | None = None,
        top_k: int = 10,
        candidates: int = 100,
        first_stage: str = "dense",
        language: str | None = None,
        sparse_encoder: SparseEncoder | str | Path | dict[str, Any] | None = None,
        fusion: str = "weighted",
        sparse_weight: float = 0.5,
        score_threshold: float | None = None,
        budget_ms: float | None = None,
        stage1_weight: float | None = None,
        windows: bool | Literal["best"] = False,
        group_by: str | None = None,
        group_size: int = 1,
        diversity: float = 0.0,
        return_embedding: bool = False,
        filter_policy: str | FilterPolicy = FilterPolicy.REPLACE,
        device: ComponentDevice | None = None,
        token: Secret | None = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False),  # noqa: B008
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        ranker_prompt: str | None = None,
        truncate_dim: int | None = None,
        backend: str = "auto",
        precision: str = "float32",
        revision: str | None = None,
        ranker_revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        model_options: dict[str, Any] | None = None,
    ) -> None:
        """Make the node; the models are loaded by `warm_up` or the first run.

        :param document_store: Where to search; filled with embeddings of the same model.
        :param model: The bi-encoder: a folder, a name on the model hub, "starter", or a hosted model:
            `https://host/v1#model`.
        :param ranker_model: The cross-encoder, named likewise, also "fast"; None for the first stage alone.
        :param filters: Haystack's filter dict.
        :param top_k: How many Documents to return at most.
        :param candidates: How many Documents the first stage hands to the second.
        :param first_stage: "dense": by embeddings. "bm25": by words. "hybrid": by both, fused. The latter two need a
            document store with a `sparse_language` or `sparse_encoder`.
        :param language: Language of the queries' words, for BM25; None: the collection's.
        :param sparse_encoder: What weighs the queries' words, as in the document store; None: that store's own, else
            BM25.
        :param fusion: How "hybrid" makes one ranking of two: "weighted", the weighted sum of z-scores, or "rrf".
        :param sparse_weight: Share of the words in the fused score, from 0 to 1.
        :param score_threshold: Leave out what scores lower, after reranking. **Unit:** that of the scores.
        :param budget_ms: Time for a search; reranks as deep as it allows. **Unit:** milliseconds.
        :param stage1_weight: Weight of the first stage's score in the final one, from 0 to 1. None: the weight that the
            cross-encoder carries.
        :param windows: True: score long Documents in overlapping windows; the best one counts. "best": score one
            window of each, the one that holds the most of the query: quick. The window's span is in `meta["span"]`.
        :param group_by: Search whole documents over their pieces: the field of meta whose value the pieces share,
            "source_id" for what a splitter made. Only the best pieces of each are returned, `top_k` counts documents,
            and `meta["document_id"]` and `meta["document_span"]` say which characters of which document a piece is.
        :param group_size: Most pieces of a document.
        :param diversity: From 0 (the best Documents) to 1: how much one loses by being like a better one. They are then
            chosen from all candidates, and come, by maximal marginal relevance; their scores stay.
        :param return_embedding: Give the Documents their embeddings. Copying them on costs more than the search.
        :param filter_policy: Whether a run's filters take the place of the node's ("replace") or join them ("merge").
        :param device: Where both models compute; None: a GPU where there is one.
        :param token: Access token for the hub, resolved when the models are loaded; or the key of hosted models.
        :param query_prompt: In front of what the bi-encoder reads, such as a task's instruction; None: the checkpoint's
            own.
        :param document_prompt: What stood in front of the Documents when they were embedded, where it isn't the
            checkpoint's own: the `prefix` of the embedder that filled the store.
        :param ranker_prompt: In front of what the cross-encoder reads as the query, or where it has a place for an
            instruction.
        :param truncate_dim: Keep this many leading dimensions of the query's embedding.
        :param backend: "auto", "torch", "onnx" or "openvino"; see `docs/speed.md`.
        :param precision: What both models compute in: "float32", "bfloat16", "float16", "int8" or "auto".
        :param revision: Branch, tag or commit of the bi-encoder on the hub.
        :param ranker_revision: The same for the cross-encoder.
        :param local_files_only: Don't ask the hub; use its cache.
        :param trust_remote_code: Run the checkpoints' own code. Only for folders that you trust.
        :param model_options: JSON values for transformers: dtype, attn_implementation, device_map,
            quantization_config.
        :raises ConfigurationError: An option that makes no sense.
        """
        self.document_store = check_document_store(document_store, "BicrossRetriever")
        self.model = str(model)
        self.ranker_model = None if ranker_model is None else str(ranker_model)
        self.filters = filters
        self.top_k = check_count(top_k, "top_k")
        self.candidates = check_count(candidates, "candidates")
        self.first_stage = check_kind(first_stage)
        self.language = check_language(language)
        self.sparse_encoder = check_sparse_encoder(sparse_encoder, "language", language)
        self.fusion = check_fusion(fusion)
        self.sparse_weight = check_share(sparse_weight, "sparse_weight")
        self.score_threshold = score_threshold
        self.budget_ms = check_milliseconds(budget_ms)
        self.stage1_weight = stage1_weight
        self.windows = windows
        self.group_by = group_by
        self.group_size = check_count(group_size, "group_size")
        self.diversity = check_share(diversity, "diversity")
        self.return_embedding = return_embedding
        self.filter_policy = policy_of(filter_policy)
        self.device = device
        self.token = token
        self.query_prompt = query_prompt
        self.document_prompt = document_prompt
        self.ranker_prompt = ranker_prompt
        self.truncate_dim = truncate_dim
        self.backend = backend
        self.precision = precision
        self.revision = revision
        self.ranker_revision = ranker_revision
        self.local_files_only = local_files_only
        self.trust_remote_code = trust_remote_code
        self.model_options = model_options
        check_one_host(token, self.model, self.ranker_model)
        self._bi_encoder = OnFirstUse(self._load_bi_encoder, Closing.close)
        self._cross_encoder = OnFirstUse(self._load_cross_encoder, Closing.close)
        self._sparse_encoder = OnFirstUse(self._load_sparse_encoder, let_go)
        self._heavy = (
            self._bi_encoder,
            *([] if ranker_model is None else [self._cross_encoder]),
            *([] if first_stage == "dense" else [self._sparse_encoder]),
        )
        self._lock = threading.Lock()
        self._engines: dict[str, TwoStageRetriever] = {}

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        candidates: int | None = None,
        score_threshold: float | None = None,
        budget_ms: float | None = None,
        windows: bool | Literal["best"] | None = None,
        return_embedding: bool | None = None,
        group_by: str | None = None,
        group_size: int | None = None,
        first_stage: str | None = None,
        diversity: float | None = None,
    ) -> dict[str, Any]:
        """Search. Every option that is given takes the place of the node's own for this run.

        :param query: What is sought.
        :param filters: Joined with the node's own as `filter_policy` says.
        :param top_k: As in the constructor.
        :param candidates: As in the constructor.
        :param score_threshold: As in the constructor. What time was too short to rerank is left out, too.
        :param budget_ms: As in the constructor.
        :param windows: As in the constructor.
        :param return_embedding: As in the constructor.
        :param group_by: As in the constructor.
        :param group_size: As in the constructor.
        :param first_stage: As in the constructor.
        :param diversity: As in the constructor.
        :returns: `documents`, best first, and `meta` with the counts `reranked` and `unscored` (left out under a
            threshold for lack of time), and `milliseconds` by stage.
        :raises FilterError: The filter isn't understood.
        :raises FingerprintMismatchError: Another model filled the store.
        :raises StoreError: It has no sparse vectors, and the first stage needs them.
        """
        check_query(query, "BicrossRetriever", "For an embedding use BicrossEmbeddingRetriever.")
        grouped = chosen(group_by, self.group_by)
        with haystack_errors():
            result = self._two_stages(check_kind(chosen(first_stage, self.first_stage))).search(
                query,
                top_k=chosen(top_k, self.top_k),
                candidates=chosen(candidates, self.candidates),
                filter=apply_filter_policy(self.filter_policy, self.filters, filters),
                score_threshold=chosen(score_threshold, self.score_threshold),
                budget_ms=chosen(budget_ms, self.budget_ms),
                windows=chosen(windows, self.windows),
                group_by=grouped,
                group_size=chosen(group_size, self.group_size),
                diversity=chosen(diversity, self.diversity),
                observer=observer(query=query),
            )
        vectors = chosen(return_embedding, self.return_embedding)
        documents = hits_to_documents(
            result, self.document_store.store if vectors else None, grouped=grouped is not None
        )
        meta = {"reranked": result.reranked, "unscored": result.unscored, "milliseconds": dict(result.milliseconds)}
        return {"documents": documents, "meta": meta}

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(
        self,
        query: str,
        filters: dict[str, Any] | None = None,
        top_k: int | None = None,
        candidates: int | None = None,
        score_threshold: float | None = None,
        budget_ms: float | None = None,
        windows: bool | Literal["best"] | None = None,
        return_embedding: bool | None = None,
        group_by: str | None = None,
        group_size: int | None = None,
        first_stage: str | None = None,
        diversity: float | None = None,
    ) -> dict[str, Any]:
        """Search off the event loop; see `run`."""
        return await self.document_store.off_loop(
            self.run,
            query,
            filters,
            top_k,
            candidates,
            score_threshold,
            budget_ms,
            windows,
            return_embedding,
            group_by,
            group_size,
            first_stage,
            diversity,
        )

    def to_dict(self) -> dict[str, Any]:
        """The node as its class and arguments.

        :raises ConfigurationError: Its sparse encoder is one that can't be saved.
        """
        saved = {"sparse_encoder": saved_sparse_encoder(self.sparse_encoder)}
        return default_to_dict(self, **arguments(self) | saved)

    def close(self) -> None:
        """Let go of the models and close the document store, as Haystack's own nodes do; the next run opens both."""
        with self._lock:
            self._engines.clear()
        Node.close(self)  # not super(): Haystack makes the class anew
        self._sparse_encoder.close()
        self.document_store.close()

    def _two_stages(self, kind: str) -> TwoStageRetriever:
        """The engine over the document store as it is open now."""
        bi_encoder = self._bi_encoder.get()
        cross_encoder = None if self.ranker_model is None else self._cross_encoder.get()
        sparse_encoder = None if kind == "dense" else self._sparse_encoder.get()
        store = self.document_store.store
        with self._lock:
            engine = self._engines.get(kind)
            if engine is None or engine.store is not store or engine.bi_encoder is not bi_encoder:
                engine = TwoStageRetriever(
                    bi_encoder,
                    store,
                    cross_encoder,
                    first_stage=kind,
                    stage1_weight=self.stage1_weight,
                    sparse_encoder=sparse_encoder,
                    fusion=self.fusion,
                    sparse_weight=self.sparse_weight,
                )
                self._engines[kind] = engine
            return engine

    def _load_sparse_encoder(self) -> SparseEncoder | None:
        """The node's sparse encoder, else the document store's; None: BM25 for the collection's language."""
        if self.sparse_encoder is None:
            return self.document_store.loaded_sparse_encoder if self.language is None else bm25(self.language)
        return load_sparse_encoder(
            self.sparse_encoder,
            token=hub_token(self),
            device=torch_device(self.device),
            local_files_only=self.local_files_only,
            trust_remote_code=self.trust_remote_code,
        )

    def _load_bi_encoder(self) -> BiEncoder | RemoteBiEncoder:
        return load_bi_encoder(
            self.model,
            revision=self.revision,
            query_prompt=self.query_prompt,
            document_prompt=self.document_prompt,
            truncate_dim=self.truncate_dim,
            **load_options(self, self.model),
        )

    def _load_cross_encoder(self) -> AnyScorer:
        name = self.ranker_model or "starter"
        return load_cross_encoder(
            name,
            revision=self.ranker_revision,
            prompt=self.ranker_prompt,
            **load_options(self, name),
        )
