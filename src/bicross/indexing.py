"""Indexing as a sync: what a source holds is compared with what the store has of it; only the difference is done."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from bicross.bi_encoder import BiEncoder
from bicross.encoding.workers import PART_TEXTS
from bicross.errors import BicrossWarning, ConfigurationError, InputTypeError, TruncationWarning
from bicross.overlap import behind
from bicross.progress import Advance, Told, progress
from bicross.stores import Store
from bicross.stores.batches import JSON_BYTES_PER_NUMBER, MAX_BYTES, size_of
from bicross.stores.inputs import check_passages
from bicross.stores.schema import payload_of
from bicross.stores.stamps import Stamp, stamp_and_length
from bicross.types import Encoder, Floats, IndexReport, Passage, SparseVector, derive_id

T = TypeVar("T")
EncodeSparse = Callable[[Sequence[str]], list[SparseVector]]

_ACKNOWLEDGED = 512
"""Passages that are encoded and written together: a kill costs two such batches at most. Workers take larger ones."""
_FOLLOWED = 64
"""The same where a caller follows the progress, and may end it: a step of what takes a second. Not with workers."""
_COMPARED = 4_096
_DERIVED_LENGTH = len(derive_id(None, ""))
_ROOM_FOR_A_VECTOR = 4_096 * JSON_BYTES_PER_NUMBER
_SURELY_FITS = MAX_BYTES // 100
"""Characters of a passage whose size need not be looked at: JSON takes 12 bytes for one at most, and has meta twice."""


@dataclass
class Plan:
    """What a sync has to do.

    Attributes:
        new: Passages that the store doesn't have.
        changed: Passages whose title or text differs.
        moved: Passages whose meta, source or owner alone differs: their vector stays.
        unchanged: How many are there already.
        surplus: Ids of pieces that a changed document no longer has.
        missing: Ids that the source no longer holds, where it was asked for.
        taken: Passages that another sync wrote, by its name.
    """

    new: list[Passage] = field(default_factory=list)
    changed: list[Passage] = field(default_factory=list)
    moved: list[Passage] = field(default_factory=list)
    unchanged: int = 0
    surplus: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    taken: Counter[str] = field(default_factory=Counter)

    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not (self.new or self.changed or self.moved or self.surplus or self.missing)


@dataclass(frozen=True)
class Incoming:
    """A source's passages, ready to be compared.

    Attributes:
        passages: By id: the passage, and the stamp that the store keeps of it.
        blank: How many hold nothing but whitespace.
        duplicates: How many were replaced by a later one with the same id.
        unread: How many of the source's files couldn't be read.
    """

    passages: dict[str, tuple[Passage, Stamp]]
    blank: int
    duplicates: int
    unread: int


def prepare(
    passages: Iterable[Passage], source: str, *, delete_missing: bool, force: bool, recreate: bool = False
) -> Incoming:
    """Validate what comes in, before anything is encoded or written.

    Raises:
        InputTypeError, InputError: Something that can't be indexed; names its position.
        ConfigurationError: `delete_missing` or `recreate` for a source that is empty or wasn't read wholly.
    """
    skipped = getattr(passages, "skipped", ())
    unread = sum(getattr(each, "failed", True) for each in skipped)
    if not isinstance(passages, Iterable) or isinstance(passages, str | bytes):
        raise InputTypeError(f"index takes a sequence of Passages, got {type(passages).__name__}. Put it into a list.")
    given = check_passages(list(passages))
    latest: dict[str, tuple[Passage, Stamp]] = {}
    for position, passage in enumerate(given):
        owned = _owned(passage, source)
        latest[owned.id] = owned, _stamp(owned, source, position)
    found = {id: pair for id, pair in latest.items() if pair[0].full_text.strip()}
    if (delete_missing or recreate) and not force and (unread or not found):
        reason = f"{unread} of its files could not be read" if unread else "it holds no passage now"
        raise ConfigurationError(
            f"{'recreate' if recreate else 'delete_missing'} needs a source that was read wholly, got {source!r}, and "
            f"{reason}: what they held would be deleted. Mend the source, or pass force=True."
        )
    return Incoming(found, len(latest) - len(found), len(given) - len(latest), len(skipped))


def prepare_added(passages: Sequence[Passage]) -> Incoming:
    """Validate passages that belong to no sync; blank ones stay, because nobody counts them for the caller.

    Raises:
        InputTypeError, InputError: Something that can't be indexed; names its position.
    """
    given = check_passages(passages)
    found = {passage.id: (passage, _stamp(passage, None, position)) for position, passage in enumerate(given)}
    return Incoming(found, 0, len(given) - len(found), 0)


def compare(store: Store, incoming: Incoming, source: str | None, *, delete_missing: bool) -> Plan:
    """Tell what differs from what the store holds. Without a source, nothing is deleted."""
    plan = Plan()
    for part in _parts(list(incoming.passages.values()), _COMPARED):
        stored = store.stamps([passage.id for passage, _ in part])
        for passage, now in part:
            old = stored.get(passage.id)
            if old is None:
                plan.new.append(passage)
                continue
            if source is not None and old.sync not in (None, source):
                plan.taken[str(old.sync)] += 1
            if old == now:
                plan.unchanged += 1
            elif old.content_hash != now.content_hash:
                plan.changed.append(passage)
            else:
                plan.moved.append(passage)
    if source is None:
        return plan
    mine = {"field": "sync", "operator": "==", "value": source}
    surplus = {id for id in _left_pieces(store, plan, mine) if id not in incoming.passages}
    plan.surplus = sorted(surplus)
    if delete_missing:
        plan.missing = [id for id in store.ids(mine) if id not in incoming.passages and id not in surplus]
    return plan


def _left_pieces(store: Store, plan: Plan, mine: dict[str, Any]) -> Iterator[str]:
    """Pieces, as `readers.split` names them, of documents of which something changed."""
    # The number of pieces is in the meta of each, so a document that became shorter shows in the others.
    documents = {_document_of(passage) for passage in plan.changed + plan.moved}
    for part in _parts(sorted(documents), _COMPARED):
        pieces = {"field": "meta.source_id", "operator": "in", "value": list(part)}
        split = {"field": "meta.split_count", "operator": ">", "value": 1}
        for id in store.ids({"operator": "AND", "conditions": [mine, pieces, split]}):
            document, _, number = id.rpartition("#")
            if document in documents and number.isdigit():
                yield id


def _document_of(passage: Passage) -> str:
    """The document that a passage is a piece of, where `readers.split` made it; else its own id."""
    document = passage.meta.get("source_id")
    return document if isinstance(document, str) and "split_count" in passage.meta else passage.id


def carry_out(
    store: Store,
    bi_encoder: Encoder,
    plan: Plan,
    source: str | None,
    show_progress: bool | Told | None,
    encode_sparse: EncodeSparse | None = None,
) -> IndexReport:
    """Encode and write what differs, in acknowledged batches; delete what the source lost, last.

    A batch is written while the next one is encoded; the third one waits until the first is acknowledged.
    Surplus pieces go first: were they to go last, a kill in between would leave a document that looks unchanged.
    """
    for gone in _parts(plan.surplus, _COMPARED):
        store.delete(gone)
    # Sorted once over the whole work, so that every batch holds texts of one length.
    work = sorted(plan.new + plan.changed, key=lambda passage: (len(passage.full_text), passage.id))
    truncated = 0
    size = _FOLLOWED if callable(show_progress) else _ACKNOWLEDGED
    if isinstance(bi_encoder, BiEncoder) and bi_encoder.workers > 1:
        size = 2 * PART_TEXTS * bi_encoder.workers  # fewer would leave some of them without work
    with progress("indexing", len(work), show_progress) as advance, behind() as hand_over:
        for part in _parts(work, size):
            texts = [passage.full_text for passage in part]
            if isinstance(bi_encoder, BiEncoder):
                vectors, cut = bi_encoder.encode_document(texts, return_truncation=True, show_progress=False)
                truncated += int(np.count_nonzero(cut))
            else:
                vectors = bi_encoder.encode_document(texts)
            hand_over(partial(_write, store, part, vectors, encode_sparse, source, advance))
    for part in _parts(plan.moved, _COMPARED):
        store.set_payload(part, sync=source)
    for gone in _parts(plan.missing, _COMPARED):
        store.delete(gone)
    store.flush()
    for other, count in plan.taken.items():
        warnings.warn(
            f"{count} passages had ids that the source {other!r} had written; they now belong to {source!r}. Give the "
            "passages of different sources different ids, or keep them in two collections.",
            BicrossWarning,
            stacklevel=3,
        )
    if truncated:
        warnings.warn(
            f"{truncated} of {len(work)} passages were longer than the bi-encoder reads; the rest of them can't be "
            "found. Split them: bicross.readers.split.",
            TruncationWarning,
            stacklevel=3,
        )
    return IndexReport(
        new=len(plan.new),
        changed=len(plan.changed) + len(plan.moved),
        unchanged=plan.unchanged,
        deleted=len(plan.surplus) + len(plan.missing),
        truncated=truncated,
        encoded=len(work),
    )


def _write(
    store: Store,
    part: Sequence[Passage],
    vectors: Floats,
    encode_sparse: EncodeSparse | None,
    source: str | None,
    advance: Advance,
) -> None:
    sparse = None if encode_sparse is None else encode_sparse([passage.full_text for passage in part])
    store.upsert(part, vectors, sparse, sync=source)
    store.flush()
    advance(len(part))


def _stamp(passage: Passage, sync: str | None, position: int) -> Stamp:
    """The stamp of a passage that can be stored.

    Raises:
        InputError: It can't; names its position.
    """
    where = f"passages[{position}]"
    stamp, length = stamp_and_length(passage, sync, where)
    if length > _SURELY_FITS:
        size_of(payload_of(passage, sync, where=where), _ROOM_FOR_A_VECTOR, position, passage.id)
    return stamp


def _owned(passage: Passage, source: str) -> Passage:
    """The passage with the sync as its source, where it names none; an id made from its source follows."""
    if passage.source is not None:
        return passage
    id, text = passage.id, passage.text
    if isinstance(id, str) and len(id) == _DERIVED_LENGTH and id == derive_id(None, text):
        id = derive_id(source, text)
    return Passage(text, id, passage.title, passage.meta, source)


def _parts(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
