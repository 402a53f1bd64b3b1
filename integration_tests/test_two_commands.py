"""`make demo` on a few modules and on a folder: what it prints, and that a second run encodes nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def demo(store: Path, *variables: str) -> str:
    command = ["make", "demo", f"VENV={sys.prefix}", f"STORE={store}", *variables]
    environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_demo_shows_both_stages_and_encodes_once(tmp_path: Path) -> None:
    modules = "DEMO_MODULES=re shutil json"
    first, second = demo(tmp_path / "store", modules), demo(tmp_path / "store", modules)
    assert " 0 encoded in" not in first
    assert " 0 encoded in" in second
    for words in ("split a string by a regular expression", "before", "cosine", "rerank", "shutil.copytree", " ms; "):
        assert words in first
    assert first.count("candidates reranked") == 5


def test_the_demo_takes_a_folder(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "note.md").write_text("# Kitchen\n\nMilk goes into the fridge.\n")
    first = demo(tmp_path / "store", f"DOCS={docs}")
    assert "1 new" in first
    assert "where do I begin?" in first
    second = demo(tmp_path / "store", f"DOCS={docs}", "QUERY=where does milk go?")
    assert " 0 encoded in" in second
    assert "Milk goes into the fridge." in second
