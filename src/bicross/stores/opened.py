"""A collection's life: opened when it is first needed, used in one process, closed."""

from __future__ import annotations

import os
import weakref

from bicross.errors import ClosedError, ForkedProcessError
from bicross.lifecycle import Closing
from bicross.stores import inputs
from bicross.stores.transport import Transport


class Opened(Closing):
    """Holds a transport and hands it out while that may be used."""

    def __init__(self, transport: Transport, collection: str, hnsw_ef: int) -> None:
        self._transport = transport
        self._collection = collection
        self._hnsw_ef = inputs.check_at_least_one(hnsw_ef, "hnsw_ef")
        self._process: int | None = None
        self._closed = False
        self._finalizer = weakref.finalize(self, transport.close)

    @property
    def collection(self) -> str:
        """The collection's name."""
        return self._collection

    @property
    def place(self) -> str:
        """Where the collection is: a folder or an address, without any secret."""
        return self._transport.place

    def optimize(self) -> bool:
        """Build the approximate index (HNSW) over what was written; searches are exact, and slower, until then.

        Takes seconds to minutes and holds other threads up. A server does this by itself.

        Returns:
            Whether there was anything to do; False for small collections, which are searched exactly.
        """
        transport = self._ready()
        return transport.header() is not None and transport.optimize()

    def flush(self) -> None:
        """Force everything acknowledged so far to the disk, so that it survives a power failure."""
        transport = self._ready()
        if transport.header() is not None:
            transport.flush()

    def close(self) -> None:
        """Release the collection. Closing twice is fine."""
        self._closed = True
        self._finalizer()

    def _ready(self) -> Transport:
        """The transport, if this process may use it."""
        # First of all, because a lock that another thread held at the fork stays locked for ever in the child.
        process = os.getpid()
        if self._process is None:
            self._process = process
        elif self._process != process:
            raise ForkedProcessError(
                f"{self!r} was opened in process {self._process}; this is its forked child {process}, where the engine "
                "would hang. Open a store in the child, or start it with 'spawn'."
            )
        if self._closed:
            raise ClosedError(f"{self!r} is closed. Open a new store.")
        return self._transport
