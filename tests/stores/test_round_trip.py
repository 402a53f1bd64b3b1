"""Whatever may be stored comes back as it was, and is found by its own values."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bicross.stores import stamp_of
from bicross.types import Passage

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False, allow_infinity=False), texts
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
passages = st.builds(
    Passage,
    texts,
    id=texts.filter(bool),
    title=st.none() | texts,
    meta=st.dictionaries(texts, values, max_size=4),
    source=st.none() | texts,
)


def _exact(value):
    """Equality that tells 1, 1.0, True and -0.0 apart."""
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return type(value), math.copysign(1, value) if isinstance(value, float) else 0, value


def test_round_trip(store):
    store.bind(dimension=2)

    @settings(
        max_examples=30, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(st.lists(passages, min_size=1, max_size=20, unique_by=lambda passage: passage.id))
    def check(batch):
        store.upsert(batch, np.ones((len(batch), 2)), sync="all")
        names = [passage.id for passage in batch]
        found = store.get(names)
        assert found == batch
        assert [_exact(dict(passage.meta)) for passage in found] == [_exact(dict(passage.meta)) for passage in batch]
        assert store.stamps(names) == {passage.id: stamp_of(passage, "all") for passage in batch}
        one = batch[0]
        for name, value in one.meta.items():
            addressable = not ({'"', "\\", "."} & set(name)) and name not in ("", "meta")
            if addressable and not isinstance(value, (list, dict)):
                assert one.id in set(store.ids({"field": f"meta.{name}", "operator": "==", "value": value}))

    check()
