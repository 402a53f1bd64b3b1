"""What a filter means, held to written-out cases and to Haystack's own answers; and that every engine agrees."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bicross.errors import FilterError
from bicross.stores import QdrantStore
from bicross.stores.conditions import matches
from bicross.stores.dates import parse_date
from bicross.stores.filters import parse
from bicross.stores.schema import payload_of
from bicross.types import Passage

from .conftest import TRANSPORTS, opened

MOMENT = datetime(2026, 3, 1, 10, 11, 12, tzinfo=UTC)
ABSENT = object()

# Everything a field of meta may hold that some engine might take for something else.
STORED = [
    ABSENT,
    None,
    [],
    [None],
    {},
    "",
    "a",
    "A",
    "1",
    "true",
    "ä b",
    "日本",
    0,
    1,
    -1,
    2,
    1.0,
    -0.0,
    0.5,
    1.5,
    0.1,
    123456789.12345679,
    1e300,
    5e-324,
    2**53,
    2**62,
    True,
    False,
    [1, "a", True],
    ["a", "b"],
    [[1]],
    [0.5, None],
    [{"x": 1}],
    {"x": 1},
    {"x": {"y": "a"}},
    {"x": None},
    "2026-03-01",
    "2026-03-01T10:11:12",
    "2026-03-01T10:11:12Z",
    "2026-03-01 10:11:12",
    "2026-03-01T12:11:12+02:00",
    "2026-03-01T10:11:12.5",
    "2026-03-01T10:11:12.123456",
    "20260301",
    "2026-03-01T10:11",
    "2026-3-1",
    "2026-02-30",
    "2026",
    "1969-07-21T20:17:40",
    ["2026-03-01", "x"],
    "not a date",
]
ASKED = [
    None,
    "",
    "a",
    "A",
    "b",
    "1",
    "true",
    "ä b",
    "日本",
    0,
    1,
    -1,
    2,
    1.0,
    0.5,
    1.5,
    0.1,
    123456789.12345679,
    1e300,
    2**53,
    2**62,
    2**70,
    True,
    False,
    MOMENT,
    MOMENT.replace(tzinfo=None),
    date(2026, 3, 1),
    "2026-03-01",
    "2026-03-01T10:11:12Z",
    "2026-03-01T10:11:12.123456",
    "20260301",
    "not a date",
]
ORDERED = [
    None,
    0,
    1,
    0.5,
    -1.5,
    123456789.12345679,
    2**53,
    MOMENT,
    "2026-03-01",
    "2026-03-01T10:11:12+01:00",
    date(1970, 1, 1),
]
FIELDS = [
    "v",
    "meta.v",
    "w",
    "meta.v.x",
    "meta.v.x.y",
    "title",
    "source",
    "sync",
    "text",
    "content",
    "id",
    "absent",
    "an odd-name.[0]",
]


def _passages() -> list[Passage]:
    passages = []
    for i, value in enumerate(STORED):
        meta = {} if value is ABSENT else {"v": value}
        other = STORED[(7 * i + 3) % len(STORED)]
        meta |= {} if other is ABSENT else {"w": other, "an odd-name": {"[0]": other}}
        title = [None, "a", "1"][i % 3]
        passages.append(Passage(["a", "text", "2026-03-01"][i % 3], id=f"p{i}", title=title, meta=meta, source=title))
    return passages


PASSAGES = _passages()
SYNCS = ["a" if i % 2 else None for i in range(len(PASSAGES))]
PAYLOADS = [payload_of(p, sync, where=p.id) for p, sync in zip(PASSAGES, SYNCS, strict=True)]


def expected(condition):
    node = parse(condition)
    return {payload["id"] for payload in PAYLOADS if matches(node, payload)}


comparisons = st.one_of(
    st.builds(
        lambda field, operator, value: {"field": field, "operator": operator, "value": value},
        st.sampled_from(FIELDS),
        st.sampled_from(["==", "!="]),
        st.sampled_from(ASKED),
    ),
    st.builds(
        lambda field, operator, value: {"field": field, "operator": operator, "value": value},
        st.sampled_from(FIELDS),
        st.sampled_from(["in", "not in"]),
        st.lists(st.sampled_from(ASKED), max_size=4),
    ),
    st.builds(
        lambda field, operator, value: {"field": field, "operator": operator, "value": value},
        st.sampled_from(FIELDS),
        st.sampled_from([">", ">=", "<", "<="]),
        st.sampled_from(ORDERED),
    ),
)
conditions = st.recursive(
    comparisons,
    lambda inner: st.builds(
        lambda operator, items: {"operator": operator, "conditions": items},
        st.sampled_from(["AND", "OR", "NOT"]),
        st.lists(inner, max_size=3),
    ),
    max_leaves=5,
)


@pytest.fixture(scope="module", params=TRANSPORTS)
def filled(request, tmp_path_factory):
    with opened(request.param, tmp_path_factory.mktemp("filters")) as store:
        vectors = np.random.default_rng(0).normal(size=(len(PASSAGES), 4))
        for sync in (None, "a"):
            chosen = [i for i, name in enumerate(SYNCS) if name == sync]
            store.upsert([PASSAGES[i] for i in chosen], vectors[chosen], sync=sync)
        yield store


class TestAgreement:
    """The engines against the evaluator, over everything above."""

    def test_every_single_comparison(self, filled):
        for field in ("meta.v", "v.x"):
            for operator, values in (("==", ASKED), (">", ORDERED), (">=", ORDERED), ("<", ORDERED), ("<=", ORDERED)):
                for value in values:
                    condition = {"field": field, "operator": operator, "value": value}
                    assert set(filled.ids(condition)) == expected(condition), condition

    def test_combinations(self, filled):
        @settings(max_examples=80, deadline=None, derandomize=True, database=None)
        @given(conditions)
        def check(condition):
            want = expected(condition)
            assert set(filled.ids(condition)) == want
            assert filled.count(condition) == len(want)

        check()

    def test_search_and_delete_take_the_same_filter(self, filled):
        condition = {"operator": "NOT", "conditions": [{"field": "v", "operator": "in", "value": ["a", 1, True, None]}]}
        hits = filled.search([1, 0, 0, 0], 100, condition)
        assert {hit.passage.id for hit in hits} == expected(condition)


class TestMeaning:
    """What the evaluator is itself held to."""

    @pytest.mark.parametrize(
        ("stored", "operator", "asked", "holds"),
        [
            (1, "==", 1.0, True),
            (1.0, "==", 1, True),
            (True, "==", 1, False),
            (1, "==", True, False),
            ("1", "==", 1, False),
            (0.1, "==", 0.1, True),
            (0.1, "==", 0.1000001, False),
            ("a", "==", "A", False),
            ("ab", "==", "a", False),
            (None, "==", None, True),
            (ABSENT, "==", None, True),
            ([], "==", None, True),
            ([None], "==", None, False),
            ({}, "==", None, False),
            (0, "==", None, False),
            ("", "==", None, False),
            (None, "!=", 1, True),
            (ABSENT, "!=", "a", True),
            (ABSENT, "!=", None, False),
            (1, "!=", None, True),
            (["a", "b"], "==", "b", True),
            (["a", "b"], "!=", "b", False),
            (["a", "b"], "in", ["x", "b"], True),
            ([1, 5], ">", 4, True),
            ([1, 5], "<", 1, False),
            ([[1]], "==", 1, False),
            (1, "in", [], False),
            (1, "not in", [], True),
            (ABSENT, "in", [None], True),
            (ABSENT, "not in", [1], True),
            (1, "in", [1.0, "a"], True),
            (False, "in", [0], False),
            (2**62, "==", 2**62, True),
            (2**62, "==", 2**62 + 1, False),
            (1, ">", None, False),
            (None, ">", 0, False),
            (ABSENT, "<=", 0, False),
            (True, ">", 0, False),
            ("5", ">", 1, False),
            (1, ">=", 1, True),
            (1, ">", 1, False),
            (0.5, "<", 1, True),
            (-1, "<=", -1.0, True),
            ("2026-03-01T10:11:12", "==", MOMENT, True),
            ("2026-03-01T12:11:12+02:00", "==", MOMENT, True),
            ("2026-03-01T12:11:12+02:00", "==", "2026-03-01T10:11:12Z", True),
            ("2026-03-01T10:11:13", "==", MOMENT, False),
            ("2026-03-01", "==", date(2026, 3, 1), True),
            ("2026-03-01", ">=", "2026-03-01T00:00:00Z", True),
            ("2026-03-01", ">", "2026-02-28", True),
            ("2026-03-02", "<=", date(2026, 3, 1), False),
            (20260301, ">", "2026-01-01", False),
            ("no date", ">", "2026-01-01", False),
            ({"x": 1}, "==", 1, False),
        ],
    )
    def test_comparison(self, stored, operator, asked, holds):
        meta = {} if stored is ABSENT else {"v": stored}
        payload = payload_of(Passage("t", id="a", meta=meta), None, where="")
        assert matches(parse({"field": "v", "operator": operator, "value": asked}), payload) is holds

    @pytest.mark.parametrize(
        ("field", "value", "holds"),
        [
            ("id", "a", True),
            ("id", "b", False),
            ("text", "the text", True),
            ("content", "the text", True),
            ("text", "text", False),
            ("title", "T", True),
            ("source", "s", True),
            ("sync", "job", True),
            ("lang", "en", True),
            ("meta.lang", "en", True),
            ("meta.id", "other", True),
            ("a.b.c", 1, True),
            ("meta.a.b.c", 1, True),
            ("meta.a.b", 1, False),
            ("a.x.c", None, True),
            ("lang.x", None, True),
            ("meta.meta", 2, True),
        ],
    )
    def test_field_names(self, field, value, holds):
        meta = {"lang": "en", "id": "other", "a": {"b": {"c": 1}}, "meta": 2}
        payload = payload_of(Passage("the text", id="a", title="T", meta=meta, source="s"), "job", where="")
        assert matches(parse({"field": field, "operator": "==", "value": value}), payload) is holds

    def test_combinations(self):
        payload = payload_of(Passage("t", id="a", meta={"x": 1}), None, where="")
        yes, no = ({"field": "x", "operator": "==", "value": value} for value in (1, 2))
        table = {
            "AND": [([], True), ([yes], True), ([yes, no], False)],
            "OR": [([], False), ([no, yes], True), ([no], False)],
            "NOT": [([], False), ([yes], False), ([yes, no], True), ([no, no], True)],
        }
        for operator, rows in table.items():
            for items, holds in rows:
                assert matches(parse({"operator": operator, "conditions": items}), payload) is holds

    def test_no_filter_is_everything(self):
        assert parse(None) is None
        assert parse({}) is None
        assert matches(None, PAYLOADS[0])

    def test_as_haystack_means_it(self):
        """For values that aren't lists, and comparisons that Haystack doesn't refuse."""
        filters = pytest.importorskip("haystack.utils.filters")
        haystack = pytest.importorskip("haystack")
        simple = [i for i, value in enumerate(STORED) if not isinstance(value, (list, dict)) and value is not True]
        documents = {f"p{i}": haystack.Document(id=f"p{i}", content="t", meta=dict(PASSAGES[i].meta)) for i in simple}
        compared = 0
        for operator, values in (("==", ASKED), ("!=", ASKED), (">", ORDERED), ("<=", ORDERED)):
            for value in values:
                condition = {"field": "meta.v", "operator": operator, "value": value}
                ours = expected(condition)
                for name, document in documents.items():
                    try:
                        theirs = filters.document_matches_filter(condition, document)
                    except (haystack.errors.FilterError, TypeError):
                        continue
                    if _known_difference(value, document.meta.get("v")):
                        continue
                    compared += 1
                    assert (name in ours) == theirs, (condition, document.meta.get("v"))
        assert compared > 1500


def _known_difference(asked, stored):
    # Haystack takes bools for numbers, any string that dateutil can make something of for a date ("1"), and a date
    # without an offset for one in the other's time zone.
    if isinstance(asked, bool) or isinstance(stored, bool):
        return True
    dates = isinstance(asked, date) or (isinstance(asked, str) and parse_date(asked) is not None)
    return dates and isinstance(stored, str)


class TestRefusal:
    @pytest.mark.parametrize(
        ("condition", "message"),
        [
            ("lang == en", "A condition is a dict"),
            ([], "A condition is a dict"),
            ({"conditions": []}, "'operator' and 'conditions'"),
            ({"operator": "AND"}, "'operator' and 'conditions'"),
            ({"operator": "XOR", "conditions": []}, "'XOR'"),
            ({"operator": "and", "conditions": []}, "'and'"),
            ({"operator": "AND", "conditions": {}}, "is a list"),
            ({"operator": "AND", "conditions": [1]}, "is a dict"),
            ({"operator": "AND", "conditions": [{"operator": "==", "value": 1}]}, "'operator' and 'conditions'"),
            ({"field": "a", "value": 1}, "needs 'field', 'operator' and 'value'"),
            ({"field": "a", "operator": "=="}, "needs 'field', 'operator' and 'value'"),
            ({"field": "a", "operator": "=", "value": 1}, "one of ==, !="),
            ({"field": "", "operator": "==", "value": 1}, "non-empty"),
            ({"field": 1, "operator": "==", "value": 1}, "non-empty string"),
            ({"field": "meta", "operator": "==", "value": 1}, "one field of meta"),
            ({"field": 'a"b', "operator": "==", "value": 1}, "double quote"),
            ({"field": "a\\b", "operator": "==", "value": 1}, "backslash"),
            ({"field": "\ud800", "operator": "==", "value": 1}, "surrogate"),
            ({"field": "a", "operator": "==", "value": "\ud800"}, "surrogate"),
            ({"field": "a", "operator": "==", "value": [1]}, "use the operator 'in'"),
            ({"field": "a", "operator": "==", "value": {}}, "Equality takes"),
            ({"field": "a", "operator": "==", "value": math.nan}, "finite"),
            ({"field": "a", "operator": ">", "value": math.inf}, "finite"),
            ({"field": "a", "operator": ">", "value": 10**400}, "finite"),
            ({"field": "a", "operator": ">", "value": "1"}, "ordered only as dates"),
            ({"field": "a", "operator": "<", "value": "x"}, "ordered only"),
            ({"field": "a", "operator": ">", "value": [1]}, "takes a number"),
            ({"field": "a", "operator": ">", "value": True}, "takes a number"),
            ({"field": "a", "operator": "in", "value": 9}, "takes a list"),
            ({"field": "a", "operator": "in", "value": (1, 2)}, "takes a list"),
            ({"field": "a", "operator": "not in", "value": "ab"}, "takes a list"),
            ({"field": "a", "operator": "in", "value": [[1]]}, "Equality takes"),
        ],
    )
    def test_refused(self, condition, message):
        with pytest.raises(FilterError, match=message):
            parse(condition)

    def test_deep_nesting_is_refused(self):
        condition: dict = {"field": "a", "operator": "==", "value": 1}
        for _ in range(40):
            condition = {"operator": "NOT", "conditions": [condition]}
        with pytest.raises(FilterError, match="32 levels"):
            parse(condition)

    def test_the_callers_dict_is_left_alone(self):
        condition = {"operator": "OR", "conditions": [{"field": "a", "operator": "in", "value": [1, "x"]}]}
        copy = {"operator": "OR", "conditions": [{"field": "a", "operator": "in", "value": [1, "x"]}]}
        parse(condition)
        assert condition == copy

    def test_thousands_of_values(self, folder):
        with QdrantStore(path=folder) as store:
            store.upsert([Passage("t", id=f"p{i}", meta={"v": i, "s": str(i)}) for i in range(50)], np.ones((50, 2)))
            numbers = {"field": "v", "operator": "in", "value": list(range(40, 1000))}
            strings = {"field": "s", "operator": "in", "value": [str(i) for i in range(45, 5000)]}
            ids = {"field": "id", "operator": "not in", "value": [f"p{i}" for i in range(3000)]}
            assert [store.count(condition) for condition in (numbers, strings, ids)] == [10, 5, 0]


class TestDates:
    @pytest.mark.parametrize(
        "text",
        [
            "2026-03-01T10:11:12Z",
            "2026-03-01 10:11:12",
            "2026-03-01T11:11:12+01:00",
            "2026-03-01T08:11:12-0200",
            " 2026-3-1T10:11:12+00",
        ],
    )
    def test_spellings_of_one_instant(self, text):
        assert parse_date(text) == MOMENT

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "2026",
            "2026-03",
            "20260301",
            "2026-02-30",
            "2026-03-01T25:00:00",
            "2026-03-01x",
            "2026-03-01T10:11:12+24:00",
            "0000-01-01",
        ],
    )
    def test_not_dates(self, text):
        assert parse_date(text) is None

    def test_a_very_long_string_costs_nothing(self):
        assert parse_date(" " * 10**6 + "2026-03-01") is None
