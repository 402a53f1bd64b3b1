from __future__ import annotations

import uuid

from bicross.types import derive_id
from bicross.uuids import uuid5


def test_it_is_the_standard_library_s_uuid5() -> None:
    for number in range(200):  # every digit at the place of the variant
        name = f"résumé {number}"
        assert uuid5(uuid.NAMESPACE_URL, name) == str(uuid.uuid5(uuid.NAMESPACE_URL, name))


def test_the_ids_of_passages_stay_what_they_were() -> None:
    assert derive_id("a.txt", "hello") == "2e5499ec-b7d5-50bb-a29b-32ee54616fdc"
    assert derive_id(None, "東京 \ud800") == "c5791b19-ca1b-5a70-8f39-578f11731b8a"
