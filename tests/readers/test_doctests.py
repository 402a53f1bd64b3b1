from __future__ import annotations

import doctest
from importlib import import_module

import pytest


@pytest.mark.parametrize("name", ["text", "markdown", "segments", "python_names"])
def test_examples_in_docstrings(name: str) -> None:
    failed, tried = doctest.testmod(import_module(f"bicross.readers.{name}"))
    assert tried > 0
    assert failed == 0
