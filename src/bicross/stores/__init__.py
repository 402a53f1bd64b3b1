"""Vector stores: `QdrantStore` (embedded or on a server) and `ExactStore` (in memory, exact)."""

from bicross.stores.exact import ExactStore
from bicross.stores.layouts import Layout
from bicross.stores.qdrant import QdrantStore
from bicross.stores.schema import CollectionInfo
from bicross.stores.stamps import Stamp, stamp_of
from bicross.stores.store import Store

__all__ = ["CollectionInfo", "ExactStore", "Layout", "QdrantStore", "Stamp", "Store", "stamp_of"]
