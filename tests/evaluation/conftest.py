from __future__ import annotations

from pathlib import Path

import pytest

from tiny_data import write_beir


@pytest.fixture
def beir(tmp_path: Path) -> Path:
    return write_beir(tmp_path / "toy")
