"""What filters can choose by, the same on every transport."""

from __future__ import annotations

import numpy as np
import pytest

from bicross.errors import ConfigurationError, InputError
from bicross.stores import Store
from bicross.types import Passage

PASSAGES = [
    Passage("a", id="a", meta={"lang": "en", "year": 2020, "tags": ["x", "y"], "ok": True, "source_id": "d"}),
    Passage("b", id="b", meta={"lang": "de", "year": 2020, "tags": ["x", "x"], "ok": 1, "score": 0.5, "split_id": 2}),
    Passage("c", id="c", meta={"lang": "en", "tags": [], "only": "here", "same": "s", "deep": {"er": "x"}}),
]


@pytest.fixture
def filled(store: Store) -> Store:
    store.upsert(PASSAGES, np.eye(3, dtype=np.float32))
    return store


def test_values_are_counted(filled: Store) -> None:
    found = filled.facets()
    assert found.fields == {
        "lang": (("en", 2), ("de", 1)),
        "year": ((2020, 2),),
        "tags": (("x", 2), ("y", 1)),
        "ok": ((1, 1), (True, 1)),
        "only": (("here", 1),),
        "same": (("s", 1),),
    }
    assert [type(value) for value, _ in found.fields["ok"]] == [int, bool]
    assert (found.passages, found.complete) == (3, True)


def test_a_facets_count_is_that_of_its_filter(filled: Store) -> None:
    for field, values in filled.facets().fields.items():
        for value, count in values:
            chosen = {"field": f"meta.{field}", "operator": "==", "value": value}
            assert filled.count(chosen) == count, (field, value)


def test_what_says_the_same_of_all_and_what_has_many_values_is_left_out(filled: Store) -> None:
    english = {"field": "meta.lang", "operator": "==", "value": "en"}
    assert "lang" not in filled.facets(english).fields
    assert "lang" not in filled.facets(values=1).fields
    assert "year" in filled.facets(values=1).fields


def test_a_part_is_said_to_be_one(filled: Store) -> None:
    found = filled.facets(passages=2)
    assert (found.passages, found.complete) == (2, False)
    assert filled.facets(passages=3).complete


def test_nothing_stored(store: Store) -> None:
    found = store.facets()
    assert (dict(found.fields), found.passages, found.complete) == ({}, 0, True)
    with pytest.raises((ConfigurationError, InputError)):
        store.facets(values=0)
