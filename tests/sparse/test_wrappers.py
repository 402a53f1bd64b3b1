"""Functions as sparse encoders."""

from __future__ import annotations

import numpy as np
import pytest

from bicross.errors import ConfigurationError, InputError, InputTypeError
from bicross.sparse import SparseCallable, SparseEncoder


def test_a_function_is_an_encoder() -> None:
    encoder = SparseCallable(lambda text: ([len(text), 1], [2.0, 0.5]), fingerprint="lengths")
    assert isinstance(encoder, SparseEncoder)
    assert (encoder.fingerprint, encoder.idf) == ("lengths", False)
    vector = encoder.encode_document("four")
    assert (vector.indices.tolist(), vector.values.tolist()) == ([1, 4], [0.5, 2.0])
    assert (vector.indices.dtype, vector.values.dtype) == (np.uint32, np.float32)
    assert encoder.encode_query(["four", "four"]) == [vector, vector]


def test_queries_may_have_a_function_of_their_own() -> None:
    encoder = SparseCallable(lambda _: ([1], [1]), query=lambda _: ([2], [1]), fingerprint="two", idf=True)
    assert encoder.encode_query("x").indices.tolist() == [2]
    assert encoder.encode_document("x").indices.tolist() == [1]
    assert encoder.idf


@pytest.mark.parametrize("empty", [([], []), (np.zeros(0), np.zeros(0)), ((), [])])
def test_nothing_is_a_vector_too(empty: tuple) -> None:
    assert len(SparseCallable(lambda _: empty, fingerprint="empty").encode_query("x")) == 0


@pytest.mark.parametrize(
    ("output", "fault"),
    [
        (([1, 2], [1.0]), r"arrays of the shapes \(2,\) and \(1,\)"),
        (([[1]], [[1.0]]), r"arrays of the shapes \(1, 1\)"),
        (([1.5], [1.0]), "indices of the type float64"),
        (([True], [1.0]), "indices of the type bool"),
        (([-1], [1.0]), "indices from -1 to -1"),
        (([2**32], [1.0]), "indices from 4294967296"),
        (([3, 1, 3], [1.0, 1.0, 1.0]), "the index 3 more than once"),
        (([1], [float("nan")]), "NaN, infinity"),
        (([1], [1e300]), "too large a number"),
        (([1], ["heavy"]), "could not convert"),
        (None, "None"),
        (([1], [1.0], [1.0]), "too many values"),
        (([[1], [1, 2]], [1.0, 2.0]), "inhomogeneous"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow encountered")
def test_what_isnt_a_vector_is_named_by_its_position(output: object, fault: str) -> None:
    encoder = SparseCallable(lambda text: output if text == "bad" else ([], []), fingerprint="x")  # type: ignore[arg-type, return-value]
    with pytest.raises(InputError, match=rf"(?s){fault}.*for the text at position 1"):
        encoder.encode_document(["fine", "bad"])


def test_a_function_needs_a_name_and_texts() -> None:
    with pytest.raises(ConfigurationError, match="needs a fingerprint"):
        SparseCallable(lambda _: ([], []), fingerprint=" ")
    with pytest.raises(InputTypeError, match="at position 0"):
        SparseCallable(lambda _: ([], []), fingerprint="x").encode_query([3])  # type: ignore[list-item]
