"""SPLADE: a masked language model weighs every word of its vocabulary for a text, those that it doesn't hold too."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any, Self

from bicross.encoding.fingerprint import digest
from bicross.encoding.loading import LoadOptions
from bicross.encoding.locate import locate
from bicross.encoding.prompts import role_prompt
from bicross.encoding.sparse_checkpoint import read_sparse_checkpoint
from bicross.encoding.sparse_towers import encode_sparse, load_sparse_tower
from bicross.encoding.specs import SparseCheckpoint
from bicross.errors import ConfigurationError
from bicross.lifecycle import Closing
from bicross.sparse.encoder import TextEncoder
from bicross.types import SparseVector


class SpladeEncoder(TextEncoder, Closing):
    """Sparse vectors of a SPLADE checkpoint; made by `SpladeEncoder.load`.

    An entry's index is a token's id, its value the weight that the model gives that token (Formal et al., 2021):
    at least 0, without a unit. The dot product of two vectors is the score; no IDF is applied to it.

    Safe to call from many threads. One model in memory serves all that load it with the same options.
    """

    def __init__(
        self,
        checkpoint: SparseCheckpoint,
        options: LoadOptions,
        *,
        name: str,
        revision: str | None = None,
        max_terms: int | None = None,
        max_query_terms: int | None = None,
        batch_tokens: int | None = None,
        local_files_only: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> None:
        for what, most in (("max_terms", max_terms), ("max_query_terms", max_query_terms)):
            if most is not None and (isinstance(most, bool) or not isinstance(most, int) or most < 1):
                raise ConfigurationError(f"{what} must be a positive whole number or None, got {most!r}.")
        self.name = name
        self.revision = revision
        self._sought = {
            "local_files_only": local_files_only,
            "cache_dir": None if cache_dir is None else os.fspath(cache_dir),
        }
        self._checkpoint = checkpoint
        self._options = options
        self._most = {True: max_query_terms, False: max_terms}
        self._batch_tokens = batch_tokens
        self._fingerprint: str | None = None
        document = load_sparse_tower(checkpoint.document, options)
        same = checkpoint.query == checkpoint.document
        self._leases = {False: document, True: document if same else load_sparse_tower(checkpoint.query, options)}

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str],
        *,
        max_terms: int | None = None,
        max_query_terms: int | None = None,
        batch_tokens: int | None = None,
        revision: str | None = None,
        token: str | None = None,
        local_files_only: bool = False,
        cache_dir: str | os.PathLike[str] | None = None,
        device: str = "auto",
        precision: str = "float32",
        model_options: Mapping[str, Any] | None = None,
        trust_remote_code: bool = False,
    ) -> Self:
        """Load what sentence-transformers' SparseEncoder saves, or a plain masked language model.

        A checkpoint whose queries only look up a weight for each token (a Router with SparseStaticEmbedding) needs no
        model for a query.

        Args:
            name_or_path: A folder, or a name on the model hub.
            max_terms: Keep this many of a document's terms, the strongest.
            max_query_terms: The same for a query.
            batch_tokens: Most tokens of a batch, padding included; by default what 256 MiB of logits hold (2 GiB on a
                GPU).
            revision: Branch, tag or commit on the hub.
            token: Access token for the hub.
            local_files_only: Don't ask the hub; use its cache.
            cache_dir: The hub's cache, where it isn't the usual one.
            device: "auto" (CUDA, then MPS, then CPU) or a torch device.
            precision: "float32", "bfloat16", "float16", or "auto": bfloat16 where the hardware is faster in it.
            model_options: JSON values for transformers, as for `BiEncoder.load`.
            trust_remote_code: Run the checkpoint's own code. Only for folders that you trust.

        Raises:
            ModelNotFoundError: Nothing under this name; says where it was sought.
            CheckpointError: Damaged, unsafe (pickle) or of an unknown kind.
            ConfigurationError: An option that makes no sense.
        """
        options = LoadOptions.check(device, precision, "torch", model_options, trust_remote_code)
        found = locate(
            name_or_path,
            "sparse encoder",
            revision=revision,
            token=token,
            local_files_only=local_files_only,
            cache_dir=cache_dir,
        )
        return cls(
            read_sparse_checkpoint(found.folder),
            options,
            name=found.name,
            revision=found.revision,
            max_terms=max_terms,
            max_query_terms=max_query_terms,
            batch_tokens=batch_tokens,
            local_files_only=local_files_only,
            cache_dir=cache_dir,
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 over everything that changes a vector, of a query or of a document."""
        if self._fingerprint is None:
            parts = [
                [self._leases[query].get().digest(), self._prompt(query), self._most[query]] for query in (False, True)
            ]
            self._fingerprint = digest("SPLADE", *parts, self._options.precision_class)
        return self._fingerprint

    @property
    def settings(self) -> dict[str, Any]:
        """The arguments of `load` that make it again, as JSON values; but for token and device, a machine's own."""
        return {
            "name_or_path": self.name,
            "revision": self.revision,
            **self._sought,
            "max_terms": self._most[False],
            "max_query_terms": self._most[True],
            "batch_tokens": self._batch_tokens,
            "precision": self._options.precision,
            "model_options": json.loads(self._options.model_options),
            "trust_remote_code": self._options.trust_remote_code,
        }

    def close(self) -> None:
        """Let go of the model; it leaves memory with its last user."""
        for lease in self._leases.values():
            lease.close()

    def _prompt(self, query: bool) -> str:
        return role_prompt(self._checkpoint.prompts, "query" if query else "document")

    def _encode(self, texts: list[str], query: bool) -> list[SparseVector]:
        return encode_sparse(
            self._leases[query].get(),
            texts,
            self._prompt(query),
            max_terms=self._most[query],
            batch_tokens=self._batch_tokens,
            show_progress=None,
        )

    def __repr__(self) -> str:
        return f"SpladeEncoder({self.name!r}, device={self._options.device!r})"
