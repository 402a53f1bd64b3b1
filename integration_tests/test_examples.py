"""Every example runs by itself, offline, and prints what its trailing comment says."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
FRAMEWORKS = {"haystack", "langchain", "langchain_core", "qdrant_client", "torch", "transformers", "ray"}


def printed(example: Path) -> str:
    """The comment lines at the end of an example, without their marks."""
    lines = example.read_text(encoding="utf-8").rstrip().splitlines()
    comment = [*takewhile(lambda line: line.startswith("#"), reversed(lines))][::-1]
    return "".join(line.removeprefix("#").removeprefix(" ") + "\n" for line in comment)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_it_prints_what_it_says(example: Path, tmp_path: Path) -> None:
    expected = printed(example)
    assert expected, "an example ends in a comment that holds its output"
    environment = os.environ | {"HAYSTACK_TELEMETRY_ENABLED": "false", "HF_HUB_OFFLINE": "1", "NO_PROXY": "*"}
    environment |= {"HOME": str(tmp_path), "BICROSS_MODELS": str(ROOT / "models")}
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", example],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == expected
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [], "it leaves nothing behind"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.stem)
def test_it_is_short_and_shadows_no_framework(example: Path) -> None:
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 80
    assert example.stem not in FRAMEWORKS
