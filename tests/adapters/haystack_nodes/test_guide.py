"""The guide names every node and parameter, with its default; its pictures and examples exist."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest
from haystack.utils import Secret

from adapters.haystack_nodes.test_lifecycle import OPTIONS

GUIDE = Path(__file__).parents[3] / "docs" / "haystack.md"
TEXT = GUIDE.read_text(encoding="utf-8")
TABLES, MOVING = TEXT.split("## Moving here")


def rows(section: str) -> dict[str, str]:
    """Defaults by parameter, of the table below a heading."""
    body = TABLES.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found: dict[str, str] = {}
    for names, default in re.findall(r"^\| (`[^|]+) \| ([^|]*) \|", body, flags=re.MULTILINE):
        keys, values = re.findall(r"`(\w+)`", names), default.split(", ")
        found |= dict(zip(keys, values if len(values) == len(keys) else values * len(keys), strict=False))
    return found


@pytest.mark.parametrize("kind", OPTIONS, ids=lambda kind: kind.__name__)
def test_every_parameter_is_in_the_guide_with_its_default(kind: type) -> None:
    section = "Embedders" if kind.__name__.endswith("Embedder") else kind.__name__
    documented = rows("Model parameters") | rows(section)
    for name, parameter in list(inspect.signature(kind.__init__).parameters.items())[1:]:
        default = parameter.default
        if default is inspect.Parameter.empty:
            assert documented[name] == "required"
        elif isinstance(default, Secret):
            assert "HF_TOKEN" in documented[name]
        else:
            shown = f'"{default}"'.replace("\n", "\\n") if isinstance(default, str) else str(default)
            assert documented[name].strip("`") == shown.strip("`"), name


def test_every_link_leads_somewhere() -> None:
    targets = [target for target in re.findall(r"\]\(([^)#]+)\)", TEXT) if not target.startswith("http")]
    assert len([target for target in targets if target.endswith(".svg")]) == 4
    assert [target for target in targets if not (GUIDE.parent / target).exists()] == []
    headings = {re.sub(r"[^a-z0-9 -]", "", line.lower()).strip().replace(" ", "-") for line in TEXT.splitlines()}
    assert [anchor for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT) if anchor not in headings] == []
