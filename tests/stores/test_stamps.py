from __future__ import annotations

import hashlib
import json

import pytest

from bicross.stores.schema import payload_of
from bicross.stores.stamps import stamp_in, stamp_of
from bicross.types import Passage

PASSAGES = [
    Passage('a "quoted" \\ line\n\ttabbed \x00 é 東京 😀', id="1"),
    Passage("text", id="2", title="", source="s"),
    Passage("", id="3", title="a title", meta={"b": [1, 2.5, None], "a": {"ä": True}}),
]


@pytest.mark.parametrize("passage", PASSAGES, ids=lambda passage: passage.id)
def test_the_hashes_are_those_of_collections_that_are_there(passage: Passage) -> None:
    meta = json.dumps(dict(passage.meta), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    parts = [(passage.title, passage.text), (passage.source, meta)]
    wanted = [hashlib.sha256(json.dumps(each, ensure_ascii=False).encode()).hexdigest()[:32] for each in parts]
    assert stamp_of(passage, "job") == (*wanted, "job")
    assert stamp_in(payload_of(passage, "job", where="here")) == stamp_of(passage, "job")
