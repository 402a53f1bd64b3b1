"""Pooling, heads and activations in numpy against torch's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from bicross import CrossEncoder
from bicross.encoding import pooling
from bicross.encoding.backends import numeric
from bicross.encoding.backends.graph import StaticTower
from bicross.encoding.backends.torch import TorchTower
from bicross.encoding.backends.torch_heads import activation, head_module
from bicross.encoding.backends.torch_options import TorchOptions
from bicross.encoding.specs import POOLING_MODES, DenseSpec, NormalizeSpec, StaticSpec, TowerSpec
from bicross.errors import CheckpointError

RNG = np.random.default_rng(7)
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 0, 0]])


@pytest.mark.parametrize("mode", POOLING_MODES)
@pytest.mark.parametrize("prompt_length", [0, 1, 2])
def test_pooling(mode: str, prompt_length: int) -> None:
    mask = MASK[:2] if prompt_length else MASK  # a text of nothing but its prompt is 0/0 for "max" in both
    hidden = RNG.normal(size=(len(mask), 5, 6)).astype(np.float32)
    expected = pooling.pool(torch.from_numpy(hidden), torch.from_numpy(mask), [mode, "cls"], prompt_length).numpy()
    np.testing.assert_allclose(numeric.pool(hidden, mask, [mode, "cls"], prompt_length), expected, atol=1e-6)


@pytest.mark.parametrize(("width", "bias", "residual"), [(4, True, False), (6, False, True), (4, True, True)])
def test_dense(tmp_path: Path, width: int, bias: bool, residual: bool) -> None:
    tensors = {"linear.weight": RNG.normal(size=(width, 6))}
    if bias:
        tensors["linear.bias"] = RNG.normal(size=width)
    if residual and width != 6:
        tensors["residual.weight"] = RNG.normal(size=(width, 6))
    save_file({name: value.astype(np.float32) for name, value in tensors.items()}, tmp_path / "model.safetensors")
    spec = DenseSpec(tmp_path, 6, width, bias, "torch.nn.modules.activation.Tanh", residual)
    vector = RNG.normal(size=(3, 6)).astype(np.float32)
    with torch.inference_mode():
        expected = head_module(NormalizeSpec())(head_module(spec)(torch.from_numpy(vector))).numpy()
    np.testing.assert_allclose(numeric.head(NormalizeSpec())(numeric.head(spec)(vector)), expected, atol=1e-6)


def test_a_dense_layer_without_its_weights_is_refused(tmp_path: Path) -> None:
    save_file({"linear.weight": np.zeros((4, 5), np.float32)}, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"doesn't hold the weights that its config\.json says"):
        numeric.head(DenseSpec(tmp_path, 6, 4, False, "torch.nn.Identity"))


@pytest.mark.parametrize("name", ["Identity", "Sigmoid", "Tanh", "ReLU", "GELU", "Softplus"])
def test_activations(name: str) -> None:
    values = np.concatenate([RNG.normal(size=(5, 3)) * 3, [[-200, 0, 200]]]).astype(np.float32)
    expected = activation(f"torch.nn.{name}")(torch.from_numpy(values)).numpy()
    np.testing.assert_allclose(numeric.activate(values, f"torch.nn.modules.activation.{name}"), expected, atol=1e-6)


def test_softmax_and_what_is_no_activation() -> None:
    np.testing.assert_allclose(numeric.activate(np.float32([[0, np.log(3)]]), "softmax"), [[0.25, 0.75]], atol=1e-6)
    for name in ("Sigmoid", "my.Sigmoid", "torch.nn.Nonsense"):
        with pytest.raises(CheckpointError, match=r"must be a class of torch\.nn"):
            numeric.activation(name)


def test_a_static_table(tmp_path: Path) -> None:
    save_file({"embedding.weight": RNG.normal(size=(9, 4)).astype(np.float32)}, tmp_path / "model.safetensors")
    spec = TowerSpec(StaticSpec(tmp_path), None, (NormalizeSpec(),))
    ids = RNG.integers(0, 9, size=MASK.shape)
    mask = np.vstack([MASK[:2], np.zeros((1, 5), np.int64)])
    theirs = TorchTower(spec, TorchOptions())
    ours = StaticTower(spec)
    assert ours.dimension == theirs.dimension == 4
    np.testing.assert_allclose(ours.vectors(ids, mask), theirs.vectors(ids, mask), atol=1e-6)


def test_the_head_stays_in_float32_under_bfloat16(cross_folder: Path) -> None:
    words = "cat dog bird fish tree house river stone red green blue small".split()  # noqa: SIM905
    pairs = [(first, second) for first in words for second in words]
    with (
        CrossEncoder.load(cross_folder, precision="bfloat16", device="cpu") as half,
        CrossEncoder.load(cross_folder, device="cpu") as whole,
    ):
        model = half._lease.get().model._model
        for name, weight in model.named_parameters():
            head = name.startswith(("classifier", "bert.pooler"))
            assert weight.dtype == (torch.float32 if head else torch.bfloat16), name
            if head:  # from the file, not from rounded bfloat16
                stored = dict(whole._lease.get().model._model.named_parameters())[name]
                assert torch.equal(weight, stored)
        logits = half.predict(pairs, activation="identity")
        rounded = torch.from_numpy(logits).bfloat16().float().numpy()
        assert (logits != rounded).mean() > 0.9
        np.testing.assert_allclose(logits, whole.predict(pairs, activation="identity"), atol=0.2)
