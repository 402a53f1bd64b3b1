"""Texts as token vectors, and MaxSim between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bicross.encoding.batching import distinct, pad
from bicross.encoding.counting import Counts
from bicross.encoding.fingerprint import digest, encoder_digest, weights_digest
from bicross.encoding.late_checkpoint import LateCheckpoint
from bicross.encoding.loading import Files, Lease, LoadOptions, check_unchanged, folder_state, share
from bicross.encoding.scheduling import scheduler_of
from bicross.encoding.tokenizer import Ids, TextTokenizer
from bicross.encoding.tokenizer_files import build_tokenizer, chat_tokenizer, read_tokenizer
from bicross.errors import CheckpointError
from bicross.progress import Advance
from bicross.types import Floats

Role = Literal["query", "document"]
_ROLES: tuple[Role, Role] = ("query", "document")
_SLAB = 256
"""Texts whose token vectors are in memory at once."""


@dataclass(frozen=True)
class Reader:
    """How a role's texts become rows of token ids.

    Attributes:
        tokenizer: With the role's limit.
        prefix: Ids in front of every text, or
        text: the text in front of it, where the prefix is no token of its own.
        filler: What short rows are filled up with, to this length, and whether the others see it; None: nothing.
        skipped: Ids that aren't scored.
    """

    tokenizer: TextTokenizer
    prefix: tuple[int, ...]
    text: str
    filler: tuple[int, int, bool] | None
    skipped: tuple[int, ...]

    def rows(self, texts: Sequence[str], counts: Counts) -> list[tuple[Ids, Ids, npt.NDArray[np.bool_], bool]]:
        """Token ids of texts; which are attended to; which are scored; whether any were cut."""
        contents = self.tokenizer.ids([self.text + text for text in texts])
        counts.add(contents, self.tokenizer)
        prefix = np.array(self.prefix, np.int32)
        return [self._row(np.concatenate([prefix, content])) for content in contents]

    def _row(self, content: Ids) -> tuple[Ids, Ids, npt.NDArray[np.bool_], bool]:
        ids, cut = self.tokenizer.frame_single(content)
        seen = np.ones(len(ids), np.int32)
        scored = ~np.isin(ids, self.skipped) if self.skipped else np.ones(len(ids), bool)
        if self.filler is not None:
            token, length, attend = self.filler
            missing = max(length - len(ids), 0)
            ids = np.concatenate([ids, np.full(missing, token, np.int32)])
            seen = np.concatenate([seen, np.full(missing, int(attend), np.int32)])
            scored = np.concatenate([scored, np.ones(missing, bool)])
        return ids, seen, scored, cut


@dataclass(frozen=True)
class LateModel:
    """A loaded late-interaction model."""

    spec: LateCheckpoint
    model: Any
    query: Reader
    document: Reader
    files: Files
    precision_class: str

    def digest(self) -> str:
        """SHA-256 over everything in it that changes a score.

        Raises:
            CheckpointError: A file was replaced since it was loaded.
        """
        check_unchanged(self.files, _files(self.spec))
        readers = [
            [reader.tokenizer.state, reader.prefix, reader.text, reader.filler, reader.skipped]
            for reader in (self.query, self.document)
        ]
        heads = [[head.activation, head.residual, weights_digest(head.folder)] for head in self.spec.heads]
        encoder = encoder_digest(self.spec.encoder.folder)
        return digest("late interaction", encoder, heads, readers, self.spec.mean, self.precision_class)


def load_late(spec: LateCheckpoint, options: LoadOptions) -> Lease[LateModel]:
    """A share in a model; loaded where nobody has loaded it with these options.

    Raises:
        CheckpointError: The folder is damaged, unsafe or incomplete.
    """
    files = _files(spec)

    def load() -> LateModel:
        from bicross.encoding.backends.token_vectors import TorchTokenVectors

        model = TorchTokenVectors(spec, options.for_torch(options.precision))
        readers = {role: _reader(spec, role, model.positions, options.trust_remote_code) for role in _ROLES}
        return LateModel(spec, model, readers["query"], readers["document"], files, options.precision_class)

    return share(("late interaction", spec, options, files), load)


def _files(spec: LateCheckpoint) -> Files:
    return folder_state(spec.encoder.folder, *(head.folder for head in spec.heads))


def _reader(spec: LateCheckpoint, role: Role, positions: int | None, trust_remote_code: bool) -> Reader:
    backend, settings = read_tokenizer(spec.encoder, trust_remote_code)
    own = chat_tokenizer(spec.encoder.folder, trust_remote_code)
    query, expansion = role == "query", spec.expansion
    limit = spec.query_length if query else spec.document_length
    if query and expansion is not None:
        limit = expansion.length if expansion.cut else max(limit or 0, expansion.length) or None
    encoder = spec.encoder if limit is None else replace(spec.encoder, max_length=limit)
    tokenizer = build_tokenizer(backend, settings, encoder, positions)
    prefix = spec.query_prefix if query else spec.document_prefix
    # A marker such as "[Q] " or "[unused0]" is one token, which as text would fall into pieces.
    parts = [part for part in (prefix, *prefix.split(None, 1)[:1]) if part and backend.token_to_id(part) is not None]
    marker = parts[0] if parts else ""
    rest = prefix[len(marker) :]
    filler = None
    if query and expansion is not None:
        token = own.mask_token_id if own.mask_token_id is not None else own.eos_token_id
        token = token if expansion.token is None else backend.token_to_id(expansion.token)
        if token is None:
            raise CheckpointError(
                f"Queries are filled up with {expansion.token or 'a mask token'!r}, got a tokenizer without it in "
                f"{str(spec.encoder.folder)!r}. Fetch the model again."
            )
        filler = (int(token), min(expansion.length, tokenizer.max_length), expansion.attend)
    skipped: list[int] = []
    if not query or spec.skipped_in_queries:
        found = (backend.token_to_id(word) for word in spec.skipped)
        skipped = sorted({index for index in found if index is not None})
    marker_id = backend.token_to_id(marker) if marker else None
    ids = () if marker_id is None else (marker_id,)
    return Reader(tokenizer, ids, rest, filler, tuple(skipped))


def score_pairs(
    late: LateModel,
    pairs: Sequence[tuple[str, str]],
    counts: Counts,
    batch_tokens: int | None,
    advance: Advance,
) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """MaxSim of pairs, and which pairs were cut; a text of many pairs is encoded once. **Shape:** (pairs,) both."""
    scores = np.empty(len(pairs), np.float32)
    cut = np.zeros(len(pairs), bool)
    asked = list(dict.fromkeys(query for query, _ in pairs))
    found, long = _token_vectors(late, late.query, asked, counts, batch_tokens)
    queries = dict(zip(asked, zip(found, long, strict=True), strict=True))
    order, source = distinct([text for _, text in pairs], [len(text) for _, text in pairs])
    of: dict[int, list[int]] = {}
    for position, first in enumerate(source):
        of.setdefault(first, []).append(position)
    for start in range(0, len(order), _SLAB):
        part = order[start : start + _SLAB]
        found, long = _token_vectors(late, late.document, [pairs[i][1] for i in part], counts, batch_tokens)
        for first, vectors, document_cut in zip(part, found, long, strict=True):
            for position in of[first]:
                query, query_cut = queries[pairs[position][0]]
                scores[position] = max_sim(query, vectors, mean=late.spec.mean)
                cut[position] = document_cut or query_cut
        advance(len(part))
    if not np.isfinite(scores).all():
        raise CheckpointError(
            f"Scores must be finite numbers, got NaN or infinity for {int((~np.isfinite(scores)).sum())} of "
            f"{len(pairs)} pairs. The weights or the precision don't fit; try precision='float32'."
        )
    return scores, cut


def max_sim(query: Floats, document: Floats, *, mean: bool = False) -> float:
    """The sum, over a query's tokens, of the highest similarity to any of a document's (ColBERT, arXiv 2004.12832).

    Args:
        query: **Shape:** (query tokens, dimension).
        document: **Shape:** (document tokens, dimension).
        mean: Divide by the number of the query's tokens.

    >>> max_sim(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.6, 0.8], [1.0, 0.0]]))
    1.8
    """
    best = (query @ document.T).max(axis=1)
    return float(best.mean() if mean else best.sum())


def _token_vectors(
    late: LateModel, reader: Reader, texts: Sequence[str], counts: Counts, batch_tokens: int | None
) -> tuple[list[Floats], list[bool]]:
    """The vectors of each text's scored tokens, and which texts were cut. **Shape:** (tokens, dimension) each."""
    rows = reader.rows(texts, counts)
    model, longest = late.model, max((len(ids) for ids, *_ in rows), default=0)
    out = np.empty((len(rows), longest * model.dimension), np.float32)

    def compute(batch: list[Any]) -> Floats:
        ids, _ = pad([row[0] for row in batch], reader.tokenizer.pad_id)
        seen, _ = pad([row[1] for row in batch], 0)
        vectors = model.vectors(ids, seen)
        filled = np.zeros((len(batch), longest, model.dimension), np.float32)
        filled[:, : vectors.shape[1]] = vectors
        return filled.reshape(len(batch), -1)

    lengths = [len(ids) for ids, *_ in rows]
    scheduler_of(model.device).run(
        (model, longest), rows, lengths, compute, out, batch_tokens=batch_tokens, room=model.room
    )
    whole = out.reshape(len(rows), longest, model.dimension)
    found = [whole[i, : len(row[0])][row[2]] for i, row in enumerate(rows)]
    return found, [row[3] for row in rows]
