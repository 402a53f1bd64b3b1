"""A witness: the vector of a fixed text, or the scores of fixed pairs, beside a fingerprint that says too little.

A hosted model is known by its name alone. Its owner may put another model behind the name; then what is kept and what
is made can't be compared any more, and nothing tells. The witness does.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import numpy as np

from bicross.errors import FingerprintMismatchError, StoreError
from bicross.types import Floats

WITNESS_TEXT = "A witness: 42 naïve cafés in Zürich, 東京 and Київ (see § 7b) don't open before half past nine."
"""Several scripts, digits, signs: two models that agree on it agree on more than English."""
LEAST_COSINE = 0.999
WITNESS_PAIRS = tuple(
    ("When does a café in Zürich open?", text)
    for text in (
        WITNESS_TEXT,
        "The bakery by the lake opens at seven, on Sundays at eight.",
        "Zürich is the largest city of Switzerland.",
        "A cat sleeps for most of the day.",
    )
)
"""From an answer to a text about something else: their scores show a model's range."""
MOST_CHANGE = 0.05
"""Of that range; what half precision and rounding do stays far below it."""


def witness_of(model: Any) -> Floats | None:
    """The model's witness now, None where its fingerprint says all.

    **Shape:** (dimension,) of an encoder, (len(WITNESS_PAIRS),) of a scorer.
    """
    make = getattr(model, "witness", None)
    return None if make is None else np.asarray(make(), np.float32)


def packed(witness: Floats) -> str:
    """A witness as text: its direction, in half precision. **Shape:** (dimension,)."""
    return base64.b64encode(_unit(witness).astype("<f2").tobytes()).decode("ascii")


def check_witness(kept: str | Floats, now: Floats, where: str, remedy: str) -> None:
    """Compare a witness that was kept with the encoder's own.

    Args:
        kept: As `packed` wrote it, or as a vector. **Shape:** (dimension,).
        now: The encoder's. **Shape:** (dimension,).
        where: What it was kept beside, as the subject of the message.
        remedy: What the message advises.

    Raises:
        FingerprintMismatchError: They differ: the model behind the name has changed.
        StoreError: What was kept is damaged.
    """
    if isinstance(kept, str):
        try:
            kept = np.frombuffer(base64.b64decode(kept, validate=True), "<f2").astype(np.float32)
        except (binascii.Error, ValueError) as error:
            raise StoreError(f"{where} holds a damaged witness. {remedy}") from error
    cosine = float(_unit(kept) @ _unit(now)) if kept.shape == now.shape else 0.0
    if not cosine >= LEAST_COSINE:
        raise FingerprintMismatchError(
            f"{where} was filled when the model gave another vector for a fixed text: cosine {cosine:.4f}, at least "
            f"{LEAST_COSINE} is needed. The model behind the name has changed. {remedy}"
        )


def check_witness_scores(kept: Floats, now: Floats, where: str, remedy: str) -> None:
    """Compare the scores of `WITNESS_PAIRS` that were kept with the scorer's own.

    Args:
        kept: **Shape:** (len(WITNESS_PAIRS),).
        now: The scorer's. **Shape:** as ``kept``.
        where: What they were kept in, as the subject of the message.
        remedy: What the message advises.

    Raises:
        FingerprintMismatchError: They differ: the model behind the name has changed.
    """
    change = float(np.abs(kept - now).max()) / max(float(np.ptp(kept)), 1e-6)
    if not change <= MOST_CHANGE:
        raise FingerprintMismatchError(
            f"{where} was filled when the model gave fixed pairs other scores: by {change:.2f} of their range, at most "
            f"{MOST_CHANGE} is taken for noise. The model behind the name has changed. {remedy}"
        )


def _unit(vector: Floats) -> Floats:
    wide = vector.astype(np.float64)
    return np.asarray(wide / max(float(np.linalg.norm(wide)), 1e-12), np.float32)
