"""Whether a collection's vectors and an encoder's can be compared."""

from __future__ import annotations

from bicross.errors import DimensionMismatchError, FingerprintMismatchError, StoreError
from bicross.stores.layouts import Layout
from bicross.stores.schema import Header, short_name
from bicross.stores.transport import Transport

_ADOPT = "Adopt it with the model that filled it (bicross info --adopt, or bicross.adopting.adopt)"


def remedy(stored: Header, layout: Layout) -> str:
    """What to do about a collection of another model: nobody re-indexes what somebody else's program filled."""
    if not layout.adopted:
        return f"{_ADOPT}, or open another collection."
    if stored.fingerprint is None:
        return f"{_ADOPT}, re-index with recreate=True, or open another collection."
    return "Re-index with recreate=True or open another collection."


def check_binding(collection: str, stored: Header, wanted: Header, remedy: str) -> None:
    """Check an encoder against the collection.

    Args:
        collection: Its name.
        stored: What the collection says of itself.
        wanted: What the encoder needs; without a fingerprint, the model isn't compared.
        remedy: What the messages advise.

    Raises:
        DimensionMismatchError: The vectors differ in length.
        FingerprintMismatchError: Another model filled the collection, or nobody knows which.
        StoreError: It compares vectors by another distance.
    """
    same_model = wanted.fingerprint is None or stored.fingerprint == wanted.fingerprint
    same_vectors = (stored.dimension, stored.distance) == (wanted.dimension, wanted.distance)
    if same_model and same_vectors:
        return
    digits = 4
    longest = max(len(header.fingerprint or "") for header in (stored, wanted))
    while digits < longest and _name(stored, digits) == _name(wanted, digits):
        digits += 4
    message = (
        f"Collection {collection!r} holds {stored.dimension}-d vectors of {_name(stored, digits)}; "
        f"this encoder is {_name(wanted, digits)}"
    )
    if stored.dimension != wanted.dimension:
        raise DimensionMismatchError(f"{message} with {wanted.dimension} dimensions. {remedy}")
    if not same_model:
        raise FingerprintMismatchError(f"{message}. {remedy}")
    raise StoreError(
        f"Collection {collection!r} compares vectors by {stored.distance!r}; asked for {wanted.distance!r}. {remedy}"
    )


def check_understood(layout: Layout) -> Layout:
    """Check that passages can be read.

    Raises:
        StoreError: The layout isn't understood.
    """
    if layout.problem is not None:
        raise StoreError(layout.problem)
    return layout


def check_writable(transport: Transport, collection: str) -> None:
    """Check that a collection may be written: that it is this package's, adopted, or empty.

    Raises:
        StoreError: It may not.
    """
    layout = check_understood(transport.layout(fresh=True))
    if not layout.adopted and transport.count(None):
        raise StoreError(
            f"Collection {collection!r} at {transport.place} was filled by another program (layout: {layout.name}) and "
            f"doesn't say by which model: it is read-only. {_ADOPT}."
        )


def _name(header: Header, digits: int) -> str:
    if header.fingerprint is None and header.model is None:
        return "an unknown model"
    return repr(short_name(header.model, header.fingerprint, digits))
