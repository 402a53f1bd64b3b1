from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bicross.encoding.batching import pad, plan_batches
from bicross.encoding.windows import overlap_spans, windows


@given(st.lists(st.integers(0, 300), max_size=200), st.integers(1, 2_000))
def test_batches_hold_every_text_once_within_the_budget(lengths: list[int], budget: int) -> None:
    batches = list(plan_batches(lengths, budget))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or max(lengths[i] for i in batch) * len(batch) <= budget


def test_sorted_batches_pad_little() -> None:
    lengths = np.random.default_rng(0).integers(5, 256, 1_000).tolist()
    padded = sum(max(lengths[i] for i in batch) * len(batch) for batch in plan_batches(lengths, 2_048))
    assert padded / sum(lengths) < 1.03


def test_pad_fills_on_the_right() -> None:
    ids, mask = pad([np.array([5, 6], np.int32), np.array([7], np.int32)], 9)
    assert ids.tolist() == [[5, 6], [7, 9]]
    assert mask.tolist() == [[1, 1], [1, 0]]


@given(st.integers(0, 500), st.integers(1, 60), st.integers(0, 30))
def test_windows_cover_the_text_and_are_full(length: int, size: int, overlap: int) -> None:
    spans = windows(length, size, overlap)
    assert spans[0][0] == 0
    assert spans[-1][1] == length
    assert all(end - start == min(size, length) for start, end in spans)
    assert all(after[0] <= before[1] for before, after in pairwise(spans))


def test_a_rare_word_outweighs_a_common_one() -> None:
    common, rare, other = 1, 2, 9
    texts = [np.array([common, *[other] * 20, rare, *[other] * 5]), *[np.array([common, other])] * 5]
    assert overlap_spans(np.array([common, rare]), texts, 4)[0] == (18, 22)


@given(st.lists(st.integers(1, 5), max_size=60), st.integers(4, 20))
def test_the_window_with_the_most_of_the_query_is_full_and_no_other_holds_more(ids: list[int], size: int) -> None:
    query = np.array([1, 2])
    ((start, end),) = overlap_spans(query, [np.array(ids, dtype=np.int32)], size)
    assert end - start == min(size, len(ids))
    spans = windows(len(ids), size, size - size // 4)
    assert len({*ids[start:end]} & {1, 2}) == max(len({*ids[a:b]} & {1, 2}) for a, b in spans)
