"""Cuts Documents into passages that the model reads to their end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from haystack import Document, component
from haystack.utils import ComponentDevice, Secret

from bicross import pool
from bicross.bi_encoder import BiEncoder
from bicross.errors import InputError
from bicross.lifecycle import Closing
from bicross.readers import split
from bicross.remote.bi_encoder import RemoteBiEncoder
from bicross.remote.loading import load_bi_encoder
from haystack_integrations.common.bicross.conversion import to_document, to_passage
from haystack_integrations.common.bicross.inputs import check_documents
from haystack_integrations.common.bicross.node import Node, OnFirstUse, load_options


@component
class BicrossPassageSplitter(Node):
    """Cuts what is longer than the bi-encoder reads, at paragraphs, then sentences, then words.

    The first piece keeps the Document's id, the others append `#1`, `#2`, …. Each carries `source_id`, `split_id`,
    `split_count`, `split_idx_start` and `split_idx_end` in its meta, and `page_number` where the text has form feeds.

    ### Usage example

    ```python
    from haystack import Document
    from haystack_integrations.components.preprocessors.bicross import BicrossPassageSplitter

    pieces = BicrossPassageSplitter(limit=64).run([Document(content="One sentence. " * 100)])["documents"]
    ```
    """

    def __init__(
        self,
        model: str | Path = "starter",
        *,
        limit: int | None = None,
        overlap: int | None = None,
        language: str = "en",
        device: ComponentDevice | None = None,
        token: Secret | None = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False),  # noqa: B008
        backend: str = "auto",
        precision: str = "float32",
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        model_options: dict[str, Any] | None = None,
    ) -> None:
        """Make the node; the model is loaded by `warm_up` or the first run.

        :param model: The bi-encoder that will embed the pieces: its tokens are counted. One that another node has
            loaded with the same options is shared.
        :param limit: Longest piece, the title in its meta included. **Unit:** tokens. None: what the model reads.
        :param overlap: Up to so many tokens of whole sentences are repeated in the next piece. None: an eighth of the
            limit.
        :param language: Code of the language whose abbreviations aren't taken for ends of sentences.
        :param device: As in the embedders.
        :param token: As in the embedders.
        :param backend: As in the embedders.
        :param precision: As in the embedders.
        :param revision: As in the embedders.
        :param local_files_only: As in the embedders.
        :param trust_remote_code: As in the embedders.
        :param model_options: As in the embedders.
        """
        self.model = str(model)
        self.limit = limit
        self.overlap = overlap
        self.language = language
        self.device = device
        self.token = token
        self.backend = backend
        self.precision = precision
        self.revision = revision
        self.local_files_only = local_files_only
        self.trust_remote_code = trust_remote_code
        self.model_options = model_options
        self._encoder = OnFirstUse(self._load, Closing.close)
        self._heavy = (self._encoder,)

    @component.output_types(documents=list[Document])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Cut Documents.

        :param documents: The Documents. Those that are short enough come back as they are.
        :returns: `documents`: the pieces, in order.
        :raises InputTypeError: It isn't a list of Documents.
        :raises InputError: One has no content: leaving it out would lose it.
        """
        check_documents(documents, "BicrossPassageSplitter", "Convert files to Documents first.")
        for position, document in enumerate(documents):
            if document.content is None:
                raise InputError(
                    f"Only Documents with content can be split; documents[{position}] (id {document.id!r}) has none. "
                    "Route it past the splitter."
                )
        encoder = self._encoder.get()
        passages = [to_passage(document) for document in documents]
        limit = encoder.passage_limit if self.limit is None else self.limit
        pieces = split(
            passages, limit=limit, overlap=self.overlap, language=self.language, count_tokens=encoder.count_tokens
        )
        whole = {id(passage): document for passage, document in zip(passages, documents, strict=True)}
        return {"documents": [whole.get(id(piece)) or to_document(piece) for piece in pieces]}

    @component.output_types(documents=list[Document])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """Cut Documents off the event loop; see `run`."""
        return await pool.computing(self.run, documents)

    def _load(self) -> BiEncoder | RemoteBiEncoder:
        return load_bi_encoder(self.model, revision=self.revision, **load_options(self, self.model))
