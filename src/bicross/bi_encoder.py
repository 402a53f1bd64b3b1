"""The bi-encoder: embeds queries and documents apart, so that documents can be embedded once and for ever."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, overload

import numpy as np
import numpy.typing as npt

from bicross.arguments import check_count
from bicross.arrays import unit_rows
from bicross.encoding import projections, towers
from bicross.encoding.backends.protocol import Model
from bicross.encoding.checkpoint import read_bi_checkpoint
from bicross.encoding.embedding import encode
from bicross.encoding.fingerprint import digest, tower_digest
from bicross.encoding.loading import Lease, LoadOptions, check_unchanged
from bicross.encoding.locate import locate
from bicross.encoding.model import LoadedModel
from bicross.encoding.profiling import Parts, time_parts
from bicross.encoding.prompts import Role, check_prompt, role_prompt
from bicross.encoding.saving import save_bi_checkpoint
from bicross.encoding.specs import BiCheckpoint
from bicross.encoding.tokenizer import check_text, check_texts
from bicross.encoding.workers import check_devices
from bicross.errors import ConfigurationError, DimensionMismatchError
from bicross.types import Floats

logger = logging.getLogger(__name__)

Mask = npt.NDArray[np.bool_]
SIMILARITIES = ("cosine", "dot", "euclidean", "manhattan")


class EncodeOptions(TypedDict, total=False):
    """The keywords of `BiEncoder.encode_query` and `encode_document`, for the type checker."""

    prompt: str | None
    batch_tokens: int | None
    show_progress: bool | None
    truncate_dim: int | None
    normalize: bool | None


class BiEncoder(LoadedModel):
    """Embeds queries and documents; made by `BiEncoder.load`.

    Safe to call from many threads. One model in memory serves all that load it with the same options.
    """

    def __init__(
        self,
        checkpoint: BiCheckpoint,
        options: LoadOptions,
        *,
        name: str,
        revision: str | None = None,
        truncate_dim: int | None = None,
        devices: tuple[str, ...] = (),
    ) -> None:
        if checkpoint.similarity not in SIMILARITIES:
            raise ConfigurationError(f"similarity must be one of {SIMILARITIES}, got {checkpoint.similarity!r}.")
        self.checkpoint = checkpoint
        document = towers.load_tower(checkpoint.document, options)
        query = towers.load_tower(checkpoint.query, options) if checkpoint.two_towers else document
        self._leases: dict[Role, Lease[towers.Tower]] = {"document": document, "query": query}
        super().__init__(name, revision, options, self._leases.values(), devices)
        self.truncate_dim = truncate_dim
        self._digests: dict[Role, str] = {}
        _check_towers(query.get().model.dimension, document.get().model.dimension)
        self._check_dimension(truncate_dim, self._model_width)

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str] = "starter",
        *,
        revision: str | None = None,
        token: str | None = None,
        local_files_only: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
        device: str | Sequence[str] = "auto",
        workers: int | None = None,
        precision: str = "float32",
        backend: str = "auto",
        query_prompt: str | None = None,
        document_prompt: str | None = None,
        truncate_dim: int | None = None,
        model_options: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
    ) -> Self:
        """Load a sentence-transformers or transformers checkpoint.

        Args:
            name_or_path: A folder, a name on the model hub, "starter", or "minilm" (what the starter was trained from).
            revision: Branch, tag or commit on the hub.
            token: Access token for the hub.
            local_files_only: Don't ask the hub; use its cache.
            cache_dir: The hub's cache, where it isn't the usual one.
            device: "auto" (CUDA, then MPS, then CPU), a torch device, or several: a process on each shares big jobs,
                everything else is computed on the first.
            workers: Processes that share big jobs, on one device; each has its part of the cores. Scripts need
                ``if __name__ == "__main__":`` then.
            precision: "float32", "bfloat16", "float16", "auto" (bfloat16 where the hardware is faster in it), or
                "int8", which has another fingerprint.
            backend: "torch", "onnx", "openvino", or "auto": on a CPU the fastest that is installed, by the order in
                `bicross.encoding.backends.choosing`. The first use of a model on another backend than torch exports
                it into the user's cache, and says so.
            query_prompt: Stands in front of queries, such as a task's instruction in the form that the model's card
                gives; None: the checkpoint's own.
            document_prompt: The same for documents.
            truncate_dim: Keep this many leading dimensions (Matryoshka models), not normalised again. A model with
                learned projections (zembed-1) has those dimensions alone, and vectors of unit length.
            model_options: JSON values: for transformers, which makes torch the backend, `dtype`,
                `attn_implementation`, `device_map`, `quantization_config`; for the other backends `threads`, of a call.
            trust_remote_code: Run the checkpoint's own code. Only for folders that you trust.

        Raises:
            ModelNotFoundError: Nothing under this name; says where it was sought.
            CheckpointError: Damaged, unsafe (pickle) or unknown.
            ConfigurationError: An option that makes no sense.
        """
        device, devices = check_devices(device, workers)
        options = LoadOptions.check(device, precision, backend, model_options, trust_remote_code)
        found = locate(
            name_or_path,
            "bi-encoder",
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            cache_dir=cache_dir,
        )
        checkpoint = read_bi_checkpoint(found.folder)
        own: dict[Role, str | None] = {"query": query_prompt, "document": document_prompt}
        given: dict[str, str] = {
            role: check_prompt(getattr(checkpoint, role), prompt) for role, prompt in own.items() if prompt is not None
        }
        checkpoint = replace(checkpoint, prompts={**checkpoint.prompts, **given})
        if checkpoint.note:
            logger.info("%s", checkpoint.note)
        return cls(
            checkpoint,
            options,
            name=found.name,
            revision=found.revision,
            truncate_dim=truncate_dim,
            devices=devices,
        )

    @property
    def _model(self) -> Model:
        return self._leases["document"].get().model

    @property
    def dimension(self) -> int:
        """Length of a vector."""
        full = self._model_width
        return min(self.truncate_dim or full, full)

    @property
    def max_length(self) -> int:
        """Longest document that is read whole. **Unit:** tokens, special tokens included."""
        return self._leases["document"].get().tokenizer.max_length

    @property
    def passage_limit(self) -> int:
        """What is left of `max_length` for a document's own text. **Unit:** tokens."""
        tokenizer = self._leases["document"].get().tokenizer
        return tokenizer.content_limit() - tokenizer.count([role_prompt(self.prompts, "document")])[0]

    @property
    def prompts(self) -> Mapping[str, str]:
        """The checkpoint's prompts by name."""
        return self.checkpoint.prompts

    @property
    def similarity_name(self) -> str:
        """ "cosine", "dot", "euclidean" or "manhattan"."""
        return self.checkpoint.similarity

    @property
    def document_fingerprint(self) -> str:
        """SHA-256 over everything that changes a document's vector; what an index depends on."""
        return self.fingerprint("document")

    @property
    def query_fingerprint(self) -> str:
        """SHA-256 over everything that changes a query's vector."""
        return self.fingerprint("query")

    def fingerprint(
        self,
        role: Role,
        *,
        prompt: str | None = None,
        truncate_dim: int | None = None,
        normalize: bool | None = None,
    ) -> str:
        """The fingerprint of a role under the options that `encode_query` and `encode_document` take."""
        tower = self._leases[role].get()
        self._check_dimension(truncate_dim, self.dimension)
        if role not in self._digests:
            check_unchanged(tower.files, towers.files_of(tower.spec))
            self._digests[role] = tower_digest(tower.spec, tower.tokenizer.state)
        dimension = min(truncate_dim or self.dimension, self.dimension)
        whole = dimension == tower.model.dimension or self.checkpoint.projections is not None
        unit = tower.spec.normalizes and whole
        return digest(
            self._digests[role],
            role_prompt(self.prompts, role) if prompt is None else prompt,
            dimension,
            unit or bool(normalize),
            tower.precision_class,
        )

    @overload
    def encode_query(
        self, texts: str | Sequence[str], *, return_truncation: Literal[False] = ..., **options: Unpack[EncodeOptions]
    ) -> Floats: ...
    @overload
    def encode_query(
        self, texts: str | Sequence[str], *, return_truncation: Literal[True], **options: Unpack[EncodeOptions]
    ) -> tuple[Floats, Mask]: ...
    def encode_query(
        self,
        texts: str | Sequence[str],
        *,
        prompt: str | None = None,
        batch_tokens: int | None = None,
        show_progress: bool | None = None,
        truncate_dim: int | None = None,
        normalize: bool | None = None,
        return_truncation: bool = False,
    ) -> Floats | tuple[Floats, Mask]:
        """Embed queries.

        Args:
            texts: A query, or a sequence of them. Empty strings are legal.
            prompt: Stands in front of every text; None: the checkpoint's prompt for queries.
            batch_tokens: Most tokens of a batch, padding included.
            show_progress: None: on a terminal, once it takes more than two seconds.
            truncate_dim: Shorter vectors, as in `load`.
            normalize: True: scale to unit length, after truncation. None: as the checkpoint does.
            return_truncation: Also return which texts were cut, instead of warning about their number.

        Returns:
            float32. **Shape:** (dimension,) for a string, (len(texts), dimension) for a sequence; with
            `return_truncation` also booleans of shape () or (len(texts),).

        Raises:
            InputTypeError, InputError: Something that isn't valid text; names its position.
        """
        return self._encode(
            "query", texts, prompt, batch_tokens, show_progress, truncate_dim, normalize, return_truncation
        )

    @overload
    def encode_document(
        self, texts: str | Sequence[str], *, return_truncation: Literal[False] = ..., **options: Unpack[EncodeOptions]
    ) -> Floats: ...
    @overload
    def encode_document(
        self, texts: str | Sequence[str], *, return_truncation: Literal[True], **options: Unpack[EncodeOptions]
    ) -> tuple[Floats, Mask]: ...
    def encode_document(
        self,
        texts: str | Sequence[str],
        *,
        prompt: str | None = None,
        batch_tokens: int | None = None,
        show_progress: bool | None = None,
        truncate_dim: int | None = None,
        normalize: bool | None = None,
        return_truncation: bool = False,
    ) -> Floats | tuple[Floats, Mask]:
        """Embed documents; see `encode_query`. The checkpoint's prompt for documents is used."""
        return self._encode(
            "document", texts, prompt, batch_tokens, show_progress, truncate_dim, normalize, return_truncation
        )

    def similarity(self, queries: Floats, documents: Floats) -> Floats:
        """How alike vectors are, by the checkpoint's measure (distances are negated).

        Args:
            queries: **Shape:** (dimension,) or (queries, dimension).
            documents: **Shape:** (dimension,) or (documents, dimension).

        Returns:
            **Shape:** (queries, documents). **Unit:** cosine, dot product, or negated distance.
        """
        return similarity(np.atleast_2d(queries), np.atleast_2d(documents), self.similarity_name)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text as the document tower reads it, special tokens left out."""
        return self._leases["document"].get().tokenizer.count(check_texts(texts))

    def time_parts(self, texts: Sequence[str]) -> Parts:
        """What encoding documents takes in each of its parts, measured one after the other.

        Args:
            texts: What is encoded; the vectors are thrown away.
        """
        return time_parts(self._leases["document"].get(), check_texts(texts), role_prompt(self.prompts, "document"))

    def save(self, folder: str | os.PathLike[str]) -> Path:  # noqa: D102  # described by LoadedModel
        limits = {role: lease.get().tokenizer.max_length for role, lease in self._leases.items()}
        return save_bi_checkpoint(self.checkpoint, Path(folder), limits)

    def _encode(
        self,
        role: Role,
        texts: str | Sequence[str],
        prompt: str | None,
        batch_tokens: int | None,
        show_progress: bool | None,
        truncate_dim: int | None,
        normalize: bool | None,
        return_truncation: bool,
    ) -> Floats | tuple[Floats, Mask]:
        tower = self._leases[role].get()
        _check_positive(batch_tokens=batch_tokens)
        self._check_dimension(truncate_dim, self.dimension)
        single = isinstance(texts, str)
        batch = [check_text(texts)] if isinstance(texts, str) else check_texts(texts)
        prompt = role_prompt(self.prompts, role) if prompt is None else check_prompt(tower.spec, prompt)
        vectors, truncated = encode(
            tower, batch, prompt, batch_tokens, show_progress, return_truncation, self._remote()
        )
        vectors = self._shortened(vectors, truncate_dim or self.truncate_dim)
        if normalize:
            vectors = unit_rows(vectors)
        if single:
            return (vectors[0], truncated[0]) if return_truncation else vectors[0]
        return (vectors, truncated) if return_truncation else vectors

    def _check_dimension(self, truncate_dim: int | None, most: int) -> None:
        _check_dimension(truncate_dim, most)
        if truncate_dim is not None and self.checkpoint.projections is not None:
            projections.check_dimension(self.checkpoint.projections, self._model_width, truncate_dim)

    @property
    def _model_width(self) -> int:
        return self._leases["document"].get().model.dimension

    def _shortened(self, vectors: Floats, dimension: int | None) -> Floats:
        """**Shape:** (texts, width) → (texts, dimension)."""
        if dimension is None or dimension == vectors.shape[1]:
            return vectors
        if self.checkpoint.projections is not None:
            return projections.project(vectors, self.checkpoint.projections, dimension)
        return np.ascontiguousarray(vectors[:, :dimension])


def similarity(queries: Floats, documents: Floats, name: str) -> Floats:
    """Similarity of each query to each document. **Shape:** (q, d), (n, d) → (q, n).

    >>> similarity(np.array([[3.0, 4.0]]), np.array([[6.0, 8.0], [4.0, -3.0]]), "cosine").tolist()
    [[1.0, 0.0]]
    """
    if name == "cosine":
        queries, documents = unit_rows(queries), unit_rows(documents)
    if name in ("cosine", "dot"):
        return queries @ documents.T
    difference = queries[:, None, :] - documents[None, :, :]
    distance = np.abs(difference).sum(axis=2) if name == "manhattan" else np.sqrt((difference**2).sum(axis=2))
    return -np.asarray(distance, dtype=np.float32)


def _check_positive(**values: int | None) -> None:
    for name, value in values.items():
        if value is not None:
            check_count(value, name)


def _check_towers(query: int, document: int) -> None:
    if query != document:
        raise DimensionMismatchError(
            f"Both towers must give vectors of one dimension, got {query} for queries and {document} for documents."
        )


def _check_dimension(truncate_dim: int | None, most: int) -> None:
    _check_positive(truncate_dim=truncate_dim)
    if truncate_dim is not None and truncate_dim > most:
        raise ConfigurationError(f"truncate_dim must be at most {most}, the model's dimension, got {truncate_dim}.")
