"""What every store can do, whichever engine holds the points."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from bicross.errors import CollectionNotFoundError, ConfigurationError, FilterError, StoreError
from bicross.stores import inputs
from bicross.stores.batches import JSON_BYTES_PER_NUMBER, batches, payloads_of, size_of, with_kept
from bicross.stores.binding import check_binding, check_understood, check_writable, remedy
from bicross.stores.filters import Filter, parse
from bicross.stores.reading import READ_BATCH, existing, pages
from bicross.stores.schema import DISTANCES, CollectionInfo, Header
from bicross.stores.sparse_checks import SPARSE_BYTES_PER_ENTRY, check_slot, check_sparse_rows
from bicross.stores.sparse_side import SparseSide
from bicross.stores.transport import Point, Transport
from bicross.types import Floats, Passage, SparseVector
from bicross.witness import check_witness, packed


class Store(SparseSide):
    """Passages with their vectors in one collection; the base of `QdrantStore` and `ExactStore`.

    Thread-safe. Vectors of a ``cosine`` collection are kept, and come back, L2-normalised. A write that returned
    survives the process being killed at any moment; `flush` makes it survive a power failure, too.
    """

    # --- the collection -------------------------------------------------------------------------------------------

    def info(self) -> CollectionInfo | None:
        """The collection as it is now; None where there is none."""
        return _describe(self._ready(), self._collection)

    def header(self) -> Header | None:
        """What the collection says of itself, without counting; None where there is none."""
        return self._ready().header()

    def collections(self, failed: Callable[[str, StoreError], object] | None = None) -> list[CollectionInfo]:
        """All collections at this store's place, by name.

        Args:
            failed: Told the name and the error of each collection that can't be opened; None: the first such error is
                raised.

        Raises:
            StoreError: A collection is damaged, or open in another process.
        """
        found = []
        for name, transport in self._ready().collections():
            try:
                info = _describe(transport, name)
            except StoreError as error:
                if failed is None:
                    raise
                failed(name, error)
                continue
            if info is not None:
                found.append(info)
        return sorted(found, key=lambda info: info.name)

    def bind(
        self,
        *,
        dimension: int,
        fingerprint: str | None = None,
        model: str | None = None,
        revision: str | None = None,
        distance: str = "cosine",
        witness: Floats | None = None,
    ) -> None:
        """Create the collection for an encoder, or check that the existing one is that encoder's.

        Args:
            dimension: Length of the encoder's vectors.
            fingerprint: Its document fingerprint; None leaves the model unchecked.
            model: Its name or folder, recorded in a new collection.
            revision: Its revision, recorded in a new collection.
            distance: ``cosine`` or ``dot``.
            witness: Its vector of a fixed text, where its fingerprint is a name alone: recorded, or compared with what
                was recorded. **Shape:** (dimension,).

        Raises:
            FingerprintMismatchError: Another model, or nobody knows which, filled the collection.
            DimensionMismatchError: It holds vectors of another length.
            StoreError: It compares vectors by another distance.
        """
        if distance not in DISTANCES:
            raise ConfigurationError(f"distance is one of {', '.join(DISTANCES)}; got {distance!r}.")
        dimension = inputs.check_at_least_one(dimension, "dimension")
        wanted = Header(dimension, distance, fingerprint, model, revision)
        transport = self._ready()
        transport.layout(fresh=True)  # another process may have adopted it meanwhile
        stored = transport.header() or transport.create(wanted)
        unclaimed = stored.fingerprint is None and fingerprint is not None
        if unclaimed and (stored.dimension, stored.distance) == (dimension, distance) and transport.count(None) == 0:
            stored = replace(stored, fingerprint=fingerprint, model=model, revision=revision)
            transport.write_header(stored)
        check_binding(self._collection, stored, wanted, remedy(stored, transport.layout()))
        if witness is not None and stored.witness is None:
            transport.write_header(replace(stored, witness=packed(witness)))
        elif witness is not None and stored.witness is not None:
            where = f"Collection {self._collection!r}"
            check_witness(stored.witness, witness, where, remedy(stored, transport.layout()))

    def claim(self, *, fingerprint: str, model: str | None = None, revision: str | None = None) -> None:
        """Record which model filled the collection, unchecked; `bicross.adopting.adopt` checks, then calls this.

        Args:
            fingerprint: The encoder's document fingerprint.
            model: Its name or folder.
            revision: Its revision.

        Raises:
            CollectionNotFoundError: There is no collection.
            FingerprintMismatchError: Another model is recorded already.
            StoreError: The layout isn't understood.
        """
        transport = self._ready()
        header = transport.header()
        if header is None:
            raise CollectionNotFoundError(f"{self.place} has no collection {self._collection!r}.")
        check_understood(transport.layout())
        claimed = replace(header, fingerprint=fingerprint, model=model, revision=revision)
        if header.fingerprint is None:
            transport.write_header(claimed)
        check_binding(self._collection, transport.header() or header, claimed, remedy(claimed, transport.layout()))

    def drop(self) -> None:
        """Remove the collection with everything in it. Without a collection, nothing happens.

        Raises:
            StoreError: Another program filled it, and it isn't adopted.
        """
        transport = self._ready()
        check_writable(transport, self._collection)
        transport.drop()

    # --- notes ----------------------------------------------------------------------------------------------------

    def writes(self) -> int | None:
        """How often this process has written to the collection; None where others can, too: it keeps no notes."""
        return self._ready().writes()

    def noted(self, name: str) -> str | None:
        """What `note` wrote, if nothing was written to the collection since; None where others can, too."""
        transport = self._ready()
        return None if transport.header() is None else transport.noted(name)

    def note(self, name: str, value: str, writes: int) -> None:
        """Note something of what the collection holds; an embedded store keeps it.

        Args:
            name: Where `noted` finds it.
            value: What is true until somebody writes to the collection: the note is gone before that.
            writes: What `writes` said before the caller looked. If it says more now, nothing is noted.
        """
        self._ready().note(name, value, writes)

    # --- writing --------------------------------------------------------------------------------------------------

    def upsert(
        self,
        passages: Sequence[Passage],
        vectors: Any,
        sparse: Sequence[SparseVector] | None = None,
        *,
        sync: str | None = None,
    ) -> None:
        """Write passages with their vectors, replacing those with the same id; of duplicates in a call, the last.

        Everything is validated before anything is written. The first upsert creates the collection where `bind`
        didn't, without a fingerprint.

        Args:
            passages: What to store. Dates in meta become ISO strings.
            vectors: One each. **Shape:** (len(passages), dimension).
            sparse: One each; without them, the passages have no sparse vector, whatever they had before.
            sync: Name of the sync that these passages belong to.

        Raises:
            InputError: A passage or vector can't be stored; the message names its position.
            DimensionMismatchError: The collection holds vectors of another length.
            StorageFullError: The disk is nearly full.
            StoreError: Another program filled the collection, and it isn't adopted.
        """
        transport = self._ready()
        checked = inputs.check_passages(passages)
        matrix = inputs.check_matrix(vectors, len(checked))
        lexical = None if sparse is None else check_sparse_rows(sparse, len(checked), "passages")
        layout = transport.layout(fresh=True)
        payloads = payloads_of(checked, sync, layout)
        if not checked:
            return
        header = transport.header()
        if header is not None:
            inputs.check_dimension(matrix.shape[1], header.dimension, self._collection)
            check_writable(transport, self._collection)
            if lexical is not None:
                check_slot(layout, self._collection)
        row_bytes = [matrix.shape[1] * JSON_BYTES_PER_NUMBER] * len(checked)
        if lexical is not None:
            row_bytes = [dense + SPARSE_BYTES_PER_ENTRY * len(lexical[i]) for i, dense in enumerate(row_bytes)]
        last = {layout.point_id(passage.id): position for position, passage in enumerate(checked)}
        sizes = [size_of(payloads[i], row_bytes[i], i, checked[i].id) for i in last.values()]
        if header is None:
            transport.create(Header(matrix.shape[1]))
        elif not layout.adopted:
            transport.write_header(header)
        points = list(last)
        for start, end in batches(sizes):
            batch = with_kept(transport, {point: payloads[last[point]] for point in points[start:end]})
            rows = [
                Point(point, payload, matrix[last[point]], lexical[last[point]] if lexical is not None else None)
                for point, payload in batch
            ]
            transport.upsert(rows, sum(sizes[start:end]))

    def set_payload(self, passages: Sequence[Passage], *, sync: str | None = None) -> int:
        """Replace everything about stored passages but their vectors.

        Returns:
            How many were replaced: those that the collection holds.

        Raises:
            InputError: A passage can't be stored; the message names its position.
            StoreError: Another program filled the collection, and it isn't adopted.
        """
        transport = self._ready()
        checked = inputs.check_passages(passages)
        layout = transport.layout()
        payloads = payloads_of(checked, sync, layout)
        if transport.header() is None:
            return 0
        check_writable(transport, self._collection)
        last = {layout.point_id(passage.id): position for position, passage in enumerate(checked)}
        found = existing(transport, list(last))
        sizes = [size_of(payloads[last[point]], 0, last[point], checked[last[point]].id) for point in found]
        for start, end in batches(sizes):
            batch = with_kept(transport, {point: payloads[last[point]] for point in found[start:end]})
            transport.overwrite(batch, sum(sizes[start:end]))
        return len(found)

    def delete(self, ids_or_filter: Sequence[str] | Filter) -> int:
        """Remove passages by id or by filter.

        Returns:
            How many were removed.

        Raises:
            FilterError: The filter isn't understood, or is empty.
            StoreError: Another program filled the collection, and it isn't adopted.
        """
        transport = self._ready()
        if isinstance(ids_or_filter, Mapping):
            node = parse(ids_or_filter)
            if node is None:
                raise FilterError(f"delete takes ids or a filter; got {ids_or_filter!r}. To remove all, use drop().")
            check_writable(transport, self._collection)
            # By id even here: the removed are counted, and no filter gets into the engine's write-ahead log.
            points = [row.id for row in pages(self._ready, node, (), READ_BATCH)]
        else:
            asked = inputs.check_ids(ids_or_filter)
            check_writable(transport, self._collection)
            points = existing(transport, list(dict.fromkeys(map(transport.layout().point_id, asked))))
        for start in range(0, len(points), READ_BATCH):
            transport.delete(points[start : start + READ_BATCH])
        return len(points)


def _describe(transport: Transport, name: str) -> CollectionInfo | None:
    header = transport.header()
    if header is None:
        return None
    indexed, size = transport.sizes()
    layout = transport.layout()
    return CollectionInfo(
        name=name,
        count=transport.count(None),
        indexed_vectors_count=indexed,
        size_bytes=size,
        layout=layout.name,
        read_only=not layout.adopted,
        **{**_shown(header), "sparse": header.sparse},
    )


def _shown(header: Header) -> dict[str, Any]:
    """A header without the witness, which tells a reader nothing."""
    return {name: value for name, value in header.to_dict().items() if name != "witness"}
