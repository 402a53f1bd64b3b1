from __future__ import annotations

import doctest

from haystack_integrations.document_stores.bicross import metadata


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(metadata).failed == 0


def test_nested_fields_and_lists() -> None:
    metas = [{"a": {"b": [2, 3]}}, {"a": {"b": 1}}, {"a": 5}, {"a.b": 9}]
    assert metadata.min_max(metas, "meta.a.b") == {"min": 1, "max": 3}
    assert metadata.unique_values(metas, "a.b", None, 1, 1) == ([2], 3)
    assert metadata.min_max([{"day": "2026-01-02"}, {"day": "1999-12-31"}], "day")["min"] == "1999-12-31"
    assert metadata.field_types([{"a": {"b": 1}, "c": True, "d": 0.5}]) == {
        "a": {"type": "object"},
        "c": {"type": "boolean"},
        "d": {"type": "float"},
    }
