"""The guide names every class and every parameter, and its pictures and examples exist."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import bicross.langchain
from bicross.langchain import BicrossCrossEncoder, BicrossEmbeddings, BicrossReranker, BicrossRetriever

GUIDE = Path(__file__).parents[2] / "docs" / "langchain.md"
TEXT = GUIDE.read_text(encoding="utf-8")
# LangChain's own, the same for every runnable.
THEIRS = {"name"}


@pytest.mark.parametrize("name", bicross.langchain.__all__)
def test_every_class_and_parameter_is_in_the_guide(name: str) -> None:
    assert f"`{name}`" in TEXT
    kind = getattr(bicross.langchain, name)
    fields = getattr(kind, "model_fields", None) or list(inspect.signature(kind).parameters)
    assert [field for field in fields if field not in THEIRS and f"`{field}`" not in TEXT] == []


@pytest.mark.parametrize("kind", [BicrossEmbeddings, BicrossReranker, BicrossCrossEncoder, BicrossRetriever])
def test_defaults_are_the_guides(kind: type) -> None:
    tables = TEXT[: TEXT.index("## Moving here")]
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+?) \|", tables, flags=re.MULTILINE))
    for name, field in kind.model_fields.items():  # type: ignore[attr-defined]
        if name in rows and not field.is_required():
            default = field.get_default(call_default_factory=True)
            assert rows[name].strip("`") == (f'"{default}"' if isinstance(default, str) else str(default)), name


def test_every_link_leads_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", TEXT) if not target.startswith("http")]
    assert targets
    assert [target for target in targets if not (GUIDE.parent / target).exists()] == []
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-") for line in TEXT.splitlines()}
    assert [anchor for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT) if anchor not in headings] == []
