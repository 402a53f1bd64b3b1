"""A user of the wheel, outside the checkout, with the README's example."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_readme_example_runs_from_the_wheel(tmp_path: Path) -> None:
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([sys.executable, *pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, ROOT], check=True)
    wheel = next(tmp_path.glob("bicross-*.whl"))
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if not name.startswith(("bicross/", "bicross-", "haystack_integrations/"))]
    page = {f"bicross/server/static/{file.name}" for file in (ROOT / "src/bicross/server/static").iterdir()}
    assert {"bicross/py.typed", "bicross/evaluation/gap.html.j2", *page} <= set(names)
    assert "haystack_integrations/components/rankers/bicross/py.typed" in names
    assert not [
        name for name in names if name.endswith("__init__.py") and "integrations" in name and "/bicross/" not in name
    ]

    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = str(tmp_path / "venv" / "bin" / "python")
    install = [python, *pip, "install", "--constraint", ROOT / "constraints.txt"]
    subprocess.run([*install, "torch==2.13.0"], check=True)
    subprocess.run([*install, wheel], check=True)

    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", (ROOT / "README.md").read_text("utf-8"), re.DOTALL | re.MULTILINE)
    at = next(i for i, (language, _) in enumerate(blocks) if language == "python")
    code, printed = blocks[at][1], blocks[at + 1][1]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"BICROSS_MODELS": str(ROOT / "models"), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [python, "-W", "error::UserWarning", "-c", code],
        capture_output=True, text=True, cwd=tmp_path, env=environment, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed
    help_text = subprocess.run(
        [tmp_path / "venv" / "bin" / "bicross", "--help"], capture_output=True, text=True, check=True
    )
    assert "train-reranker" in help_text.stdout
