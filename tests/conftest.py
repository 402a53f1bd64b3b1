"""Tiny random models, built once for all tests."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch

from bicross import BiEncoder, CrossEncoder
from tiny_models import write_bi_encoder, write_cross_encoder

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# A shell's background jobs ignore interrupts, and so would the tests and the processes they start.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["BICROSS_BACKEND"] = "torch"  # what "auto" is must not hang on which extras are installed
torch.set_num_threads(1)  # a tiny model gains nothing from more, and waits for them on a busy machine


@pytest.fixture(scope="session")
def bi_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bi_encoder(tmp_path_factory.mktemp("bi") / "model")


@pytest.fixture(scope="session")
def cross_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_cross_encoder(tmp_path_factory.mktemp("cross") / "model")


@pytest.fixture(scope="session")
def bi_encoder(bi_folder: Path):

    with BiEncoder.load(bi_folder, device="cpu") as model:
        yield model


@pytest.fixture(scope="session")
def cross_encoder(cross_folder: Path):

    with CrossEncoder.load(cross_folder, device="cpu") as model:
        yield model
