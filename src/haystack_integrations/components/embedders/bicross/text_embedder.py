"""Embeds a query."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from haystack import component
from haystack.utils import ComponentDevice, Secret

from bicross import pool
from bicross.bi_encoder import BiEncoder
from bicross.lifecycle import Closing
from bicross.remote.bi_encoder import RemoteBiEncoder
from bicross.remote.loading import load_bi_encoder
from haystack_integrations.common.bicross.embedding import Embedding
from haystack_integrations.common.bicross.inputs import check_string
from haystack_integrations.common.bicross.node import Node, OnFirstUse, load_options
from haystack_integrations.common.bicross.tracing import observer


@component
class BicrossTextEmbedder(Node):
    """Embeds a string, for example a query, with a bi-encoder.

    ### Usage example

    ```python
    from haystack_integrations.components.embedders.bicross import BicrossTextEmbedder

    embedding = BicrossTextEmbedder().run("How do I install it?")["embedding"]
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
        backend: str = "auto",
        precision: str = "float32",
        revision: str | None = None,
        local_files_only: bool = False,
        trust_remote_code: bool = False,
        model_options: dict[str, Any] | None = None,
    ) -> None:
        """Make the node; the model is loaded by `warm_up` or the first run.

        :param model: A folder, a name on the model hub, "starter", or a hosted model: `https://host/v1#model`.
        :param device: Where the model computes; None: a GPU where there is one.
        :param token: Access token for the hub, resolved when the model is loaded; or the key of a hosted model.
        :param prefix: Stands in front of the text. None: the checkpoint's own prompt for queries; "": nothing.
        :param suffix: Stands behind the text.
        :param batch_size: Of no effect on a single text; here for symmetry with BicrossDocumentEmbedder.
        :param progress_bar: Of no effect on a single text; here for symmetry with BicrossDocumentEmbedder.
        :param normalize_embeddings: Scale to unit length, also where the checkpoint doesn't.
        :param truncate_dim: Keep this many leading dimensions (Matryoshka models).
        :param backend: "auto", "torch", "onnx" or "openvino"; see `docs/speed.md`.
        :param precision: What the model computes in: "float32", "bfloat16", "float16", "int8" or "auto".
        :param revision: Branch, tag or commit on the hub.
        :param local_files_only: Don't ask the hub; use its cache.
        :param trust_remote_code: Run the checkpoint's own code. Only for folders that you trust.
        :param model_options: JSON values for transformers: dtype, attn_implementation, device_map,
            quantization_config.
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
        self.backend = backend
        self.precision = precision
        self.revision = revision
        self.local_files_only = local_files_only
        self.trust_remote_code = trust_remote_code
        self.model_options = model_options
        self._encoder = OnFirstUse(self._load, Closing.close)
        self._heavy = (self._encoder,)

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    def run(self, text: str) -> dict[str, Any]:
        """Embed a string.

        :param text: The string; empty is legal.
        :returns: `embedding`, and `meta` with `model`, `fingerprint` and `truncated` (1 if the text was cut).
        :raises InputTypeError: It isn't a string.
        """
        check_string(text, "BicrossTextEmbedder", "For a list of Documents use BicrossDocumentEmbedder.")
        encoder = self._encoder.get()
        normalize = self.normalize_embeddings or None
        with observer(text=text)("encode") as tags:
            vector, cut = encoder.encode_query(
                text + self.suffix, prompt=self.prefix, normalize=normalize, return_truncation=True, show_progress=False
            )
            fingerprint = encoder.fingerprint("query", prompt=self.prefix, normalize=normalize)
            tags.update(texts=1, model=encoder.name, fingerprint=fingerprint, truncated=int(cut))
        # With a prefix of its own, nothing tells which prefix the documents got: left unchecked.
        partner = encoder.fingerprint("document", normalize=normalize) if self.prefix is None else None
        return {
            "embedding": Embedding(vector.tolist(), partner, encoder.name, encoder.revision, encoder.similarity_name),
            "meta": {"model": encoder.name, "fingerprint": fingerprint, "truncated": int(cut)},
        }

    @component.output_types(embedding=list[float], meta=dict[str, Any])
    async def run_async(self, text: str) -> dict[str, Any]:
        """Embed a string off the event loop; see `run`."""
        return await pool.computing(self.run, text)

    def _load(self) -> BiEncoder | RemoteBiEncoder:
        return load_bi_encoder(
            self.model, revision=self.revision, truncate_dim=self.truncate_dim, **load_options(self, self.model)
        )
