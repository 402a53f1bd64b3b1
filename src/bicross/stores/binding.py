"""Whether a collection's vectors and an encoder's can be compared."""

from __future__ import annotations

from bicross.errors import DimensionMismatchError, FingerprintMismatchError, StoreError
from bicross.stores.schema import Header, short_name


def check_binding(collection: str, stored: Header, wanted: Header) -> None:
    """Check an encoder against the collection.

    Args:
        collection: Its name.
        stored: What the collection says of itself.
        wanted: What the encoder needs; without a fingerprint, the model isn't compared.

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
    remedy = "Re-index with recreate=True or open another collection."
    if stored.dimension != wanted.dimension:
        raise DimensionMismatchError(f"{message} with {wanted.dimension} dimensions. {remedy}")
    if not same_model:
        raise FingerprintMismatchError(f"{message}. {remedy}")
    raise StoreError(
        f"Collection {collection!r} compares vectors by {stored.distance!r}; asked for {wanted.distance!r}. {remedy}"
    )


def _name(header: Header, digits: int) -> str:
    if header.fingerprint is None and header.model is None:
        return "an unknown model"
    return repr(short_name(header.model, header.fingerprint, digits))
