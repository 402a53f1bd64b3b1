"""What the document store reads and writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, TypeVar

from haystack import Document
from haystack.document_stores.errors import DuplicateDocumentError
from haystack.document_stores.types import DuplicatePolicy

from bicross.errors import ConfigurationError
from bicross.sparse_sync import warn_of_missing
from bicross.stores import stamp_of
from bicross.stores.grouping import Grouping
from bicross.stores.inputs import check_matrix
from bicross.types import Floats, Passage
from haystack_integrations.common.bicross.conversion import hits_to_documents, to_document, to_passage, with_meta
from haystack_integrations.common.bicross.extras import EXTRAS
from haystack_integrations.common.bicross.inputs import check_count, check_documents
from haystack_integrations.document_stores.bicross import metadata
from haystack_integrations.document_stores.bicross.collection import BoundCollection
from haystack_integrations.document_stores.bicross.errors import haystack_errors

T = TypeVar("T")

_BATCH = 1_000


class SynchronousStore(BoundCollection):
    """Haystack's `DocumentStore` protocol, and what its extended tests ask for."""

    # --- reading --------------------------------------------------------------------------------------------------

    def count_documents(self) -> int:
        """How many Documents there are."""
        return sum(store.count() for store in self._stores.get())

    @haystack_errors()
    def count_documents_by_filter(self, filters: dict[str, Any]) -> int:
        """How many Documents match."""
        return sum(store.count(filters) for store in self._stores.get())

    @haystack_errors()
    def filter_documents(self, filters: dict[str, Any] | None = None) -> list[Document]:
        """All Documents, or those that match, with their embeddings, in no particular order.

        :param filters: Haystack's filter dict.
        :raises FilterError: It isn't understood.
        """
        with_vectors, without = self._stores.get()
        documents: list[Document] = []
        for part in _parts(with_vectors.scroll(filters)):
            documents += self._with_vectors(part)
        return documents + [to_document(passage) for passage in without.scroll(filters)]

    def get_documents_by_id(self, document_ids: list[str]) -> list[Document]:
        """Those of the Documents that are there, with their embeddings."""
        with_vectors, without = self._stores.get()
        found = self._with_vectors(with_vectors.get(document_ids))
        return found + [to_document(passage) for passage in without.get(document_ids)]

    @haystack_errors()
    def search(
        self,
        query_embedding: Sequence[float],
        top_k: int = 10,
        filters: dict[str, Any] | None = None,
        score_threshold: float | None = None,
        return_embedding: bool = False,
        group_by: str | None = None,
        group_size: int = 1,
    ) -> list[Document]:
        """The Documents nearest to an embedding; what BicrossEmbeddingRetriever asks for, and explains.

        :raises FingerprintMismatchError: Another model than the collection's made the embedding.
        """
        check_count(top_k, "top_k")
        self._verify(query_embedding)
        grouping = Grouping.asked(group_by, group_size)
        if grouping is None:
            hits = self.store.search(query_embedding, top_k=top_k, filter=filters)
        else:
            hits = grouping.hits_of(self.store, query_embedding, top_k, filters)
        if score_threshold is not None:
            hits = [hit for hit in hits if hit.score >= score_threshold]
        vectors_from = self.store if return_embedding else None
        return hits_to_documents(hits, vectors_from, both_stages=False, grouped=grouping is not None)

    def get_metadata_fields_info(self) -> dict[str, dict[str, str]]:
        """The type of each field of meta: keyword, int, float, boolean or object."""
        return metadata.field_types(self._metas())

    def get_metadata_field_min_max(self, metadata_field: str) -> dict[str, Any]:
        """Least and greatest value of a field, None where no Document has it."""
        return metadata.min_max(self._metas(), metadata_field)

    @haystack_errors()
    def count_unique_metadata_by_filter(self, filters: dict[str, Any], metadata_fields: list[str]) -> dict[str, int]:
        """How many different values each field has among the Documents that match."""
        return metadata.count_unique(self._metas(filters), metadata_fields)

    @haystack_errors()
    def get_metadata_field_unique_values(
        self,
        metadata_field: str,
        search_term: str | None = None,
        from_: int = 0,
        size: int = 10,
        filters: dict[str, Any] | None = None,
    ) -> tuple[list[Any], int]:
        """A page of a field's different values that contain a term, and how many there are."""
        return metadata.unique_values(self._metas(filters), metadata_field, search_term, from_, size)

    # --- writing --------------------------------------------------------------------------------------------------

    def write_documents(self, documents: list[Document], policy: DuplicatePolicy = DuplicatePolicy.NONE) -> int:
        """Write Documents. Everything is checked before anything is written.

        :param documents: The Documents.
        :param policy: What happens to those whose id is taken. NONE is FAIL.
        :returns: How many were written.
        :raises DuplicateDocumentError: An id is taken, and the policy is FAIL.
        :raises FingerprintMismatchError: The collection holds embeddings of another model, or sparse vectors of
            another sparse encoder.
        """
        check_documents(documents, "write_documents", "Wrap texts: Document(content=…).")
        with_vectors, without = self._stores.get()
        with self._writing:
            wanted = self._wanted(documents, policy)
            embedded = [document for document in wanted if document.embedding is not None]
            others = [document for document in wanted if document.embedding is None]
            passages = [to_passage(document, complete=True) for document in embedded]
            bare = [to_passage(document, complete=True) for document in others]
            for passage in bare:
                stamp_of(passage)  # refuses what can't be stored, before the others are written
            if embedded:
                vectors = check_matrix([document.embedding for document in embedded], len(embedded))
                self._bind(embedded, vectors.shape[1])
                self._upsert(passages, vectors)
            without.upsert(bare, [[1.0]] * len(bare))
            if policy == DuplicatePolicy.OVERWRITE:  # one may have gained or lost its embedding
                without.delete([document.id for document in embedded])
                with_vectors.delete([document.id for document in others])
        return len(wanted)

    def _upsert(self, passages: list[Passage], vectors: Floats) -> None:
        """Write passages with their vectors, the sparse ones among them where they are asked for."""
        sparse = self._sparse()
        if sparse is None:
            self.store.upsert(passages, vectors)
            warn_of_missing(self.store.header(), len(passages), self.collection)
            return
        texts = [passage.full_text for passage in passages]
        encode = sparse.begin(texts)
        self.store.upsert(passages, vectors, encode and encode(texts))
        sparse.finish(changed=False, show_progress=False)

    def add_sparse(self, *, reweight: bool = False) -> int:
        """Make the sparse vectors that Documents lack which were written without them.

        :param reweight: Make all of them anew, also those of another sparse encoder.
        :returns: How many were made. Embeddings stay as they are.
        :raises ConfigurationError: The store has neither a `sparse_language` nor a `sparse_encoder`.
        :raises FingerprintMismatchError: Another encoder made those that are there.
        """
        sparse = self._sparse()
        if sparse is None:
            raise ConfigurationError(
                "add_sparse needs a store with a sparse_language or a sparse_encoder; got neither. Give it one: "
                "sparse_language='en'."
            )
        with self._writing:
            return sparse.complete(reweight=reweight)

    def delete_documents(self, document_ids: list[str]) -> None:
        """Remove Documents; ids that aren't there are fine."""
        for store in self._stores.get():
            store.delete(document_ids)

    def delete_all_documents(self, recreate_index: bool = False) -> None:
        """Remove all Documents.

        :param recreate_index: Also forget the dimension and the model, so that another model can fill the collection.
        """
        for store in self._stores.get():
            if recreate_index:
                store.drop()
            else:
                store.delete(list(store.ids()))

    @haystack_errors()
    def delete_by_filter(self, filters: dict[str, Any]) -> int:
        """Remove the Documents that match; how many they were."""
        return sum(store.delete(filters) for store in self._stores.get())

    @haystack_errors()
    def update_by_filter(self, filters: dict[str, Any], meta: dict[str, Any]) -> int:
        """Set fields of meta in the Documents that match; how many they were. Embeddings stay as they are."""
        updated = 0
        for store in self._stores.get():
            for ids in _parts(iter(list(store.ids(filters)))):
                stamps = store.stamps(ids)
                by_sync: dict[str | None, list[Passage]] = {}
                for passage in store.get(ids):
                    stamp = stamps.get(passage.id)
                    by_sync.setdefault(stamp.sync if stamp else None, []).append(with_meta(passage, meta))
                updated += sum(store.set_payload(group, sync=sync) for sync, group in by_sync.items())
        return updated

    def optimize(self) -> bool:
        """Build the approximate index after much was written; searches are exact, and slower, until then.

        A server does this by itself. Takes seconds to minutes and holds other threads up.
        """
        return self.store.optimize()

    def _with_vectors(self, passages: list[Passage]) -> list[Document]:
        ids, rows = self.store.vectors([passage.id for passage in passages])
        vectors = dict(zip(ids, rows, strict=True))
        made_by = self._origin()
        return [to_document(passage, vector=vectors.get(passage.id), made_by=made_by) for passage in passages]

    def _metas(self, filters: dict[str, Any] | None = None) -> Iterator[Mapping[str, Any]]:
        for store in self._stores.get():
            for passage in store.scroll(filters):
                yield {name: value for name, value in passage.meta.items() if name != EXTRAS}

    def _wanted(self, documents: list[Document], policy: DuplicatePolicy) -> list[Document]:
        """The Documents to write under a policy: one an id, as if they were written one after the other."""
        if policy == DuplicatePolicy.OVERWRITE:
            return list({document.id: document for document in documents}.values())
        ids = [document.id for document in documents]
        taken = {id for store in self._stores.get() for id in store.stamps(ids)}
        wanted: dict[str, Document] = {}
        for document in documents:
            if document.id not in taken and document.id not in wanted:
                wanted[document.id] = document
            elif policy != DuplicatePolicy.SKIP:
                raise DuplicateDocumentError(
                    f"Document ids are unique; {document.id!r} is taken. Write with DuplicatePolicy.SKIP or OVERWRITE."
                )
        return list(wanted.values())


def _parts(items: Iterator[T]) -> Iterator[list[T]]:
    while part := list(islice(items, _BATCH)):
        yield part
