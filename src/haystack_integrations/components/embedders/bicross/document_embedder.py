"""Embeds Documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from haystack import Document, component
from haystack.utils import ComponentDevice, Secret

from bicross import pool
from bicross.bi_encoder import BiEncoder
from bicross.caches import VectorCache, check_kept
from bicross.lifecycle import Closing
from bicross.remote.bi_encoder import RemoteBiEncoder
from bicross.remote.loading import load_bi_encoder
from bicross.types import Floats
from haystack_integrations.common.bicross.embedding import Embedding
from haystack_integrations.common.bicross.inputs import check_documents, readable
from haystack_integrations.common.bicross.node import Node, OnFirstUse, load_options
from haystack_integrations.common.bicross.tracing import observer


@component
class BicrossDocumentEmbedder(Node):
    """Gives Documents their embeddings, with a bi-encoder.

    ### Usage example

    ```python
    from haystack import Document
    from haystack_integrations.components.embedders.bicross import BicrossDocumentEmbedder

    documents = BicrossDocumentEmbedder(cache_dir=".vectors").run([Document(content="Milk")])["documents"]
    ```
    """

    def __init__(
        self,
        model: str | Path = "starter",
        *,
        device: ComponentDevice | None = None,
        token: Secret | None = Secret.from_env_var(["HF_API_TOKEN", "HF_TOKEN"], strict=False),  # noqa: B008
        prefix: str | None = None,
        suffix: str = "",
        batch_size: int | None = None,
        progress_bar: bool = True,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        meta_fields_to_embed: list[str] | None = None,
        embedding_separator: str = "\n",
        backend: str = "auto",
        precision: str = "float32",
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        model_options: dict[str, Any] | None = None,
        cache_dir: str | Path | None = None,
    ) -> None:
        """Make the node; the model is loaded by `warm_up` or the first run.

        :param model: A folder, a name on the model hub, "starter", or a hosted model: `https://host/v1#model`.
        :param device: Where the model computes; None: a GPU where there is one.
        :param token: Access token for the hub, resolved when the model is loaded; or the key of a hosted model.
        :param prefix: Stands in front of every text. None: the checkpoint's own prompt for documents; "": nothing.
        :param suffix: Stands behind every text.
        :param batch_size: Memory for this many texts of the model's full length; shorter ones are packed into the same
            room. None: batches that suit the hardware.
        :param progress_bar: Show progress on a terminal, once it takes more than two seconds.
        :param normalize_embeddings: Scale to unit length, also where the checkpoint doesn't.
        :param truncate_dim: Keep this many leading dimensions (Matryoshka models).
        :param meta_fields_to_embed: Fields of meta whose values are read in front of the content.
        :param embedding_separator: Stands between these values and the content.
        :param backend: "auto", "torch", "onnx" or "openvino"; see `docs/speed.md`.
        :param precision: What the model computes in: "float32", "bfloat16", "float16", "int8" or "auto".
        :param revision: Branch, tag or commit on the hub.
        :param local_files_only: Don't ask the hub; use its cache.
        :param trust_remote_code: Run the checkpoint's own code. Only for folders that you trust.
        :param model_options: JSON values for transformers: dtype, attn_implementation, device_map,
            quantization_config.
        :param cache_dir: Folder that keeps vectors by model and text: what was encoded once isn't encoded again.
        """
        self.model = str(model)
        self.device = device
        self.token = token
        self.prefix = prefix
        self.suffix = suffix
        self.batch_size = batch_size
        self.progress_bar = progress_bar
        self.normalize_embeddings = normalize_embeddings
        self.truncate_dim = truncate_dim
        self.meta_fields_to_embed = meta_fields_to_embed
        self.embedding_separator = embedding_separator
        self.backend = backend
        self.precision = precision
        self.revision = revision
        self.local_files_only = local_files_only
        self.trust_remote_code = trust_remote_code
        self.model_options = model_options
        self.cache_dir = None if cache_dir is None else str(cache_dir)
        self._encoder = OnFirstUse(self._load, Closing.close)
        self._cache = OnFirstUse(lambda: VectorCache(cache_dir or ""), VectorCache.close)
        self._heavy = (self._encoder, self._cache) if cache_dir is not None else (self._encoder,)

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    def run(self, documents: list[Document]) -> dict[str, Any]:
        """Embed Documents.

        :param documents: The Documents. One without content, and without any of `meta_fields_to_embed`, comes back as
            it is and is counted.
        :returns: `documents`, copies with embeddings in the order given, and `meta` with `model`, `fingerprint`, and
            the counts `embedded`, `encoded` (by the model, not from the cache), `truncated` (of these), `skipped`.
        :raises InputTypeError: It isn't a list of Documents.
        """
        check_documents(documents, "BicrossDocumentEmbedder", "For a string use BicrossTextEmbedder.")
        encoder = self._encoder.get()
        fields, separator = self.meta_fields_to_embed, self.embedding_separator
        found = [readable(document, fields, separator, suffix=self.suffix) for document in documents]
        texts = [item.text for item in found if item is not None]
        fingerprint = encoder.fingerprint("document", prompt=self.prefix, normalize=self.normalize_embeddings or None)
        with observer(texts=texts)("encode") as tags:
            vectors, encoded, truncated = self._encode(encoder, fingerprint, texts)
            tags.update(texts=len(texts), encoded=encoded, truncated=truncated)
            tags.update(model=encoder.name, fingerprint=fingerprint)
        made_by = Embedding((), fingerprint, encoder.name, encoder.revision, encoder.similarity_name)
        rows = iter(vectors.tolist())
        embedded = [
            document if item is None else replace(document, embedding=Embedding.like(next(rows), made_by))
            for document, item in zip(documents, found, strict=True)
        ]
        meta = {"model": encoder.name, "fingerprint": fingerprint, "embedded": len(texts), "encoded": encoded}
        return {
            "documents": embedded,
            "meta": {**meta, "truncated": truncated, "skipped": len(documents) - len(texts)},
        }

    @component.output_types(documents=list[Document], meta=dict[str, Any])
    async def run_async(self, documents: list[Document]) -> dict[str, Any]:
        """Embed Documents off the event loop; see `run`."""
        return await pool.computing(self.run, documents)

    def _encode(
        self, encoder: BiEncoder | RemoteBiEncoder, fingerprint: str, texts: list[str]
    ) -> tuple[Floats, int, int]:
        """Vectors, how many texts the model encoded, how many of these it cut. **Shape:** (len(texts), dimension)."""
        encoded = truncated = 0

        def encode(part: Sequence[str]) -> Floats:
            nonlocal encoded, truncated
            vectors, cut = encoder.encode_document(
                part,
                prompt=self.prefix,
                normalize=self.normalize_embeddings or None,
                batch_tokens=None if self.batch_size is None else self.batch_size * encoder.max_length,
                show_progress=None if self.progress_bar else False,
                return_truncation=True,
            )
            encoded += len(part)
            truncated += int(np.count_nonzero(cut))
            return vectors

        if self.cache_dir is None:
            return encode(texts), encoded, truncated
        cache = self._cache.get()
        check_kept(cache, encoder)
        return cache.encode(fingerprint, texts, encode), encoded, truncated

    def _load(self) -> BiEncoder | RemoteBiEncoder:
        return load_bi_encoder(
            self.model, revision=self.revision, truncate_dim=self.truncate_dim, **load_options(self, self.model)
        )
