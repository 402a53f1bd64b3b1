"""Real models, real engines, real processes. Test data is sought in $BICROSS_DATA, else beside the checkout."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "false")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A shell's background jobs ignore interrupts, and so would the tests and the processes they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["BICROSS_BACKEND"] = "torch"  # what "auto" is must not hang on which extras are installed


def pytest_configure(config: pytest.Config) -> None:
    """The frameworks' own suites hold coroutines without a mark; tests/ runs without pytest-asyncio."""
    config.option.asyncio_mode = "auto"


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def data() -> Path:
    folder = Path(os.environ.get("BICROSS_DATA") or ROOT.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} doesn't exist; set BICROSS_DATA")
    return folder


@pytest.fixture(scope="session")
def xquad(data: Path) -> Path:
    """xquad in English: 240 paragraphs. (In other languages benchmarks/parity_evaluation.py measures it.)"""
    folder = data / "xquad" / "en"
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} doesn't exist; set BICROSS_DATA")
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium, by playwright; a module's, because playwright's loop would be in the way of other modules'."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None or importlib.util.find_spec("playwright") is None:
        pytest.skip("a browser test needs chromium (apt install chromium) and playwright (pip install playwright)")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def bicross(tmp_path: Path) -> Run:
    """The command line as a user runs it, in an empty folder."""

    def run(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("bicross")), *arguments]
        environment = os.environ | {"COLUMNS": "160", "NO_COLOR": "1"}
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run
