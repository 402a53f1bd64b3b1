"""What users may name, and what an import costs."""

from __future__ import annotations

import subprocess
import sys

import bicross
from bicross import errors

HEAVY = ("torch", "transformers", "numpy", "qdrant_client", "qdrant_edge", "rich", "typer", "huggingface_hub")


def test_the_public_names_are_pinned() -> None:
    assert bicross.__all__ == [
        "BiEncoder", "CrossEncoder", "Encoder", "ExactStore", "Hit", "IndexReport", "LateInteractionReranker",
        "Passage", "QdrantStore", "Scorer", "SearchResult", "TwoStageRetriever",
    ]  # fmt: skip
    assert all(getattr(bicross, name) is not None for name in bicross.__all__)


def test_importing_the_package_loads_no_heavy_library() -> None:
    code = f"import sys, bicross; dir(bicross); print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(bicross, "Retriever")


def test_every_exception_is_drawn_in_the_tree_and_is_a_builtin_too() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]
    assert errors.__doc__ is not None
    for kind in classes:
        assert kind.__name__ in errors.__doc__
        parent = kind.__mro__[1]
        assert f"{kind.__name__} (" not in errors.__doc__ or any(
            base.__module__ == "builtins" and f"{kind.__name__} ({base.__name__})" in errors.__doc__
            for base in kind.__mro__[1:]
        ), parent
